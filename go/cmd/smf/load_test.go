package main

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

// tableOf is what a load without failures prints: titles and figures in columns.
var tableOf = regexp.MustCompile(`^SmfStorage\.Get at \S+: 2 connections, 8 calls in flight on each, names of 60 bytes
[0-9,]+ calls in [0-9.]+ s: [0-9,]+ calls/s, no errors

latency         p50         p90         p99       p99\.9         max
     µs(  +[0-9]+\.[0-9]){5}
$`)

func TestLoadPrintsTheTable(t *testing.T) {
	s := serveDemo(t)
	got := smf(t, "load", s.addresses[0], "SmfStorage.Get", "--conns", "2", "--outstanding", "8",
		"--duration", "300ms", "--warmup", "10ms")
	require.Zero(t, got.status, got.stderr)
	require.Empty(t, got.stderr)
	require.Regexp(t, tableOf, got.stdout)
	require.NotContains(t, got.stdout, "\r", "no progress line where nobody reads it")
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	require.Equal(t, len([]rune(lines[3])), len([]rune(lines[4])), "the columns are aligned")
	s.signal(syscall.SIGTERM)
	status, _ := s.wait()
	require.Zero(t, status)
}

func TestLoadOfLargeNames(t *testing.T) {
	s := serveDemo(t)
	got := smf(t, "load", s.addresses[0], "SmfStorage.Get", "--outstanding", "2", "--name-bytes", "1000000",
		"--duration", "50ms", "--warmup", "0s")
	require.Zero(t, got.status, got.stderr)
	require.Contains(t, got.stdout, "names of 1,000,000 bytes")
}

func TestLoadFailsWhenCallsFail(t *testing.T) {
	s := serveDemo(t)
	got := smf(t, "load", s.addresses[0], "SmfStorage.Put", "--duration", "50ms", "--warmup", "0s")
	require.Equal(t, 1, got.status)
	require.Equal(t, "smf: calls failed\n", got.stderr)
	require.Regexp(t, `\n0 calls in \d+\.\d\d s: 0 calls/s, `, got.stdout)
	require.NotContains(t, got.stdout, "in 0.00 s")
	require.Regexp(t, `\n      failed  status\n +[0-9,]+  501 not implemented\n$`, got.stdout)
}

func TestLoadFailsWhenTheServerGoesAway(t *testing.T) {
	s := serveDemo(t)
	command := exec.Command(binary(t), "load", s.addresses[0], "SmfStorage.Get", "--duration", "1s", "--warmup", "0s")
	ended := make(chan outcome, 1)
	go func() { ended <- runToEnd(t, command) }()
	require.Eventually(t, func() bool {
		_, body := get(t, s.admin+"/stats")
		return !strings.Contains(body, `"Requests": 0,`)
	}, patience, time.Millisecond)
	require.NoError(t, s.command.Process.Kill())
	got := <-ended
	require.Equal(t, 1, got.status)
	require.Regexp(t, `  503 unavailable: `, got.stdout)
	if !strings.Contains(got.stdout, "\n0 calls in ") { // else it was gone before anything was measured
		require.Regexp(t, `\n\nthe server was unavailable for a part of the time: the last reply came after \d\.\d\d s\n$`, got.stdout)
	}
}

// Which is not said when it was never there, or failed otherwise.
func TestAServerThatWentAwayHadAnswered(t *testing.T) {
	r := newTestRun(t, demoStore{})
	w := r.workers[0]
	r.measure()
	r.call(w, true, time.Now())
	require.False(t, r.result().wentAway)
	w.failures[rpc.CodeInternal]++
	require.False(t, r.result().wentAway)
	w.failures[rpc.CodeUnavailable]++
	require.True(t, r.result().wentAway)
	w.latencies.Reset()
	require.False(t, r.result().wentAway)
}

func TestSIGINTEndsALoadWithTheTable(t *testing.T) {
	s := serveDemo(t)
	command := exec.Command(binary(t), "load", s.addresses[0], "SmfStorage.Get", "--duration", "10m", "--warmup", "0s")
	ended := make(chan outcome, 1)
	go func() { ended <- runToEnd(t, command) }()
	require.Eventually(t, func() bool {
		_, body := get(t, s.admin+"/stats")
		return !strings.Contains(body, `"Requests": 0,`)
	}, patience, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // a few calls of the measured phase
	require.NoError(t, command.Process.Signal(syscall.SIGINT))
	got := <-ended
	require.Zero(t, got.status, got.stderr)
	require.Contains(t, got.stdout, "calls/s, no errors\n\nlatency ")
}

// silent accepts connections and says nothing.
func silent(t *testing.T) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return listener.Addr().String()
}

func TestLoadOfASilentServerEnds(t *testing.T) {
	got := smf(t, "load", silent(t), "SmfStorage.Get", "--outstanding", "3", "--duration", "10ms", "--warmup", "0s")
	require.Equal(t, 1, got.status)
	require.Contains(t, got.stdout, "           3  no reply within 5s after the end\n\n"+nothingCameBack+"\n")
}

// newTestRun is a run of one worker against a service in this process.
func newTestRun(t *testing.T, store demo.SmfStorageServer) *run {
	client := rpctest.NewPair(t, func(r rpc.Registrar) error { return demo.RegisterSmfStorageServer(r, store) })
	method, err := findMethod("SmfStorage.Get")
	require.NoError(t, err)
	return newRun(method, strings.Repeat("x", 60), []*rpc.Client{client}, 1)
}

// raceDetector is set by race_test.go. The detector drops things from pools at random.
var raceDetector bool

func TestCallsDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	const calls = 5000
	r := newTestRun(t, demoStore{})
	w := r.workers[0]
	begin := time.Now()
	for range 200 {
		begin = r.call(w, true, begin)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		begin = r.call(w, true, begin)
	}
	runtime.ReadMemStats(&after)
	require.Empty(t, w.failures)
	require.EqualValues(t, 200+calls, w.latencies.TotalCount())
	// The runtime itself allocates now and then, and pools are emptied by collections.
	require.Less(t, after.Mallocs-before.Mallocs, uint64(calls/20))
}

// sleeper takes its time.
type sleeper struct{ demoStore }

const sleep = 5 * time.Millisecond

func (s sleeper) Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	time.Sleep(sleep)
	return s.demoStore.Get(ctx, req, reply)
}

// One call after the other: together they last as long as all of it, less what happens in between.
func TestLatenciesAreThoseOfTheCalls(t *testing.T) {
	const calls = 10
	r := newTestRun(t, sleeper{})
	r.measure()
	begin := time.Now()
	for range calls {
		begin = r.call(r.workers[0], true, begin)
	}
	wall := time.Since(r.began)
	result := r.result()
	require.EqualValues(t, calls, result.calls())
	require.Zero(t, result.failed())
	require.LessOrEqual(t, result.elapsed, wall)
	mean := time.Duration(result.latencies.Mean())
	require.GreaterOrEqual(t, mean*1001/1000, sleep, "the histogram keeps three figures")
	require.LessOrEqual(t, mean*calls*999/1000, wall)
}

// liar answers Get with something else.
type liar struct {
	demo.UnimplementedSmfStorageServer
	reply []byte
}

func (l liar) Get(_ context.Context, _ *demo.Request, reply *rpc.Reply) error {
	return reply.Bytes(l.reply)
}

func TestRepliesAreLookedAt(t *testing.T) {
	for _, test := range []struct {
		reply []byte
		text  string
	}{
		{requestOf("somebody else"), "the reply has a name of 13 bytes that is not the one that was sent"},
		{[]byte("not a table at all"), "the reply is malformed: "},
	} {
		r := newTestRun(t, liar{reply: test.reply})
		r.call(r.workers[0], true, time.Now())
		require.Zero(t, r.calls())
		require.Contains(t, r.workers[0].examples[rpc.CodeBadRequest], test.text)
	}
}

func TestFailuresAlone(t *testing.T) {
	r := newTestRun(t, liar{reply: []byte("not a table at all")})
	r.measure()
	r.call(r.workers[0], true, time.Now())
	r.finish()
	require.Zero(t, r.result().calls())
	require.Positive(t, r.result().elapsed)
}

func TestReport(t *testing.T) {
	latencies := hdrhistogram.New(latencyMin, latencyMax, figuresOfFew)
	for i := range int64(1000) {
		require.NoError(t, latencies.RecordValue((i+1)*1000))
	}
	r := &report{latencies: latencies, elapsed: 2 * time.Second, unanswered: 2,
		failures: map[rpc.Code]uint64{rpc.CodeUnavailable: 1234, rpc.CodeNotImplemented: 1},
		examples: map[rpc.Code]string{rpc.CodeUnavailable: "gone"}}
	var b bytes.Buffer
	r.print(&b)
	require.Equal(t, `1,000 calls in 2.00 s: 500 calls/s, 1,237 failed

latency         p50         p90         p99       p99.9         max
     µs       500.2       900.1       990.2       999.4      1000.4

      failed  status
           1  501 not implemented
       1,234  503 unavailable: gone
           2  no reply within 5s after the end
`, b.String())
	r.wentAway = true
	b.Reset()
	r.print(&b)
	require.Contains(t, b.String(), `
           2  no reply within 5s after the end

the server was unavailable for a part of the time: the last reply came after 2.00 s
`)
}

func TestGrouped(t *testing.T) {
	for n, text := range map[uint64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 123456: "123,456",
		18446744073709551615: "18,446,744,073,709,551,615"} {
		require.Equal(t, text, grouped(n))
	}
	require.Equal(t, "1 call", counted(1, "call"))
	require.Equal(t, "0 calls", counted(0, "call"))
	require.Equal(t, "2,000 calls", counted(2000, "call"))
}
