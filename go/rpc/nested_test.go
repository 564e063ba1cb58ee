package rpc_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// A service that calls another one in the same process gives its loop away while it waits.
func TestAHandlerThatCallsAnotherService(t *testing.T) {
	_, backAddress := start(t, rpc.ServerOptions{})
	back := dial(t, backAddress)
	front, frontAddress := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		m, err := back.Call(ctx, idEcho, req.Payload())
		if err != nil {
			return err
		}
		defer m.Release()
		return reply.Bytes(append([]byte("front "), m.Payload()...))
	}))
	c := dial(t, frontAddress)
	require.Equal(t, "front x", answer(t, c, idWork, "x"))
	require.EqualValues(t, 1, core(front).HandlersGave)
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 100 {
				require.Equal(t, "front x", answer(t, c, idWork, "x"))
				require.Equal(t, "y", answer(t, c, idEcho, "y"))
			}
		})
	}
	callers.Wait()
}

// Three levels deep on one core: without the hand-over the loop would wait for itself.
func TestAHandlerThatCallsItself(t *testing.T) {
	var c atomic.Pointer[rpc.Client]
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		depth := req.Payload()[0]
		if depth == 0 {
			return reply.Bytes([]byte("bottom"))
		}
		m, err := c.Load().Call(ctx, idWork, []byte{depth - 1})
		if err != nil {
			return err
		}
		defer m.Release()
		return reply.Bytes(append([]byte(">"), m.Payload()...))
	}))
	c.Store(dial(t, address))
	require.Equal(t, ">>>bottom", answer(t, c.Load(), idWork, "\x03"))
	require.GreaterOrEqual(t, core(server).HandlersGave, uint64(1))
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for range 20 {
				require.Equal(t, ">>>bottom", answer(t, c.Load(), idWork, "\x03"))
			}
		})
	}
	callers.Wait()
}

// Dial in a handler, to the server that the handler runs on.
func TestAHandlerThatDials(t *testing.T) {
	var own atomic.Pointer[string]
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		c, err := rpc.Dial(ctx, *own.Load(), rpc.ClientOptions{})
		if err != nil {
			return err
		}
		defer c.Close()
		m, err := c.Call(ctx, idEcho, req.Payload())
		if err != nil {
			return err
		}
		return reply.Bytes(m.Payload())
	}))
	own.Store(&address)
	require.Equal(t, "x", answer(t, dial(t, address), idWork, "x"))
	require.EqualValues(t, 1, core(server).HandlersGave)
}

// A context whose Done was asked for may outlive its handler. Calls that are made with it by then fail
// as cancelled; they do not take the loop from the handler that runs now.
func TestAContextThatOutlivesItsHandler(t *testing.T) {
	var c atomic.Pointer[rpc.Client]
	var left sync.WaitGroup
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		ctx, cancel := context.WithTimeout(ctx, time.Hour)
		left.Go(func() {
			defer cancel()
			for ctx.Err() == nil {
				if m, err := c.Load().Call(ctx, idEcho, []byte("left behind")); err == nil {
					m.Release()
				}
			}
		})
		return reply.Bytes(req.Payload())
	}))
	c.Store(dial(t, address))
	for range 300 {
		require.Equal(t, "x", answer(t, c.Load(), idWork, "x"))
	}
	left.Wait()
}

// With the smallest budget, handlers that call their own server do not use up the memory that the calls
// they wait for need.
func TestCallingItselfInLittleMemory(t *testing.T) {
	const calls = 200
	var self atomic.Pointer[rpc.Client]
	_, address := start(t, rpc.ServerOptions{MemoryBytes: 8 << 20},
		method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			inner, err := self.Load().Call(ctx, idEcho, req.Payload())
			if err != nil {
				return err
			}
			defer inner.Release()
			return reply.Bytes(append([]byte(nil), inner.Payload()...))
		}))
	c := dial(t, address)
	self.Store(c)
	var waiting sync.WaitGroup
	for i := range calls {
		waiting.Go(func() { require.Equal(t, number(i), answer(t, c, idWork, number(i))) })
	}
	waiting.Wait()
}

// Large requests of handlers that start as goroutines stay within the core's budget: the core stops
// reading instead.
func TestSlowHandlersOfLargeRequests(t *testing.T) {
	const calls, size = 64, 512 << 10 // 32 MiB for a budget of 16
	gate := make(chan struct{})
	var running atomic.Int64
	slow := method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		running.Add(1)
		<-gate
		return reply.Bytes(req.Payload()[:8])
	})
	slow.Slow = true
	server, address := start(t, rpc.ServerOptions{MemoryBytes: 16 << 20}, slow)
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	var waiting sync.WaitGroup
	for i := range calls {
		waiting.Go(func() {
			require.Equal(t, number(i), answer(t, c, idWork, number(i)+strings.Repeat("x", size)))
		})
	}
	eventually(t, "the core stops reading", func() bool { return core(server).ReadsPaused > 0 })
	require.Less(t, running.Load(), int64(calls))
	require.LessOrEqual(t, core(server).MemoryBytes, uint64(16<<20))
	close(gate)
	waiting.Wait()
	comesBack(t, server, c, idle)
}
