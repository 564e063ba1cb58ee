package turns

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// How long the loop is looked after.
const (
	// spinMicros is how long a driver looks for input before it leaves the loop to the poller; a wake-up
	// costs that much on a virtual machine. In pieces of sliceMicros where Go has one processor only,
	// because another goroutine may want it.
	spinMicros  = 50
	sliceMicros = 5
	// Whether looking is worth it is learned: a driver that looks in vain takes one from what it is worth,
	// one that finds something adds hitWorth. At 0, where fewer than one in five finds something, only
	// one driver in probeEvery looks.
	worthMax   = 16
	hitWorth   = 4
	probeEvery = 16
	// quietAfter is how long nobody has to have driven before the loop is left to the poller.
	quietAfter = 20 * time.Millisecond
)

// User is who a loop works for. Its methods are called by the driver and must not block.
type User interface {
	// Note takes an event of the core.
	Note(e *native.Event)
	// Flush hands to the core what was queued before Ask.
	Flush()
}

// Loop is a core that those who wait for it drive.
type Loop struct {
	core *native.Core
	user User
	gate *gate

	sleep int64 // microseconds that a driver may sleep in the core, 0: it never does

	token   atomic.Uint32 // 1: somebody drives
	asked   atomic.Bool   // there is mail, or something to flush
	waiting atomic.Int64  // waiters without an answer
	crew    chan struct{} // the token, on its way to the goroutine that drives for others
	alarm   *time.Timer
	gone    sync.WaitGroup // crew and watch
	counts  counters

	mu   sync.Mutex
	mail []func()
	dead bool // the core may not be touched any more

	// The driver's.
	taken    []func()
	armed    bool   // the gate was, and may have fired
	alarmed  bool   // the alarm rings within quietAfter
	settling bool   // the loop is left to the poller, also when nobody waits
	ending   bool   // Stop was called
	woken    int    // waiters that were woken and may not have run since
	active   uint64 // turns in which something happened
	seen     uint64 // active at the last alarm
	worth    int    // what looking is worth, 0 to worthMax
	passed   int    // drivers that did not look, for that
	procs    int    // GOMAXPROCS, as of the last alarm
	polls    uint64 // of the core
}

// Open makes a loop for a core that was opened not to sleep. The core may be closed when Stop has
// returned.
func Open(core *native.Core, user User) (*Loop, error) { return openLoop(core, user, 0) }

// OpenSleeping is Open for a core that sleeps when it has looked for long enough: whoever drives while
// somebody waits sleeps there for up to that time, before the loop is left to the poller. It is for answers
// that come for certain, and soon: waking a thread takes less than going through Go's poller.
func OpenSleeping(core *native.Core, user User, sleep time.Duration) (*Loop, error) {
	return openLoop(core, user, sleep.Microseconds())
}

func openLoop(core *native.Core, user User, sleep int64) (*Loop, error) {
	fd, err := core.Fd()
	if err != nil {
		return nil, err
	}
	g, err := openGate(fd)
	if err != nil {
		return nil, err
	}
	l := &Loop{core: core, user: user, gate: g, sleep: sleep, crew: make(chan struct{}, 1), procs: runtime.GOMAXPROCS(0), worth: worthMax}
	l.alarm = time.AfterFunc(time.Hour, l.ring)
	l.alarm.Stop()
	l.gone.Go(l.drivesForAll)
	l.gone.Go(l.watches)
	return l, nil
}

// Core is the loop's core, for the driver: User's methods and functions given to Do.
func (l *Loop) Core() *native.Core { return l.core }

// Turn counts the core's polls: what was sent in a turn leaves with the poll that ends it. The driver.
func (l *Loop) Turn() uint64 { return l.polls }

// Waiter is one goroutine that waits for one answer at a time.
type Waiter struct{ answer chan struct{} }

// NewWaiter makes a waiter; it may be used again and again.
func NewWaiter() Waiter { return Waiter{make(chan struct{}, 1)} }

// Expect says that a waiter is going to wait: before anybody can have an answer for it. Any goroutine.
func (l *Loop) Expect() { l.waiting.Add(1) }

// Forget takes Expect back, of a waiter that gets no answer. Any goroutine.
func (l *Loop) Forget() { l.waiting.Add(-1) }

// Waiting is how many waiters have no answer. Any goroutine.
func (l *Loop) Waiting() int64 { return l.waiting.Load() }

// Answer wakes a waiter. Once for each Expect. Any goroutine.
func (l *Loop) Answer(w Waiter) {
	l.waiting.Add(-1)
	w.answer <- struct{}{}
}

// Woke notes that Answer woke somebody, who runs before the loop looks at the network again. The driver.
func (l *Loop) Woke() { l.woken++ }

// Await waits for the answer, and drives the loop if nobody else does. False: cancelled was closed
// before. The caller's goroutine; after Expect.
func (l *Loop) Await(w Waiter, cancelled <-chan struct{}) bool {
	if l.token.CompareAndSwap(0, 1) {
		l.drive(w, cancelled, false)
	}
	if cancelled == nil {
		<-w.answer
		return true
	}
	select {
	case <-w.answer:
		return true
	case <-cancelled:
		return false
	}
}

// Do has the driver call f. Any goroutine; does not wait for it. After Stop f is not called.
func (l *Loop) Do(f func()) {
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return
	}
	l.mail = append(l.mail, f)
	l.Ask()
	l.mu.Unlock()
	l.Run()
}

// Ask has User.Flush called soon: by the driver if there is one, else by Await or Run, one of which has
// to follow. Any goroutine that knows that the loop was not stopped.
func (l *Loop) Ask() {
	l.asked.Swap(true) // not a store: leave reads it after it has given the token back
	if l.sleep > 0 {
		l.core.Ring()
	} else {
		l.core.Ask()
	}
}

// Run has somebody make turns while there is something to do. Any goroutine; does not wait for it.
func (l *Loop) Run() {
	if l.token.CompareAndSwap(0, 1) {
		l.crew <- struct{}{}
	}
}

// Stop ends the loop: nobody uses the core when it returns. Nobody may wait any more. Not for the driver.
func (l *Loop) Stop() {
	l.Do(func() { l.ending = true })
	l.gone.Wait()
}
