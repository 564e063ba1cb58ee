package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// patience bounds what should take no time at all.
const patience = 90 * time.Second

// Method ids of the test's service.
const (
	idEcho uint32 = 1000 + iota
	idPanic
	idWait // until gate is closed
)

type served struct {
	*rpc.Server
	address string
	gate    chan struct{}
}

func startServer(t *testing.T, options rpc.ServerOptions) served {
	t.Helper()
	options.Logger = slog.New(slog.DiscardHandler)
	server, err := rpc.NewServer(options)
	require.NoError(t, err)
	gate := make(chan struct{})
	echo := func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if string(req.Payload()) == "limit" {
			return rpc.ErrLimit
		}
		return reply.Bytes(req.Payload())
	}
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{
		{Name: "Echo", ID: idEcho, Handle: echo},
		{Name: "Panic", ID: idPanic, Handle: func(context.Context, *rpc.Request, *rpc.Reply) error { panic("no") }},
		{Name: "Wait", ID: idWait, Handle: func(context.Context, *rpc.Request, *rpc.Reply) error {
			<-gate
			return nil
		}},
	}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-ended
	})
	return served{server, address, gate}
}

// figures are what a registry has, by name and labels: `x{a="1",b="2"}`, and x_count and x_sum.
func figures(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			set := func(suffix string, value float64) {
				found[f.GetName()+suffix+"{"+strings.Join(labels, ",")+"}"] = value
			}
			switch {
			case m.Histogram != nil:
				set("_count", float64(m.Histogram.GetSampleCount()))
				set("_sum", m.Histogram.GetSampleSum())
			case m.Counter != nil:
				set("", m.Counter.GetValue())
			default:
				set("", m.Gauge.GetValue())
			}
		}
	}
	return found
}

// total adds up what has a name, whatever its labels.
func total(figures map[string]float64, name string) (sum float64) {
	for key, value := range figures {
		if strings.HasPrefix(key, name+"{") {
			sum += value
		}
	}
	return sum
}

func registryOf(t *testing.T, s served) *prometheus.Registry {
	registry := prometheus.NewPedanticRegistry() // checks every metric against what was described
	require.NoError(t, registry.Register(NewCollector(s, "1.2.3")))
	return registry
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	require.FailNow(t, "does not happen: "+what)
}

func dial(t *testing.T, address string) *rpc.Client { return dialAt(t, address, 0) }

// dialAt makes a client of a level of the wire format.
func dialAt(t *testing.T, address string, level int) *rpc.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{Level: level})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func call(t *testing.T, client *rpc.Client, id uint32, payload string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := client.Call(ctx, id, []byte(payload))
	if err == nil {
		m.Release()
	}
	return err
}

func TestMetricsAreOfGoodForm(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 2})
	require.NoError(t, call(t, dial(t, s.address), idEcho, "x"))
	problems, err := testutil.GatherAndLint(registryOf(t, s))
	require.NoError(t, err)
	require.Empty(t, problems)
}

// Real calls on two cores: every figure is exact, and those that count the same agree.
func TestMetricsOfRealCalls(t *testing.T) {
	const clients, each = 8, 250
	s := startServer(t, rpc.ServerOptions{Cores: 2})
	registry := registryOf(t, s)
	var failed int
	for range clients {
		client := dial(t, s.address)
		for i := range each {
			payload := "x"
			if i%10 == 0 {
				payload = "limit"
			}
			if err := call(t, client, idEcho, payload); err != nil {
				require.ErrorIs(t, err, rpc.ErrLimit)
				failed++
			}
		}
	}
	panicking := dial(t, s.address)
	for range 3 {
		require.Error(t, call(t, panicking, idPanic, "x"))
	}
	require.ErrorIs(t, call(t, panicking, 999, "x"), rpc.ErrNotFound)

	f := figures(t, registry)
	const all = clients*each + 3
	require.Equal(t, clients*each/10, failed)
	require.EqualValues(t, clients*each-failed, f[`smf_rpc_requests_total{code="200",method="Echo",service="Test"}`])
	require.EqualValues(t, failed, f[`smf_rpc_requests_total{code="429",method="Echo",service="Test"}`])
	require.EqualValues(t, 3, f[`smf_rpc_requests_total{code="500",method="Panic",service="Test"}`])
	require.EqualValues(t, 3, f[`smf_rpc_handler_panics_total{method="Panic",service="Test"}`])
	require.EqualValues(t, all, total(f, "smf_rpc_requests_total"))
	require.EqualValues(t, all, total(f, "smf_rpc_latency_seconds_count"))
	require.EqualValues(t, 1, f[`smf_rpc_requests_refused_total{reason="no_such_method"}`])
	require.EqualValues(t, all+1, total(f, "smf_core_requests_total"))
	require.EqualValues(t, all+1, total(f, "smf_core_replies_total"))
	require.EqualValues(t, all+1, total(f, "smf_core_batch_size_sum"), "every event was a request")
	require.EqualValues(t, clients+1, total(f, "smf_connections_accepted_total"))
	require.EqualValues(t, clients+1, total(f, "smf_connections_open"))
	require.Zero(t, total(f, "smf_calls_in_flight"))
	require.EqualValues(t, 2<<30, total(f, "smf_pool_budget_bytes"))
	require.Positive(t, total(f, "smf_pool_used_bytes"))
	require.EqualValues(t, 1, f[`smf_ready{}`])
	require.Positive(t, f[`smf_core_seconds_total{core="0",state="busy"}`])
}

func TestHandedOverConnections(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(NewCollector(source{}, "")))
	f := figures(t, registry)
	require.EqualValues(t, 3, f[`smf_connections_handed_total{core="0",direction="in"}`])
	require.EqualValues(t, 2, f[`smf_connections_handed_total{core="0",direction="out"}`])
}

// Buckets are cumulative, end at +Inf with all, and no latency is below its bucket.
func TestLatencyBuckets(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(NewCollector(source{}, "")))
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "smf_rpc_latency_seconds" {
			continue
		}
		h := f.Metric[0].Histogram
		require.Len(t, h.Bucket, 25)
		require.InDelta(t, 1.024e-6, h.Bucket[0].GetUpperBound(), 1e-12)
		require.InDelta(t, 17.18, h.Bucket[24].GetUpperBound(), 0.01)
		for _, b := range h.Bucket { // the paper's two calls took 512 ns
			require.EqualValues(t, 2, b.GetCumulativeCount())
		}
		require.False(t, math.IsInf(h.Bucket[24].GetUpperBound(), 1))
		return
	}
	require.FailNow(t, "no latencies")
}

func TestInFlightAndHandovers(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 1})
	registry := registryOf(t, s)
	answered := make(chan error, 1)
	client := dial(t, s.address)
	go func() { answered <- call(t, client, idWait, "x") }()
	eventually(t, "the handler is late", func() bool {
		f := figures(t, registry)
		return f[`smf_calls_in_flight{core="0"}`] == 1 && f[`smf_baton_late_handlers{core="0"}`] == 1 &&
			total(f, "smf_baton_handovers_total") == 1 && f[`smf_rpc_handler_late_total{method="Wait",service="Test"}`] == 1
	})
	close(s.gate)
	require.NoError(t, <-answered)
	require.Zero(t, figures(t, registry)[`smf_calls_in_flight{core="0"}`])
}

// hostile opens a connection, sends bytes, and waits until the server ends it.
func hostile(t *testing.T, address string, bytes []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = conn.Write(bytes)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, conn)
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the server does not close")
}

// Every limit that a peer can meet is counted where it says.
func TestReasonsToCloseAndLimits(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 2, Limits: rpc.Limits{FrameBytes: 1 << 20,
		HeaderTimeout: 20 * time.Millisecond, BodyTimeout: 30 * time.Millisecond}})
	good := frame.Header{Session: 1, Size: 4, Checksum: frame.Checksum([]byte("body")), Meta: idEcho}
	with := func(change func(h *frame.Header), payload string) []byte {
		h := good
		change(&h)
		return append(h.Append(nil), payload...)
	}
	closed := map[string][]byte{
		"bad_compression":   with(func(h *frame.Header) { h.Compression = 99 }, "body"),
		"size_zero":         with(func(h *frame.Header) { h.Size = 0 }, ""),
		"checksum_zero":     with(func(h *frame.Header) { h.Checksum = 0 }, "body"),
		"meta_zero":         with(func(h *frame.Header) { h.Meta = 0 }, "body"),
		"checksum_mismatch": with(func(h *frame.Header) { h.Checksum++ }, "body"),
		"frame_too_large":   with(func(h *frame.Header) { h.Size = 1<<20 + 1 }, "body"),
		"header_timeout":    with(func(*frame.Header) {}, "")[:5],
		"body_timeout":      with(func(*frame.Header) {}, "bo"),
	}
	for _, bytes := range closed {
		hostile(t, s.address, bytes)
	}
	conn, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	registry := registryOf(t, s)
	eventually(t, "the last one is gone", func() bool {
		return figures(t, registry)[`smf_connections_closed_total{reason="by_peer"}`] == 1
	})
	f := figures(t, registry)
	for reason := range closed {
		require.EqualValues(t, 1, f[fmt.Sprintf("smf_connections_closed_total{reason=%q}", reason)], reason)
	}
	require.EqualValues(t, len(closed)+1, total(f, "smf_connections_closed_total"))
	for name, want := range map[string]float64{"frame_bytes": 1 << 20, "header_timeout_seconds": 0.02,
		"body_timeout_seconds": 0.03} {
		require.EqualValues(t, want, f[fmt.Sprintf("smf_limit{limit=%q}", name)])
		require.EqualValues(t, 1, f[fmt.Sprintf("smf_limit_hits_total{limit=%q}", name)], name)
	}
	require.EqualValues(t, 3, total(f, "smf_limit_hits_total"))
}

func TestLimitsOfOneCore(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 1, Limits: rpc.Limits{Connections: 2, InFlight: 1,
		IdleTimeout: 50 * time.Millisecond}})
	registry := registryOf(t, s)
	hits := func(name string) float64 {
		return figures(t, registry)[fmt.Sprintf("smf_limit_hits_total{limit=%q}", name)]
	}
	busy := dialAt(t, s.address, 1)
	answered := make(chan error, 2)
	for range 2 {
		go func() { answered <- call(t, busy, idWait, "x") }()
	}
	eventually(t, "reading pauses", func() bool { return hits("in_flight") == 1 })
	require.EqualValues(t, 1, figures(t, registry)[`smf_reads_paused_total{core="0",reason="in_flight"}`])
	for hits("connections") == 0 { // on a slow machine the idle one may have gone already
		idle, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer idle.Close()
		hostile(t, s.address, nil)
	}
	eventually(t, "the idle one is closed", func() bool { return hits("idle_timeout_seconds") >= 1 })
	close(s.gate)
	require.NoError(t, <-answered)
	require.NoError(t, <-answered)
}

// At level 2 the calls over a limit are answered, and the connection is read on.
func TestTheLimitOnRunningCallsAtLevel2(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 1, Limits: rpc.Limits{Running: 1}})
	registry := registryOf(t, s)
	first, second := dial(t, s.address), dial(t, s.address)
	answered := make(chan error, 1)
	go func() { answered <- call(t, first, idWait, "x") }()
	eventually(t, "it runs", func() bool { return figures(t, registry)[`smf_calls_in_flight{core="0"}`] == 1 })
	var e *rpc.Error
	require.ErrorAs(t, call(t, second, idWait, "x"), &e)
	require.Equal(t, rpc.CodeLimit, e.Code)
	f := figures(t, registry)
	require.EqualValues(t, 1, f[`smf_limit_hits_total{limit="running"}`])
	require.EqualValues(t, 0, f[`smf_limit_hits_total{limit="in_flight"}`])
	require.EqualValues(t, 1, f[`smf_rpc_requests_refused_total{reason="too_many_calls"}`])
	require.EqualValues(t, 2, f[`smf_hellos_total{core="0",result="agreed"}`])
	close(s.gate)
	require.NoError(t, <-answered)
}

func TestLimitsOfMemory(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 1, MemoryBytes: 8 << 20, Limits: rpc.Limits{
		SendTimeout: 50 * time.Millisecond}})
	registry := registryOf(t, s)
	hits := func(name string) float64 {
		return figures(t, registry)[fmt.Sprintf("smf_limit_hits_total{limit=%q}", name)]
	}
	require.EqualValues(t, 2, figures(t, registry)[`smf_limit{limit="late_handlers"}`])
	client := dial(t, s.address)
	answered := make(chan error, 3)
	for range 3 {
		go func() { answered <- call(t, client, idWait, "x") }()
	}
	eventually(t, "two are late, and the third is not let onto the loop", func() bool { return hits("late_handlers") == 1 })
	close(s.gate)
	for range 3 {
		require.NoError(t, <-answered)
	}

	lazy, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer lazy.Close()
	require.NoError(t, lazy.SetDeadline(time.Now().Add(patience)))
	payload := make([]byte, 64<<10)
	frames := append(frame.Header{Session: 1, Size: uint32(len(payload)), Checksum: frame.Checksum(payload),
		Meta: idEcho}.Append(nil), payload...)
	for err == nil { // until the server has had enough
		_, err = lazy.Write(frames)
	}
	eventually(t, "who does not read is closed", func() bool { return hits("send_timeout_seconds") == 1 })
	require.EqualValues(t, 1, figures(t, registry)[`smf_connections_closed_total{reason="slow_reader"}`])
	require.Zero(t, hits("unsent_bytes"))

	paused := func() float64 { return figures(t, registry)[`smf_reads_paused_total{core="0",reason="memory"}`] }
	for paused() == 0 { // beginnings of payloads, until no memory is left for another
		half, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer half.Close()
		_, err = half.Write(append(frame.Header{Session: 1, Size: 1 << 20, Checksum: 1, Meta: idEcho}.Append(nil), 1))
		require.NoError(t, err)
	}
	require.Positive(t, hits("memory_bytes"))
	require.Positive(t, total(figures(t, registry), "smf_pool_refused_total"))
	require.NoError(t, call(t, client, idEcho, "x"), "others are served")
}

func TestAClosedServerHasLittleToTell(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 1})
	registry := registryOf(t, s)
	require.Contains(t, figures(t, registry), `smf_core_turns_total{core="0"}`)
	require.NoError(t, s.Close())
	eventually(t, "it is closed", func() bool { return len(figures(t, registry)) == 2 })
	require.Zero(t, figures(t, registry)[`smf_ready{}`])
}

// Who uses rpc does not get a metrics library with it.
func TestRPCNeedsNoMetricsLibrary(t *testing.T) {
	const module = "github.com/smf-go/smf/"
	list := func(name string) string {
		output, err := exec.Command("go", "list", "-deps", module+name).CombinedOutput()
		require.NoError(t, err, string(output))
		return string(output)
	}
	require.NotContains(t, list("go/rpc"), "prometheus")
	require.Contains(t, list("go/admin"), "prometheus") // the test would see it
}
