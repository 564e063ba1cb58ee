package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what a run does. Target, Methods and one of Duration and Count are needed.
type Options struct {
	// Target is what is called.
	Target Target
	// Methods are called in the proportions of their weights.
	Methods []Method
	// Conns is the number of connections; 0: 1. Calls go to them in turn.
	Conns int
	// Outstanding is how many calls may be in flight on each connection; 0: 1 in a closed loop, as many as
	// OutstandingOpen together in an open one. In an open loop a call that is due while so many are in flight waits, and
	// its latency goes on counting.
	Outstanding int
	// Schedule says when calls are due: an open loop. nil: a closed loop.
	Schedule Schedule
	// Duration is how long to measure; 0: until Count calls were made, or the schedule ends.
	Duration time.Duration
	// Count is how many calls to measure; 0: no limit.
	Count uint64
	// Warmup is how long to call before that; those calls are in no figure. An open loop warms up at the rate with which
	// its schedule begins.
	Warmup time.Duration
	// Interval is that of the time series; 0: a second.
	Interval time.Duration
	// Patience is how long the last replies may take after the end; 0: 5 s. Calls without one are counted as failed.
	Patience time.Duration
	// Seed is what methods and payloads are chosen with.
	Seed uint64
	// Observe is called after every interval with what was measured in it. nil: nobody looks. It may take a while
	// without disturbing the run, but then points come late.
	Observe func(Point)
}

// Limits of a run.
const (
	OutstandingOpen = 10_000  // in flight in an open loop, on all connections
	OutstandingMax  = 100_000 // in flight on all connections; each has a goroutine
	ConnsMax        = 20_000
)

const (
	patienceDefault = 5 * time.Second
	pauseFailed     = 10 * time.Millisecond // of a closed loop's worker, between calls while all of them fail
	failedMax       = 16                    // in a row, before that
)

// run is one that is under way.
type run struct {
	Options
	mix       *mix
	conns     []Conn
	shards    []*shard
	began     time.Time // of the measured time
	line      *line     // nil: a closed loop
	workers   sync.WaitGroup
	mu        sync.Mutex // of count
	count     int        // workers
	limit     int        // of count
	over      atomic.Bool
	measured  atomic.Uint64 // calls of a closed loop that count
	finished  chan struct{} // closed when Count calls were begun, or the schedule is at its end
	finishing sync.Once
	ctx       context.Context // of the calls: ends when patience does
	all       sums
}

// Run runs until its time is over, its count is reached, or ctx ends, which is no error: what was measured until
// then is the result. Errors: options that can't be, and connections that can't be made. A run in which calls fail is
// no error: see Result.
//
// Threads: any. Cost: a goroutine for each call in flight; in steady state and with payloads that are there already,
// it does not allocate.
func Run(ctx context.Context, o Options) (*Result, error) {
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	if err := r.dial(ctx); err != nil {
		return nil, err
	}
	defer r.close()
	return r.measure(ctx), nil
}

func newRun(o Options) (*run, error) {
	mix, err := newMix(o.Methods)
	if err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	r := &run{Options: o, mix: mix, limit: o.Conns * o.Outstanding, finished: make(chan struct{})}
	for range min(runtime.GOMAXPROCS(0), shardsMax, r.limit) {
		r.shards = append(r.shards, newShard(len(o.Methods)))
	}
	r.all = newSums(o.Methods)
	return r, nil
}

// complete checks options and sets those that were left out.
func (o *Options) complete() error {
	if o.Target == nil {
		return errors.New("there is nothing to call (Options.Target)")
	}
	if o.Conns == 0 {
		o.Conns = 1
	}
	if o.Conns < 0 || o.Conns > ConnsMax {
		return fmt.Errorf("%d connections: there may be 1 to %d (Options.Conns)", o.Conns, ConnsMax)
	}
	if o.Outstanding == 0 {
		o.Outstanding = 1
		if o.Schedule != nil {
			o.Outstanding = max(OutstandingOpen/o.Conns, 1)
		}
	}
	if o.Outstanding < 0 || o.Outstanding > OutstandingMax || o.Conns*o.Outstanding > OutstandingMax {
		return fmt.Errorf("%d calls in flight on each of %d connections: there may be 1 to %d together (Options.Outstanding)",
			o.Outstanding, o.Conns, OutstandingMax)
	}
	_, ends := o.Schedule.(replay)
	if o.Duration < 0 || o.Duration == 0 && o.Count == 0 && !ends {
		return fmt.Errorf("a run of %s: say how long it is (Options.Duration) or how many calls it makes (Options.Count)", o.Duration)
	}
	if o.Warmup < 0 || o.Interval < 0 || o.Patience < 0 {
		return errors.New("a time of the run is negative (Options.Warmup, Interval, Patience)")
	}
	if o.Interval == 0 {
		o.Interval = time.Second
	}
	if o.Patience == 0 {
		o.Patience = patienceDefault
	}
	if p, ok := o.Schedule.(interface{ Check() error }); ok {
		return p.Check()
	}
	return nil
}

func (r *run) dial(ctx context.Context) error {
	for i := range r.Conns {
		conn, err := r.Target.Dial(ctx)
		if err != nil {
			r.close()
			if r.Conns > 1 {
				err = fmt.Errorf("connection %d of %d: %w", i+1, r.Conns, err)
			}
			return err
		}
		r.conns = append(r.conns, conn)
	}
	return nil
}

func (r *run) close() {
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}

// clock is the time since the measured part began.
func (r *run) clock() time.Duration { return time.Since(r.began) }

func (r *run) measure(ctx context.Context) *Result {
	var abandon context.CancelFunc
	r.ctx, abandon = context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	r.began = time.Now().Add(r.Warmup)
	if r.Schedule != nil {
		r.line = newLine(r.plan(), r.clock)
		r.line.more = r.another
		r.another()
	} else {
		for range r.limit {
			r.another()
		}
	}
	use := r.observe(ctx)
	ended := r.clock()
	if r.Duration > 0 {
		ended = min(ended, r.Duration)
	}
	r.over.Store(true)
	if r.line != nil {
		r.line.stop()
	}
	late := time.AfterFunc(r.Patience, abandon)
	r.workers.Wait()
	late.Stop()
	return r.result(ended, use)
}

// observe collects until the end of the measured time, and returns what the client used for it.
func (r *run) observe(ctx context.Context) usage {
	if !wait(ctx, r.finished, time.Until(r.began)) {
		return usage{}
	}
	before := usageNow()
	for i := 1; ; i++ {
		at := time.Duration(i) * r.Interval
		if r.Duration > 0 {
			at = min(at, r.Duration)
		}
		goesOn := wait(ctx, r.finished, at-r.clock())
		point := r.all.collect(r.shards, min(at, max(r.clock(), 1)), r.Schedule)
		if r.Observe != nil {
			r.Observe(point)
		}
		if !goesOn || at == r.Duration {
			return usageNow().minus(before)
		}
	}
}

// wait waits, and tells whether nothing ended it before.
func wait(ctx context.Context, ended <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
		return false
	case <-ctx.Done():
		return false
	}
}

// plan is the run's schedule: calls to warm up, evenly, then those that are measured.
func (r *run) plan() func() (due, bool) {
	rate := r.Schedule.Rate(0)
	warm := uint64(rate * r.Warmup.Seconds())
	walk := r.Schedule.Walk()
	number := uint64(0)
	return func() (due, bool) {
		number++
		if number <= warm {
			return due{-r.Warmup + time.Duration(float64(number-1)/rate*1e9), number}, true
		}
		at, ok := walk()
		if r.Count > 0 && number-warm > r.Count || r.Duration > 0 && at >= r.Duration {
			ok = false
		}
		return due{at, number}, ok
	}
}

// another starts a worker, if there may be one more.
func (r *run) another() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == r.limit {
		return false
	}
	w := &worker{run: r, shard: r.shards[r.count%len(r.shards)], number: uint64(r.count), source: rand.NewPCG(0, 0)}
	w.random = rand.New(w.source)
	r.count++
	r.workers.Go(w.work)
	return true
}

// finish ends a run before its time.
func (r *run) finish() { r.finishing.Do(func() { close(r.finished) }) }

// worker makes one call after the other.
type worker struct {
	*run
	shard  *shard
	number uint64
	source *rand.PCG
	random *rand.Rand
}

func (w *worker) work() {
	if w.line == nil {
		w.closedLoop()
		return
	}
	wake := make(chan struct{}, 1)
	for {
		d, ok := w.line.take(wake)
		if !ok {
			w.atEnd()
			return
		}
		w.call(d.number, w.conns[d.number%uint64(len(w.conns))], d.at, d.at >= 0)
	}
}

// atEnd ends the run with the last call of a schedule, if nothing else does.
func (w *worker) atEnd() {
	if w.Duration == 0 || w.Count > 0 {
		w.mu.Lock()
		w.count--
		last := w.count == 0
		w.mu.Unlock()
		if last {
			w.finish()
		}
	}
}

func (w *worker) closedLoop() {
	conn, failed := w.conns[w.number%uint64(len(w.conns))], 0
	for i := w.number; !w.over.Load(); i += uint64(w.limit) {
		at := w.clock()
		measured := at >= 0 && (w.Duration == 0 || at < w.Duration)
		if measured && w.Count > 0 {
			if w.measured.Add(1) > w.Count {
				w.atEnd()
				return
			}
		}
		if w.call(i, conn, at, measured) {
			failed = 0
		} else if failed++; failed >= failedMax {
			time.Sleep(pauseFailed)
		}
	}
}

// call makes a call, and tells whether it succeeded.
func (w *worker) call(number uint64, conn Conn, at time.Duration, measured bool) bool {
	w.source.Seed(w.Seed, number)
	o := outcome{method: w.mix.choose(w.random), due: at}
	method := &w.mix.methods[o.method]
	payload := method.Payloads.Payload(w.random)
	o.bytes = len(payload)
	o.sent = w.clock()
	if w.line == nil {
		o.due = o.sent
	}
	o.reply, o.err = conn.Call(w.ctx, method, payload)
	o.done = w.clock()
	if o.err != nil && w.ctx.Err() != nil {
		o.err = &Failure{Status: statusUnanswered, Message: fmt.Sprintf("none within %s after the end", w.Patience)}
	}
	if measured {
		w.shard.count(&o, w.line != nil)
	}
	return o.err == nil
}
