package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What histograms hold, in nanoseconds: three figures, 180 KiB each. A latency above the last is recorded as it.
const (
	latencyMin     = 64
	latencyMax     = int64(time.Minute) * 2
	latencyFigures = 3
	shardsMax      = 8
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(latencyMin, latencyMax, latencyFigures)
}

// record adds a value; what is out of bounds is recorded as the bound.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(int64(d), 0), latencyMax)) // it is within bounds
}

// tally is what there is to know of a method's calls in a stretch of time.
type tally struct {
	latency       *hdrhistogram.Histogram // from when a call was due; a closed loop's from when it was sent
	service       *hdrhistogram.Histogram // from when it was sent
	sent, replied uint64                  // payload bytes
	failures      map[string]*Status
}

func newTally() *tally {
	return &tally{latency: newHistogram(), service: newHistogram(), failures: map[string]*Status{}}
}

func (t *tally) calls() uint64 { return uint64(t.latency.TotalCount()) }

func (t *tally) failed() uint64 {
	sum := uint64(0)
	for _, f := range t.failures {
		sum += f.Calls
	}
	return sum
}

func (t *tally) fail(status, message string, calls uint64) {
	f := t.failures[status]
	if f == nil {
		f = &Status{Status: status}
		t.failures[status] = f
	}
	f.Calls += calls
	if f.Example == "" {
		f.Example = message
	}
}

// add takes another tally in: exactly, there is no rounding in it.
func (t *tally) add(from *tally) {
	t.latency.Merge(from.latency)
	t.service.Merge(from.service)
	t.sent += from.sent
	t.replied += from.replied
	for status, f := range from.failures {
		t.fail(status, f.Example, f.Calls)
	}
}

func (t *tally) reset() {
	if t.calls() > 0 {
		t.latency.Reset()
		t.service.Reset()
	}
	t.sent, t.replied = 0, 0
	clear(t.failures)
}

// shard is what a part of the workers has counted since it was collected last.
type shard struct {
	mu      sync.Mutex
	methods []*tally
	lag     *hdrhistogram.Histogram // how late calls were sent
	_       [64]byte                // the next one's lock is on another cache line
}

func newShard(methods int) *shard {
	s := &shard{lag: newHistogram()}
	for range methods {
		s.methods = append(s.methods, newTally())
	}
	return s
}

// outcome is one call.
type outcome struct {
	method          int
	due, sent, done time.Duration
	bytes, reply    int
	err             error
}

// count takes an outcome in. Cost: a lock that is seldom contended, and two histograms; it allocates for failures.
func (s *shard) count(o *outcome, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.methods[o.method]
	t.sent += uint64(o.bytes)
	if open {
		record(s.lag, o.sent-o.due)
	}
	if o.err != nil {
		status, message := statusOf(o.err)
		t.fail(status, message, 1)
		return
	}
	t.replied += uint64(o.reply)
	record(t.latency, o.done-o.due)
	record(t.service, o.done-o.sent)
}

// collect moves all that was counted.
func (s *shard) collect(methods []*tally, lag *hdrhistogram.Histogram) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, t := range s.methods {
		methods[i].add(t)
		t.reset()
	}
	lag.Merge(s.lag)
	s.lag.Reset()
}
