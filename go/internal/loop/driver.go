package loop

import (
	"runtime"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// Bounds of how many late handlers may hold the core's buffers: lateMaxAtOnce, and lateShare of its
// memory. Beyond it every handler starts as a goroutine with a copy of its request.
const (
	lateMaxAtOnce   = 128
	lateShare       = 8         // one part in so many
	lateHandlerHeld = 512 << 10 // a loan and a chunk
)

// Bounds of the requests that are copied for goroutines: what is larger than copyBytesMax, or would be
// too much in all (copyShare of the core's memory), stays where it is. The core stops reading when its
// memory is used up.
const (
	copyBytesMax = 64 << 10
	copyShare    = 4
)

// driver is what one driving goroutine needs. A late handler keeps its own.
type driver struct {
	loop    *Loop
	worker  Worker
	call    Call
	state   uint64       // with which the handler that runs inline was entered
	serving int          // index of its event; -1: no handler yet
	since   atomic.Int64 // when it was taken for one that sleeps, in Unix nanoseconds; 0: not; isBack
	lastID  uint32       // of the last method that was looked for
	last    *Method
	counts  *counts // of last, or nil
	timing  timing  // of the handler that runs inline

	// What a deposed driver's handler still uses. Written and taken by whoever drives the loop then.
	request, loan native.Buffer
	pending       *pending // nil: it was not deposed
}

func (l *Loop) newDriver() *driver {
	if d, ok := l.workers.Get().(*driver); ok {
		return d
	}
	d := &driver{loop: l}
	d.worker = l.service.NewWorker(&d.call)
	d.call.Loop, d.call.driver = l, d
	return d
}

// stuckLookMicros is how often a loop tries again to send what there was no memory for.
const stuckLookMicros = 1000

// drive owns the loop, beginning with the events from..n-1 of the current batch. It returns when the
// loop was stopped or given to another.
func (d *driver) drive(from, n int) {
	l := d.loop
	l.current = d
	for {
		for from < n {
			if from = d.batch(from, n); from == deposed {
				return // this goroutine's reply is in the mail
			}
		}
		l.yield()
		l.deliver()
		wait := native.WaitForever
		if l.stuck {
			wait = stuckLookMicros // nothing tells that there is memory again
		}
		if l.closing && !l.ended && l.core.Drained() { // a poll returns when the drain is over
			l.ended = true
			close(l.drained)
		}
		if len(l.unsure) > 0 || l.isDue() && !l.stuck {
			wait = native.WaitNone
		}
		if len(l.sent) > 0 {
			wait = native.WaitNone // a poll that waits would hold their memory
		}
		if n = l.core.Poll(wait); n < 0 {
			l.endOfMail()
			l.release()
			return
		}
		if len(l.sent) > 0 {
			l.releaseSent()
		}
		if len(l.unsure) > 0 {
			l.lookAtUnsure()
		}
		from = 0
	}
}

// deposed is what batch returns when the loop has another driver.
const deposed = -1

// batch deals with the events from..n-1 and returns the index of the next one: n, or less when a
// handler has panicked; or deposed.
func (d *driver) batch(from, n int) (next int) {
	d.serving = -1
	returned := false
	defer func() {
		if !returned {
			next = d.rescue(recover())
		}
	}()
	l := d.loop
	d.call.arrived = l.core.Now()
	events := l.core.Events()
	for i := from; i < n; i++ {
		e := &events[i]
		if e.Kind != native.EventRequest {
			l.note(e)
			continue
		}
		m := d.find(e.Meta)
		switch {
		case m == nil:
			l.notFound.Add(1)
			l.refuse(e, statusNotFound)
		case (e.Flags&native.FlagStream != 0) != m.Streams:
			l.notImplemented.Add(1)
			l.refuseKind(e)
		case e.Compression > compressionDisabled && !m.Compressed:
			l.notImplemented.Add(1)
			l.refuse(e, statusNotImplemented)
		case l.closing && e.Level < 2: // at level 2 the engine refuses what comes after its goaway
			l.refused.Add(1)
			l.refuse(e, statusUnavailable)
		case e.Flags != 0 && l.outOfDate(e):
			l.expired.Add(1)
			l.refuse(e, statusDeadline)
		case l.pendings.count >= l.runningMax: // the core does not count those of connections that have ended
			l.tooMany.Add(1)
			l.refuse(e, statusLimit)
		case m.startsAsGoroutine():
			l.start(m, e)
		case l.late.Load() >= l.lateLimit:
			l.lateFull.Add(1)
			l.spawn(m, e)
		default:
			if !d.serve(m, e, i) {
				n = deposed
			}
		}
		if n == deposed {
			break
		}
	}
	returned = true
	return n
}

// rescue answers for a handler that panicked, or ended its goroutine (panicked is nil then). It
// returns what batch returns.
func (d *driver) rescue(panicked any) int {
	if d.serving < 0 {
		panic(panicked) // not a handler's: ours
	}
	i := d.serving
	d.worker.Failed(&d.call, panicked)
	d.loop.panicked(d.call.Method)
	if panicked == nil {
		d.timing.on = false
		d.loop.core.HandOver(d.state) // the loop goes on without this goroutine
		d.tooLate()
		return deposed
	}
	if !d.end() {
		return deposed
	}
	return i + 1
}

// find looks a method up; most calls are for the same one as the call before.
func (d *driver) find(id uint32) *Method {
	if id != d.lastID {
		d.last = d.loop.service.Find(id)
		d.lastID = id
		d.counts = d.loop.countsOf(d.last)
	}
	return d.last
}

// keep keeps a copy of a reply for the next turn: there is no room for it in this one.
func (l *Loop) keep(due Due, r *native.Reply) {
	kept := *r
	kept.Payload = append([]byte(nil), r.Payload...)
	kept.Metadata = append([]byte(nil), r.Metadata...)
	l.Answer(due, nil, &kept)
}

// loanMin is the smallest loan that is worth building in.
const loanMin = 4 << 10

// serve runs the handler of event i on the loop. False as in end.
func (d *driver) serve(m *Method, e *native.Event, i int) bool {
	core := d.loop.core
	core.NeedLoan(loanMin)
	c := &d.call
	if c.Method != m { // a look is cheaper than a store
		c.Method = m
	}
	if c.Out.Conn != e.Conn {
		c.Out.Conn = e.Conn
	}
	c.Out.Session = e.Session
	c.Payload, c.Loan, c.Compression = e.Payload(), core.Loan(), e.Compression
	if c.Level != e.Level {
		c.Level = e.Level
	}
	if m.Compressed {
		c.Accepts = d.loop.acceptedBy(e)
	}
	if e.Flags|c.Flags != 0 {
		d.loop.describe(c, e)
	}
	d.serving = i
	if d.loop.untimed--; d.loop.untimed == 0 {
		d.timing.choose(d.loop)
		d.timing.began = time.Now()
	}
	d.loop.token.release()
	d.state = core.Enter(i)
	core.Rouse()
	d.worker.Serve(c)
	return d.end()
}

// end leaves the handler and sends what it made. False: it was late, and the loop has another driver.
func (d *driver) end() bool {
	core := d.loop.core
	c := &d.call
	d.serving = -1
	if d.timing.on {
		d.timing.stop(c.Method)
	}
	if len(c.Out.Payload) > largeReply && core.HasBaton() && c.Flags&native.FlagOneWay == 0 && isLarge(&c.Out) {
		c.GiveWay() // the reply is copied by this goroutine, and the loop goes on without it
	}
	if !core.Leave(d.state) {
		d.tooLate()
		return false
	}
	if c.Flags&native.FlagOneWay != 0 {
		silence(&c.Out)
	}
	switch {
	case c.Out.Deferred:
		d.loop.promised(d.loop.pendings.add(c.Out.Conn, c.Out.Session, c.keyed(), nil), c.promise.Swap(nil))
	case !core.Send(&c.Out):
		d.loop.keep(c.Due(), &c.Out)
	case d.counts != nil:
		d.counts.answered(core, c.Out.Status)
	}
	return true
}

// briefly is how late a handler may be without being taken for one that sleeps: the garbage collector
// and the scheduler stop threads, too.
const briefly = 100 * time.Microsecond

// isBack is a driver's since when its handler has returned.
const isBack = -1

// tooLate mails what a deposed handler produced, with the buffers that the stand-in left to it. The
// goroutine is done then.
func (d *driver) tooLate() {
	l := d.loop
	c := &d.call
	since := d.since.Swap(isBack)
	if since > 0 && time.Now().UnixNano()-since < int64(briefly) {
		c.Method.refund()
	}
	if c.Flags&native.FlagOneWay != 0 {
		silence(&c.Out)
	}
	lent := l.carry(&c.Out)
	l.late.Add(-1)
	l.send(letter{reply: !c.Out.Deferred, out: c.Out, due: c.Due(), lent: lent, driver: d})
	l.release()
}

// standIn waits until the driver is deposed and takes its place.
func (l *Loop) standIn() {
	reason := l.core.BatonWait()
	if reason == native.BatonClosed {
		l.release()
		return
	}
	l.token.acquire()
	i := l.core.Cursor()
	events := l.core.Events()
	e := &events[i]
	// The late handler keeps its request and the memory in which it builds its reply.
	late := l.current
	late.request = e.Buffer()
	l.core.Retain(late.request)
	late.loan = l.core.DetachLoan()
	if count := l.late.Add(1); count > l.lateMax.Load() {
		l.lateMax.Store(count)
	}
	if now := time.Now(); reason != native.BatonComputed && late.since.CompareAndSwap(0, now.UnixNano()) {
		late.call.Method.slept(now)
	}
	if c := l.countsOf(late.call.Method); c != nil {
		c.late.Add(1)
	}
	late.pending = l.pendings.add(e.Conn, e.Session, keyed(e.Level, e.Session), late)
	late.pending.oneWay = e.Flags&native.FlagOneWay != 0
	l.holders.Add(1)
	go l.standIn()
	d := l.newDriver()
	d.since.Store(0)
	d.drive(i+1, len(events))
}

// GiveWay is called by a handler that is about to wait for something: the loop goes on without it at
// once, instead of when somebody notices. For the handler's goroutine, and those that it started and
// waits for.
func (c *Call) GiveWay() {
	if c.driver != nil {
		c.Loop.core.HandOver(c.driver.state)
	}
}

// task is a call that runs as a goroutine.
type task struct {
	worker  Worker
	call    Call
	in      []byte        // a copy of the request, metadata behind it, or
	request native.Buffer // what holds it
	timing  timing
	pending *pending    // the driver's
	stopped atomic.Bool // nobody waits for it any more
}

// start starts the handler of a method as a goroutine.
func (l *Loop) start(m *Method, e *native.Event) {
	if m.Streams {
		l.spawnStream(m, e)
	} else {
		l.spawn(m, e)
	}
}

// spawn starts a handler as a goroutine on a copy of its request.
func (l *Loop) spawn(m *Method, e *native.Event) {
	t, ok := l.tasks.Get().(*task)
	if !ok {
		t = new(task)
		t.worker = l.service.NewWorker(&t.call)
	}
	t.call = Call{Loop: l, Method: m, Compression: e.Compression, Level: e.Level, arrived: l.core.Now()}
	if m.Compressed {
		t.call.Accepts = l.acceptedBy(e)
	}
	if e.Flags != 0 {
		l.describe(&t.call, e)
	}
	if l.untimed--; l.untimed == 0 {
		t.timing.choose(l)
	}
	metadata := t.call.Metadata
	if size := int64(e.Size) + int64(len(metadata)); size <= copyBytesMax && l.copied.Add(size) <= l.copyLimit {
		t.in = append(append(t.in[:0], e.Payload()...), metadata...)
		t.call.Payload = t.in[:e.Size:e.Size] // behind it is what earlier requests left
		t.call.Metadata = t.in[e.Size:len(t.in):len(t.in)]
	} else {
		if size <= copyBytesMax {
			l.copied.Add(-size)
		}
		t.request = e.Buffer()
		l.core.Retain(t.request)
		l.holders.Add(1)
		t.call.Payload = e.Payload()
	}
	t.call.Out.Conn, t.call.Out.Session = e.Conn, e.Session
	l.spawned.Add(1)
	if c := l.countsOf(m); c != nil {
		c.spawned.Add(1)
	}
	t.pending = l.pendings.add(e.Conn, e.Session, keyed(e.Level, e.Session), t)
	t.pending.oneWay = e.Flags&native.FlagOneWay != 0
	go t.run()
	if m.sleeps() {
		// It will wait for something: let it get there now, in this thread, rather than wake another.
		runtime.Gosched()
	}
}

func (t *task) run() {
	began := time.Now()
	t.timing.began = began // what came before was waiting for a processor
	if status := t.outOfDate(began); status != 0 {
		t.call.refused(status)
		t.done(Due{})
		return
	}
	returned := false
	defer func() {
		if !returned {
			t.worker.Failed(&t.call, recover())
			t.call.Loop.panicked(t.call.Method)
			t.timed()
			t.done(t.call.Due())
		}
	}()
	t.worker.Serve(&t.call)
	returned = true
	t.call.Method.ran(time.Since(began))
	t.timed()
	t.done(t.call.Due())
}

func (t *task) timed() {
	if t.timing.on {
		t.timing.stop(t.call.Method)
	}
}

func (t *task) done(due Due) {
	c := &t.call
	if c.Flags&native.FlagOneWay != 0 {
		silence(&c.Out)
	}
	l, held := c.Loop, !t.request.IsZero() || c.stream != nil
	var lent native.Lent
	if c.stream == nil {
		lent = l.carry(&c.Out)
	}
	l.send(letter{reply: !c.Out.Deferred, out: c.Out, due: due, lent: lent, task: t})
	if held {
		l.release() // after the letter: it may be the last that is read
	}
}
