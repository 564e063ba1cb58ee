package load

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// ResultVersion is that of the JSON that results are written as.
const ResultVersion = 1

// Result is what a run found out. Its JSON is what smf load --json writes.
type Result struct {
	Version     int       `json:"version"`     // ResultVersion
	Target      string    `json:"target"`      // what was called
	Loop        string    `json:"loop"`        // "open" or "closed"
	Conns       int       `json:"conns"`       // connections
	Outstanding int       `json:"outstanding"` // calls that might be in flight on each
	Began       time.Time `json:"began"`       // the measured time
	Seconds     float64   `json:"seconds"`     // how long that was

	Calls             uint64         `json:"calls"`               // that succeeded
	Errors            uint64         `json:"errors"`              // that did not, those that were not sent among them
	CallsPerSecond    float64        `json:"calls_per_second"`    // that succeeded
	IntendedPerSecond float64        `json:"intended_per_second"` // of an open loop: calls that were due
	BytesSent         uint64         `json:"bytes_sent"`          // payloads
	BytesReceived     uint64         `json:"bytes_received"`      // payloads
	LatencyUS         Times          `json:"latency_us"`          // of calls that succeeded; of an open loop from when they were due
	ServiceUS         Times          `json:"service_us"`          // from when they were sent
	LagUS             Times          `json:"lag_us"`              // of an open loop: from when they were due until they were sent
	Statuses          []Status       `json:"statuses"`            // of the calls that failed
	Methods           []MethodResult `json:"methods"`             // each by itself
	Series            []Point        `json:"series"`              // over time
	Client            Client         `json:"client"`              // what the load machine had to do for it
	Verdict           Verdict        `json:"verdict"`             // whose limit was reached
	Machine           Machine        `json:"machine"`             // where it ran
	Histogram         string         `json:"histogram"`           // of the latencies in ns: HdrHistogram's V2 encoding, compressed, in base64
}

// Times are percentiles in microseconds.
type Times struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Status counts calls that failed in one way.
type Status struct {
	Status  string `json:"status"`  // "503 unavailable"
	Calls   uint64 `json:"calls"`   // so many
	Example string `json:"example"` // what one of them said, or ""
}

// MethodResult is what is known of one method.
type MethodResult struct {
	Name           string   `json:"name"`
	Calls          uint64   `json:"calls"`
	Errors         uint64   `json:"errors"`
	CallsPerSecond float64  `json:"calls_per_second"`
	LatencyUS      Times    `json:"latency_us"`
	Statuses       []Status `json:"statuses"`
	Histogram      string   `json:"histogram"`
}

// Point is an interval of the time series.
type Point struct {
	Seconds           float64 `json:"seconds"`             // its end, since the measured time began
	Long              float64 `json:"long"`                // how long it was, in seconds
	CallsPerSecond    float64 `json:"calls_per_second"`    // that succeeded and ended in it
	ErrorsPerSecond   float64 `json:"errors_per_second"`   // that failed and ended in it
	IntendedPerSecond float64 `json:"intended_per_second"` // of an open loop: as the schedule says of its middle
	LatencyUS         Times   `json:"latency_us"`
}

// Client is what the load machine had to do.
type Client struct {
	CPUs       float64 `json:"cpus"`        // it used on average
	CPUsMax    float64 `json:"cpus_max"`    // it may use
	WaitedFull uint64  `json:"waited_full"` // calls that were due while as many as allowed were in flight
}

// Machine is where a run's client ran.
type Machine struct {
	Host   string `json:"host"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// sums are a run's figures while they come together.
type sums struct {
	names   []string
	total   []*tally // of each method
	point   []*tally // of an interval
	lag     *hdrhistogram.Histogram
	series  []Point
	at      time.Duration // until where they are collected
	latency *hdrhistogram.Histogram
}

func newSums(methods []Method) sums {
	s := sums{lag: newHistogram(), latency: newHistogram()}
	for _, m := range methods {
		s.names = append(s.names, m.Name)
		s.total = append(s.total, newTally())
		s.point = append(s.point, newTally())
	}
	return s
}

// collect adds an interval.
func (s *sums) collect(shards []*shard, at time.Duration, schedule Schedule) Point {
	for _, shard := range shards {
		shard.collect(s.point, s.lag)
	}
	latency, calls, failed := newHistogram(), uint64(0), uint64(0)
	for i, t := range s.point {
		latency.Merge(t.latency)
		calls += t.calls()
		failed += t.failed()
		s.total[i].add(t)
		t.reset()
	}
	long := (at - s.at).Seconds()
	p := Point{Seconds: at.Seconds(), Long: long, LatencyUS: timesOf(latency),
		CallsPerSecond: per(calls, long), ErrorsPerSecond: per(failed, long)}
	if schedule != nil {
		p.IntendedPerSecond = schedule.Rate((at + s.at) / 2)
	}
	s.at = at
	s.series = append(s.series, p)
	return p
}

func per(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

func timesOf(h *hdrhistogram.Histogram) Times {
	if h.TotalCount() == 0 {
		return Times{}
	}
	us := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) / 1000 }
	return Times{us(50), us(90), us(99), us(99.9), float64(h.Max()) / 1000, h.Mean() / 1000}
}

// encode is the standard encoding; it can't fail for histograms of this package.
func encode(h *hdrhistogram.Histogram) string {
	out, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic("a histogram that can't be encoded: " + err.Error())
	}
	return string(out)
}

// result adds up after the last call. Calls whose replies came after the end are in the sums, not in the series.
func (r *run) result(ended time.Duration, use usage) *Result {
	for _, shard := range r.shards {
		shard.collect(r.all.total, r.all.lag)
	}
	seconds := ended.Seconds()
	out := &Result{Version: ResultVersion, Target: r.Target.String(), Loop: "closed", Conns: r.Conns,
		Outstanding: r.Outstanding, Began: r.began, Seconds: seconds, Series: r.all.series, Machine: here()}
	if r.line != nil {
		out.Loop = "open"
		// Which methods they would have been does not matter: the first one stands for them.
		if n := r.line.remaining(ended); n > 0 {
			r.all.total[0].fail(statusUnsent, "they were due, and as many as allowed were in flight until the end", n)
		}
	}
	r.all.sum(out)
	out.Client = Client{CPUs: use.cpus(), CPUsMax: float64(runtime.GOMAXPROCS(0))}
	if r.line != nil {
		out.IntendedPerSecond = per(out.Calls+out.Errors, seconds)
		out.Client.WaitedFull = r.line.full
	}
	out.Verdict = judge(out)
	return out
}

// sum fills in what comes from the methods' tallies.
func (s *sums) sum(out *Result) {
	statuses, service := map[string]*Status{}, newHistogram()
	all := &tally{latency: s.latency, service: service, failures: statuses}
	for i, t := range s.total {
		all.add(t)
		out.Methods = append(out.Methods, MethodResult{Name: s.names[i], Calls: t.calls(), Errors: t.failed(),
			CallsPerSecond: per(t.calls(), out.Seconds), LatencyUS: timesOf(t.latency), Statuses: sorted(t.failures),
			Histogram: encode(t.latency)})
	}
	out.Calls, out.Errors = all.calls(), all.failed()
	out.CallsPerSecond = per(out.Calls, out.Seconds)
	out.BytesSent, out.BytesReceived = all.sent, all.replied
	out.LatencyUS, out.ServiceUS, out.LagUS = timesOf(all.latency), timesOf(service), timesOf(s.lag)
	out.Statuses = sorted(statuses)
	out.Histogram = encode(all.latency)
}

func sorted(statuses map[string]*Status) []Status {
	out := []Status{}
	for _, name := range slices.Sorted(maps.Keys(statuses)) {
		out = append(out, *statuses[name])
	}
	return out
}

// Latencies is the histogram of the latencies, in nanoseconds. Errors: what is there is none.
func (r *Result) Latencies() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(r.Histogram))
	if err != nil {
		return nil, fmt.Errorf("the result's histogram: %w", err)
	}
	return h, nil
}

// Read reads the JSON of a result. Errors say what is wrong with it.
func Read(text []byte) (*Result, error) {
	r := &Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("not a result of a load: %w", err)
	}
	if r.Version != ResultVersion {
		return nil, fmt.Errorf("a result of version %d; this program reads version %d", r.Version, ResultVersion)
	}
	_, err := r.Latencies()
	return r, err
}

// usage is CPU time of this process, and when it was taken.
type usage struct {
	cpu  time.Duration
	wall time.Duration
}

var started = time.Now()

func usageNow() usage {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return usage{}
	}
	return usage{time.Duration(use.Utime.Nano() + use.Stime.Nano()), time.Since(started)}
}

func (u usage) minus(before usage) usage { return usage{u.cpu - before.cpu, u.wall - before.wall} }

func (u usage) cpus() float64 {
	if u.wall <= 0 {
		return 0
	}
	return u.cpu.Seconds() / u.wall.Seconds()
}

func here() Machine {
	m := Machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	m.Host, _ = os.Hostname() // a report without it is one, too
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = strings.TrimRight(string(name.Release[:]), "\x00")
	}
	return m
}
