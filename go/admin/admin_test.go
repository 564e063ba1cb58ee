package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

type source struct{}

func (source) Engine() string { return "net=paper" }

func (source) Stats() rpc.Stats {
	return rpc.Stats{Cores: []rpc.CoreStats{{Requests: 7, Closed: map[string]uint64{"closed by peer": 1}}}}
}

// serve starts an admin server, and returns it and where it is.
func serve(t *testing.T) (*Server, string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := New(source{}, "1.2.3")
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
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestEndpoints(t *testing.T) {
	s, url := serve(t)

	status, body := get(t, url+"/")
	require.Equal(t, 200, status)
	require.Equal(t, index, body)
	status, _ = get(t, url+"/no-such-page")
	require.Equal(t, 404, status)

	status, body = get(t, url+"/healthz")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)
	s.Drain()
	status, body = get(t, url+"/healthz")
	require.Equal(t, 503, status)
	require.Equal(t, "draining\n", body)

	status, body = get(t, url+"/stats")
	require.Equal(t, 200, status)
	var stats Stats
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.Equal(t, "1.2.3", stats.Version)
	require.Equal(t, "net=paper", stats.Engine)
	require.True(t, stats.Draining)
	require.Greater(t, stats.UptimeSeconds, 0.0)
	require.Equal(t, source{}.Stats().Cores, stats.Cores)

	status, body = get(t, url+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, 200, status)
	require.Contains(t, body, "goroutine profile:")
	status, _ = get(t, url+"/debug/pprof/cmdline")
	require.Equal(t, 200, status)
}

// Zero would mean no bound, and a slow peer could hold a connection for ever.
func TestRequestsAreBounded(t *testing.T) {
	s := New(source{}, "")
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := blocked{asked: make(chan struct{}), answer: make(chan struct{})}
	defer close(b.answer)
	s := New(b, "")
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
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection is still open")
}
