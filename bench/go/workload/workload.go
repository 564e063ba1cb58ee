// Package workload holds what the Go servers of the benchmarks have in common: the methods' numbers
// and the work behind them.
package workload

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Ids of the methods that the servers answer in bytes mode. All of them echo.
const (
	Echo               uint32 = 1
	SleepMillisecond   uint32 = 2
	ComputeMillisecond uint32 = 3
	SleepSecond        uint32 = 4
	// The same once more, for servers that are told which methods are slow.
	MarkedSleepMillisecond   uint32 = 5
	MarkedComputeMillisecond uint32 = 6
	// A twentieth of a millisecond: handlers that keep the loop busy and do not lose it.
	ComputeBriefly uint32 = 7
	// Our server alone: Swallow answers with how many bytes came (a u32), Produce with as many bytes as it is
	// asked for (a u32).
	Swallow uint32 = 8
	Produce uint32 = 9
)

// roundsPerMillisecond is set once, by Use.
var roundsPerMillisecond int

// Use sets how many rounds of work a millisecond is; 0 measures it. Call it once, before serving.
func Use(rounds int) {
	if rounds <= 0 {
		rounds = Calibrate()
	}
	roundsPerMillisecond = rounds
}

// Calibrate measures how many rounds of work take a millisecond of CPU time on this machine. Servers
// that are compared should be told one number: two measurements differ.
func Calibrate() int {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const rounds = 2_000_000
	best := time.Duration(1 << 62)
	for range 5 {
		before := threadTime()
		compute(rounds)
		best = min(best, max(threadTime()-before, 1))
	}
	return int(rounds * int64(time.Millisecond) / int64(best))
}

// Known says whether there is a method of that id.
func Known(id uint32) bool { return id >= Echo && id <= ComputeBriefly }

// Do does a method's work; Echo has none. Work that computes is a fixed number of rounds, not a time
// by the clock: two of them that share a CPU take twice as long.
func Do(id uint32) {
	switch id {
	case SleepMillisecond, MarkedSleepMillisecond:
		time.Sleep(time.Millisecond)
	case ComputeMillisecond, MarkedComputeMillisecond:
		compute(roundsPerMillisecond)
	case ComputeBriefly:
		compute(roundsPerMillisecond / 20)
	case SleepSecond:
		time.Sleep(time.Second)
	}
}

func compute(rounds int) {
	x := uint64(rounds)
	for range rounds {
		x = x*6364136223846793005 + 1442695040888963407
	}
	runtime.KeepAlive(x)
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
