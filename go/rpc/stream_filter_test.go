package rpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// What filters make of a stream's end is what every method tells, and none is faster than they are.
func TestSendersGetTheErrorOfFilters(t *testing.T) {
	for name, sends := range map[string]func(*rpc.Stream) error{
		"Send":      func(s *rpc.Stream) error { return s.Send([]byte("late")) },
		"CloseSend": func(s *rpc.Stream) error { return s.CloseSend() },
	} {
		t.Run(name, func(t *testing.T) {
			ended, gate := make(chan bool, 1), make(chan struct{})
			c, p, _ := agreeing(t, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
				require.True(t, call.Repeatable())
				err := next(ctx, call)
				ended <- call.Repeatable()
				<-gate
				if err == nil {
					return nil
				}
				return rpc.Errorf(rpc.CodePrecondition, "as the filter says it")
			}}})
			s, r := opening(t, c, p, patient(t))
			p.says(r, frame.FlagFin, rpc.CodeConflict, "")
			done := make(chan error, 1)
			go func() { c.Ping(patient(t)) }() // drives the loop
			require.False(t, within(t, ended, "the filter sees the end"), "another attempt would be the same")
			go func() { done <- sends(s) }()
			eventually(t, "it waits, as the ping does", func() bool { return rpc.Expected(c) == 2 || len(done) > 0 })
			require.Empty(t, done)
			close(gate)
			isCode(t, within(t, done, "it returns"), rpc.CodePrecondition)
			_, err := s.Recv()
			isCode(t, err, rpc.CodePrecondition)
		})
	}
}

// A filter may hide from the handler that its caller has gone, and not from what waits in the stream.
func TestAFilterThatHidesTheCallersEnd(t *testing.T) {
	for name, hide := range map[string]func(context.Context) context.Context{
		"no end":      context.WithoutCancel,
		"another end": func(ctx context.Context) context.Context { return patient(t) },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan error, 1)
			_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
				return next(hide(ctx), call)
			}}}, streamMethod(idWork, func(ctx context.Context, s *rpc.ServerStreamRaw) error {
				_, err := s.Recv()
				if err == nil {
					err = s.Send([]byte("x"))
				}
				if err == nil {
					_, err = s.Recv()
				}
				if ctx.Err() != nil {
					t.Error("the handler's context is the filter's")
				}
				told <- err
				return err
			}))
			c := dial(t, address)
			s := open(t, c, patient(t), idWork)
			require.NoError(t, s.Send([]byte("x")))
			receives(t, s, "x") // the handler runs
			require.NoError(t, c.Close())
			require.ErrorIs(t, within(t, told, "the handler is told"), rpc.ErrDisconnected)
		})
	}
}

// wrapping is a Caller around a client, as programs write them.
type wrapping struct{ rpc.Caller }

// Behind another caller, too, a reply's metadata is what filters further in have left.
func TestMetadataBehindAnotherCaller(t *testing.T) {
	_, address := startDemo(t, rpc.ServerOptions{})
	inner := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		_ = call.ReplyMetadata().Add("client", "added")
		return err
	}}})
	var seen []string
	storage := demo.NewSmfStorageClient(wrapping{inner}, rpc.Filters(func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		for key, value := range call.ReplyMetadata().All() {
			seen = append(seen, key+"="+value)
		}
		call.ReplyMetadata().Delete("client")
		return err
	}))
	b := rpc.GetBuilder()
	b.Finish((&demo.RequestT{Name: "x"}).Pack(b))
	result, err := storage.Get(patient(t), b)
	require.NoError(t, err)
	defer result.Release()
	require.Equal(t, []string{"client=added"}, seen)
	require.Zero(t, result.Metadata().Len())
}
