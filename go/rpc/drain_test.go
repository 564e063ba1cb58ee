package rpc_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// gated serves a method that waits for the gate; entered counts its calls.
func gated(t *testing.T, options rpc.ServerOptions) (server *rpc.Server, address string, gate chan struct{}, entered *atomic.Int64) {
	gate, entered = make(chan struct{}), new(atomic.Int64)
	server, address = start(t, options, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		entered.Add(1)
		<-gate
		return reply.Bytes(req.Payload())
	}))
	return server, address, gate, entered
}

func opened(gate chan struct{}) func() { return sync.OnceFunc(func() { close(gate) }) }

func TestDrain(t *testing.T) {
	server, address, gate, entered := gated(t, rpc.ServerOptions{})
	defer opened(gate)()
	w, idle := dialWire(t, address), dialWire(t, address)
	idle.send(1, idEcho, "x")
	idle.receive()
	w.send(1, idGate, "in flight")
	eventually(t, "the handler runs", func() bool { return entered.Load() == 1 })

	drained := make(chan error, 1)
	go func() { drained <- server.Drain(patient(t)) }()
	eventually(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	idle.ends()
	w.send(2, idEcho, "new")
	h, _ := w.receive()
	require.EqualValues(t, rpc.CodeUnavailable, h.Meta)
	require.EqualValues(t, 2, h.Session)
	gate <- struct{}{}
	h, payload := w.receive()
	require.EqualValues(t, rpc.CodeOK, h.Meta)
	require.Equal(t, "in flight", payload)
	w.ends()
	require.NoError(t, w.Close())
	require.NoError(t, idle.Close())
	require.NoError(t, within(t, drained, "Drain returns"))
	require.NoError(t, server.Drain(context.Background()), "once more")
	require.NoError(t, server.Close())
}

func TestDrainOfAnIdleServer(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Cores: 2})
	c := dial(t, address)
	answer(t, c, idEcho, "x")
	require.NoError(t, server.Drain(patient(t)))
}

func TestDrainBeforeServe(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	require.NoError(t, server.Drain(context.Background()))
	require.ErrorIs(t, server.Serve(), rpc.ErrClosed)
	require.ErrorContains(t, server.Serve(), "drained or closed does not serve again")
}

// A handler that never returns does not keep Drain beyond its deadline.
func TestDrainReturnsAtItsDeadline(t *testing.T) {
	server, address, gate, entered := gated(t, rpc.ServerOptions{})
	open := opened(gate)
	defer open()
	c := dial(t, address)
	errs := make(chan error, 1)
	go func() {
		_, err := call(c, context.Background(), idGate, "x")
		errs <- err
	}()
	eventually(t, "the handler runs", func() bool { return entered.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, server.Drain(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, within(t, errs, "the caller is told"), rpc.ErrUnavailable)
	require.NotEmpty(t, server.Stats().Cores, "the handler still uses the memory")
	open()
	eventually(t, "it is freed", func() bool { return len(server.Stats().Cores) == 0 })
}

// Two drains, of which one comes when a core has ended and the other has not; and a Close in between.
func TestDrainsAndCloseTogether(t *testing.T) {
	server, address, gate, entered := gated(t, rpc.ServerOptions{Cores: 2})
	defer opened(gate)()
	c := dial(t, address)
	go func() { _, _ = call(c, context.Background(), idGate, "x") }()
	eventually(t, "the handler runs", func() bool { return entered.Load() == 1 })
	drained := make(chan error, 3)
	for range 2 {
		go func() { drained <- server.Drain(patient(t)) }()
		time.Sleep(20 * time.Millisecond) // the idle core's drain ends meanwhile
	}
	go func() { drained <- server.Drain(patient(t)) }()
	require.NoError(t, server.Close())
	for range 3 {
		require.NoError(t, within(t, drained, "Drain returns"))
	}
}

// Close does not wait for handlers, but it tells them.
func TestCloseWhileHandlersWait(t *testing.T) {
	const handlers = 100
	var entered, cancelled atomic.Int64
	m := method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		entered.Add(1)
		<-ctx.Done()
		if ctx.Err() == context.Canceled {
			cancelled.Add(1)
		}
		time.Sleep(10 * time.Millisecond)
		return reply.Bytes(req.Payload())
	})
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{m}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	c := dial(t, address)
	errs := make(chan error, handlers)
	for range handlers {
		go func() {
			_, err := call(c, context.Background(), idWork, "x")
			errs <- err
		}()
	}
	eventually(t, "all wait", func() bool { return entered.Load() == handlers })
	require.NoError(t, server.Close())
	require.NoError(t, within(t, served, "Serve returns"))
	require.NoError(t, server.Close())
	for range handlers {
		err := within(t, errs, "callers are told")
		var e *rpc.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, rpc.CodeUnavailable, e.Code)
		require.True(t, e.MayHaveRun)
	}
	eventually(t, "handlers are told", func() bool { return cancelled.Load() == handlers })
	eventually(t, "memory is freed", func() bool { return len(server.Stats().Cores) == 0 })
	require.Equal(t, "closed", server.Engine())
}

// A handler may close the server that it runs on.
func TestCloseInAHandler(t *testing.T) {
	var server atomic.Pointer[rpc.Server]
	s, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		_ = server.Load().Close()
		return reply.Bytes(req.Payload())
	}))
	server.Store(s)
	require.Equal(t, rpc.CodeUnavailable, fails(t, dial(t, address), idWork, "x").Code)
	eventually(t, "memory is freed", func() bool { return len(s.Stats().Cores) == 0 })
}

// Servers come and go under load.
func TestCloseUnderLoad(t *testing.T) {
	for range 30 {
		server, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(time.Millisecond)
			return reply.Bytes(req.Payload())
		}))
		var callers sync.WaitGroup
		for i := range 8 {
			c := dial(t, address)
			callers.Go(func() {
				for {
					if _, err := call(c, context.Background(), idEcho+uint32(i%2), "x"); err != nil {
						break
					}
				}
				_ = c.Close()
			})
		}
		time.Sleep(3 * time.Millisecond)
		require.NoError(t, server.Close())
		callers.Wait()
	}
}

// Whoever asks when Drain has returned is told that all is over, however Drain ended.
func TestAfterADrainThatRanOutOfTime(t *testing.T) {
	server, address, tokens := promising(t)
	c := dial(t, address)
	go func() { _, _ = call(c, context.Background(), idWork, "x") }()
	within(t, tokens, "the handler runs")
	ctx, cancel := context.WithCancel(context.Background())
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(ctx) }()
	eventually(t, "it drains", func() bool { return errors.Is(server.Ready(), rpc.ErrDraining) })
	err := server.Serve()
	require.ErrorIs(t, err, rpc.ErrDraining)
	require.ErrorContains(t, err, "does not serve again")
	cancel()
	require.ErrorIs(t, within(t, drained, "the drain ends"), context.Canceled)
	require.ErrorIs(t, server.Ready(), rpc.ErrClosed)
	require.ErrorIs(t, server.Serve(), rpc.ErrClosed)
}

func TestTheOrderOfThings(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	answer(t, dial(t, address), idEcho, "x")
	require.ErrorContains(t, server.Serve(), "already serving")
	require.ErrorContains(t, server.Register(rpc.Service{Name: "B", Methods: []rpc.Method{method(idWork, echo)}}), "before Serve")
	_, err := server.Listen("127.0.0.1:0")
	require.ErrorContains(t, err, "before Serve")
	require.NoError(t, server.Close())
	require.NoError(t, server.Close())
	require.ErrorIs(t, server.Serve(), rpc.ErrClosed)
	_, err = server.Listen("127.0.0.1:0")
	require.ErrorIs(t, err, rpc.ErrClosed)
}
