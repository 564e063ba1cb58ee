package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/admin"
	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

func TestServeUntilSIGTERM(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		s := serveDemo(t)
		require.Contains(t, s.engine, "net=epoll")
		s.signal(sig)
		status, stdout := s.wait()
		require.Zero(t, status, "stderr: %s", &s.stderr)
		require.Equal(t, sig.String()+": draining, for up to 10s\ndrained\n", stdout)
		require.Empty(t, s.stderr.String())
	}
}

func TestServeOnSeveralAddresses(t *testing.T) {
	socket := "unix:" + filepath.Join(t.TempDir(), "s")
	s := startServer(t, "--listen", "127.0.0.1:0", "--listen", socket, "--admin", "off")
	require.Len(t, s.addresses, 2)
	require.Equal(t, socket, s.addresses[1])
	for _, address := range s.addresses {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		client, err := rpc.Dial(ctx, address, rpc.ClientOptions{})
		require.NoError(t, err)
		defer client.Close()
		storage := demo.NewSmfStorageClient(client)
		var reply demo.ResponseT
		require.NoError(t, storage.GetInto(ctx, &demo.RequestT{Name: "echo " + address}, &reply))
		require.Equal(t, "echo "+address, reply.Name)
		require.ErrorIs(t, storage.PutInto(ctx, &demo.RequestT{}, &reply), rpc.ErrNotImplemented)
	}
}

// peer is a connection that speaks frames.
type peer struct {
	t       *testing.T
	conn    net.Conn
	replies *bufio.Reader
}

// request is the frame of a Get.
func request(session int, name string) []byte {
	payload := requestOf(name)
	return append(frame.Header{Session: uint16(session), Size: uint32(len(payload)),
		Checksum: frame.Checksum(payload), Meta: demo.SmfStorageGetMethodID}.Append(nil), payload...)
}

func newPeer(t *testing.T, address string) *peer {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &peer{t, conn, bufio.NewReader(conn)}
}

func (p *peer) send(frames []byte) {
	p.t.Helper()
	_, err := p.conn.Write(frames)
	require.NoError(p.t, err)
}

// receive reads a reply and returns its header.
func (p *peer) receive() frame.Header {
	p.t.Helper()
	header := make([]byte, frame.HeaderSize)
	_, err := io.ReadFull(p.replies, header)
	require.NoError(p.t, err)
	h := frame.Decode(header)
	_, err = p.replies.Discard(int(h.Size))
	require.NoError(p.t, err)
	return h
}

// The server is stopped while requests and the signal come in, so that it finds both at once; they are
// many, so that it does not see all of them in its first turn.
func TestCallsInFlightAreAnsweredOnSIGTERM(t *testing.T) {
	const conns, calls = 100, 100
	s := serveDemo(t)
	var burst []byte
	for session := range calls {
		burst = append(burst, request(session, "name "+strconv.Itoa(session))...)
	}
	var peers []*peer
	for range conns {
		p := newPeer(t, s.addresses[0])
		p.send(request(1, "hello")) // the server has accepted who was answered
		require.Equal(t, uint32(rpc.CodeOK), p.receive().Meta)
		peers = append(peers, p)
	}
	s.signal(syscall.SIGSTOP)
	for _, p := range peers {
		p.send(burst)
	}
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGCONT)
	for _, p := range peers {
		answered := map[uint16]bool{}
		for range calls {
			h := p.receive()
			require.Contains(t, []uint32{uint32(rpc.CodeOK), uint32(rpc.CodeUnavailable)}, h.Meta)
			answered[h.Session] = true
		}
		require.Len(t, answered, calls)
		_, err := p.replies.ReadByte()
		require.ErrorIs(t, err, io.EOF, "the connection ends after the last reply")
	}
	status, _ := s.wait()
	require.Zero(t, status, "stderr: %s", &s.stderr)
}

// lazyPeer asks for a long reply and reads only its beginning, so that a drain has something to wait
// for.
func lazyPeer(t *testing.T, s *server) net.Conn {
	p := newPeer(t, s.addresses[0])
	require.NoError(t, p.conn.(*net.TCPConn).SetReadBuffer(64<<10)) // nor does the system take all of it
	p.send(request(1, strings.Repeat("x", 16<<20-4096)))
	_, err := io.ReadFull(p.conn, make([]byte, 1))
	require.NoError(t, err)
	return p.conn
}

func TestDrainTimeout(t *testing.T) {
	s := serveDemo(t, "--drain-timeout", "50ms")
	defer lazyPeer(t, s).Close()
	s.signal(syscall.SIGTERM)
	status, stdout := s.wait()
	require.Equal(t, 1, status)
	require.Equal(t, "terminated: draining, for up to 50ms\n", stdout)
	require.Equal(t, "smf: calls were still in flight after 50ms; their connections were closed\n", s.stderr.String())
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	s := serveDemo(t, "--drain-timeout", "10m")
	defer lazyPeer(t, s).Close()
	s.signal(syscall.SIGTERM)
	require.Equal(t, "terminated: draining, for up to 10m0s", s.line())

	status, body := get(t, s.admin+"/readyz")
	require.Equal(t, 503, status)
	require.Equal(t, "draining\n", body)
	status, _ = get(t, s.admin+"/healthz")
	require.Equal(t, 200, status, "who drains is not to be killed")

	time.Sleep(2 * signalEcho)
	s.signal(syscall.SIGTERM)
	status, _ = s.wait()
	require.Equal(t, 1, status)
	require.Equal(t, "smf: a second signal: ended without waiting for the calls in flight\n", s.stderr.String())
}

// timeout(1) sends to its child and to the group: that is one wish to end, not two.
func TestSignalThatComesTwiceIsOne(t *testing.T) {
	s := serveDemo(t, "--drain-timeout", "10m")
	peer := lazyPeer(t, s)
	s.signal(syscall.SIGTERM)
	require.Equal(t, "terminated: draining, for up to 10m0s", s.line())
	s.signal(syscall.SIGTERM)
	require.NoError(t, peer.Close())
	status, stdout := s.wait()
	require.Zero(t, status, "stderr: %s", &s.stderr)
	require.Equal(t, "drained\n", stdout)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func TestAdmin(t *testing.T) {
	s := serveDemo(t)
	got := smf(t, "load", s.addresses[0], "SmfStorage.Get", "--duration", "50ms", "--warmup", "0s")
	require.Zero(t, got.status, got.stderr)

	status, body := get(t, s.admin+"/healthz")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)
	status, body = get(t, s.admin+"/readyz")
	require.Equal(t, 200, status)
	require.Equal(t, "ready\n", body)
	status, body = get(t, s.admin+"/metrics")
	require.Equal(t, 200, status)
	require.Contains(t, body, `smf_rpc_requests_total{code="200",method="Get",service="SmfStorage"}`)
	status, body = get(t, s.admin+"/stats")
	require.Equal(t, 200, status)
	var stats admin.Stats
	require.NoError(t, json.Unmarshal([]byte(body), &stats))
	require.Equal(t, version, stats.Version)
	require.Equal(t, s.engine, stats.Engine)
	require.Len(t, stats.Cores, 1)
	require.Positive(t, stats.Cores[0].Requests)
	require.Equal(t, stats.Cores[0].Requests, stats.Cores[0].Replies)
	for _, page := range []string{"/debug/pprof/", "/config"} {
		status, _ = get(t, s.admin+page)
		require.Equal(t, 404, status, page)
	}
}

func TestAdminWithOptions(t *testing.T) {
	s := serveDemo(t, "--admin-pprof", "--admin-config")
	status, body := get(t, s.admin+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, 200, status)
	require.Contains(t, body, "goroutine profile:")
	status, body = get(t, s.admin+"/config")
	require.Equal(t, 200, status)
	require.Contains(t, body, s.addresses[0])
}

func TestAdminPortAloneIsOfThisMachine(t *testing.T) {
	for _, port := range []string{"0", ":0"} {
		s := startServer(t, "--listen", "127.0.0.1:0", "--admin", port)
		require.Regexp(t, `^http://127\.0\.0\.1:[0-9]+$`, s.admin)
	}
}

func TestAdminOff(t *testing.T) {
	for _, off := range []string{"off", ""} {
		s := startServer(t, "--listen", "127.0.0.1:0", "--admin", off)
		s.signal(syscall.SIGTERM)
		status, stdout := s.wait()
		require.Zero(t, status)
		require.NotContains(t, stdout, "admin")
	}
}

func TestPortInUse(t *testing.T) {
	s := serveDemo(t)
	taken := s.addresses[0]
	got := smf(t, "serve", "--demo", "--admin", "off", "--listen", taken)
	require.Equal(t, outcome{1, "", "smf: listen on " + taken + ": Address already in use: another server listens " +
		"there, of this program or another; stop it or choose another port (0: any)\n"}, got)

	taken = strings.TrimPrefix(s.admin, "http://")
	got = smf(t, "serve", "--demo", "--listen", "127.0.0.1:0", "--admin", taken)
	require.Equal(t, outcome{1, "", `smf: admin address "` + taken + `": address already in use; choose another with ` +
		"--admin, or --admin off\n"}, got)
}

func TestAddressOfAnotherMachine(t *testing.T) {
	got := smf(t, "serve", "--demo", "--admin", "off", "--listen", "192.0.2.1:0")
	require.Equal(t, outcome{1, "", "smf: listen on 192.0.2.1:0: Cannot assign requested address: not an address of " +
		"this machine\n"}, got)
}

// asNobody runs the program as a user without privileges.
func asNobody(t *testing.T, args ...string) outcome {
	t.Helper()
	command := exec.Command(binary(t), args...)
	command.Dir = "/"
	if os.Geteuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return runToEnd(t, command)
}

func TestNoPermission(t *testing.T) {
	const advice = ": Permission denied: ports below 1024 need privileges; choose another port\n"
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	require.NoError(t, err)
	first, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	if first > 1 {
		got := asNobody(t, "serve", "--demo", "--admin", "off", "--listen", "127.0.0.1:1")
		require.Equal(t, outcome{1, "", "smf: listen on 127.0.0.1:1" + advice}, got)
		got = asNobody(t, "serve", "--demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:1")
		require.Equal(t, outcome{1, "", `smf: admin address "127.0.0.1:1": permission denied; choose another with ` +
			"--admin, or --admin off\n"}, got)
	}
	folder := t.TempDir()
	require.NoError(t, os.Chmod(folder, 0o500))
	if os.Geteuid() != 0 {
		t.Cleanup(func() { _ = os.Chmod(folder, 0o700) })
	}
	address := "unix:" + filepath.Join(folder, "s")
	got := asNobody(t, "serve", "--demo", "--admin", "off", "--listen", address)
	require.Equal(t, 1, got.status)
	require.Contains(t, got.stderr, "Permission denied: this user may not make files in that folder; choose another")
	require.Equal(t, 1, strings.Count(got.stderr, "\n"))
}

func TestProcsAreRaisedAndItSaysSo(t *testing.T) {
	t.Setenv("GOMAXPROCS", "1")
	s := startServer(t, "--listen", "127.0.0.1:0", "--admin", "off")
	require.Equal(t, "GOMAXPROCS raised from 1 to 2: one more than cores, for handlers that block", s.line())
	s.signal(syscall.SIGTERM)
	status, _ := s.wait()
	require.Zero(t, status)
	require.Empty(t, s.stderr.String())
}

func TestMemoryReachesTheEngine(t *testing.T) {
	s := startServer(t, "--listen", "127.0.0.1:0", "--admin", "off", "--memory", "256MiB")
	require.Contains(t, s.engine, "memory=256 MiB a core")
}
