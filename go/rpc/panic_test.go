package rpc_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func failsOnPurpose(context.Context, *rpc.Request, *rpc.Reply) error { panic("on purpose") }

func exits(context.Context, *rpc.Request, *rpc.Reply) error {
	runtime.Goexit()
	return nil
}

// Whatever way a handler fails without returning, its caller gets 500 and nobody else notices.
func TestHandlersThatDoNotReturn(t *testing.T) {
	late := func(h rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(20 * time.Millisecond)
			return h(ctx, req, reply)
		}
	}
	slow := func(m rpc.Method) rpc.Method {
		m.Slow = true
		return m
	}
	afterDefer := func(h rpc.Handler) rpc.Handler {
		return func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			reply.Defer()
			return h(ctx, req, reply)
		}
	}
	malformed := method(idWork, echo)
	malformed.Verify = func([]byte) error { panic("on purpose") }
	for _, test := range []struct {
		name   string
		method rpc.Method
		log    string
	}{
		{"panic", method(idWork, failsOnPurpose), "on purpose"},
		{"panic when late", method(idWork, late(failsOnPurpose)), "on purpose"},
		{"panic in a goroutine", slow(method(idWork, failsOnPurpose)), "on purpose"},
		{"panic after Defer", method(idWork, afterDefer(failsOnPurpose)), "on purpose"},
		{"panic in Verify", malformed, "on purpose"},
		{"nil panic value", method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
			panic(error(nil))
		}), "panic called with nil argument"},
		{"Goexit", method(idWork, exits), "runtime.Goexit"},
		{"Goexit when late", method(idWork, late(exits)), "runtime.Goexit"},
		{"Goexit in a goroutine", slow(method(idWork, exits)), "runtime.Goexit"},
		{"Goexit after Defer", method(idWork, afterDefer(exits)), "runtime.Goexit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log logText
			server, address := start(t, rpc.ServerOptions{Logger: log.logger()}, test.method)
			c := dial(t, address)
			idle := idleMemory(t, server, c)
			const calls = 8 // the method is taken for one that sleeps on the way
			for i := range calls {
				var others sync.WaitGroup
				others.Go(func() { require.Equal(t, number(i), answer(t, c, idEcho, number(i))) })
				require.Equal(t, rpc.CodeInternal, fails(t, c, idWork, "x").Code)
				others.Wait()
			}
			lines := log.lines(test.log)
			require.Len(t, lines, calls)
			require.Contains(t, lines[0], "Test.Method1001")
			if test.log == "on purpose" {
				require.Contains(t, lines[0], "panic_test.go", "the stack")
				require.NotContains(t, lines[0], "internal/loop", "what calls handlers")
				require.NotContains(t, lines[0], "runtime.gopanic")
				require.NotContains(t, lines[0], "Failed", "what recovers")
			}
			comesBack(t, server, c, idle)
		})
	}
}

func TestAFilterThatPanics(t *testing.T) {
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger(), Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if call.Method().ID == idWork {
				panic(errors.New("on purpose"))
			}
			return next(ctx, call)
		},
	}}, method(idWork, echo))
	c := dial(t, address)
	require.Equal(t, rpc.CodeInternal, fails(t, c, idWork, "x").Code)
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	require.Len(t, log.lines("on purpose"), 1)
}
