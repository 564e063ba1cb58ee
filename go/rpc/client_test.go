package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// A thousand goroutines on one connection: each gets its own reply.
func TestEveryCallerGetsItsOwnReply(t *testing.T) {
	const callers, callsEach, sizeMax = 1000, 4, 100 << 10
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if rand.IntN(100) == 0 {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond) // replies overtake each other
		}
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	text := randomText(1, sizeMax+8*callers)
	var running sync.WaitGroup
	for i := range callers {
		running.Go(func() {
			for range callsEach {
				own := text[i*8 : i*8+1+rand.IntN(sizeMax)]
				got, err := call(c, patient(t), idEcho+uint32(rand.IntN(2)), own)
				if err != nil || got != own {
					t.Errorf("caller %d got another reply, or none: %v", i, err)
					return
				}
			}
		})
	}
	running.Wait()
}

// Thousands of calls are given up; those that come later are answered as if nothing had been.
func TestCancelledCalls(t *testing.T) {
	const cancelled = 3000
	_, address, gate, entered := gated(t, rpc.ServerOptions{})
	open := opened(gate)
	defer open()
	c := dial(t, address)
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, cancelled)
	for range cancelled {
		go func() {
			_, err := call(c, ctx, idGate, "late")
			errs <- err
		}()
	}
	eventually(t, "all run", func() bool { return entered.Load() == cancelled })
	cancel()
	for range cancelled {
		err := within(t, errs, "the caller comes back")
		require.ErrorIs(t, err, context.Canceled)
		var e *rpc.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, rpc.CodeCancelled, e.Code)
		require.True(t, e.MayHaveRun)
	}
	release := make(chan struct{})
	go func() { // late replies come between the others
		defer close(release)
		for range cancelled {
			gate <- struct{}{}
		}
	}()
	for i := range cancelled {
		require.Equal(t, number(i), answer(t, c, idEcho, number(i)))
	}
	within(t, release, "the late ones return")

	before, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	_, err := call(c, before, idGate, "x")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = call(c, before, idEcho, "x")
	var e *rpc.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, rpc.CodeDeadline, e.Code)
	require.False(t, e.MayHaveRun, "never sent")
}

// peer listens and lets the test play the server.
func peer(t *testing.T) (address string, accept func() wire) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), func() wire {
		c, err := l.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		return wire{t, c}
	}
}

// The session of a call that was given up is not used for another until its reply came.
func TestASessionStaysTakenUntilItsReply(t *testing.T) {
	address, accept := peer(t)
	c := dialLevel1(t, address)
	w := accept()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() {
		_, err := call(c, ctx, idWork, "first")
		gone <- err
	}()
	h, _ := w.receive()
	require.EqualValues(t, 1, h.Session, "sessions begin with 1")
	cancel()
	require.ErrorIs(t, within(t, gone, "the call is given up"), context.Canceled)

	// Once around all sessions, through 0, and past the one that is taken.
	const callers, each = 50, 1400
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for range each {
				if got, err := call(c, patient(t), idEcho, "x"); err != nil || got != "x" {
					t.Errorf("%q %v", got, err)
					return
				}
			}
		})
	}
	wrapped := false
	for range callers * each {
		h, payload := w.receive()
		require.NotEqualValues(t, 1, h.Session)
		wrapped = wrapped || h.Session == 0
		w.send(h.Session, uint32(rpc.CodeOK), payload)
	}
	running.Wait()
	require.True(t, wrapped)

	w.send(1, uint32(rpc.CodeOK), "late")
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idEcho, "after") }()
	h, payload := w.receive()
	w.send(h.Session, uint32(rpc.CodeOK), payload)
	require.Equal(t, "after", within(t, answers, "an answer"))
}

// Replies to calls that nobody made are dropped.
func TestRepliesThatNobodyWaitsFor(t *testing.T) {
	address, accept := peer(t)
	c := dialLevel1(t, address)
	w := accept()
	for i := range uint16(1000) {
		w.send(100+i, uint32(rpc.CodeOK), "unasked")
	}
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idEcho, "x") }()
	h, payload := w.receive()
	w.send(h.Session, uint32(rpc.CodeOK), payload)
	w.send(h.Session, uint32(rpc.CodeOK), "twice")
	require.Equal(t, "x", within(t, answers, "an answer"))
}

// The other side breaks the rules: the connection ends, with a reason, and another one is opened.
func TestAPeerThatSendsRubbish(t *testing.T) {
	address, accept := peer(t)
	c := dialLevel1(t, address)
	const other = " (it does not speak smf; an admin address speaks HTTP)"
	for _, test := range []struct{ rubbish, says string }{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "bad compression" + other},
		{string(make([]byte, 16)), "size zero" + other},
		{"\x00\x00\x01\x00\xff\xff\xff\x7f\x01\x00\x00\x00\xc8\x00\x00\x00", "frame too large"},
	} {
		w := accept()
		errs := make(chan error, 1)
		go func() {
			for { // until the client has found the new connection
				_, err := call(c, patient(t), idEcho, "x")
				if e := err.(*rpc.Error); e.MayHaveRun {
					errs <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		w.receive()
		_, err := w.Write([]byte(test.rubbish))
		require.NoError(t, err)
		err = within(t, errs, "the caller is told")
		require.ErrorIs(t, err, rpc.ErrUnavailable)
		require.EqualError(t, err, "rpc: 503 unavailable: connection to "+address+" ended: "+test.says+" before the reply came")
	}
}

// Who has answered before does speak smf.
func TestAPeerThatGoesMad(t *testing.T) {
	address, accept := peer(t)
	c := dialLevel1(t, address)
	w := accept()
	results := make(chan error, 1)
	ask := func() { _, err := call(c, patient(t), idEcho, "x"); results <- err }
	go ask()
	h, payload := w.receive()
	w.send(h.Session, uint32(rpc.CodeOK), payload)
	require.NoError(t, within(t, results, "an answer"))
	go ask()
	w.receive()
	_, err := w.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	require.NoError(t, err)
	require.EqualError(t, within(t, results, "the caller is told"),
		"rpc: 503 unavailable: connection to "+address+" ended: bad compression before the reply came")
}

func TestDialErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refused := closed.Addr().String()
	require.NoError(t, closed.Close())
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, test := range []struct{ address, says string }{
		{refused, refused + ": nobody listens there"},
		{"no-such-host.invalid:80", "no-such-host.invalid"},
		{"unix:/none/socket", "can't connect: unix:/none/socket: No such file or directory: nobody listens there"},
		{"unix:" + file, ": Connection refused: what is there is no socket"},
	} {
		c, err := rpc.Dial(patient(t), test.address, rpc.ClientOptions{})
		require.Nil(t, c)
		var e *rpc.Error
		require.ErrorAs(t, err, &e, test.address)
		require.Equal(t, rpc.CodeUnavailable, e.Code)
		require.NotErrorIs(t, err, rpc.ErrAddress, "another attempt may succeed")
		require.False(t, e.MayHaveRun)
		require.Contains(t, err.Error(), test.says)
		require.NotContains(t, err.Error(), "\n")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = rpc.Dial(ctx, "127.0.0.1:1", rpc.ClientOptions{})
	require.Error(t, err)
}

func TestAddressesThatCanNotBe(t *testing.T) {
	const port = "the port is no number from 0 to 65535, nor the name of a service"
	for _, test := range []struct{ address, why string }{
		{"localhost", "the port is missing"},
		{"127.0.0.1", "the port is missing"},
		{"127.0.0.1:", "the port is missing"},
		{"[::1]", "the port is missing"},
		{"", "the port is missing"},
		{"::1", "an IPv6 address belongs in brackets"},
		{"http://localhost:80", "an address is no URL"},
		{"http://localhost", "an address is no URL"},
		{"127.0.0.1:no-such-port", port},
		{"no-such-host.invalid:no-such-port", port},
		{"127.0.0.1:99999", port},
		{"127.0.0.1:-1", port},
	} {
		_, err := rpc.Dial(patient(t), test.address, rpc.ClientOptions{})
		require.EqualError(t, err, fmt.Sprintf("rpc: 400 malformed request: address %q: %s "+
			"(use host:port, [::1]:port, unix:/path or unix:@name)", test.address, test.why))
		require.ErrorIs(t, err, rpc.ErrAddress)
	}
	for _, test := range []struct{ address, says string }{
		{"unix:", `address "unix:": the socket's path is missing (use `},
		{"unix:" + strings.Repeat("x", 300), "the socket's path is longer than 107 bytes"},
		{"unix:a\x00b", `"unix:a\x00b": an address has no zero bytes`},
		{"127.0.0.1:0", "address \"127.0.0.1:0\": port 0 is for listening; say the port that the server has"},
	} {
		_, err := rpc.Dial(patient(t), test.address, rpc.ClientOptions{})
		require.ErrorContains(t, err, test.says)
		require.ErrorIs(t, err, rpc.ErrAddress)
		var e *rpc.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, rpc.CodeBadRequest, e.Code)
	}
}

// Names of services are ports, too.
func TestServicesHaveNames(t *testing.T) {
	c, err := rpc.Dial(patient(t), "127.0.0.1:https", rpc.ClientOptions{})
	if err == nil { // somebody listens there
		require.NoError(t, c.Close())
		return
	}
	require.NotErrorIs(t, err, rpc.ErrAddress)
	require.ErrorContains(t, err, "127.0.0.1:443")
}

func TestCallsThatCanNotBe(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	c := dial(t, address)
	require.Equal(t, rpc.CodeBadRequest, fails(t, c, 0, "x").Code)
	require.Equal(t, rpc.CodeBadRequest, fails(t, c, idEcho, "").Code)
	large := make([]byte, 16<<20+1)
	_, err := c.Call(patient(t), idEcho, large)
	var e *rpc.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, rpc.CodeTooLarge, e.Code)
	require.False(t, e.MayHaveRun)
	require.Equal(t, "x", answer(t, c, idEcho, "x"), "on the same connection")
}

// Whether or not other clients of the process go on.
func TestCloseFailsTheCallsThatWait(t *testing.T) {
	for _, others := range []bool{false, true} {
		t.Run(fmt.Sprintf("others %v", others), func(t *testing.T) {
			_, address, gate, entered := gated(t, rpc.ServerOptions{})
			defer opened(gate)()
			c, err := rpc.Dial(patient(t), address, rpc.ClientOptions{})
			require.NoError(t, err)
			if others {
				dial(t, address)
			}
			errs := make(chan error, 10)
			for range cap(errs) {
				go func() {
					_, err := call(c, context.Background(), idGate, "x")
					errs <- err
				}()
			}
			eventually(t, "all run", func() bool { return entered.Load() == int64(cap(errs)) })
			require.NoError(t, c.Close())
			require.NoError(t, c.Close())
			for range cap(errs) {
				err := within(t, errs, "the caller is told")
				var e *rpc.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, rpc.CodeUnavailable, e.Code)
				require.True(t, e.MayHaveRun)
			}
			_, err = call(c, context.Background(), idEcho, "x")
			require.ErrorIs(t, err, rpc.ErrClosed)
		})
	}
}

// The peer reads nothing: callers wait for room, and Close and their contexts end that.
func TestAPeerThatDoesNotRead(t *testing.T) {
	address, accept := peer(t)
	c, err := rpc.Dial(patient(t), address, rpc.ClientOptions{Level: 1})
	require.NoError(t, err)
	accept()
	large := make([]byte, 4<<20)
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, 20)
	for i := range cap(errs) {
		go func() {
			own := context.Background()
			if i%2 == 0 {
				own = ctx
			}
			_, err := c.Call(own, idEcho, large)
			errs <- err
		}()
	}
	time.Sleep(20 * time.Millisecond) // some wait for room by now; nothing depends on it
	cancel()
	for range cap(errs) / 2 {
		require.ErrorIs(t, within(t, errs, "the caller comes back"), context.Canceled)
	}
	require.NoError(t, c.Close())
	for range cap(errs) / 2 {
		require.ErrorIs(t, within(t, errs, "the caller is told"), rpc.ErrUnavailable)
	}
}

func TestAddressFamilies(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "unix:" + filepath.Join(t.TempDir(), "socket"),
		fmt.Sprintf("unix:@smf-family-%d", os.Getpid())} {
		_, bound := startAt(t, address, rpc.ServerOptions{})
		c := dial(t, bound)
		require.Equal(t, address, answer(t, c, idEcho, address))
	}
	_, bound := start(t, rpc.ServerOptions{})
	_, port, err := net.SplitHostPort(bound)
	require.NoError(t, err)
	require.Equal(t, "x", answer(t, dial(t, "localhost:"+port), idEcho, "x"))
	require.Equal(t, "x", answer(t, dial(t, ":"+port), idEcho, "x"))
}

func TestLargeMessagesBothWays(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	c := dial(t, address)
	text := randomText(3, 15<<20)
	var running sync.WaitGroup
	var small atomic.Int64
	for range 3 {
		running.Go(func() {
			for range 2 {
				got, err := call(c, patient(t), idEcho, text)
				if err != nil || got != text {
					t.Errorf("%d bytes: %v", len(got), err)
				}
			}
		})
	}
	for range 100 { // small ones find their way between
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
		small.Add(1)
	}
	running.Wait()
}

// Clients come and go; the loop that they share comes and goes with them.
func TestManyClients(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	before := entries(t, "/proc/self/fd")
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for i := range 50 {
				c, err := rpc.Dial(context.Background(), address, rpc.ClientOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := call(c, patient(t), idEcho, number(i)); err != nil || got != number(i) {
					t.Errorf("%v", err)
				}
				_ = c.Close()
			}
		})
	}
	running.Wait()
	// One more: what tells the server's stand-in whether the driver sleeps is opened when it first matters.
	eventually(t, "every file is closed", func() bool { return entries(t, "/proc/self/fd") <= before+1 })
}
