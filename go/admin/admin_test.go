package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// source is a server made of paper.
type source struct{ notReady *atomic.Pointer[error] }

func (source) Engine() string { return "net=paper" }

func (source) Stats() rpc.Stats {
	latency := rpc.Histogram{Count: 2, Sum: 3 * time.Microsecond, Buckets: make([]uint64, len(rpc.HistogramBounds())+1)}
	latency.Buckets[4] = 2
	return rpc.Stats{
		Cores: []rpc.CoreStats{{Requests: 7, ConnectionsHandedIn: 3, ConnectionsHandedOut: 2,
			Closed: map[string]uint64{"by peer": 1}}},
		Methods: []rpc.MethodStats{{Service: "Paper", Name: "Fold", Replies: map[rpc.Code]uint64{200: 2},
			Latency: latency, Handler: rpc.Histogram{Buckets: make([]uint64, len(latency.Buckets))}}},
		Limits: []rpc.LimitStats{{Name: "in_flight", Value: 9, Hits: 1}},
	}
}

func (source) Settings() rpc.Settings {
	return rpc.Settings{Engine: "net=paper", Addresses: []string{"127.0.0.1:1"}, Spin: 50 * time.Microsecond,
		Limits:   rpc.Limits{HeaderTimeout: 10 * time.Second},
		Services: []rpc.ServiceSettings{{Name: "Paper", Package: "office", Source: "paper.fbs", Verified: true}},
		Methods:  []rpc.MethodSettings{{Service: "Paper", Name: "Fold", In: "office.Sheet", Timeout: time.Second, Verified: true}}}
}

func (s source) Ready() error {
	if s.notReady == nil || s.notReady.Load() == nil {
		return nil
	}
	return *s.notReady.Load()
}

// serve starts an admin server, and returns it and where it is.
func serve(t *testing.T, source Source, options Options) (*Server, string) {
	listener, err := Listen("0")
	require.NoError(t, err)
	s := New(source, options)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return s, "http://" + listener.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestHealthAndReadiness(t *testing.T) {
	paper := source{new(atomic.Pointer[error])}
	s, url := serve(t, paper, Options{})
	answers := func(page string, wantStatus int, wantBody string) {
		t.Helper()
		status, body := get(t, url+page)
		require.Equal(t, wantStatus, status)
		require.Equal(t, wantBody, body)
	}
	answers("/readyz", 200, "ready\n")
	paper.notReady.Store(&rpc.ErrNotServing)
	answers("/readyz", 503, "not serving yet\n")
	answers("/healthz", 200, "ok\n")
	paper.notReady.Store(&rpc.ErrClosed)
	answers("/readyz", 503, "closed\n")
	paper.notReady.Store(nil)
	answers("/readyz", 200, "ready\n")
	s.Drain()
	answers("/readyz", 503, "draining\n")
	answers("/healthz", 200, "ok\n") // a liveness probe that failed here would cut off the calls in flight
	answers("/stats/no-such-page", 404, "404 page not found\n")
}

func TestStats(t *testing.T) {
	s, url := serve(t, source{}, Options{Version: "1.2.3"})
	s.Drain()
	status, body := get(t, url+"/stats")
	require.Equal(t, 200, status)
	var stats Stats
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.Equal(t, "1.2.3", stats.Version)
	require.Equal(t, "net=paper", stats.Engine)
	require.True(t, stats.Draining)
	require.False(t, stats.Ready)
	require.Greater(t, stats.UptimeSeconds, 0.0)
	paper := source{}.Stats()
	require.Equal(t, paper.Cores, stats.Cores)
	require.Equal(t, paper.Limits, stats.Limits)
	require.Equal(t, []MethodStats{{Service: "Paper", Name: "Fold", Replies: map[rpc.Code]uint64{200: 2},
		Latency: Summary{Count: 2, MeanUs: 1.5, P50Us: 0.512, P90Us: 0.512, P99Us: 0.512, P999Us: 0.512}}}, stats.Methods)
	require.Less(t, strings.Count(body, "\n"), 150, "for people to read")
}

// What tells a lot, or costs a lot, is there only when it was asked for.
func TestOptions(t *testing.T) {
	profiles := []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"}
	for _, with := range []bool{false, true} {
		_, url := serve(t, source{}, Options{Profiles: with, Config: with})
		want := map[bool]int{false: 404, true: 200}[with]
		for _, page := range append(profiles, "/config") {
			status, _ := get(t, url+page)
			require.Equal(t, want, status, page)
		}
		_, body := get(t, url+"/")
		require.Contains(t, body, "/metrics")
		require.Equal(t, with, strings.Contains(body, "/debug/pprof/"))
		require.Equal(t, with, strings.Contains(body, "/config"))
	}
}

func TestConfig(t *testing.T) {
	_, url := serve(t, source{}, Options{Config: true, Version: "1.2.3"})
	_, body := get(t, url+"/config")
	var config Config
	require.NoError(t, json.Unmarshal([]byte(body), &config))
	require.Equal(t, []string{"127.0.0.1:1"}, config.Addresses)
	require.Equal(t, "50µs", config.Spin)
	require.Equal(t, "10s", config.Limits["HeaderTimeout"])
	require.Equal(t, "none", config.Limits["IdleTimeout"])
	require.Equal(t, source{}.Settings().Services, config.Services)
	require.Equal(t, []MethodConfig{{Service: "Paper", Name: "Fold", In: "office.Sheet", Verified: true, Timeout: "1s"}}, config.Methods)
	require.Positive(t, config.GOMAXPROCS)
	require.Equal(t, "none", config.GoMemoryLimit)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 40))
	_, body = get(t, url+"/config")
	require.Contains(t, body, `"GoMemoryLimit": 1099511627776,`)
}

// A port alone is not open to other machines.
func TestListen(t *testing.T) {
	for address, host := range map[string]string{"0": "127.0.0.1", ":0": "127.0.0.1", "127.0.0.1:0": "127.0.0.1",
		"0.0.0.0:0": "::", "localhost:0": "127.0.0.1", " 0\n": "127.0.0.1", "127.0.0.1:0 ": "127.0.0.1"} {
		listener, err := Listen(address)
		require.NoError(t, err, address)
		got := listener.Addr().(*net.TCPAddr).IP
		require.Equal(t, host == "::", got.IsUnspecified(), "%s: %s", address, got)
		require.Equal(t, host != "::", got.IsLoopback(), "%s: %s", address, got)
		require.NoError(t, listener.Close())
	}
	for _, address := range []string{"", "here", "70000", "1.2.3.4"} {
		_, err := Listen(address)
		require.ErrorContains(t, err, "not an address: a port, or host:port, like 127.0.0.1:33140", address)
	}
	for _, address := range []string{"127.0.0.1:no-such-port", "127.0.0.1:70000", "127.0.0.1:", ":-1", "no-such-host.invalid:x"} {
		_, err := Listen(address)
		require.EqualError(t, err, "not an address: the port is no number from 0 to 65535, nor the name of a service", address)
	}
}

// Zero would mean no bound, and a slow peer could hold a connection for ever.
func TestRequestsAreBounded(t *testing.T) {
	s := New(source{}, Options{})
	require.Positive(t, s.http.ReadHeaderTimeout)
	require.Positive(t, s.http.ReadTimeout)
	require.Positive(t, s.http.WriteTimeout)
	require.Positive(t, s.http.IdleTimeout)
	require.Positive(t, s.http.MaxHeaderBytes)
}

// blocked is a source whose Stats wait.
type blocked struct {
	source
	asked, answer chan struct{}
}

func (b blocked) Stats() rpc.Stats {
	close(b.asked)
	<-b.answer
	return rpc.Stats{}
}

func TestShutdownCutsOffWhatTakesTooLong(t *testing.T) {
	listener, err := Listen("0")
	require.NoError(t, err)
	b := blocked{asked: make(chan struct{}), answer: make(chan struct{})}
	defer close(b.answer)
	s := New(b, Options{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	<-b.asked

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	require.NoError(t, <-served)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.Copy(io.Discard, conn)
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection is still open")
}
