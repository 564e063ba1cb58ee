package admin

import (
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/smf-go/smf/go/rpc"
)

// Bounds of the latencies that Prometheus is told: the doublings from 1 µs to 17 s. Server.Stats has
// four times as many.
const (
	latencyBoundMin = 1024 * time.Nanosecond
	latencyBoundMax = latencyBoundMin << 24
)

// NewCollector makes a collector of a server's metrics, for programs with a registry of their own.
// Nothing of it is on the path of a call: it reads the server's counters when it is asked.
//
// Several servers in one registry need a label that tells them apart, or the second is refused as a
// duplicate: register each with prometheus.WrapRegistererWith, as in the example.
func NewCollector(source Source, version string) prometheus.Collector {
	return &collector{source: source, ready: source.Ready, version: version}
}

type collector struct {
	source  Source
	ready   func() error
	version string
}

// descs are all metrics that the collector has.
var descs []*prometheus.Desc

func family(name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc("smf_"+name, help, labels, nil)
	descs = append(descs, desc)
	return desc
}

var (
	buildInfo = family("build_info", "1; the labels say what runs. Compare them after an upgrade.",
		"version", "native_version", "abi", "goversion")
	serverReady = family("ready", "1 while calls are served, 0 before and while draining. "+
		"Alert when it is 0 for longer than a deployment takes.")

	requests = family("rpc_requests_total", "Calls answered, by status. Alert on the share of 500 and 503; "+
		"400, 404 and 413 are the callers' mistakes.", "service", "method", "code")
	latency = family("rpc_latency_seconds", "From when the loop had read a request to when it sent the reply, "+
		"other calls of the same turn included: what callers wait for, without the network. "+
		"When it is long, compare smf_rpc_handler_seconds to find the method that holds the others up.",
		"service", "method")
	handler = family("rpc_handler_seconds", "How long handlers ran, of one call in 64, chosen by chance. "+
		"What takes longer than 100 µs and computes belongs off the loop: (slow) in the schema.",
		"service", "method")
	panics = family("rpc_handler_panics_total", "Handlers that panicked or ended their goroutine; answered 500. "+
		"Any is a bug: the log has its stack.", "service", "method")
	goroutines = family("rpc_handler_goroutines_total", "Calls that started as goroutines. "+
		"They cost about a microsecond more than those on the loop.", "service", "method")
	late = family("rpc_handler_late_total", "Handlers that lost the loop to another goroutine because they slept "+
		"or computed for long. Steady growth: mark the method (slow).", "service", "method")
	offLoop = family("rpc_method_off_loop", "1 when the method's calls start as goroutines now: it is marked (slow), "+
		"or was late too often.", "service", "method")
	refused = family("rpc_requests_refused_total", "Calls that reached no handler: no_such_method (404), "+
		"deadline_passed (408), too_many_calls (429), cancelled (499), compressed (501), draining (503). The first: "+
		"a caller with another version of the schema.", "reason")
	abandoned = family("rpc_abandoned_total", "Calls whose handlers were told that nobody waits any more: the caller "+
		"gave up (cancelled), or its connection ended (disconnected). Callers with short deadlines, or slow methods.",
		"reason")
	oneWay = family("rpc_one_way_total", "Requests that nobody wants a reply to.", "core")

	coreSeconds = family("core_seconds_total", "Where a core's time went. The rate of busy is its utilisation: "+
		"above 0.8 add cores; far apart between cores: connections are spread badly.", "core", "state")
	coreTurns  = family("core_turns_total", "Turns of the loop.", "core")
	coreSleeps = family("core_sleeps_total", "Turns that slept in the kernel. Many for each request at low load are "+
		"as it should be.", "core")
	coreWakes = family("core_wakes_total", "Sleeps that another thread ended: replies of goroutines, deferred "+
		"replies, connections that another core hands over.", "core")
	coreSpins = family("core_spins_total", "Looks that found nothing. CPU that is spent for latency: "+
		"ServerOptions.Spin.", "core")
	coreBatch = family("core_batch_size", "Requests and news of connections that a turn handed out. Larger under "+
		"load: that is what makes it efficient. At 1024 often: the core is overloaded.", "core")
	coreCalls = family("core_system_calls_total", "System calls of the transport. Per request they fall as load "+
		"rises.", "core", "kind")
	coreRequests = family("core_requests_total", "Requests read. Far apart between cores: connections are spread "+
		"badly, or some ask for much more.", "core")
	coreReplies = family("core_replies_total", "Replies sent. Divided by core_system_calls_total{kind=\"write\"}: "+
		"replies per write.", "core")
	coreReceived  = family("core_received_bytes_total", "Bytes read from connections.", "core")
	coreSent      = family("core_sent_bytes_total", "Bytes sent, or kept until the peer takes them.", "core")
	coreAssembled = family("core_frames_assembled_total", "Payloads that came in several reads and were put "+
		"together.", "core")
	coreStale = family("core_stale_replies_total", "Replies to connections that had gone. Callers that give up "+
		"before the answer comes: look at their deadlines.", "core")

	batonHandovers = family("baton_handovers_total", "Handlers that lost the loop: slept, computed, or gave it away "+
		"to call another service. slept and computed cost the others up to milliseconds.", "core", "reason")
	batonLate = family("baton_late_handlers", "Handlers that have lost the loop and still run. Near "+
		"smf_limit{limit=\"late_handlers\"}: calls start as goroutines.", "core")
	batonKicks = family("baton_kicks_total", "Watchers that were woken: handlers that ran after a pause.", "core")

	connectionsAccepted = family("connections_accepted_total", "Connections accepted. A high rate: callers that do "+
		"not keep theirs.", "core")
	connectionsOpen = family("connections_open", "Connections now. Far apart between cores: they are spread "+
		"badly.", "core")
	connectionsHanded = family("connections_handed_total", "Connections that one core accepted and another serves: "+
		"in, those given to this core; out, those it gave away. Many are as it should be.", "core", "direction")
	connectionsUnsent = family("connections_unsent", "Connections whose peer has not taken its replies, now.", "core")
	connectionsClosed = family("connections_closed_total", "Connections that ended, by reason. by_peer and by_us are "+
		"ordinary; header, checksum and frame reasons are peers that speak something else.", "reason")
	connectionsLevel2 = family("connections_level2", "Connections that speak level 2 of the wire format, now. The "+
		"others have no deadlines, cancels and metadata.", "core")
	hellos = family("hellos_total", "Connections that asked for level 2: agreed, or refused because their limits "+
		"are too small.", "core", "result")
	pings         = family("pings_total", "Pings of peers that were answered.", "core")
	callsInFlight = family("calls_in_flight", "Calls handed out and not answered yet.", "core")
	readsPaused   = family("reads_paused_total", "How often a connection was not read on, by the limit that was "+
		"met. Back-pressure at work; steady growth: raise the limit or find who asks for so much.", "core", "reason")
	readsStarved = family("reads_starved_total", "Looks without memory to read into. Any: raise MemoryBytes.", "core")

	limit = family("limit", "A limit that is in force, in the unit of its name; 0: none. Of one core, connection or "+
		"frame: docs/metrics.md.", "limit")
	limitHits = family("limit_hits_total", "How often the limit was met. What happens then: docs/metrics.md.", "limit")

	poolUsed = family("pool_used_bytes", "Memory of a core that is lent. Near the budget: reading pauses.", "core")
	poolMax  = family("pool_used_max_bytes", "The most that was lent at once since the start. Size MemoryBytes by "+
		"it.", "core")
	poolBudget  = family("pool_budget_bytes", "The bound of a core's memory.", "core")
	poolRefused = family("pool_refused_total", "Requests for memory that the budget could not meet. Any: raise "+
		"MemoryBytes.", "core")
)

// Describe tells of every metric.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range descs {
		out <- desc
	}
}

// Collect reads the server's counters. After the server was closed only smf_ready and smf_build_info
// are left.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	out := sink(metrics)
	native, abi := rpc.NativeVersion()
	out.gauge(buildInfo, 1, c.version, native, strconv.Itoa(int(abi)), runtime.Version())
	out.gauge(serverReady, asFloat(c.ready() == nil))
	stats := c.source.Stats()
	for i := range stats.Methods {
		out.method(&stats.Methods[i])
	}
	for i := range stats.Cores {
		out.core(strconv.Itoa(i), &stats.Cores[i])
	}
	if len(stats.Cores) > 0 {
		out.allCores(stats.Cores)
	}
	for _, l := range stats.Limits {
		out.gauge(limit, l.Value, l.Name)
		out.counter(limitHits, l.Hits, l.Name)
	}
}

type sink chan<- prometheus.Metric

func (s sink) counter(desc *prometheus.Desc, value uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), labels...)
}

func (s sink) seconds(desc *prometheus.Desc, ns uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(ns)/1e9, labels...)
}

func (s sink) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
}

func (s sink) histogram(desc *prometheus.Desc, h *rpc.Histogram, labels ...string) {
	bounds := rpc.HistogramBounds()
	buckets := map[float64]uint64{}
	var below uint64
	for i, bound := range bounds {
		below += h.Buckets[i]
		if bound >= latencyBoundMin && bound <= latencyBoundMax && bound&(bound-1) == 0 {
			buckets[bound.Seconds()] = below
		}
	}
	s <- prometheus.MustNewConstHistogram(desc, h.Count, h.Sum.Seconds(), buckets, labels...)
}

func (s sink) method(m *rpc.MethodStats) {
	for code, n := range m.Replies {
		name := strconv.Itoa(int(code))
		if code == rpc.CodeOther {
			name = "other"
		}
		s.counter(requests, n, m.Service, m.Name, name)
	}
	s.histogram(latency, &m.Latency, m.Service, m.Name)
	s.histogram(handler, &m.Handler, m.Service, m.Name)
	s.counter(panics, m.Panics, m.Service, m.Name)
	s.counter(goroutines, m.Goroutines, m.Service, m.Name)
	s.counter(late, m.Late, m.Service, m.Name)
	s.gauge(offLoop, asFloat(m.OffLoop), m.Service, m.Name)
}

func (s sink) core(core string, c *rpc.CoreStats) {
	s.seconds(coreSeconds, c.BusyNs, core, "busy")
	s.seconds(coreSeconds, c.SpinningNs, core, "spinning")
	s.seconds(coreSeconds, c.AsleepNs, core, "asleep")
	s.counter(coreTurns, c.Turns, core)
	s.counter(coreSleeps, c.Waits, core)
	s.counter(coreWakes, c.Wakes, core)
	s.counter(coreSpins, c.Spins, core)
	s.batches(core, c)
	s.counter(coreCalls, c.Polls, core, "poll")
	s.counter(coreCalls, c.Reads, core, "read")
	s.counter(coreCalls, c.Writes, core, "write")
	s.counter(coreRequests, c.Requests, core)
	s.counter(coreReplies, c.Replies, core)
	s.counter(coreReceived, c.BytesReceived, core)
	s.counter(coreSent, c.BytesSent, core)
	s.counter(coreAssembled, c.FramesAssembled, core)
	s.counter(coreStale, c.StaleReplies, core)
	s.counter(batonHandovers, c.HandlersSlept, core, "slept")
	s.counter(batonHandovers, c.HandlersBusy, core, "computed")
	s.counter(batonHandovers, c.HandlersGave, core, "gave")
	s.gauge(batonLate, float64(c.HandlersLate), core)
	s.counter(batonKicks, c.WatcherKicks, core)
	s.counter(connectionsAccepted, c.Connections, core)
	s.gauge(connectionsOpen, float64(c.ConnectionsOpen), core)
	s.counter(connectionsHanded, c.ConnectionsHandedIn, core, "in")
	s.counter(connectionsHanded, c.ConnectionsHandedOut, core, "out")
	s.gauge(connectionsUnsent, float64(c.ConnectionsUnsent), core)
	s.gauge(connectionsLevel2, float64(c.ConnectionsLevel2), core)
	s.counter(hellos, c.Hellos, core, "agreed")
	s.counter(hellos, c.HellosRefused, core, "refused")
	s.counter(pings, c.Pings, core)
	s.counter(oneWay, c.OneWay, core)
	s.gauge(callsInFlight, float64(c.InFlight), core)
	s.counter(readsPaused, c.PausedInFlight, core, "in_flight")
	s.counter(readsPaused, c.PausedRunning, core, "running")
	s.counter(readsPaused, c.PausedMemory, core, "memory")
	s.counter(readsPaused, c.PausedUnsent, core, "unsent")
	s.counter(readsStarved, c.Starved, core)
	s.gauge(poolUsed, float64(c.MemoryBytes), core)
	s.gauge(poolMax, float64(c.MemoryMax), core)
	s.gauge(poolBudget, float64(c.MemoryBudget), core)
	s.counter(poolRefused, c.MemoryRefused, core)
}

// batches leaves out turns that handed out nothing: smf_core_turns_total has them.
func (s sink) batches(core string, c *rpc.CoreStats) {
	buckets := map[float64]uint64{}
	var count uint64
	for i, n := range c.BatchSizes {
		if i == 0 {
			continue
		}
		count += n
		buckets[float64(uint64(1)<<i-1)] = count
	}
	s <- prometheus.MustNewConstHistogram(coreBatch, count, float64(c.Events), buckets, core)
}

// allCores has what would be too many series with a label for the core.
func (s sink) allCores(cores []rpc.CoreStats) {
	for _, reason := range rpc.RefusedReasons() {
		var n uint64
		for _, c := range cores {
			n += c.Refused[reason]
		}
		s.counter(refused, n, label(reason))
	}
	var cancelled, disconnected uint64
	for _, c := range cores {
		cancelled += c.Cancelled
		disconnected += c.Disconnected
	}
	s.counter(abandoned, cancelled, "cancelled")
	s.counter(abandoned, disconnected, "disconnected")
	for _, reason := range rpc.CloseReasons() {
		var n uint64
		for _, c := range cores {
			n += c.Closed[reason]
		}
		s.counter(connectionsClosed, n, label(reason))
	}
}

// label is a text as the value of a label.
func label(text string) string { return strings.ReplaceAll(text, " ", "_") }

func asFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
