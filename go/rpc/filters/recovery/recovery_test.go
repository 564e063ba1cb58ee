package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/go/rpc/filters/recovery"
	"github.com/smf-go/smf/schema/demo"
)

// A filter around sees a panic as an error, and runs on; the caller is not told what it was.
func TestFiltersAroundSeeAPanicAsAnError(t *testing.T) {
	store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
		switch string(req.Name()) {
		case "error":
			panic(fs.ErrClosed)
		case "half a reply":
			_ = demo.ReplyResponse(reply, []byte("half"))
		case "promise":
			reply.Defer()
		case "kept promise":
			reply.Defer().Object(&demo.ResponseT{Name: "kept"})
		}
		panic("the secret is 42")
	}}
	var log bytes.Buffer
	seen := make(chan error, 1)
	outer := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		seen <- err
		return err
	}
	address := filtertest.Serve(t, store, outer, recovery.New(recovery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	client := filtertest.Dial(t, address)
	for _, name := range []string{"text", "half a reply", "promise", "error"} {
		_, err := filtertest.Get(t, client, name)
		require.Equal(t, rpc.CodeInternal, rpc.CodeOf(err), "%s: %v", name, err)
		require.NotContains(t, err.Error(), "secret")
		around := <-seen
		require.Equal(t, rpc.CodeInternal, rpc.CodeOf(around), name)
		require.Equal(t, name == "error", errors.Is(around, fs.ErrClosed))
		require.Contains(t, log.String(), "recovery_test.go", "the stack")
		require.Contains(t, log.String(), "method=SmfStorage.Get")
		log.Reset()
	}
	name, err := filtertest.Get(t, client, "kept promise") // the token was faster than the panic
	require.NoError(t, err)
	require.Equal(t, "kept", name)
	<-seen
}

// What a panic means may be somebody's to decide.
func TestPanicsWithAMeaning(t *testing.T) {
	store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, _ *rpc.Reply) error { panic(string(req.Name())) }}
	handle := func(call *rpc.Call, panicked any, stack []byte) error {
		require.Equal(t, "SmfStorage.Get", call.Name())
		require.Contains(t, string(stack), "recovery_test.go")
		if panicked == "conflict" {
			return rpc.Errorf(rpc.CodeConflict, "as it says")
		}
		return nil
	}
	client := filtertest.Dial(t, filtertest.Serve(t, store, recovery.New(recovery.Options{Handle: handle})))
	_, err := filtertest.Get(t, client, "conflict")
	require.Equal(t, rpc.CodeConflict, rpc.CodeOf(err), "%v", err)
	_, err = filtertest.Get(t, client, "nothing")
	require.Equal(t, rpc.CodeInternal, rpc.CodeOf(err), "%v", err)
}

// A client's filter that panics fails its call only.
func TestAClientsFilterThatPanics(t *testing.T) {
	bad := func(context.Context, *rpc.Call, rpc.Next) error { panic("the filter is broken") }
	quiet := slog.New(slog.DiscardHandler)
	client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}), recovery.New(recovery.Options{Logger: quiet}))
	_, err := filtertest.Get(t, client, "x", rpc.MethodFilters("Get", recovery.New(recovery.Options{Logger: quiet}), bad))
	var failure *rpc.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, rpc.CodeInternal, failure.Code)
	require.True(t, failure.MayHaveRun)
	name, err := filtertest.Get(t, client, "x")
	require.NoError(t, err)
	require.Equal(t, "x", name)
}
