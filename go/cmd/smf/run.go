package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

// What the histograms hold, in nanoseconds. Three figures are 180 KiB for each call in flight; with
// very many of them two have to do.
const (
	latencyMin       = 64
	latencyMax       = int64(time.Minute)
	figuresOfFew     = 3
	figuresOfMany    = 2
	manyWorkers      = 1000
	replyPatience    = 5 * time.Second       // for the last calls, when the time is over
	pauseUnavailable = 10 * time.Millisecond // after a call that failed because nobody is there
)

// A run's phases.
const (
	phaseWarmup = iota
	phaseMeasured
	phaseOver
)

// run is a closed loop of calls: every worker has one in flight.
type run struct {
	method  *schema.Method
	name    string
	payload []byte
	clients []*rpc.Client
	workers []*worker
	done    sync.WaitGroup
	phase   atomic.Int32
	gaveUp  atomic.Bool // the clients were closed with calls in flight
	began   time.Time   // of the measured phase
	over    time.Time   // when it ended
	closing sync.Once
	silence string // what to think if nothing came back; "": something did
}

// worker is one goroutine's own; calls is read by others while it runs, the rest afterwards.
type worker struct {
	client     *rpc.Client
	calls      atomic.Uint64 // that succeeded in the measured phase
	last       time.Time     // when the last of them was answered
	latencies  *hdrhistogram.Histogram
	checked    bool                // one reply was looked at
	failures   map[rpc.Code]uint64 // in every phase
	examples   map[rpc.Code]string
	unanswered uint64
	_          [64]byte // calls of the next worker are on another cache line
}

// newRun prepares a run. The clients are the run's from now on.
func newRun(method *schema.Method, name string, clients []*rpc.Client, outstanding int) *run {
	r := &run{method: method, name: name, payload: requestOf(name), clients: clients}
	figures := figuresOfFew
	if len(clients)*outstanding > manyWorkers {
		figures = figuresOfMany
	}
	for _, client := range clients {
		for range outstanding {
			r.workers = append(r.workers, &worker{client: client,
				latencies: hdrhistogram.New(latencyMin, latencyMax, figures),
				failures:  map[rpc.Code]uint64{}, examples: map[rpc.Code]string{}})
		}
	}
	return r
}

func (r *run) start() {
	for _, w := range r.workers {
		r.done.Go(func() { r.work(w) })
	}
}

func (r *run) measure() {
	r.began = time.Now()
	r.phase.Store(phaseMeasured)
}

// finish lets the calls in flight end, and closes the clients.
func (r *run) finish() {
	r.phase.Store(phaseOver)
	r.over = time.Now()
	late := time.AfterFunc(replyPatience, func() {
		r.gaveUp.Store(true)
		r.closeClients()
	})
	r.done.Wait()
	late.Stop()
	r.closeClients()
}

func (r *run) closeClients() {
	r.closing.Do(func() {
		r.silence = silence() // the counters go with the clients
		for _, client := range r.clients {
			_ = client.Close()
		}
	})
}

// calls is how many have succeeded so far.
func (r *run) calls() uint64 {
	var sum uint64
	for _, w := range r.workers {
		sum += w.calls.Load()
	}
	return sum
}

func (r *run) work(w *worker) {
	begin := time.Now()
	for {
		phase := r.phase.Load()
		if phase == phaseOver {
			return
		}
		begin = r.call(w, phase == phaseMeasured, begin)
	}
}

// call makes one call and returns when the next one begins. It does not allocate unless it fails.
func (r *run) call(w *worker, measured bool, begin time.Time) time.Time {
	// Without a context that can end, a call costs less; finish closes the client if it has to.
	message, err := w.client.Call(context.Background(), r.method.ID, r.payload)
	end := time.Now()
	if err == nil && !w.checked {
		w.checked = true
		err = r.check(message)
	}
	if err != nil {
		return r.fail(w, err)
	}
	message.Release()
	if measured {
		// It can't fail: the value is within bounds.
		_ = w.latencies.RecordValue(min(int64(end.Sub(begin)), latencyMax))
		w.calls.Store(w.calls.Load() + 1) // nobody else writes it
		w.last = end
	}
	return end
}

// check looks whether a reply is one: a table, and from Get the name that was sent.
func (r *run) check(message *rpc.Message) error {
	if err := demo.VerifyResponse(message.Payload()); err != nil {
		return &rpc.Error{Code: rpc.CodeBadRequest, Message: "the reply is malformed: " + err.Error()}
	}
	if r.method.ID != demo.SmfStorageGetMethodID {
		return nil
	}
	if got := rpc.View[demo.Response](message).Name(); string(got) != r.name {
		return &rpc.Error{Code: rpc.CodeBadRequest,
			Message: fmt.Sprintf("the reply has a name of %d bytes that is not the one that was sent", len(got))}
	}
	return nil
}

func (r *run) fail(w *worker, err error) time.Time {
	if r.gaveUp.Load() {
		w.unanswered++
		return time.Now()
	}
	code := rpc.CodeInternal
	text := err.Error()
	var failure *rpc.Error
	if errors.As(err, &failure) {
		code, text = failure.Code, failure.Message
	}
	w.failures[code]++
	w.examples[code] = text
	if code == rpc.CodeUnavailable {
		time.Sleep(pauseUnavailable)
	}
	return time.Now()
}

// result adds the workers up; after finish.
func (r *run) result() *report {
	sum := &report{silence: r.silence, latencies: hdrhistogram.New(latencyMin, latencyMax, figuresOfFew),
		failures: map[rpc.Code]uint64{}, examples: map[rpc.Code]string{}}
	last := r.began
	for _, w := range r.workers {
		sum.latencies.Merge(w.latencies)
		sum.unanswered += w.unanswered
		if w.last.After(last) {
			last = w.last
		}
		for code, count := range w.failures {
			sum.failures[code] += count
			sum.examples[code] = w.examples[code]
		}
	}
	sum.elapsed = last.Sub(r.began)
	if sum.calls() == 0 {
		sum.elapsed = r.over.Sub(r.began)
	}
	sum.wentAway = sum.calls() > 0 && sum.failures[rpc.CodeUnavailable] > 0
	return sum
}
