package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// patience bounds what should take no time at all: tests wait for things to happen, not for time to
// pass, and machines can be busy.
const patience = 90 * time.Second

// Method ids of the services that tests make up.
const (
	idEcho uint32 = 1000 + iota
	idWork        // whatever the test is about
	idGate
	idMore
)

func method(id uint32, handle rpc.Handler) rpc.Method {
	return rpc.Method{Name: fmt.Sprint("Method", id), ID: id, Handle: handle}
}

func echo(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
	return reply.Bytes(req.Payload())
}

// start serves methods and an echo on a port of 127.0.0.1 until the test ends.
func start(t testing.TB, options rpc.ServerOptions, methods ...rpc.Method) (*rpc.Server, string) {
	t.Helper()
	return startAt(t, "127.0.0.1:0", options, methods...)
}

func startAt(t testing.TB, address string, options rpc.ServerOptions, methods ...rpc.Method) (*rpc.Server, string) {
	t.Helper()
	if options.Cores == 0 {
		options.Cores = 1
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	server, err := rpc.NewServer(options)
	require.NoError(t, err)
	methods = append([]rpc.Method{method(idEcho, echo)}, methods...)
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: methods}))
	bound, err := server.Listen(address)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		servedWell(t, served)
	})
	return server, bound
}

// servedWell expects Serve to return; a test may have been over before it began.
func servedWell(t testing.TB, served <-chan error) {
	t.Helper()
	if err := within(t, served, "Serve returns"); err != nil {
		require.ErrorIs(t, err, rpc.ErrClosed)
	}
}

func dial(t testing.TB, address string) *rpc.Client {
	t.Helper()
	return dialWith(t, address, rpc.ClientOptions{})
}

// dialLevel1 is for peers that do not answer the question for level 2.
func dialLevel1(t testing.TB, address string) *rpc.Client {
	t.Helper()
	return dialWith(t, address, rpc.ClientOptions{Level: 1})
}

func dialWith(t testing.TB, address string, options rpc.ClientOptions) *rpc.Client {
	t.Helper()
	client, err := rpc.Dial(patient(t), address, options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// patient is a context that ends with the test, or when patience is over.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// within receives from a channel that is expected to have something.
func within[T any](t testing.TB, channel <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-channel:
		return v
	case <-time.After(patience):
		require.FailNow(t, "does not happen: "+what)
		panic("unreachable")
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if condition() {
			return
		}
	}
	require.FailNow(t, "does not happen: "+what)
}

// answer calls and expects a reply.
func answer(t testing.TB, c *rpc.Client, id uint32, payload string) string {
	t.Helper()
	reply, err := call(c, patient(t), id, payload)
	require.NoError(t, err)
	return reply
}

func call(c *rpc.Client, ctx context.Context, id uint32, payload string) (string, error) {
	m, err := c.Call(ctx, id, []byte(payload))
	if err != nil {
		return "", err
	}
	defer m.Release()
	return string(m.Payload()), nil
}

// fails calls and expects an error.
func fails(t testing.TB, c *rpc.Client, id uint32, payload string) *rpc.Error {
	t.Helper()
	_, err := call(c, patient(t), id, payload)
	var e *rpc.Error
	require.ErrorAs(t, err, &e)
	return e
}

// wire is a peer that speaks frames by itself.
type wire struct {
	t testing.TB
	net.Conn
}

func dialWire(t testing.TB, address string) wire {
	t.Helper()
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	c, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return wire{t, c}
}

// request makes a frame.
func request(session uint16, meta uint32, payload string) []byte {
	h := frame.Header{Session: session, Size: uint32(len(payload)), Checksum: frame.Checksum([]byte(payload)), Meta: meta}
	return append(h.Append(nil), payload...)
}

func (w wire) send(session uint16, meta uint32, payload string) {
	w.t.Helper()
	_, err := w.Write(request(session, meta, payload))
	require.NoError(w.t, err)
}

// receive reads a frame and checks it.
func (w wire) receive() (h frame.Header, payload string) {
	w.t.Helper()
	h, payload, err := w.next()
	require.NoError(w.t, err)
	return h, payload
}

func (w wire) next() (frame.Header, string, error) {
	var head [frame.HeaderSize]byte
	if _, err := io.ReadFull(w, head[:]); err != nil {
		return frame.Header{}, "", err
	}
	h := frame.Decode(head[:])
	if fault := h.CheckLevel1(); fault != frame.Good {
		return h, "", fmt.Errorf("reply with a header that is not level 1: %v", fault)
	}
	payload := make([]byte, h.Size)
	if _, err := io.ReadFull(w, payload); err != nil {
		return h, "", err
	}
	if frame.Checksum(payload) != h.Checksum {
		return h, "", fmt.Errorf("reply with a wrong checksum")
	}
	return h, string(payload), nil
}

// ends expects the stream to end, without a reset.
func (w wire) ends() {
	w.t.Helper()
	rest, err := io.ReadAll(w)
	require.NoError(w.t, err)
	require.Empty(w.t, rest)
}

// logText is a logger whose lines can be looked at.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines are those that contain a text.
func (l *logText) lines(with string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range strings.Split(l.text.String(), "\n") {
		if strings.Contains(line, with) {
			found = append(found, line)
		}
	}
	return found
}

// core sums up the counters of a server's cores.
func core(s *rpc.Server) rpc.CoreStats {
	sum := rpc.CoreStats{Closed: map[string]uint64{}}
	for _, c := range s.Stats().Cores {
		sum.Requests += c.Requests
		sum.Replies += c.Replies
		sum.Turns += c.Turns
		sum.Reads += c.Reads
		sum.Writes += c.Writes
		sum.MemoryBytes += c.MemoryBytes
		sum.HandlersSlept += c.HandlersSlept
		sum.HandlersBusy += c.HandlersBusy
		sum.HandlersGave += c.HandlersGave
		sum.HandlersLate += c.HandlersLate
		sum.Goroutines += c.Goroutines
		sum.StaleReplies += c.StaleReplies
		sum.ReadsPaused += c.ReadsPaused
		sum.InFlight += c.InFlight
		for reason, n := range c.Closed {
			sum.Closed[reason] += n
		}
	}
	return sum
}

func deposed(s *rpc.Server) uint64 {
	c := core(s)
	return c.HandlersSlept + c.HandlersBusy + c.HandlersGave
}

// idleMemory is what a server uses that has served something and now has nothing to do.
func idleMemory(t testing.TB, s *rpc.Server, c *rpc.Client) uint64 {
	for range 10 {
		answer(t, c, idEcho, "x")
	}
	return core(s).MemoryBytes
}

// comesBack expects that no handler is late and that memory is what it was when idle.
func comesBack(t testing.TB, s *rpc.Server, c *rpc.Client, idle uint64) {
	t.Helper()
	eventually(t, "memory comes back", func() bool {
		answer(t, c, idEcho, "x")
		return core(s).HandlersLate == 0 && core(s).MemoryBytes <= idle
	})
}

const childVariable = "SMF_TEST_CHILD"

// inChild runs the test in a process of its own, for what is counted per process. It reports whether
// this is that process.
func inChild(t *testing.T, environment ...string) bool {
	if os.Getenv(childVariable) == t.Name() {
		return true
	}
	child := exec.CommandContext(patient(t), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(append(os.Environ(), childVariable+"="+t.Name()), environment...)
	output, err := child.CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, string(output), "--- PASS: "+t.Name())
	return false
}

func entries(t testing.TB, folder string) int {
	list, err := os.ReadDir(folder)
	require.NoError(t, err)
	return len(list)
}

func number(n int) string {
	return string(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

func numberOf(payload []byte) int { return int(binary.LittleEndian.Uint64(payload)) }
