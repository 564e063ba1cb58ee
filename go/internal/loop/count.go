package loop

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// timedEvery is of how many calls one is timed, on average: a reading of the clock costs more than all
// the rest that is counted. Which ones is left to chance, so that no pattern of calls is in step with it.
const timedEvery = 64

// Statuses with a counter of their own; all others share one.
const (
	statusOK     = 200
	statusFirst  = 400
	statusLast   = 511
	statusesMore = statusLast - statusFirst + 1
)

// counts are what a loop knows of a method. Written by the driver, but for panics.
type counts struct {
	tally   *native.Tally
	errors  atomic.Pointer[[statusesMore + 1]atomic.Uint64] // nil until there is one
	spawned atomic.Uint64
	late    atomic.Uint64
	panics  atomic.Uint64
}

// Due is the call that a reply answers. The zero value: none that is counted.
type Due struct {
	method *Method
	since  uint64 // when it was handed out
}

// Due is the call's, for who answers it later.
func (c *Call) Due() Due { return Due{c.Method, c.arrived} }

// Count makes the loop count calls by method, before Start. Methods have the indexes 0 to methods-1.
func (l *Loop) Count(methods int) error {
	tallies, err := l.core.Tallies(methods)
	if err != nil {
		return err
	}
	all := make([]counts, methods)
	for i := range all {
		all[i].tally = &tallies[i]
	}
	l.counts = all
	l.untimed = untilTimed()
	return nil
}

func untilTimed() int { return 1 + rand.IntN(2*timedEvery-1) }

// countsOf is nil for a loop that does not count, and for no method.
func (l *Loop) countsOf(m *Method) *counts {
	if l.counts == nil || m == nil {
		return nil
	}
	return &l.counts[m.Index]
}

// answered counts a reply that was sent in the turn that handed the request out. The driver.
func (c *counts) answered(core *native.Core, status uint32) {
	core.Answered(c.tally)
	if status != statusOK {
		core.Failed(c.tally)
		c.failed(status)
	}
}

// answeredLate counts a reply that was sent by a later turn. The driver.
func (l *Loop) answeredLate(due Due, status uint32) {
	c := l.countsOf(due.method)
	if c == nil {
		return
	}
	if status != statusOK {
		c.failed(status)
	}
	l.core.AnsweredLate(c.tally, due.since, status != statusOK)
}

func (c *counts) failed(status uint32) {
	errors := c.errors.Load()
	if errors == nil {
		errors = new([statusesMore + 1]atomic.Uint64)
		c.errors.Store(errors)
	}
	if status < statusFirst || status > statusLast {
		status = statusLast + 1
	}
	errors[status-statusFirst].Add(1)
}

// panicked counts a handler that did not return. Any goroutine.
func (l *Loop) panicked(m *Method) {
	if c := l.countsOf(m); c != nil {
		c.panics.Add(1)
	}
}

// timing of a handler.
type timing struct {
	on    bool
	began time.Time
}

// choose is for the call with which l.untimed has come to 0; its handler begins when it sets began. The
// driver.
func (t *timing) choose(l *Loop) {
	l.untimed = untilTimed()
	t.on = true
}

// stop adds what was timed to the method's. Once for each choice: on says whether.
func (t *timing) stop(m *Method) {
	t.on = false
	m.handled(time.Since(t.began))
}

// Histogram counts durations in the buckets of native.TallyBound.
type Histogram struct {
	Buckets [native.TallyBuckets]uint64
	Sum     time.Duration
}

// handlerTimes are how long a method's handlers ran, of those that were timed. On any loop, or none.
type handlerTimes struct {
	buckets [native.TallyBuckets]atomic.Uint64
	sum     atomic.Int64
}

func (m *Method) handled(d time.Duration) {
	m.times.buckets[native.TallyBucket(d)].Add(1)
	m.times.sum.Add(int64(d))
}

// Handlers reads how long the method's handlers ran, of one in timedEvery calls. Any goroutine.
func (m *Method) Handlers() (h Histogram) {
	for i := range h.Buckets {
		h.Buckets[i] = m.times.buckets[i].Load()
	}
	h.Sum = time.Duration(m.times.sum.Load())
	return h
}

// OffLoop reports whether the method's calls start as goroutines now. Any goroutine.
func (m *Method) OffLoop() bool { return m.startsAsGoroutine() }

// MethodStats are the counters of a method on the loops that were added up.
type MethodStats struct {
	Succeeded             uint64            // replies with status 200
	Errors                map[uint32]uint64 // replies by other status; those outside 400 to 511 as 512
	Spawned, Late, Panics uint64
	Latency               Histogram // all replies
}

// AddTo adds what the loop has counted of a method. Any goroutine.
func (l *Loop) AddTo(s *MethodStats, m *Method) {
	c := l.countsOf(m)
	if c == nil {
		return
	}
	c.tally.Add(&s.Succeeded, &s.Latency.Sum, &s.Latency.Buckets)
	s.Spawned += c.spawned.Load()
	s.Late += c.late.Load()
	s.Panics += c.panics.Load()
	errors := c.errors.Load()
	if errors == nil {
		return
	}
	for i := range errors {
		if n := errors[i].Load(); n > 0 {
			s.Errors[uint32(statusFirst+i)] += n
		}
	}
}
