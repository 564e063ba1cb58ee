package load_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/load"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

var servers atomic.Uint64

// serve serves the demo service, whose Get does what a function says.
func serve(t testing.TB, get func(name string) error) string {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	require.NoError(t, demo.RegisterSmfStorageServer(server, getter{get: get}))
	address, err := server.Listen(fmt.Sprintf("unix:@smf-load-test-%d-%d", os.Getpid(), servers.Add(1)))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-served
	})
	return address
}

type getter struct {
	demo.UnimplementedSmfStorageServer
	get func(name string) error
}

func (g getter) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	if g.get != nil {
		if err := g.get(string(req.Name())); err != nil {
			return err
		}
	}
	return reply.Object(&demo.ResponseT{Name: string(req.Name())})
}

func request(name string) load.Fixed {
	b := flatbuffers.NewBuilder(64)
	b.Finish((&demo.RequestT{Name: name}).Pack(b))
	return b.FinishedBytes()
}

func get(name string) load.Method {
	return load.Method{Name: "SmfStorage.Get", ID: demo.SmfStorageGetMethodID, Payloads: request(name)}
}

func run(t testing.TB, o load.Options) *load.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := load.Run(ctx, o)
	require.NoError(t, err)
	return result
}

func TestAClosedLoop(t *testing.T) {
	address := serve(t, nil)
	r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{get("me")},
		Conns: 2, Outstanding: 3, Count: 5000, Warmup: 20 * time.Millisecond})
	require.EqualValues(t, 5000, r.Calls)
	require.Zero(t, r.Errors)
	require.Equal(t, "closed", r.Loop)
	require.InDelta(t, float64(r.Calls), r.CallsPerSecond*r.Seconds, 1)
	require.EqualValues(t, 5000*len(request("me")), r.BytesSent)
	require.Positive(t, r.BytesReceived)
	h, err := r.Latencies()
	require.NoError(t, err)
	require.EqualValues(t, 5000, h.TotalCount())
	require.InDelta(t, float64(h.ValueAtQuantile(99))/1000, r.LatencyUS.P99, 1e-9, "percentiles are in percent")
	require.LessOrEqual(t, r.LatencyUS.P50, r.LatencyUS.P90)
	require.LessOrEqual(t, r.LatencyUS.P90, r.LatencyUS.P99)
	require.LessOrEqual(t, r.LatencyUS.P99, r.LatencyUS.P999)
	require.LessOrEqual(t, r.LatencyUS.P999, r.LatencyUS.Max)
}

// A server stands still for a while: the open loop sees it in all calls that were due then, a closed loop in one.
func TestAStallIsSeenByEveryCallThatWasDue(t *testing.T) {
	const stall = 400 * time.Millisecond
	stalling := func() string {
		var calls atomic.Uint64
		return serve(t, func(string) error {
			if calls.Add(1) == 200 {
				time.Sleep(stall)
			}
			return nil
		})
	}
	above := func(r *load.Result, d time.Duration) int64 {
		h, err := r.Latencies()
		require.NoError(t, err)
		n := int64(0)
		for _, bar := range h.Distribution() {
			if bar.From >= int64(d) {
				n += bar.Count
			}
		}
		return n
	}
	// One core whose only handler sleeps: others may go on after a while, so all are sent on one connection in order
	// of a closed loop of one, and to be fair the open one too.
	open := run(t, load.Options{Target: one{load.Server(stalling(), rpc.ClientOptions{})}, Methods: []load.Method{get("me")},
		Schedule: load.Even(load.Constant(1000)), Duration: time.Second})
	closed := run(t, load.Options{Target: load.Server(stalling(), rpc.ClientOptions{}), Methods: []load.Method{get("me")}, Count: 1000})
	require.EqualValues(t, 1000, open.Calls+open.Errors)
	require.Zero(t, open.Errors)
	require.GreaterOrEqual(t, above(open, stall/2), int64(150), "half of those that were due in the stall waited for its half")
	require.GreaterOrEqual(t, open.LatencyUS.P90, float64((stall / 4).Microseconds()))
	require.EqualValues(t, 1, above(closed, stall/2), "which a closed loop hides")
}

// one is a target that makes one call at a time.
type one struct{ load.Target }

func (o one) Dial(ctx context.Context) (load.Conn, error) {
	c, err := o.Target.Dial(ctx)
	return &oneConn{Conn: c}, err
}

type oneConn struct {
	load.Conn
	mu sync.Mutex
}

func (c *oneConn) Call(ctx context.Context, m *load.Method, payload []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Conn.Call(ctx, m, payload)
}

// An open loop sends what is due, when it is due: no more, no less, and in the middle of each second.
func TestAnOpenLoopKeepsItsSchedule(t *testing.T) {
	address := serve(t, nil)
	for name, schedule := range map[string]load.Schedule{
		"even":    load.Even(load.Constant(2000)),
		"poisson": load.Poisson(load.Constant(2000), 3),
		"steps":   load.Even(load.Steps(250*time.Millisecond, 1000, 3000)),
	} {
		var points []load.Point
		r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{get("me")}, Conns: 3,
			Schedule: schedule, Duration: 500 * time.Millisecond, Warmup: 50 * time.Millisecond, Interval: 250 * time.Millisecond,
			Observe: func(p load.Point) { points = append(points, p) }})
		want := 0
		for next := schedule.Walk(); ; want++ {
			if at, _ := next(); at >= 500*time.Millisecond {
				break
			}
		}
		require.EqualValues(t, want, r.Calls+r.Errors, name)
		require.InDelta(t, float64(want)/0.5, r.IntendedPerSecond, 1, name)
		require.Equal(t, r.Series, points, name)
		require.Len(t, points, 2, name)
		require.InDelta(t, schedule.Rate(125*time.Millisecond), points[0].IntendedPerSecond, 1, name)
	}
}

func TestARecordedTraceEndsTheRun(t *testing.T) {
	address := serve(t, nil)
	r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{get("me")},
		Schedule: load.Replay([]time.Duration{0, 0, 5 * time.Millisecond, 80 * time.Millisecond})})
	require.EqualValues(t, 4, r.Calls)
	require.GreaterOrEqual(t, r.Seconds, 0.08)
}

// More than the target can do: what was not sent is told, nothing is lost in silence.
func TestMoreThanATargetCanDo(t *testing.T) {
	address := serve(t, func(string) error { time.Sleep(5 * time.Millisecond); return nil })
	r := run(t, load.Options{Target: one{load.Server(address, rpc.ClientOptions{})}, Methods: []load.Method{get("me")},
		Schedule: load.Even(load.Constant(1000)), Outstanding: 4, Duration: 300 * time.Millisecond})
	require.EqualValues(t, 300, r.Calls+r.Errors)
	require.Less(t, r.Calls, uint64(100))
	require.Equal(t, load.LimitTarget, r.Verdict.Limit, r.Verdict.Text)
	require.Equal(t, "not sent", r.Statuses[0].Status)
	require.Positive(t, r.Client.WaitedFull)
	require.Greater(t, r.LatencyUS.P99, 100_000.0, "latencies count from when calls were due")
	require.Less(t, r.ServiceUS.P50, r.LatencyUS.P50)
}

func TestFailuresAreCounted(t *testing.T) {
	var n atomic.Uint64
	address := serve(t, func(string) error {
		if n.Add(1)%4 == 0 {
			return rpc.Errorf(rpc.CodeLimit, "too many of them")
		}
		return nil
	})
	method := get("me")
	method.Check = func([]byte) error {
		if n.Load()%4 == 1 {
			return errors.New("not what was asked for")
		}
		return nil
	}
	r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{method}, Count: 400})
	require.EqualValues(t, 200, r.Calls)
	require.EqualValues(t, 200, r.Errors)
	require.Equal(t, []load.Status{{"429 over a limit", 100, "too many of them"}, {"wrong reply", 100, "not what was asked for"}}, r.Statuses)
}

// A target that never answers does not hold the run.
func TestATargetThatDoesNotAnswer(t *testing.T) {
	release := make(chan struct{})
	address := serve(t, func(string) error { <-release; return nil })
	defer close(release)
	for name, schedule := range map[string]load.Schedule{"closed": nil, "open": load.Even(load.Constant(100))} {
		r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{get("me")},
			Schedule: schedule, Duration: 50 * time.Millisecond, Patience: 30 * time.Millisecond})
		require.Zero(t, r.Calls, name)
		require.Equal(t, "no reply", r.Statuses[0].Status, name)
		require.Equal(t, load.LimitUnknown, r.Verdict.Limit, name)
		require.Equal(t, map[string]uint64{"closed": 1, "open": 5}[name], r.Errors)
	}
}

// Methods are called as often as their weights say, and what is sent depends on the seed alone.
func TestMixesAreRepeatable(t *testing.T) {
	sent := func(seed uint64) (map[string]int, float64) {
		var mu sync.Mutex
		names := map[string]int{}
		address := serve(t, func(name string) error {
			mu.Lock()
			defer mu.Unlock()
			names[name]++
			return nil
		})
		random := load.Generate(func(r *rand.Rand) []byte { return request(fmt.Sprint(r.IntN(50))) })
		r := run(t, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Count: 2000, Outstanding: 5, Seed: seed, Methods: []load.Method{
			{Name: "often", ID: demo.SmfStorageGetMethodID, Weight: 3, Payloads: random},
			{Name: "seldom", ID: demo.SmfStorageGetMethodID, Payloads: load.OneOf{request("a"), request("b")}}}})
		require.EqualValues(t, 2000, r.Calls)
		require.EqualValues(t, 2000, r.Methods[0].Calls+r.Methods[1].Calls)
		return names, float64(r.Methods[0].Calls)
	}
	first, often := sent(1)
	require.InDelta(t, 1500, often, 100)
	again, _ := sent(1)
	// A closed loop's workers do not all make the same number of calls.
	for _, name := range []string{"a", "b", "0", "49"} {
		require.InDelta(t, first[name], again[name], 40, name)
	}
	require.Len(t, first, 52)
}

func TestOptionsThatCantBe(t *testing.T) {
	target := load.Server("unix:@nobody", rpc.ClientOptions{})
	ok := load.Options{Target: target, Methods: []load.Method{get("me")}, Count: 1}
	for text, change := range map[string]func(*load.Options){
		"nothing to call":                    func(o *load.Options) { o.Target = nil },
		"no method to call":                  func(o *load.Options) { o.Methods = nil },
		"has no payloads":                    func(o *load.Options) { o.Methods = []load.Method{{Name: "x"}} },
		"OneOf of none":                      func(o *load.Options) { o.Methods = []load.Method{{Payloads: load.OneOf{}}} },
		"the weight of  is -1":               func(o *load.Options) { o.Methods = []load.Method{{Weight: -1, Payloads: load.Fixed{1}}} },
		"say how long it is":                 func(o *load.Options) { o.Count = 0 },
		"1 to 20000":                         func(o *load.Options) { o.Conns = -1 },
		"1 to 100000 together":               func(o *load.Options) { o.Conns, o.Outstanding = 1000, 1000 },
		"is negative":                        func(o *load.Options) { o.Warmup = -1 },
		"segment 1 of the profile goes from": func(o *load.Options) { o.Schedule = load.Even(load.Constant(-1)) },
		"unix:@nobody":                       func(o *load.Options) {},
	} {
		o := ok
		change(&o)
		_, err := load.Run(context.Background(), o)
		require.ErrorContains(t, err, text)
	}
}

// Its end by ctx is no error.
func TestEndingARun(t *testing.T) {
	address := serve(t, nil)
	for _, schedule := range []load.Schedule{nil, load.Even(load.Constant(1000)), load.Even(load.Constant(0.001))} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		r, err := load.Run(ctx, load.Options{Target: load.Server(address, rpc.ClientOptions{}), Methods: []load.Method{get("me")},
			Schedule: schedule, Duration: time.Hour})
		cancel()
		require.NoError(t, err)
		require.Positive(t, r.Calls)
		require.Less(t, r.Seconds, 30.0)
	}
}

func TestResultsAreRead(t *testing.T) {
	_, err := load.Read([]byte("{}"))
	require.ErrorContains(t, err, "version 0")
	_, err = load.Read([]byte("[]"))
	require.ErrorContains(t, err, "not a result")
	_, err = load.Read([]byte(`{"version":1,"histogram":"AAAA"}`))
	require.ErrorContains(t, err, "histogram")
}

// A call of a run costs what the client's own does: no allocation.
func BenchmarkClosedLoop(b *testing.B) {
	target := load.Server(serve(b, nil), rpc.ClientOptions{})
	b.ReportAllocs()
	b.ResetTimer()
	r := run(b, load.Options{Target: target, Methods: []load.Method{get("me")}, Outstanding: 64, Count: uint64(b.N)})
	require.Zero(b, r.Errors)
}
