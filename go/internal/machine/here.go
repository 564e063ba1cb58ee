package machine

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Here reads the machine that this process runs on, and tries direct I/O in folders. Whatever it makes
// (a ring, a thread, a file in each folder) is gone when it returns. What fails is in the result.
//
// Threads: any. Cost: some milliseconds.
func Here(folders []string) *Machine {
	m := &Machine{Files: os.DirFS("/")}
	c := &m.Calls
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		c.Release, c.Arch = unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Machine[:])
	}
	c.UserID = os.Geteuid()
	c.Affinity, c.AffinityErr = affinity()
	c.GoMaxProcs = runtime.GOMAXPROCS(0)
	c.GoMaxProcSet = os.Getenv("GOMAXPROCS") != ""
	c.MemoryLocked = limitOf(unix.RLIMIT_MEMLOCK)
	c.CoreBytes = limitOf(unix.RLIMIT_CORE)
	c.AddressSpace = limitOf(unix.RLIMIT_AS)
	c.OpenFiles = filesLimit()
	c.EpollPwait2 = tryEpoll()
	c.Ring = tryRing()
	c.IdleThreads = tryIdleThread()
	c.Membarrier = membarrierCommands()
	c.ClockNs = measureClock()
	c.Counters = tryCounters()
	for _, folder := range folders {
		c.Folders = append(c.Folders, tryDirectIO(folder))
	}
	return m
}

func affinity() ([]int, error) {
	set := unix.NewCPUSet(cpuMax)
	if err := unix.SchedGetaffinityDynamic(0, set); err != nil {
		return nil, err
	}
	var cpus []int
	for cpu := range cpuMax {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func limitOf(resource int) Limit {
	var l unix.Rlimit
	if err := unix.Getrlimit(resource, &l); err != nil {
		return Limit{Err: fmt.Errorf("getrlimit: %w", err)}
	}
	return Limit{Soft: l.Cur, Hard: l.Max}
}

// filesLimit is what programs get that are started from where this one was: the Go runtime has raised
// this process's own soft limit.
func filesLimit() Limit {
	l := limitOf(unix.RLIMIT_NOFILE)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", os.Getppid()))
	if err != nil {
		return l
	}
	if soft, found := softFiles(string(text)); found && soft < l.Hard {
		l.Soft = soft
	}
	return l
}

// softFiles takes the soft limit on open files out of a /proc/PID/limits.
func softFiles(text string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, "Max open files"); found {
			words := strings.Fields(rest)
			if len(words) == 0 {
				return 0, false
			}
			soft, err := strconv.ParseUint(words[0], 10, 64)
			return soft, err == nil
		}
	}
	return 0, false
}

func tryEpoll() error {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return epollPwait2(fd)
}

// tryIdleThread gives a thread the idle class and ends the thread: there is no way back from it.
func tryIdleThread() error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the runtime keeps the first thread for ever: take another one
			err := tryIdleThread()
			runtime.UnlockOSThread()
			result <- err
			return
		}
		result <- setIdle() // the thread ends with this goroutine, because it was not unlocked
	}()
	return <-result
}

func membarrierCommands() Membarrier {
	const query = 0
	commands, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, query, 0, 0)
	if errno != 0 {
		return Membarrier{Err: errno}
	}
	return Membarrier{Commands: int(commands)}
}

// measureClock is what one look at the clock takes: the best of some rounds, so that being interrupted
// does not count.
func measureClock() float64 {
	const rounds, looks = 20, 500
	begin, best := time.Now(), time.Duration(1<<62)
	for range rounds {
		before := time.Since(begin)
		var after time.Duration
		for range looks {
			after = time.Since(begin)
		}
		best = min(best, after-before)
	}
	return float64(best) / looks
}

// tryCounters asks for the processor's own counter of cycles, of this process alone.
func tryCounters() error {
	attributes := unix.PerfEventAttr{Type: unix.PERF_TYPE_HARDWARE, Config: unix.PERF_COUNT_HW_CPU_CYCLES,
		Size: unix.PERF_ATTR_SIZE_VER0, Bits: unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}
	fd, err := unix.PerfEventOpen(&attributes, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
