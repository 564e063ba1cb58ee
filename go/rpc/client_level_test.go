package rpc_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// clock is one that a test sets.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time         { return time.Unix(0, c.ns.Load()) }
func (c *clock) passes(d time.Duration) { c.ns.Add(int64(d)) }

// forgetful begins a test with nothing known of any server.
func forgetful(t testing.TB, keep time.Duration) *clock {
	c := new(clock)
	c.passes(time.Hour)
	t.Cleanup(rpc.Level1Memory(c.now, keep))
	return c
}

// asked takes the question for level 2 in.
func (w wire) asked() (session uint16) {
	w.t.Helper()
	h, payload := w.receive()
	require.EqualValues(w.t, frame.HelloMethodID, h.Meta)
	hello, err := frame.ReadHello([]byte(payload))
	require.NoError(w.t, err)
	require.EqualValues(w.t, 2, hello.Level)
	return h.Session
}

// agrees answers the question, as a server of level 2.
func (w wire) agrees() peer2 {
	w.t.Helper()
	w.send(w.asked(), uint32(rpc.CodeOK), string(hello.Append(nil)))
	return peer2{w}
}

// dialling dials elsewhere.
func dialling(t testing.TB, address string, options rpc.ClientOptions) (client <-chan *rpc.Client, failure <-chan error) {
	clients, errs := make(chan *rpc.Client, 1), make(chan error, 1)
	go func() {
		c, err := rpc.Dial(patient(t), address, options)
		if err != nil {
			errs <- err
			return
		}
		t.Cleanup(func() { _ = c.Close() })
		clients <- c
	}()
	return clients, errs
}

func TestLevel2WithAServerThatKnowsIt(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	for _, level := range []int{0, rpc.RequireLevel2} {
		c := dialWith(t, address, rpc.ClientOptions{Level: level})
		require.Equal(t, 2, c.Level())
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
	}
	c := dialLevel1(t, address)
	require.Equal(t, 1, c.Level())
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	require.NoError(t, c.Close())
	require.Zero(t, c.Level())
	for _, level := range []int{-1, 3} {
		_, err := rpc.Dial(patient(t), address, rpc.ClientOptions{Level: level})
		require.ErrorContains(t, err, "RequireLevel2")
	}
}

// Who closes, who says nothing and who answers that there is no such method speaks level 1: that is asked
// once, and again when what is known of it is old.
func TestFallbackToLevel1(t *testing.T) {
	for name, refuse := range map[string]func(w wire){
		"closes":         func(w wire) { _ = w.Close() },
		"says nothing":   func(wire) {},
		"knows no Hello": func(w wire) { w.send(1, uint32(rpc.CodeNotFound), string(make([]byte, 12))) },
		"echoes":         func(w wire) { w.send(1, frame.HelloMethodID, "whatever") },
	} {
		t.Run(name, func(t *testing.T) {
			clock := forgetful(t, 10*time.Minute)
			address, accept := peer(t)
			serves := func(w wire) {
				h, payload := w.receive()
				require.EqualValues(t, idEcho, h.Meta)
				require.Zero(t, h.Flags)
				w.send(h.Session, uint32(rpc.CodeOK), payload)
			}
			for range 2 {
				clients, _ := dialling(t, address, rpc.ClientOptions{})
				w := accept()
				w.asked()
				refuse(w)
				w = accept()
				c := within(t, clients, "it connects at level 1")
				require.Equal(t, 1, c.Level())
				replies := make(chan string, 1)
				go func() { replies <- answer(t, c, idEcho, "x") }()
				serves(w)
				require.Equal(t, "x", within(t, replies, "the reply"))

				clock.passes(5 * time.Minute)
				clients, _ = dialling(t, address, rpc.ClientOptions{})
				w = accept()
				c = within(t, clients, "another client knows it")
				go func() { replies <- answer(t, c, idEcho, "y") }()
				serves(w)
				require.Equal(t, "y", within(t, replies, "the reply"))
				clock.passes(5 * time.Minute)
			}
		})
	}
}

// A server that is gone is not taken for one of level 1.
func TestAServerThatIsGoneIsNotRemembered(t *testing.T) {
	forgetful(t, time.Hour)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, failures := dialling(t, l.Addr().String(), rpc.ClientOptions{})
	conn, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, conn.Close())
	require.ErrorContains(t, within(t, failures, "dialling fails"), "nobody listens there")
	require.Zero(t, rpc.Level1Known())
}

func TestRequireLevel2(t *testing.T) {
	forgetful(t, time.Hour)
	_, address := start(t, rpc.ServerOptions{Level: 1})
	require.Equal(t, 1, dial(t, address).Level())
	require.Equal(t, 1, rpc.Level1Known())
	for range 2 { // also who knows asks
		_, err := rpc.Dial(patient(t), address, rpc.ClientOptions{Level: rpc.RequireLevel2})
		var e *rpc.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, rpc.CodeLevel, e.Code)
		require.ErrorContains(t, err, address+" speaks level 1 of the wire format")
		require.ErrorContains(t, err, "leave Level 0")
	}
}

// A server is upgraded: a client with a connection of level 1 finds out when what it knows is old, and so
// does one that has to connect again. Calls in flight end where they are.
func TestAServerThatIsUpgraded(t *testing.T) {
	t.Cleanup(rpc.Level1Memory(time.Now, 300*time.Millisecond))
	address, accept := peer(t)
	clients, _ := dialling(t, address, rpc.ClientOptions{})
	_ = accept().Close()
	old := accept()
	c := within(t, clients, "it connects at level 1")
	early := make(chan string, 1)
	go func() { early <- answer(t, c, idWork, "early") }()
	h, payload := old.receive()
	p := accept().agrees()
	eventually(t, "calls go to the new connection", func() bool { return c.Level() == 2 })
	late := make(chan string, 1)
	go func() { late <- answer(t, c, idWork, "late") }()
	r := p.receive()
	p.write(frame2(0, r.Session, uint32(rpc.CodeOK), r.payload))
	require.Equal(t, "late", within(t, late, "its reply"))
	old.send(h.Session, uint32(rpc.CodeOK), payload)
	require.Equal(t, "early", within(t, early, "its reply"))
	old.ends()
	require.Zero(t, rpc.Level1Known())
}

// A server of level 1 is asked again and again, and nothing else changes.
func TestAServerThatStaysAtLevel1(t *testing.T) {
	t.Cleanup(rpc.Level1Memory(time.Now, 20*time.Millisecond))
	_, address := start(t, rpc.ServerOptions{Level: 1})
	c := dial(t, address)
	until := time.Now().Add(100 * time.Millisecond)
	for time.Now().Before(until) {
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
		require.Equal(t, 1, c.Level())
	}
}

// Another server comes to the address, of another level.
func TestReconnectAtAnotherLevel(t *testing.T) {
	clock := forgetful(t, 10*time.Minute)
	options := rpc.ClientOptions{BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond}
	address := fmt.Sprintf("unix:@smf-level-%d", os.Getpid())
	server, _ := startAt(t, address, rpc.ServerOptions{})
	c := dialWith(t, address, options)
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	for _, level := range []int{1, 2, 1, 2} {
		clock.passes(10 * time.Minute)
		require.NoError(t, server.Close())
		eventually(t, "the address is free", func() bool { return len(server.Stats().Cores) == 0 })
		server, _ = startAt(t, address, rpc.ServerOptions{Level: level})
		eventually(t, "calls work again", func() bool {
			_, err := call(c, patient(t), idEcho, "x")
			return err == nil
		})
		require.Equal(t, level, c.Level())
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	const bound = 1024
	clock := forgetful(t, time.Hour)
	for i := range 3 * bound {
		rpc.Level1Remember(number(i))
		clock.passes(time.Millisecond)
	}
	require.Equal(t, bound, rpc.Level1Known())
	require.Zero(t, rpc.Level1Left(number(2*bound-1)), "the oldest are forgotten")
	require.Positive(t, rpc.Level1Left(number(2*bound)))
}

// Whoever gives up while it is asked gets his own error.
func TestGivingUpWhileItIsAsked(t *testing.T) {
	forgetful(t, time.Hour)
	address, accept := peer(t)
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, 1)
	go func() { _, err := rpc.Dial(ctx, address, rpc.ClientOptions{}); errs <- err }()
	accept().asked()
	cancel()
	err := within(t, errs, "it gives up")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "connecting to "+address)
}
