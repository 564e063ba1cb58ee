package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/load"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

// tableOf is what a load without failures prints: titles and figures in columns.
var tableOf = regexp.MustCompile(`^SmfStorage\.Get at \S+: 2 connections, 8 calls in flight on each, names of 60 bytes
[0-9,]+ calls in [0-9.]+ s: [0-9,]+ calls/s, no errors

latency         p50         p90         p99       p99\.9         max
     µs(  +[0-9]+\.[0-9]){5}

the client used .*
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
	require.Regexp(t, `\n      failed  status\n +[0-9,]+  501 not implemented\n\nno call succeeded\n$`, got.stdout)
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
	require.Contains(t, got.stdout, "           3  no reply: none within 5s after the end\n\n"+nothingCameBack+"\n")
}

// raceDetector is set by race_test.go. The detector drops things from pools at random.
var raceDetector bool

// callsOf measures calls, and returns the result and how often the calls allocated.
func callsOf(t *testing.T, store demo.SmfStorageServer, count uint64, methods ...string) (*load.Result, uint64) {
	o := loadOptions{address: rpctest.Serve(t, func(r rpc.Registrar) error { return demo.RegisterSmfStorageServer(r, store) }), methods: methods,
		conns: 1, outstanding: 1, duration: time.Minute, count: count, arrivals: "even", nameBytes: 60,
		given: func(flag string) bool { return flag == "count" }}
	options, err := o.options(t.Context())
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	result, err := load.Run(t.Context(), options)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	return result, after.Mallocs - before.Mallocs
}

func TestCallsDoNotAllocate(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools")
	}
	few, fewAllocations := callsOf(t, demoStore{}, 200, "SmfStorage.Get")
	many, manyAllocations := callsOf(t, demoStore{}, 200_200, "SmfStorage.Get")
	require.Zero(t, few.Errors+many.Errors)
	// The runtime itself allocates now and then, pools are emptied by collections, and a histogram is encoded with
	// an allocation or two for each latency that it holds, of which there are some thousands.
	require.Less(t, manyAllocations, fewAllocations+200_000/10)
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
		r, _ := callsOf(t, liar{reply: test.reply}, 1, "SmfStorage.Get")
		require.Zero(t, r.Calls)
		require.Equal(t, "wrong reply", r.Statuses[0].Status)
		require.Contains(t, r.Statuses[0].Example, test.text)
	}
}

func TestReport(t *testing.T) {
	r := &load.Result{Loop: "open", Calls: 1000, Errors: 1237, Seconds: 2, CallsPerSecond: 500, IntendedPerSecond: 1118.5,
		LatencyUS: load.Times{P50: 500.2, P90: 900.1, P99: 990.2, P999: 999.4, Max: 1000.4},
		Statuses: []load.Status{{Status: "501 not implemented", Calls: 1}, {Status: "503 unavailable", Calls: 1234, Example: "gone"},
			{Status: "no reply", Calls: 2, Example: "none within 5s after the end"}},
		Methods: []load.MethodResult{{Name: "Shop.Find", LatencyUS: load.Times{P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}}, {Name: "Shop.Order"}},
		Verdict: load.Verdict{Text: "so it is"}}
	var b bytes.Buffer
	printResult(&b, r, "")
	require.Equal(t, `1,000 calls in 2.00 s: 500 calls/s of 1,118 that were due, 1,237 failed

latency            p50         p90         p99       p99.9         max
        µs       500.2       900.1       990.2       999.4      1000.4
 Shop.Find         1.0         2.0         3.0         4.0         5.0
Shop.Order           -           -           -           -           -

      failed  status
           1  501 not implemented
       1,234  503 unavailable: gone
           2  no reply: none within 5s after the end

so it is
`, b.String())
	b.Reset()
	printResult(&b, &load.Result{Loop: "closed", Methods: make([]load.MethodResult, 1)}, "nobody is there")
	require.Equal(t, "0 calls in 0.00 s: 0 calls/s, no errors\n\nnobody is there\n", b.String())
}

func TestLoadsThatFollowASchedule(t *testing.T) {
	s := serveDemo(t)
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	read := func(args ...string) *load.Result {
		path := filepath.Join(folder, "result.json")
		got := smf(t, append([]string{"load", s.addresses[0], "SmfStorage.Get", "--warmup", "0s", "--json", path}, args...)...)
		require.Zero(t, got.status, got.stdout+got.stderr)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		r, err := load.Read(text)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(text, &fields))
		for _, name := range []string{"p50", "p90", "p99", "p999", "max"} {
			require.Contains(t, fields["latency_us"], name)
		}
		return r
	}
	r := read("--rate", "1k/100ms,3k/100ms", "--duration", "200ms", "--conns", "2")
	require.Equal(t, "open", r.Loop)
	require.EqualValues(t, 400, r.Calls)
	r = read("--rate", "1k", "--arrivals", "poisson", "--duration", "200ms", "--seed", "5")
	require.InDelta(t, 200, float64(r.Calls), 60)
	require.NotEqualValues(t, 200, r.Calls)
	r = read("--rate", "1k", "--count", "30")
	require.EqualValues(t, 30, r.Calls)
	require.EqualValues(t, 4, read("--trace", file("trace", "0\n0.001\n0.01\n0.01\n")).Calls)
	r = read("--count", "50", "--payload", "@"+file("requests", `{"name":"a"}`+"\n"+`{"name":"bcd"}`))
	require.EqualValues(t, 50, r.Calls)
	require.EqualValues(t, 70, read("--count", "70", "--payload", "random").Calls)
	csv := filepath.Join(folder, "series.csv")
	hgrm := filepath.Join(folder, "latencies.hgrm")
	read("--duration", "50ms", "--csv", csv, "--hgrm", hgrm)
	require.FileExists(t, csv)
	text, err := os.ReadFile(hgrm)
	require.NoError(t, err)
	require.Contains(t, string(text), "#[Mean")
}

func TestLoadsThatCantBe(t *testing.T) {
	folder := t.TempDir()
	empty := filepath.Join(folder, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for text, args := range map[string][]string{
		`rate "fast": "fast" is no rate`:                   {"--rate", "fast"},
		"there is one schedule":                            {"--rate", "1", "--trace", "x"},
		"there are even and poisson":                       {"--rate", "1", "--arrivals", "odd"},
		"--arrivals needs --rate":                          {"--arrivals", "poisson"},
		"the trace is empty":                               {"--trace", empty},
		"no such file or directory":                        {"--trace", filepath.Join(folder, "nothing")},
		"has no document":                                  {"--payload", "@" + empty},
		"at least one call":                                {"--count", "0"},
		"--name-bytes is for requests of the demo service": {"--payload", "random", "--name-bytes", "5"},
		"no-such-folder":                                   {"--json", filepath.Join(folder, "no-such-folder", "x")},
		"is to be written twice":                           {"--json", filepath.Join(folder, "x"), "--csv", filepath.Join(folder, "x")},
		`the weight of SmfStorage.Put is "heavy"`:          {"SmfStorage.Put=heavy"},
		"unknown method":                                   {"SmfStorage.Nothing"},
	} {
		got := smf(t, append([]string{"load", "127.0.0.1:1", "SmfStorage.Get"}, args...)...)
		require.Equal(t, 2, got.status, text)
		require.Contains(t, got.stderr, text)
		require.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
	}
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
