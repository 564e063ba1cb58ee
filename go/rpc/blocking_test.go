package rpc_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// The handler can only return when another call on the same core was answered.
func TestAHandlerThatBlocksDoesNotHoldOthersUp(t *testing.T) {
	gate := make(chan struct{})
	entered := make(chan struct{})
	server, address := start(t, rpc.ServerOptions{}, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		close(entered)
		<-gate
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idGate, "late") }()
	within(t, entered, "the handler runs")
	for range 100 {
		require.Equal(t, "meanwhile", answer(t, c, idEcho, "meanwhile"))
	}
	// Others may have been late for a moment, too, on a machine that has other things to do.
	eventually(t, "only that one is late", func() bool { return core(server).HandlersLate == 1 })
	close(gate)
	require.Equal(t, "late", within(t, answers, "the late answer"))
	require.NotZero(t, deposed(server))
	eventually(t, "the late handler is gone", func() bool { return core(server).HandlersLate == 0 })
}

// All calls come in one batch: those behind the one that blocks are served, too, and on every side of it.
func TestTheRestOfABatchGoesOn(t *testing.T) {
	gate := make(chan struct{})
	_, address := start(t, rpc.ServerOptions{}, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		<-gate
		return reply.Bytes(req.Payload())
	}))
	w := dialWire(t, address)
	var batch []byte
	const count = 50
	for i := range count {
		id := idEcho
		if i%5 == 2 {
			id = idGate
		}
		batch = append(batch, request(uint16(i), id, number(i))...)
	}
	_, err := w.Write(batch)
	require.NoError(t, err)
	seen := map[uint16]bool{}
	take := func() {
		h, payload := w.receive()
		require.EqualValues(t, rpc.CodeOK, h.Meta)
		require.Equal(t, int(h.Session), numberOf([]byte(payload)))
		require.False(t, seen[h.Session], "answered twice")
		seen[h.Session] = true
	}
	for range count - count/5 {
		take()
	}
	for i := range uint16(count) {
		require.Equal(t, i%5 != 2, seen[i])
	}
	close(gate)
	for range count / 5 {
		take()
	}
}

// The goroutine of a late handler goes on writing into what it was lent, while others are served.
func TestALateHandlerKeepsItsMemory(t *testing.T) {
	gate := make(chan struct{})
	_, address := start(t, rpc.ServerOptions{}, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		b := reply.Builder()
		before := string(req.Payload())
		name := b.CreateString("half before")
		<-gate
		if string(req.Payload()) != before {
			return rpc.Errorf(rpc.CodeConflict, "the request changed")
		}
		more := b.CreateString(before)
		b.StartObject(2)
		b.PrependUOffsetTSlot(0, name, 0)
		b.PrependUOffsetTSlot(1, more, 0)
		return reply.Finish(b.EndObject())
	}))
	c := dial(t, address)
	var waiting sync.WaitGroup
	for i := range 64 {
		waiting.Go(func() {
			text := randomText(i, 100+i*10)
			reply := answer(t, c, idGate, text)
			require.Contains(t, reply, "half before")
			require.Contains(t, reply, text)
		})
	}
	for i := range 400 {
		text := randomText(i, i)
		require.Equal(t, text, answer(t, c, idEcho, text))
	}
	close(gate)
	waiting.Wait()
}

// A method that slept three times starts as a goroutine; one that has become quick runs on the loop
// again.
func TestMannersAreLearnedAndForgiven(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if req.Payload()[0] == 's' {
			time.Sleep(5 * time.Millisecond)
		}
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	answer(t, c, idWork, "quick")
	require.Zero(t, core(server).Goroutines)
	eventually(t, "it starts as a goroutine", func() bool {
		answer(t, c, idWork, "sleep")
		return core(server).Goroutines > 0
	})
	require.GreaterOrEqual(t, core(server).HandlersSlept+core(server).HandlersBusy, uint64(3))
	eventually(t, "it runs on the loop", func() bool {
		before := core(server).Goroutines
		for range 64 {
			answer(t, c, idWork, "quick")
		}
		return core(server).Goroutines == before
	})
}

// Marked as slow it never runs on the loop.
func TestASlowMethodStartsAsAGoroutine(t *testing.T) {
	m := method(idWork, echo)
	m.Slow = true
	server, address := start(t, rpc.ServerOptions{}, m)
	c := dial(t, address)
	for range 1000 {
		require.Equal(t, "x", answer(t, c, idWork, "x"))
	}
	require.EqualValues(t, 1000, core(server).Goroutines)
}

// A thousand sleepers need goroutines, not threads; everybody else is served.
func TestAThousandSleepersAreFewThreads(t *testing.T) {
	if !inChild(t) {
		return
	}
	const sleepers, threadsMax = 1000, 32
	var asleep atomic.Int64
	woken := make(chan struct{})
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		asleep.Add(1)
		time.Sleep(time.Second)
		<-woken
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	var waiting sync.WaitGroup
	for i := range sleepers {
		waiting.Go(func() { require.Equal(t, number(i), answer(t, c, idWork, number(i))) })
	}
	threads := 0
	eventually(t, "all are asleep at once", func() bool {
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
		threads = max(threads, entries(t, "/proc/self/task"))
		return asleep.Load() == sleepers
	})
	close(woken)
	waiting.Wait()
	threads = max(threads, entries(t, "/proc/self/task"))
	require.LessOrEqual(t, threads, threadsMax)
}

// With more late handlers than may hold the core's buffers, the rest start as goroutines.
func TestLateHandlersAreBounded(t *testing.T) {
	const calls, lateMax = 300, 128
	gate := make(chan struct{})
	var running atomic.Int64
	var methods []rpc.Method
	for i := range calls { // of one method each: none is ever known to sleep
		methods = append(methods, method(uint32(5000+i), func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			running.Add(1)
			<-gate
			return reply.Bytes(req.Payload())
		}))
	}
	server, address := start(t, rpc.ServerOptions{}, methods...)
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	var waiting sync.WaitGroup
	for i := range calls {
		waiting.Go(func() { require.Equal(t, number(i), answer(t, c, uint32(5000+i), number(i))) })
	}
	eventually(t, "all run", func() bool {
		answer(t, c, idEcho, "x")
		return running.Load() == calls
	})
	require.EqualValues(t, lateMax, core(server).HandlersLate)
	require.GreaterOrEqual(t, core(server).Goroutines, uint64(calls-lateMax))
	close(gate)
	waiting.Wait()
	require.EqualValues(t, lateMax, server.Stats().Cores[0].LateMax)
	comesBack(t, server, c, idle)
}

// With the smallest budget a few late handlers may hold memory of the core's; the others are
// goroutines, and everybody is served.
func TestLateHandlersInLittleMemory(t *testing.T) {
	const calls = 100
	gate := make(chan struct{})
	var methods []rpc.Method
	for i := range calls {
		methods = append(methods, method(uint32(5000+i), func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			b := reply.Builder()
			<-gate
			b.StartObject(1)
			b.PrependUint64Slot(0, uint64(numberOf(req.Payload())), 0)
			return reply.Finish(b.EndObject())
		}))
	}
	server, address := start(t, rpc.ServerOptions{MemoryBytes: 8 << 20}, methods...)
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	var waiting sync.WaitGroup
	for i := range calls {
		waiting.Go(func() { answer(t, c, uint32(5000+i), number(i)) })
	}
	eventually(t, "all run", func() bool {
		stats := core(server)
		return stats.HandlersLate+int64(stats.Goroutines) == calls
	})
	require.LessOrEqual(t, core(server).HandlersLate, int64(2), "of 8 MiB")
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	close(gate)
	waiting.Wait()
	comesBack(t, server, c, idle)
}

// A handler that computes until another call was answered: only a stand-in on another CPU can do that.
func TestAHandlerThatComputesDoesNotHoldOthersUp(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 || runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	var answered atomic.Bool
	entered := make(chan struct{})
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		close(entered)
		for end := time.Now().Add(patience); !answered.Load(); {
			if time.Now().After(end) {
				return rpc.Errorf(rpc.CodeDeadline, "nobody else was answered")
			}
		}
		for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		}
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idWork, "computed") }()
	within(t, entered, "the handler runs")
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	answered.Store(true)
	require.Equal(t, "computed", within(t, answers, "the computed answer"))
	require.EqualValues(t, 1, deposed(server))
}

// A thread in a system call is one that the Go scheduler does not see sleep.
func TestAHandlerInASystemCallDoesNotHoldOthersUp(t *testing.T) {
	var pipe [2]int
	require.NoError(t, syscall.Pipe(pipe[:]))
	defer syscall.Close(pipe[0])
	defer syscall.Close(pipe[1])
	const calls = 8
	var entered atomic.Int64
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		entered.Add(1)
		var one [1]byte
		for {
			_, err := syscall.Read(pipe[0], one[:])
			if err == nil {
				return reply.Bytes(one[:])
			}
			if err != syscall.EINTR {
				return os.NewSyscallError("read", err)
			}
		}
	}))
	c := dial(t, address)
	answers := make(chan string, calls)
	for range calls {
		go func() { answers <- answer(t, c, idWork, "x") }()
	}
	eventually(t, "all are in the system call", func() bool {
		answer(t, c, idEcho, "x")
		return entered.Load() == calls
	})
	_, err := syscall.Write(pipe[1], []byte("yyyyyyyy"))
	require.NoError(t, err)
	for range calls {
		require.Equal(t, "y", within(t, answers, "an answer"))
	}
}

// One P: the poll loop, a handler that sleeps and the client take turns.
func TestOneProcessorIsEnough(t *testing.T) {
	if !inChild(t, "GOMAXPROCS=1") {
		return
	}
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
	gate := make(chan struct{})
	_, address := start(t, rpc.ServerOptions{}, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		<-gate
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	answers := make(chan string, 10)
	for range cap(answers) {
		go func() { answers <- answer(t, c, idGate, "late") }()
	}
	for range 20 {
		answer(t, c, idEcho, "x")
	}
	close(gate)
	for range cap(answers) {
		require.Equal(t, "late", within(t, answers, "a late answer"))
	}
}
