// Package loop drives a native core from Go: it runs handlers on the poll loop and lets them block all
// the same.
//
// A core has one driver at a time, an ordinary goroutine. A handler that is late loses the loop to a
// stand-in, which goes on with the next event of the batch; what the late handler produces reaches
// the loop as mail. The protocol is in native/include/smf/baton.h, its reasons in
// docs/decisions/0002-baton.md.
package loop

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// Statuses that the loop itself answers with.
const (
	statusBadRequest     = 400
	statusNotFound       = 404
	statusDeadline       = 408
	statusLimit          = 429
	statusCancelled      = 499
	statusNotImplemented = 501
	statusUnavailable    = 503
	statusLevel          = 505
)

// compressionDisabled is the highest compression of a payload that is not compressed.
const compressionDisabled = 1

// EmptyTable is an empty FlatBuffers table: what a reply with a status other than 200 carries.
var EmptyTable = []byte{8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0}

// Call is a request as a worker sees it, and what the worker makes of it.
type Call struct {
	Out         native.Reply // set by Serve, but for Conn and Session
	Loop        *Loop
	Method      *Method
	Payload     []byte    // lent until Serve returns
	Loan        []byte    // where a reply may be built, so that it ends at the last byte; nil: nowhere
	Metadata    []byte    // the request's block, lent until Serve returns; empty: there is none
	Deadline    time.Time // the caller's; zero: none
	Compression uint8     // of Payload; above 1 only for a Method that is Compressed
	Level       uint8     // of the wire format, on the connection that it came by: 1 or 2
	Accepts     uint8     // bits 1 << compression that the caller decompresses; all at level 1. Of a Method that is Compressed or Streams
	Flags       uint8     // of the request; 0 at level 1
	promise     atomic.Pointer[Promise]
	stream      *Stream // nil: it is none
	driver      *driver
	arrived     uint64 // the core's clock when it was handed out
}

// Worker runs handlers, one at a time. Every driver has one of its own, because a handler that is late
// keeps it.
type Worker interface {
	// Serve runs the handler of call and sets its Out.
	Serve(call *Call)
	// Failed sets Out for a handler that panicked; or ended its goroutine (runtime.Goexit): then
	// panicked is nil.
	Failed(call *Call, panicked any)
	// Cancel is told of the call that Serve is called with, or was called with last.
	Canceller
}

// Service is what a loop works for. Its methods are called by the driver and must not block.
type Service interface {
	NewWorker(call *Call) Worker   // call is what its Serve will get, always
	Find(id uint32) *Method        // nil: no such method; always the same answer
	Note(l *Loop, e *native.Event) // a connection that ended
}

// Loop drives one core.
type Loop struct {
	core    *native.Core
	service Service
	workers sync.Pool // of *driver
	tasks   sync.Pool // of *task

	mu   sync.Mutex
	mail []letter // from any goroutine to the driver
	over bool     // nobody reads mail any more
	dead bool     // nobody uses the core any more

	current  *driver  // the driver's: who runs the handler that baton.state tells of
	taken    []letter // the driver's: mail that is being delivered
	takenPos int
	stuck    bool            // mail waits for memory or for room in a turn
	wants    []*want         // that wait for memory, in turn; the driver's
	sent     []native.Buffer // the driver's: of large replies that the next poll sends
	yielded  uint64          // the core's clock at the last yield
	drained  chan struct{}
	closing  bool // a drain was asked for
	ended    bool // and has ended
	token    raceToken
	untimed  int // calls until one is timed; 0 or less: none is
	pendings pendings
	unsure   []*Stream // which the core may not have sent all of; the driver's
	due      []*Stream // likewise: which have frames for the core, from duePos on
	duePos   int
	given    int // bytes of streams that the core got in this turn
	epoch    epoch
	accepts  *[agreedKept]agreed // nil: nothing is offered

	counts []counts // by Method.Index; nil: calls are not counted

	holders atomic.Int64 // goroutines and payloads that still use native memory
	gone    chan struct{}
	late    atomic.Int64
	copied  atomic.Int64  // bytes of requests that were copied for goroutines
	queued  atomic.Int64  // bytes that streams' messages for the core have of Go's memory
	carried atomic.Uint64 // large replies that goroutines have copied

	lateLimit, copyLimit, queueLimit int64 // constant
	runningMax                       int   // likewise: the core's limit on calls

	lateMax atomic.Int64
	spawned atomic.Uint64

	lateFull                          atomic.Uint64 // calls that found lateLimit reached
	tooMany                           atomic.Uint64 // calls that were answered by the loop: runningMax was
	notFound, notImplemented, refused atomic.Uint64 // calls that the loop itself answered
	expired, abandoned                atomic.Uint64 // likewise: no handler was begun for them
	cancelled, disconnected           atomic.Uint64 // calls whose callers did not wait for the end
}

// letter is something for the driver to do. Exactly one of its parts is used.
type letter struct {
	reply   bool
	out     native.Reply
	due     Due
	lent    native.Lent // where out lies already, or none
	want    *want
	promise *Promise // that out keeps, or nil
	task    *task    // to be used again once out's payload is copied
	driver  *driver  // likewise, of a late handler
	stream  *Stream  // which has an errand
	do      func()
}

// New makes a loop for a core. Start it once.
func New(core *native.Core, service Service, runningMax int) *Loop {
	memory := int64(core.Stats().MemoryBudgetBytes)
	return &Loop{core: core, service: service, gone: make(chan struct{}), drained: make(chan struct{}),
		lateLimit: LateLimit(memory), copyLimit: memory / copyShare, queueLimit: memory / queueShare, runningMax: runningMax}
}

// Core is the loop's core, for functions that run on the loop (Do, Service.Note).
func (l *Loop) Core() *native.Core { return l.core }

// Start starts the driver, and its stand-in on a core whose handlers may block.
func (l *Loop) Start() {
	l.epoch = newEpoch()
	l.holders.Add(1)
	if l.core.HasBaton() {
		l.holders.Add(1)
		go l.standIn()
	}
	go l.newDriver().drive(0, 0)
}

// Stop ends the loop; handlers that still run keep native memory in use until they return: Gone.
// Any goroutine.
func (l *Loop) Stop() {
	l.core.Stop()
}

// Gone is closed when nobody uses the core any more.
func (l *Loop) Gone() <-chan struct{} { return l.gone }

// Drained is closed when a drain has ended.
func (l *Loop) Drained() <-chan struct{} { return l.drained }

func (l *Loop) release() {
	if l.holders.Add(-1) == 0 {
		l.mu.Lock()
		l.dead = true
		l.mu.Unlock()
		close(l.gone)
	}
}

// Do runs f on the loop. Any goroutine; does not wait. After Stop f may never run.
func (l *Loop) Do(f func()) { l.post(letter{do: f}) }

// Answer completes a deferred call, which was promised by promise. Payload and metadata belong to the loop
// from now on. Any goroutine.
func (l *Loop) Answer(due Due, promise *Promise, r *native.Reply) {
	m := letter{reply: true, out: *r, due: due, promise: promise}
	if !isLarge(r) {
		l.post(m)
		return
	}
	go func() { // the caller may be the driver
		m.lent = l.carry(&m.out)
		l.send(m)
	}()
}

// StillCompressed counts a call that a worker answers as the loop itself does where the method is not
// Compressed: the payload is, and nobody has decompressed it. Any goroutine.
func (l *Loop) StillCompressed() { l.notImplemented.Add(1) }

// Drain closes listeners and answers 503 to what still comes; Drained tells the end. Any goroutine.
func (l *Loop) Drain() {
	l.Do(func() {
		l.core.Drain()
		l.closing = true
	})
}

// DisconnectAll closes everything at once; done is called when the sockets are closed. Any goroutine.
func (l *Loop) DisconnectAll(done func()) {
	l.Do(func() {
		l.core.DisconnectAll()
		l.Do(done)
	})
}

func (l *Loop) post(m letter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dead {
		l.postLocked(m)
	}
}

// postLocked is post under the lock: the core may be freed once dead is set.
func (l *Loop) postLocked(m letter) {
	l.mail = append(l.mail, m)
	if len(l.mail) == 1 {
		l.core.Ring()
	}
}

// sendReserve is how many sends the batch that follows may need.
const sendReserve = 1540

// leftShare is the part of Limits.Running, 1 in so many, beyond which handlers of callers that have gone come first.
const leftShare = 8

// deliver does what others asked for. What there is no room for stays for the next turn.
func (l *Loop) deliver() {
	if l.pendings.left > l.runningMax/leftShare {
		runtime.Gosched() // their handlers were told to end: let them, before there are more
	}
	mail := l.core.Pending() || l.takenPos < len(l.taken)
	if !mail && !l.isDue() && len(l.wants) == 0 {
		return
	}
	l.stuck, l.given = false, 0
	if !mail || l.deliverMail() || !l.stuck {
		l.handOverDue()
	}
	l.grant()
}

// deliverMail deals with the letters. False: there is no room for one of them.
func (l *Loop) deliverMail() bool {
	l.core.ClearPending()
	l.mu.Lock()
	if l.takenPos == len(l.taken) {
		l.taken, l.mail = l.mail, l.taken[:0]
		l.takenPos = 0
	} else {
		n := copy(l.taken, l.taken[l.takenPos:])
		clear(l.taken[n:])
		l.taken, l.takenPos = append(l.taken[:n], l.mail...), 0
		clear(l.mail)
		l.mail = l.mail[:0]
	}
	l.mu.Unlock()
	for ; l.takenPos < len(l.taken); l.takenPos++ {
		m := &l.taken[l.takenPos]
		if !l.deal(m) {
			l.unlend(l.taken[l.takenPos:])
			if l.core.SendRoom() <= sendReserve || l.given >= streamEndsBytes {
				l.core.Ring() // the turn is full; the next one is not
			} else {
				l.stuck = true
			}
			return false
		}
		*m = letter{}
	}
	l.taken = l.taken[:0]
	l.takenPos = 0
	l.mu.Lock()
	more := len(l.mail) > 0
	l.mu.Unlock()
	if more {
		l.core.Ring()
	}
	return true
}

// deal does one letter's errand. False: not now.
func (l *Loop) deal(m *letter) bool {
	switch {
	case m.do != nil:
		m.do()
	case m.stream != nil:
		l.errand(m.stream)
		return true
	case m.want != nil:
		l.wants = append(l.wants, m.want)
	case m.reply:
		if l.core.SendRoom() <= sendReserve {
			return false
		}
		if m.task != nil && m.task.call.stream != nil && (l.given >= streamEndsBytes || !l.conclude(m.task.call.stream, &m.out)) {
			return false
		}
		m.out.InLoan = false // the loan is another one by now
		if !l.sendFrom(m) {
			return false
		}
		l.answeredLate(m.due, m.out.Status)
		if m.promise != nil {
			l.kept(m.promise)
		}
	}
	l.giveBack(m)
	return true
}

// unlend gives back the memory that waiting letters hold: it may be what the first of them waits for.
func (l *Loop) unlend(waiting []letter) {
	for i := range waiting {
		m := &waiting[i]
		if d := m.driver; d != nil && !(d.request.IsZero() && d.loan.IsZero()) {
			m.out.Payload = append([]byte(nil), m.out.Payload...)
			l.releaseLent(d)
		}
	}
}

// releaseLent gives back what the stand-in kept for a late handler.
func (l *Loop) releaseLent(d *driver) {
	if !d.request.IsZero() {
		l.core.Release(d.request)
	}
	if !d.loan.IsZero() {
		l.core.Release(d.loan)
	}
	d.request, d.loan = native.Buffer{}, native.Buffer{}
}

// forget gives back a task's request.
func (l *Loop) forget(t *task) {
	if t.request.IsZero() {
		l.copied.Add(-int64(len(t.in)))
	} else {
		l.core.Release(t.request)
		t.request = native.Buffer{}
	}
	t.in = t.in[:0]
}

// giveBack ends what is left of a late handler's call, or of a task's. Workers of calls that were cancelled
// are not used again: the cancel may have met what they have prepared for the next call.
func (l *Loop) giveBack(m *letter) {
	if t := m.task; t != nil { // those of streams are not used again: their handlers may have left a goroutine behind
		l.forget(t)
		stream := t.call.stream
		if stream != nil {
			t.pending.stream = nil
			l.end(stream)
		}
		if !l.returned(t.pending, m.reply, &t.call) && stream == nil {
			l.tasks.Put(t)
		}
	}
	if d := m.driver; d != nil {
		l.releaseLent(d)
		p := d.pending
		d.pending = nil
		if !l.returned(p, m.reply, &d.call) {
			l.workers.Put(d)
		}
	}
}

// LateLimit is how many handlers of a core may be late at once before calls start as goroutines.
func LateLimit(memoryBytes int64) int64 {
	return min(lateMaxAtOnce, memoryBytes/lateShare/lateHandlerHeld)
}

// Stats of the Go side.
type Stats struct {
	Late, LateMax int64  // handlers that lost the loop: now, and at most at once
	Queued        int64  // bytes that streams' messages for the core have of Go's memory, now
	Spawned       uint64 // calls that ran as goroutines from the start
	// Calls that met the limit on late handlers, and those that the loop answered itself: no such method,
	// compressed, and while draining.
	LateFull, NotFound, NotImplemented, Unavailable uint64
	// Calls that were answered with 429: handlers of connections that have ended still run, and with them
	// there are as many as there may be.
	TooMany uint64
	// Calls that no handler was begun for: past their deadline, and cancelled before it was their turn.
	Expired, Abandoned uint64
	// Calls whose callers did not wait for the end: that gave them up, or whose connection ended. Of those
	// that were not answered at once.
	Cancelled, Disconnected uint64
	Carried                 uint64 // large replies that goroutines have put into the core's memory
}

// Stats reads the counters. Any goroutine.
func (l *Loop) Stats() Stats {
	return Stats{Queued: l.queued.Load(), Late: l.late.Load(), LateMax: l.lateMax.Load(), Spawned: l.spawned.Load(),
		TooMany: l.tooMany.Load(), LateFull: l.lateFull.Load(), NotFound: l.notFound.Load(), NotImplemented: l.notImplemented.Load(),
		Unavailable: l.refused.Load(), Expired: l.expired.Load(), Abandoned: l.abandoned.Load(),
		Cancelled: l.cancelled.Load(), Disconnected: l.disconnected.Load(), Carried: l.carried.Load()}
}

// yieldEvery is how long a driver that is never idle goes on before it lets the scheduler look. The
// runtime takes a goroutine that has not been scheduled for 10 ms for one that hogs its thread: from
// then on it sends a signal and takes the P away 2000 times a second or more.
const yieldEvery = 5 * time.Millisecond

// yield lets other goroutines run when it is time to.
func (l *Loop) yield() {
	now := l.core.Now()
	if now-l.yielded < uint64(yieldEvery) {
		return
	}
	l.yielded = now
	runtime.Gosched()
}
