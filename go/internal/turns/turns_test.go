package turns

import (
	"bufio"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
)

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

// echoMethod is what callers call; the peer does not look.
const echoMethod = 7

// peer echoes frames on one connection, each after as many microseconds as its payload begins with.
func peer(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		t.Cleanup(func() { conn.Close() })
		in := bufio.NewReader(conn)
		for {
			bytes := make([]byte, frame.HeaderSize+8)
			if _, err := io.ReadFull(in, bytes); err != nil {
				return
			}
			until := time.Now().Add(time.Duration(binary.LittleEndian.Uint64(bytes[frame.HeaderSize:])) * time.Microsecond)
			for time.Now().Before(until) { // sleeping would take a millisecond
				runtime.Gosched()
			}
			h := frame.Decode(bytes)
			h.Meta = 200
			h.Put(bytes)
			if _, err := conn.Write(bytes); err != nil {
				return
			}
		}
	}()
	return listener.Addr().String()
}

// user makes calls on one connection.
type user struct {
	t    *testing.T
	loop *Loop

	mu      sync.Mutex
	conn    uint64
	queue   [][]byte
	waiters map[uint16]Waiter
	closed  chan native.CloseReason
}

// open connects to a peer.
func open(t *testing.T, address string, config native.Config) *user {
	config.Cores, config.SpinMicros = 1, -2
	engine, err := native.Open(config)
	require.NoError(t, err)
	u := &user{t: t, waiters: map[uint16]Waiter{}, closed: make(chan native.CloseReason, 1)}
	u.loop, err = Open(engine.Cores()[0], u)
	require.NoError(t, err)
	t.Cleanup(func() {
		u.loop.Stop()
		engine.Close()
	})
	ready := NewWaiter()
	u.waiters[0] = ready
	u.loop.Expect()
	u.loop.Do(func() {
		if u.conn, err = u.loop.Core().Connect(address, 1); err != nil {
			u.loop.Answer(ready)
		}
	})
	require.True(t, u.loop.Await(ready, nil))
	require.NoError(t, err)
	return u
}

func (u *user) Note(e *native.Event) {
	switch e.Kind {
	case native.EventClosed:
		u.closed <- native.CloseReason(e.Meta)
	case native.EventConnected:
		u.answer(0)
	case native.EventReply:
		u.answer(e.Session)
	}
}

func (u *user) answer(session uint16) {
	u.mu.Lock()
	w, found := u.waiters[session]
	delete(u.waiters, session)
	u.mu.Unlock()
	if found {
		u.loop.Answer(w)
		u.loop.Woke()
	}
}

func (u *user) Flush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range u.queue {
		require.True(u.t, u.loop.Core().PutFrames(u.conn, f, 1))
	}
	u.queue = nil
}

// queueCall queues a call that the peer answers after a while.
func (u *user) queueCall(session uint16, w Waiter, micros uint64) {
	payload := binary.LittleEndian.AppendUint64(nil, micros)
	h := frame.Header{Flags: native.MayPad, Session: session, Size: 8, Meta: echoMethod}
	u.mu.Lock()
	u.loop.Expect()
	u.waiters[session] = w
	u.queue = append(u.queue, append(h.Append(nil), payload...))
	u.mu.Unlock()
	u.loop.Ask()
}

// within fails the test when f does not return.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		all := make([]byte, 1<<20)
		t.Fatalf("%s does not end\n%s", what, all[:runtime.Stack(all, true)])
	}
}

// Answers come before, while and after a driver stops looking for them; none may be overlooked.
func TestEveryAnswerFindsItsCaller(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, callers := range []int{1, 2, 8} {
			before := runtime.GOMAXPROCS(procs)
			u := open(t, peer(t), native.Config{})
			seed := rand.Uint64()
			t.Logf("GOMAXPROCS %d, %d callers, seed %d", procs, callers, seed)
			within(t, "calling", func() {
				var all sync.WaitGroup
				for i := range callers {
					random := rand.New(rand.NewPCG(seed, uint64(i)))
					all.Go(func() {
						w := NewWaiter()
						for range 3000 / callers {
							u.queueCall(uint16(i+1), w, random.Uint64N(3*spinMicros/2))
							u.loop.Await(w, nil)
						}
					})
				}
				all.Wait()
			})
			require.Zero(t, u.loop.waiting.Load())
			runtime.GOMAXPROCS(before)
		}
	}
}

// Whatever comes while the token is on its way back is seen by who gives it back.
func TestNothingIsLostWhenTheTokenGoesBack(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	l := u.loop
	holding := func(what string, happens func(), armed, goes bool) {
		require.Eventually(t, func() bool { return l.token.CompareAndSwap(0, 1) }, patience, time.Millisecond)
		l.core.ClearPending()
		happens()
		require.Equal(t, goes, l.leave(armed), what)
		if !goes {
			l.drive(nobody, nil, false)
		}
	}
	nothing := func() {}
	holding("nothing", nothing, true, true)
	holding("nothing, not armed", nothing, false, true)
	holding("the poller's news", l.fired, true, false)
	holding("a letter", func() { l.Do(nothing) }, true, false)
	holding("a frame", l.Ask, false, false)
	holding("a waiter, but the poller looks after it", l.Expect, true, true)
	l.Forget()
	holding("a waiter", l.Expect, false, false)
	l.Forget()
}

// Nobody waits, and nobody drives: the end of a connection is seen all the same.
func TestAQuietLoopSeesItsConnectionEnd(t *testing.T) {
	for _, quiet := range []time.Duration{0, 3 * quietAfter} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		u := open(t, listener.Addr().String(), native.Config{})
		conn, err := listener.Accept()
		require.NoError(t, err)
		time.Sleep(quiet)
		conn.Close()
		select {
		case reason := <-u.closed:
			require.Equal(t, native.CloseByPeer, reason)
		case <-time.After(patience):
			t.Fatal("nobody saw that the peer closed")
		}
	}
}

// A peer that takes nothing is found out by a timer of the core, which runs while nobody drives.
func TestTimersOfTheCoreRun(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	u := open(t, listener.Addr().String(), native.Config{SendTimeoutMs: 100})
	u.loop.Do(func() {
		size := 16 << 20
		h := frame.Header{Flags: native.MayPad, Session: 1, Size: uint32(size), Meta: echoMethod}
		require.True(t, u.loop.Core().PutFrames(u.conn, append(h.Append(nil), make([]byte, size)...), 1))
	})
	u.loop.Run()
	select {
	case reason := <-u.closed:
		require.Equal(t, "slow reader", reason.String())
	case <-time.After(patience):
		t.Fatal("the connection was not closed")
	}
}

// Who gives up while he drives leaves the loop to those who still wait.
func TestADriverMayGiveUp(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	slow, quick := NewWaiter(), NewWaiter()
	cancelled := make(chan struct{})
	close(cancelled)
	within(t, "calling", func() {
		u.queueCall(1, slow, 20_000)
		require.False(t, u.loop.Await(slow, cancelled))
		u.queueCall(2, quick, 0)
		require.True(t, u.loop.Await(quick, nil))
		require.True(t, u.loop.Await(slow, nil), "the answer to a call that was given up comes all the same")
	})
}

// Stop ends while others ask, and nothing is done afterwards.
func TestStop(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				u.loop.Do(func() {})
			}
		})
	}
	within(t, "stopping", u.loop.Stop)
	all.Wait()
	u.loop.Do(func() { t.Error("called after Stop") })
	u.loop.Run()
}

// Looking for answers that take longer than the look is given up, and taken up again when they are quick.
func TestLookingIsLearned(t *testing.T) {
	l := &Loop{worth: worthMax, procs: 2}
	require.Equal(t, 1, l.looks())
	l.worth = 0
	looked := 0
	for range 10 * probeEvery {
		looked += l.looks()
	}
	require.Equal(t, 10, looked)
	l.procs = 1
	l.worth = hitWorth
	require.Equal(t, spinMicros/sliceMicros, l.looks())
}

// A driver whose own wait is over does not drive on for those who come while it gives the token back.
func TestWhoIsDoneDoesNotDriveOn(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	l := u.loop
	require.Eventually(t, func() bool { return l.token.CompareAndSwap(0, 1) }, patience, time.Millisecond)
	w := NewWaiter()
	u.queueCall(1, w, 10_000)
	l.retire(0) // it has seen nobody wait
	require.Empty(t, w.answer, "it waited for another's answer")
	require.True(t, l.Await(w, nil), "nobody drives")
}

// What takes longer than a look is learned to; the poller's news of it teach nothing. On a machine that is
// busy with others a look may take as long as an answer: then it takes more of them.
func TestSlowAnswersAreNotLookedFor(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	w := NewWaiter()
	worth := worthMax
	for range 20 {
		for i := range 200 {
			u.queueCall(uint16(i+1), w, 20*spinMicros)
			require.True(t, u.loop.Await(w, nil))
		}
		require.Eventually(t, func() bool { return u.loop.token.CompareAndSwap(0, 1) }, patience, time.Millisecond)
		worth = u.loop.worth
		u.loop.token.Swap(0)
		if worth < worthMax/2 {
			return
		}
	}
	require.Less(t, worth, worthMax/2)
}

// A reply that comes in pieces sets timers of the core, which are far away; the end of the connection is
// seen soon all the same.
func TestAQuietLoopForgetsTimersThatAreOver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	u := open(t, listener.Addr().String(), native.Config{BodyTimeoutMs: int(2 * patience / time.Millisecond)})
	conn, err := listener.Accept()
	require.NoError(t, err)
	defer conn.Close()
	w := NewWaiter()
	u.queueCall(1, w, 0)
	go func() {
		request := make([]byte, frame.HeaderSize+8)
		if _, err := io.ReadFull(conn, request); err != nil {
			return
		}
		h := frame.Decode(request)
		h.Meta = 200
		h.Put(request)
		_, _ = conn.Write(request[:frame.HeaderSize+4])
		time.Sleep(5 * time.Millisecond)
		_, _ = conn.Write(request[frame.HeaderSize+4:])
	}()
	require.True(t, u.loop.Await(w, nil))
	conn.Close()
	select {
	case reason := <-u.closed:
		require.Equal(t, native.CloseByPeer, reason)
	case <-time.After(patience):
		t.Fatal("nobody saw that the peer closed")
	}
}

// An answer that is found by looking makes looking worth more, for whoever drives.
func TestFindingAnAnswerIsLearned(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	l := u.loop
	fd, err := l.core.Fd()
	require.NoError(t, err)
	for _, others := range []bool{false, true} {
		require.Eventually(t, func() bool { return l.token.CompareAndSwap(0, 1) }, patience, time.Millisecond)
		w := NewWaiter()
		u.queueCall(1, w, 10_000) // the turn that sends it does not find the answer
		l.deliver()
		l.core.Poll(0)
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(patience/time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		l.worth = 1
		if others {
			l.drive(nobody, nil, false)
		} else {
			l.drive(w, nil, false)
		}
		require.Len(t, w.answer, 1)
		require.Eventually(t, func() bool { return l.token.CompareAndSwap(0, 1) }, patience, time.Millisecond)
		require.Equal(t, 1+hitWorth, l.worth)
		l.token.Swap(0)
	}
}

// Whoever asks may be held up between asking and the bell, and ring when it has been done. Nobody is kept
// awake by that: the loop is left to the poller, though somebody waits.
func TestABellThatComesLate(t *testing.T) {
	u := open(t, peer(t), native.Config{})
	w := NewWaiter()
	u.loop.Expect()
	u.loop.core.Ask()
	answered := make(chan bool)
	go func() { answered <- u.loop.Await(w, nil) }()
	require.Eventually(t, func() bool { return !u.loop.core.Pending() && u.loop.token.Load() == 0 }, patience, time.Millisecond)
	u.loop.Answer(w)
	require.True(t, <-answered)
}
