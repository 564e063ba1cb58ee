package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// methodStats are those of the test service's method with an id.
func methodStats(t testing.TB, s *rpc.Server, id uint32) rpc.MethodStats {
	t.Helper()
	for _, m := range s.Stats().Methods {
		if m.Name == fmt.Sprint("Method", id) {
			return m
		}
	}
	require.FailNow(t, "no such method in Stats")
	panic("unreachable")
}

func sum(counts []uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

func replies(m rpc.MethodStats) (total uint64) {
	for _, n := range m.Replies {
		total += n
	}
	return total
}

// Whoever has seen a reply sees it counted: no waiting, on a server that goes to sleep at once.
func TestEveryReplyIsCountedBeforeItIsSeen(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Cores: 2, Spin: -1},
		method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			switch string(req.Payload()) {
			case "limit":
				return rpc.ErrLimit
			case "teapot":
				return rpc.Errorf(418, "short and stout")
			case "odd":
				return rpc.Errorf(999, "out of range")
			case "broken":
				return errors.New("broken")
			}
			return reply.Bytes(req.Payload())
		}))
	clients := []*rpc.Client{dial(t, address), dial(t, address), dial(t, address)}
	want := map[rpc.Code]uint64{rpc.CodeOK: 0}
	codes := map[string]rpc.Code{"fine": 200, "limit": 429, "teapot": 418, "odd": rpc.CodeOther, "broken": 500}
	for i := range 20 {
		for payload, code := range codes {
			_, err := call(clients[i%len(clients)], patient(t), idWork, payload)
			require.Equal(t, code == rpc.CodeOK, err == nil)
			want[code]++
			m := methodStats(t, server, idWork)
			require.Equal(t, want, m.Replies)
			require.Equal(t, replies(m), m.Latency.Count)
			require.Equal(t, m.Latency.Count, sum(m.Latency.Buckets))
		}
	}
	require.Zero(t, replies(methodStats(t, server, idEcho)))
	c := core(server)
	require.EqualValues(t, 100, c.Requests)
}

// A latency is what the peer waits for: a handler that takes its time shows, whatever way its reply
// goes.
func TestLatencyOfEveryWayToReply(t *testing.T) {
	const pause = 30 * time.Millisecond
	ways := map[string]rpc.Method{
		"computes": {Handle: func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			for end := time.Now().Add(pause); time.Now().Before(end); {
				runtime.Gosched()
			}
			return reply.Bytes(req.Payload())
		}},
		"sleeps": {Handle: func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(pause)
			return reply.Bytes(req.Payload())
		}},
		"slow": {Slow: true, Handle: func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(pause)
			return reply.Bytes(req.Payload())
		}},
		"defers": {Handle: func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			d := reply.Defer()
			time.AfterFunc(pause, func() { d.Bytes([]byte("later")) })
			return nil
		}},
	}
	for name, m := range ways {
		t.Run(name, func(t *testing.T) {
			m.ID, m.Name = idWork, fmt.Sprint("Method", idWork)
			server, address := start(t, rpc.ServerOptions{}, m)
			client := dial(t, address)
			began := time.Now()
			answer(t, client, idWork, "x")
			took := time.Since(began)
			s := methodStats(t, server, idWork)
			require.EqualValues(t, 1, s.Latency.Count)
			require.GreaterOrEqual(t, s.Latency.Sum, pause-time.Millisecond)
			require.LessOrEqual(t, s.Latency.Sum, took)
			require.Equal(t, s.Latency.Sum, s.Latency.Mean())
			require.GreaterOrEqual(t, s.Latency.Quantile(0.5), s.Latency.Sum)
			require.LessOrEqual(t, s.Latency.Quantile(0.5), s.Latency.Sum*5/4)
			require.Equal(t, map[rpc.Code]uint64{rpc.CodeOK: 1}, s.Replies)
			require.Equal(t, m.Slow, s.OffLoop)
			require.Equal(t, m.Slow, s.Goroutines == 1)
		})
	}
}

func TestPanicsAndLateHandlersAreCounted(t *testing.T) {
	gate := make(chan struct{})
	server, address := start(t, rpc.ServerOptions{},
		method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error { panic("no") }),
		method(idMore, func(context.Context, *rpc.Request, *rpc.Reply) error { runtime.Goexit(); return nil }),
		method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			<-gate
			return reply.Bytes(req.Payload())
		}))
	client := dial(t, address)
	require.Equal(t, rpc.CodeInternal, fails(t, client, idWork, "x").Code)
	require.Equal(t, rpc.CodeInternal, fails(t, client, idMore, "x").Code)
	for _, id := range []uint32{idWork, idMore} {
		m := methodStats(t, server, id)
		require.EqualValues(t, 1, m.Panics)
		require.Equal(t, map[rpc.Code]uint64{rpc.CodeOK: 0, rpc.CodeInternal: 1}, m.Replies)
	}
	gated := make(chan string, 1)
	go func() {
		reply, _ := call(client, patient(t), idGate, "x")
		gated <- reply
	}()
	eventually(t, "the handler is late", func() bool { return methodStats(t, server, idGate).Late == 1 })
	require.EqualValues(t, 1, core(server).InFlight)
	require.Zero(t, replies(methodStats(t, server, idGate)))
	close(gate)
	require.Equal(t, "x", within(t, gated, "a reply"))
	require.EqualValues(t, 1, replies(methodStats(t, server, idGate)))
	require.Zero(t, methodStats(t, server, idGate).Panics)
}

// One call in 64 is timed, whether it runs on the loop or not: of 20,000 some hundred, and of each
// method its share.
func TestHandlersAreTimedByChance(t *testing.T) {
	const calls = 20_000
	slow := method(idMore, echo)
	slow.Slow = true
	server, address := start(t, rpc.ServerOptions{}, slow)
	client := dial(t, address)
	for i := range calls {
		answer(t, client, []uint32{idEcho, idMore}[i%2], "x")
	}
	for _, id := range []uint32{idEcho, idMore} {
		m := methodStats(t, server, id)
		require.EqualValues(t, calls/2, m.Latency.Count)
		require.InDelta(t, calls/2/64, m.Handler.Count, 80, m.Name) // six times the spread
		require.Equal(t, m.Handler.Count, sum(m.Handler.Buckets))
		require.Positive(t, m.Handler.Sum)
	}
}

func TestRefusedCallsAreCounted(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	client := dial(t, address)
	answer(t, client, idEcho, "x")
	require.Equal(t, rpc.CodeNotFound, fails(t, client, idMore, "x").Code)
	want := map[string]uint64{}
	for _, reason := range rpc.RefusedReasons() {
		want[reason] = 0
	}
	want[rpc.RefusedNotFound] = 1
	require.Equal(t, want, server.Stats().Cores[0].Refused)
	require.Len(t, server.Stats().Methods, 1)
}

func TestMethodStatsCanBeLeftOut(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{NoMethodStats: true})
	client := dial(t, address)
	for range 200 {
		answer(t, client, idEcho, "x")
	}
	require.Empty(t, server.Stats().Methods)
	require.EqualValues(t, 200, core(server).Requests)
}

// Utilisation: a core that has nothing to do is asleep, and one that is asked while it sleeps says so.
func TestTimeIsAccountedFor(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Spin: -1})
	client := dial(t, address)
	answer(t, client, idEcho, "x")
	before := server.Stats().Cores[0]
	eventually(t, "it is asleep for a while, and nobody wakes it", func() bool {
		now := server.Stats().Cores[0]
		if now.Waits != before.Waits { // it was about to sleep
			before = now
		}
		return now.AsleepNs-before.AsleepNs > uint64(20*time.Millisecond)
	})
	require.Positive(t, before.BusyNs)
	require.Positive(t, before.Events)
	require.Equal(t, before.Events, sum(before.BatchSizes[1:]), "one event a turn")
}

func TestLimitsAreListedWithTheirDefaults(t *testing.T) {
	server, _ := start(t, rpc.ServerOptions{Limits: rpc.Limits{IdleTimeout: 1500 * time.Millisecond, InFlight: 7}})
	limits := map[string]float64{}
	for _, l := range server.Stats().Limits {
		limits[l.Name] = l.Value
		require.Zero(t, l.Hits)
	}
	require.Equal(t, map[string]float64{
		"connections": 65536, "in_flight": 7, "running": 65536, "frame_bytes": 16 << 20, "unsent_bytes": 64 << 20,
		"memory_bytes": 1 << 30, "header_timeout_seconds": 10, "body_timeout_seconds": 60,
		"idle_timeout_seconds": 1.5, "send_timeout_seconds": 30, "late_handlers": 128,
	}, limits)
}

func TestSettings(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Cores: 2, MemoryBytes: 64 << 20},
		rpc.Method{Name: "Slowly", ID: idWork, Slow: true, Timeout: time.Second, Handle: echo})
	s := server.Settings()
	require.Equal(t, []string{address}, s.Addresses)
	require.Equal(t, 2, s.Cores)
	require.Equal(t, "auto", s.Net)
	require.Equal(t, 50*time.Microsecond, s.Spin)
	require.EqualValues(t, 64<<20, s.MemoryBytes)
	require.Equal(t, 4096, s.Limits.InFlight)
	require.Equal(t, 30*time.Second, s.Limits.SendTimeout)
	require.Equal(t, []rpc.MethodSettings{{Service: "Test", Name: fmt.Sprint("Method", idEcho), ID: idEcho},
		{Service: "Test", Name: "Slowly", ID: idWork, Slow: true, Timeout: time.Second}}, s.Methods)
}

func TestReady(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	release := make(chan struct{})
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{
		method(idGate, func(context.Context, *rpc.Request, *rpc.Reply) error { <-release; return nil })}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	require.ErrorIs(t, server.Ready(), rpc.ErrNotServing)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	eventually(t, "it is ready", func() bool { return server.Ready() == nil })
	called := make(chan error, 1)
	client := dial(t, address)
	go func() { _, err := call(client, patient(t), idGate, "x"); called <- err }()
	eventually(t, "the call runs", func() bool { return core(server).Requests == 1 })
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(patient(t)) }()
	eventually(t, "it drains", func() bool { return errors.Is(server.Ready(), rpc.ErrDraining) })
	close(release)
	require.NoError(t, within(t, called, "the call ends"))
	require.NoError(t, within(t, drained, "the drain ends"))
	require.NoError(t, within(t, served, "Serve returns"))
	require.ErrorIs(t, server.Ready(), rpc.ErrClosed)
	eventually(t, "all is freed", func() bool { return server.Settings().Engine == "closed" })
	require.Empty(t, server.Stats())
}

func TestQuantiles(t *testing.T) {
	bounds := rpc.HistogramBounds()
	require.IsIncreasing(t, bounds)
	h := rpc.Histogram{Buckets: make([]uint64, len(bounds)+1)}
	require.Zero(t, h.Quantile(0.5))
	require.Zero(t, h.Mean())
	h.Count, h.Sum = 100, 100*time.Microsecond
	h.Buckets[3], h.Buckets[10], h.Buckets[len(bounds)] = 90, 9, 1
	require.Equal(t, time.Microsecond, h.Mean())
	require.Equal(t, bounds[3], h.Quantile(0))
	require.Equal(t, bounds[3], h.Quantile(0.9))
	require.Equal(t, bounds[10], h.Quantile(0.91))
	require.Equal(t, bounds[10], h.Quantile(0.99))
	require.Equal(t, bounds[len(bounds)-1], h.Quantile(1))
}
