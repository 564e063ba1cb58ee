// Client calls an echo of bytes from many goroutines, for the benchmarks: by our client, or by one that
// is written with nothing but Go's net package.
//
//	client --kind smf|plain|plain-tuned --address HOST:PORT [--conns C] [--callers N] [--payload B] [--seconds S] [--json]
//	       [--level 1|2] [--beside B --direction request|reply]
//
// --beside: one more caller has messages of so many bytes under way, one after the other, on the first
// connection (of smf alone); they go to the server, or come from it, and the other way goes a short one. Its
// calls are counted by themselves.
//
// Caller i calls on connection i modulo C; when there are fewer callers than connections, each takes its
// connections in turn. One call in sampleEvery is timed when there are many callers: reading the clock and
// keeping a histogram would be a third of a call.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/workload"
	"github.com/smf-go/smf/go/rpc"
)

// A latency that is longer is recorded as this.
const latencyMax = 60 * time.Second

// Of many callers, one call in so many is timed.
const (
	many        = 8
	sampleEvery = 8
)

// histogramsMax is how many histograms there are at most: each has a lock, and takes memory.
const histogramsMax = 16

// caller is one connection's client. Its call checks that the reply is the echo of the request.
type caller interface {
	call(payload []byte) error
	close()
}

type options struct {
	kind    string
	address string
	conns   int
	callers int
	payload int
	seconds float64
	warmup  float64
	level   int
	beside  int
	toUs    bool // what is beside comes from the server
}

func main() {
	var o options
	flag.StringVar(&o.kind, "kind", "smf", "smf; plain: Go's net package, a mutex and a map of channels; or plain-tuned")
	flag.StringVar(&o.address, "address", "", "`HOST:PORT` to call")
	flag.IntVar(&o.conns, "conns", 1, "connections")
	flag.IntVar(&o.callers, "callers", 1, "goroutines that call")
	flag.IntVar(&o.payload, "payload", 60, "bytes")
	flag.Float64Var(&o.seconds, "seconds", 1, "how long to measure")
	flag.Float64Var(&o.warmup, "warmup", 0.3, "how long to call before that")
	flag.IntVar(&o.level, "level", 0, "of the wire format, smf alone: 1 or 2; 0: what the server speaks")
	flag.IntVar(&o.beside, "beside", 0, "`bytes` of messages that another caller has under way; 0: none")
	direction := flag.String("direction", "request", "of what is beside: request or reply")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	o.toUs = *direction == "reply"
	result, err := o.run()
	if err == nil && *asJSON {
		err = json.NewEncoder(os.Stdout).Encode(result)
	} else if err == nil {
		l := result.First.LatencyUS
		fmt.Printf("%.0f calls/s  p50 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us  client CPU %.0f %%, %.2f us a call, %.3f allocations a call, %d calls of the slowest caller\n",
			result.CallsPerSecond, l["p50"], l["p99"], l["p999"], l["max"], result.ClientCPU,
			result.ClientCPU*1e4/result.CallsPerSecond, result.Allocations, result.CallsOfSlowest)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// result is printed in the format of the C load client.
type result struct {
	Calls          int64   `json:"calls"`
	Seconds        float64 `json:"seconds"`
	CallsPerSecond float64 `json:"calls_per_second"`
	First          method  `json:"first"`
	Errors         int64   `json:"errors"`
	ClientCPU      float64 `json:"client_cpu_percent"`
	ServerCPU      float64 `json:"server_cpu_percent"`
	Allocations    float64 `json:"allocations_per_call"`
	CallsOfSlowest int64   `json:"calls_of_slowest_caller"`
	Beside         int64   `json:"calls_beside"`
}

type method struct {
	Calls          int64              `json:"calls"`
	CallsPerSecond float64            `json:"calls_per_second"`
	LatencyUS      map[string]float64 `json:"latency_us"`
}

// latencies is a histogram that several callers share.
type latencies struct {
	lock sync.Mutex
	ns   *hdrhistogram.Histogram
	_    [64]byte
}

// worker is one goroutine that calls.
type worker struct {
	index     int
	latencies *latencies
	calls     int64 // while measuring
	_         [64]byte
}

type run struct {
	options
	callers  []caller // by connection
	workers  []worker
	shared   []latencies
	phase    atomic.Int32
	failures atomic.Int64
	failure  atomic.Value // an error, the last one
	beside   atomic.Int64 // calls with large messages that are over
}

func (o options) run() (result, error) {
	if o.address == "" || o.conns < 1 || o.callers < 1 || o.payload < 1 || o.seconds <= 0 {
		return result{}, errors.New("needs --address, and --conns, --callers, --payload, --seconds above 0")
	}
	r := &run{options: o}
	for range o.conns {
		c, err := connect(o)
		if err != nil {
			return result{}, err
		}
		defer c.close()
		r.callers = append(r.callers, c)
	}
	for range min(o.callers, histogramsMax) {
		r.shared = append(r.shared, latencies{ns: hdrhistogram.New(1, int64(latencyMax), 3)})
	}
	r.workers = make([]worker, o.callers)
	var all sync.WaitGroup
	for i := range r.workers {
		w := &r.workers[i]
		w.index, w.latencies = i, &r.shared[i%len(r.shared)]
		all.Go(func() { r.work(w) })
	}
	if o.beside > 0 {
		all.Go(r.callBeside)
	}
	time.Sleep(time.Duration(o.warmup * float64(time.Second)))
	began, cpu, allocations := time.Now(), cpuTime(), mallocs()
	r.phase.Store(measuring)
	time.Sleep(time.Duration(o.seconds * float64(time.Second)))
	r.phase.Store(over)
	took := time.Since(began).Seconds()
	cpu, allocations = cpuTime()-cpu, mallocs()-allocations
	all.Wait()
	if n := r.failures.Load(); n > 0 {
		return result{}, fmt.Errorf("%d calls failed, the last one: %w", n, r.failure.Load().(error))
	}
	return r.summary(took, cpu, allocations), nil
}

func connect(o options) (caller, error) {
	switch o.kind {
	case "smf":
		options := rpc.ClientOptions{Level: o.level, FrameBytes: max(o.beside, 16<<20)}
		if o.level == 2 {
			options.Level = rpc.RequireLevel2
		}
		client, err := rpc.Dial(context.Background(), o.address, options)
		return smfCaller{client}, err
	case "plain", "plain-tuned":
		return dialPlain(o.address, o.kind == "plain-tuned")
	}
	return nil, fmt.Errorf("--kind %s: neither smf nor plain nor plain-tuned", o.kind)
}

// Phases of a run.
const (
	warmingUp = iota
	measuring
	over
)

// work calls one after the other until the time is over or a call fails.
func (r *run) work(w *worker) {
	payload := bytes.Repeat([]byte{'x'}, r.payload)
	stride, every := 0, uint64(1)
	if r.options.callers < r.conns {
		stride = r.options.callers
	}
	if r.options.callers > many {
		every = sampleEvery
	}
	phase := r.phase.Load()
	for conn, n := w.index%r.conns, uint64(w.index); phase != over; conn, n = (conn+stride)%r.conns, n+1 {
		var err error
		if n%every == 0 {
			err = r.timed(w, r.callers[conn], payload)
		} else {
			err = r.callers[conn].call(payload)
		}
		if err != nil {
			r.failures.Add(1)
			r.failure.Store(fmt.Errorf("%w", err))
			return
		}
		if phase == measuring {
			w.calls++
		}
		phase = r.phase.Load()
	}
}

// callBeside has large messages under way until the time is over.
func (r *run) callBeside() {
	method, payload := workload.Swallow, make([]byte, r.options.beside)
	if r.toUs {
		method, payload = workload.Produce, binary.LittleEndian.AppendUint32(nil, uint32(r.options.beside))
	}
	client, isOurs := r.callers[0].(smfCaller)
	for isOurs && r.phase.Load() != over {
		reply, err := client.client.Call(context.Background(), method, payload)
		if err == nil && r.toUs && len(reply.Payload()) != r.options.beside {
			err = fmt.Errorf("a reply of %d bytes instead of %d", len(reply.Payload()), r.options.beside)
		}
		if err != nil {
			r.failures.Add(1)
			r.failure.Store(fmt.Errorf("beside: %w", err))
			return
		}
		reply.Release()
		r.beside.Add(1)
	}
}

func (r *run) timed(w *worker, c caller, payload []byte) error {
	counts := r.phase.Load() == measuring // one that hangs until the end counts, too
	begin := time.Now()
	if err := c.call(payload); err != nil {
		return err
	}
	took := time.Since(begin)
	if counts {
		w.latencies.lock.Lock()
		_ = w.latencies.ns.RecordValue(int64(min(took, latencyMax)))
		w.latencies.lock.Unlock()
	}
	return nil
}

// summary is what a run of so many seconds has shown.
func (r *run) summary(took float64, cpu time.Duration, allocations uint64) result {
	all := hdrhistogram.New(1, int64(latencyMax), 3)
	for i := range r.shared {
		all.Merge(r.shared[i].ns)
	}
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	calls, fewest := int64(0), r.workers[0].calls
	for i := range r.workers {
		calls += r.workers[i].calls
		fewest = min(fewest, r.workers[i].calls)
	}
	perSecond := float64(calls) / took
	return result{
		Calls: calls, Seconds: took, CallsPerSecond: perSecond,
		First: method{Calls: calls, CallsPerSecond: perSecond, LatencyUS: map[string]float64{
			"p50":  us(all.ValueAtPercentile(50)),
			"p90":  us(all.ValueAtPercentile(90)),
			"p99":  us(all.ValueAtPercentile(99)),
			"p999": us(all.ValueAtPercentile(99.9)),
			"max":  us(all.Max()),
		}},
		ClientCPU:   100 * cpu.Seconds() / took,
		ServerCPU:   -1,
		Allocations: float64(allocations) / float64(max(calls, 1)), CallsOfSlowest: fewest, Beside: r.beside.Load(),
	}
}

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// smfCaller is our client as a user uses it.
type smfCaller struct{ client *rpc.Client }

func (c smfCaller) call(payload []byte) error {
	reply, err := c.client.Call(context.Background(), workload.Echo, payload)
	if err != nil {
		return err
	}
	defer reply.Release()
	return checkEcho(payload, reply.Payload())
}

func (c smfCaller) close() { _ = c.client.Close() }

func checkEcho(request, reply []byte) error {
	if !bytes.Equal(request, reply) {
		return errors.New("the reply is not the echo of the request")
	}
	return nil
}
