package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

const closings = 100

// Whether or not other clients of the process go on: the last one takes the loop with it.
func forClosings(t *testing.T, address string, test func(t *testing.T, dial func() *rpc.Client)) {
	for _, others := range []bool{false, true} {
		t.Run(fmt.Sprintf("others %v", others), func(t *testing.T) {
			if others {
				dial(t, address)
			}
			for range closings {
				test(t, func() *rpc.Client {
					c, err := rpc.Dial(patient(t), address, rpc.ClientOptions{Level: rpc.RequireLevel2})
					require.NoError(t, err)
					return c
				})
			}
		})
	}
}

func TestOneWayMessagesGoBeforeTheEnd(t *testing.T) {
	var got atomic.Int64
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		got.Add(int64(len(req.Payload())))
		return reply.Bytes([]byte("for nobody"))
	}))
	large, want := make([]byte, 60000), int64(0)
	forClosings(t, address, func(t *testing.T, dial func() *rpc.Client) {
		c := dial()
		for range 10 {
			require.NoError(t, c.OneWay(context.Background(), idWork, large))
			require.NoError(t, c.OneWay(context.Background(), idWork, []byte("x")))
		}
		require.NoError(t, c.Close())
		want += 10 * int64(len(large)+1)
		eventually(t, "all have come", func() bool { return got.Load() == want })
	})
}

// The server hears that the call was given up, not that its caller has gone.
func TestGivingUpGoesBeforeTheEnd(t *testing.T) {
	entered, ended := make(chan struct{}, 1), make(chan error, 1)
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}), streaming(idGate, rpc.StreamingBidi, func(ctx context.Context, _ *rpc.ServerStreamRaw) error {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}))
	forClosings(t, address, func(t *testing.T, dial func() *rpc.Client) {
		c := dial()
		ctx, cancel := context.WithCancel(context.Background())
		_, failed := answering(c, ctx, idWork, "x")
		within(t, entered, "the handler runs")
		cancel()
		require.ErrorIs(t, within(t, failed, "the caller is told"), context.Canceled)
		require.NoError(t, c.Close())
		cause := within(t, ended, "the handler is told")
		require.False(t, errors.Is(cause, rpc.ErrDisconnected), "%v", cause)

		c = dial()
		s, err := c.OpenStream(context.Background(), idGate)
		require.NoError(t, err)
		require.NoError(t, s.Send([]byte("x")))
		within(t, entered, "the handler runs")
		s.Close()
		require.NoError(t, c.Close())
		cause = within(t, ended, "the handler is told")
		require.False(t, errors.Is(cause, rpc.ErrDisconnected), "%v", cause)
	})
}

func TestLastWords(t *testing.T) {
	frames := frame2(0, 1, idEcho, "a call")
	frames = append(frames, frame2(0x08, 1, 499, "")...)
	oneWay, reset := frame2(0x40, 0, idEcho, "a message"), frame2(0x08, 2, 499, "")
	frames = append(append(frames, oneWay...), reset...)
	left, count := rpc.LastWords(frames)
	require.Equal(t, 2, count)
	require.Equal(t, append(append([]byte(nil), oneWay...), reset...), left)
}
