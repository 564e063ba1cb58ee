package concurrency_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/concurrency"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

// A slow method takes no more than its slots, whether it runs or has promised its replies; others are served beside it,
// and slots are free again after replies, errors and panics.
func TestASlowMethodTakesItsSlotsOnly(t *testing.T) {
	promised := make(chan *rpc.Deferred, 8)
	running, leave := make(chan bool), make(chan error)
	store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
		switch string(req.Name()) {
		case "promise":
			promised <- reply.Defer()
			return nil
		case "panic":
			panic("as it was asked to")
		}
		running <- true
		return <-leave
	}}
	client := filtertest.Dial(t, filtertest.Serve(t, store, concurrency.PerMethod(2)))
	ended := make(chan error, 8)
	call := func(name string) {
		_, err := filtertest.Get(t, client, name)
		ended <- err
	}
	for range 3 {
		go call("run")
		<-running
		go call("promise")
		token := <-promised
		call("run")
		err := <-ended
		require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err), "%v", err)
		_, err = filtertest.Put(t, client, "beside it")
		require.NoError(t, err)

		require.True(t, token.Object(&demo.ResponseT{}))
		require.NoError(t, <-ended)
		leave <- rpc.Errorf(rpc.CodeConflict, "no")
		require.Equal(t, rpc.CodeConflict, rpc.CodeOf(<-ended))
		for range 5 {
			call("panic")
			require.Equal(t, rpc.CodeInternal, rpc.CodeOf(<-ended))
		}
	}
	require.Panics(t, func() { concurrency.PerMethod(0) })
}

// In a client it bounds what is asked of a server.
func TestAClientAsksForNoMore(t *testing.T) {
	running, leave := make(chan bool), make(chan error)
	store := &filtertest.Store{OnGet: func(context.Context, *demo.Request, *rpc.Reply) error {
		running <- true
		return <-leave
	}}
	client := filtertest.Dial(t, filtertest.Serve(t, store), concurrency.PerMethod(1))
	ended := make(chan error)
	go func() {
		_, err := filtertest.Get(t, client, "x")
		ended <- err
	}()
	<-running
	_, err := filtertest.Get(t, client, "x")
	var failure *rpc.Error
	require.ErrorAs(t, err, &failure)
	require.Equal(t, rpc.CodeLimit, failure.Code)
	require.False(t, failure.MayHaveRun)
	leave <- nil
	require.NoError(t, <-ended)
}
