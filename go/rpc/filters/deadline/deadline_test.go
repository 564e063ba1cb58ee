package deadline_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/deadline"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

// A handler that waits for what never comes ends, although its caller would wait on.
func TestAHandlerThatHangsEnds(t *testing.T) {
	store := &filtertest.Store{OnGet: func(ctx context.Context, _ *demo.Request, _ *rpc.Reply) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	client := filtertest.Dial(t, filtertest.Serve(t, store, deadline.Within(20*time.Millisecond)))
	_, err := filtertest.Get(t, client, "x")
	require.Equal(t, rpc.CodeDeadline, rpc.CodeOf(err), "%v", err)
	_, err = filtertest.Put(t, client, "x")
	require.NoError(t, err)
}

// So does a client's call of a server that never answers.
func TestACallThatIsNotAnsweredEnds(t *testing.T) {
	never := make(chan struct{})
	store := &filtertest.Store{OnGet: func(context.Context, *demo.Request, *rpc.Reply) error {
		<-never
		return nil
	}}
	client := filtertest.Dial(t, filtertest.Serve(t, store))
	_, err := filtertest.Get(t, client, "x", rpc.MethodFilters("Get", deadline.Within(20*time.Millisecond)))
	require.Equal(t, rpc.CodeDeadline, rpc.CodeOf(err), "%v", err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(never)
}

// The limit is never longer than what is left, and contexts made of the filter's know it.
func TestTheShorterOneCounts(t *testing.T) {
	type seen struct {
		at  time.Time
		has bool
		err error
	}
	inside := make(chan seen, 1)
	look := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		at, has := child.Deadline()
		inside <- seen{at, has, ctx.Err()}
		return next(child, call)
	}
	address := filtertest.Serve(t, &filtertest.Store{})
	for _, c := range []struct {
		filters []rpc.Filter
		most    time.Duration
	}{
		{[]rpc.Filter{deadline.Within(time.Hour), look}, filtertest.Patience},
		{[]rpc.Filter{deadline.Within(10 * time.Second), look}, 10 * time.Second},
		{[]rpc.Filter{deadline.Within(10 * time.Second), deadline.Within(9 * time.Second), look}, 9 * time.Second},
		{[]rpc.Filter{deadline.Within(9 * time.Second), deadline.Within(10 * time.Second), look}, 9 * time.Second},
	} {
		start := time.Now()
		_, err := filtertest.Put(t, filtertest.Dial(t, address, c.filters...), "x")
		require.NoError(t, err)
		got := <-inside
		require.True(t, got.has)
		require.NoError(t, got.err)
		require.False(t, got.at.After(time.Now().Add(c.most)))
		require.False(t, got.at.Before(start.Add(c.most-time.Second)))
	}
}

// What is over before it begins goes no further.
func TestWorkThatIsTooLateIsNotStarted(t *testing.T) {
	started := false
	over := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		past, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer cancel()
		return next(past, call)
	}
	note := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		started = true
		return next(ctx, call)
	}
	client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, over, deadline.Within(time.Hour), note))
	_, err := filtertest.Put(t, client, "x")
	require.Equal(t, rpc.CodeDeadline, rpc.CodeOf(err), "%v", err)
	require.False(t, started)
	require.Panics(t, func() { deadline.Within(0) })
}

// A filter of a client that panics is the caller's, who may recover: what it was handed ends with the call, and not an
// hour later.
func TestAPanicEndsTheContext(t *testing.T) {
	var limited context.Context
	require.Panics(t, func() {
		_ = deadline.Within(time.Hour)(t.Context(), new(rpc.Call), func(ctx context.Context, _ *rpc.Call) error {
			limited = ctx
			_ = ctx.Done() // from now on there is a timer
			panic("on purpose")
		})
	})
	require.ErrorIs(t, limited.Err(), context.Canceled)
}
