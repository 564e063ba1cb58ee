package rpc_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func timed(m rpc.Method, timeout time.Duration) rpc.Method {
	m.Timeout = timeout
	return m
}

func TestAMethodsTimeoutIsADeadline(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{},
		timed(method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			deadline, ok := ctx.Deadline()
			if left := time.Until(deadline); !ok || left <= 0 || left > time.Hour || ctx.Err() != nil {
				return rpc.Errorf(rpc.CodeConflict, "%v %v %v", deadline, ok, ctx.Err())
			}
			return nil
		}), time.Hour),
		method(idMore, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			if deadline, ok := ctx.Deadline(); ok || ctx.Err() != nil {
				return rpc.Errorf(rpc.CodeConflict, "%v", deadline)
			}
			return nil
		}),
		timed(method(idGate, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			<-ctx.Done()
			return ctx.Err()
		}), 20*time.Millisecond))
	c := dial(t, address)
	for range 10 { // with and without, in turns: nothing of a call is left for the next
		answer(t, c, idWork, "x")
		_, err := call(c, context.Background(), idMore, "x") // whose deadline would be the handler's
		require.NoError(t, err)
		require.Equal(t, rpc.CodeDeadline, fails(t, c, idGate, "x").Code)
	}
}

// Err tells of the deadline although Done was never asked for.
func TestADeadlineThatNobodyWaitsFor(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{},
		timed(method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(5 * time.Millisecond)
			return ctx.Err()
		}), time.Millisecond))
	require.Equal(t, rpc.CodeDeadline, fails(t, dial(t, address), idWork, "x").Code)
}

// Whoever has asked for Done may keep the context: it ends with its handler, and stays ended.
func TestAContextEndsWithItsHandler(t *testing.T) {
	kept := make(chan context.Context, 1)
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()},
		method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			_ = ctx.Done()
			kept <- ctx
			return nil
		}),
		method(idMore, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			_ = ctx.Done()
			kept <- ctx
			panic("on purpose")
		}))
	c := dial(t, address)
	seen := map[context.Context]bool{}
	for i := range 20 {
		if i%2 == 0 {
			answer(t, c, idWork, "x")
		} else {
			fails(t, c, idMore, "x")
		}
		ctx := within(t, kept, "the handler ran")
		within(t, ctx.Done(), "the context ends")
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		require.False(t, seen[ctx], "a context of another call")
		seen[ctx] = true
	}
	for ctx := range seen {
		require.ErrorIs(t, ctx.Err(), context.Canceled)
	}
}

// Contexts that handlers derive end with it.
func TestDerivedContexts(t *testing.T) {
	kept := make(chan context.Context, 1)
	type key struct{}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			return next(context.WithValue(ctx, key{}, "from the filter"), call)
		},
	}}, method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		derived, cancel := context.WithCancel(ctx)
		context.AfterFunc(derived, cancel)
		kept <- derived
		return reply.Bytes([]byte(ctx.Value(key{}).(string)))
	}))
	c := dial(t, address)
	for range 10 {
		require.Equal(t, "from the filter", answer(t, c, idWork, "x"))
		ctx := within(t, kept, "the handler ran")
		within(t, ctx.Done(), "the derived context ends")
	}
}

// A handler that has its context and nothing else gets at metadata, too, on every way that handlers run.
func TestMetadataByContext(t *testing.T) {
	type key struct{}
	handle := func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
		ctx = context.WithValue(ctx, key{}, "derived")
		return rpc.ReplyMetadata(ctx).Add("re", rpc.RequestMetadata(ctx).Get("user"))
	}
	_, methods := ways(handle)
	methods = append(methods, streamMethod(2000, func(ctx context.Context, s *rpc.ServerStreamRaw) error {
		return handle(ctx, nil, nil)
	}))
	_, address := start(t, rpc.ServerOptions{}, methods...)
	c := dial(t, address)
	for _, user := range []string{"ann", "bob"} {
		ctx := rpc.WithMetadata(patient(t), "user", user)
		for _, m := range methods[:3] {
			reply, err := c.Call(ctx, m.ID, []byte("x"))
			require.NoError(t, err)
			require.Equal(t, user, reply.Metadata().Get("re"))
			reply.Release()
		}
		s := open(t, c, ctx, 2000)
		_, err := s.Recv()
		require.Equal(t, io.EOF, err)
		require.Equal(t, user, s.Metadata().Get("re"))
	}
	require.Zero(t, rpc.RequestMetadata(context.Background()).Len(), "nobody's")
	require.NoError(t, rpc.ReplyMetadata(context.Background()).Add("goes", "nowhere"))
}
