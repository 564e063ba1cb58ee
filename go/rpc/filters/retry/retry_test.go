package retry_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/go/rpc/filters/retry"
	"github.com/smf-go/smf/schema/demo"
)

// quick does not wait much.
var quick = retry.Options{BackoffMin: time.Microsecond, BackoffMax: time.Millisecond}

// always is for the demo service, whose schema marks no method.
func always(*rpc.Method) bool { return true }

// failing is a store that fails its first calls of Get with a code.
func failing(code rpc.Code, times int64) (*filtertest.Store, *atomic.Int64) {
	seen := new(atomic.Int64)
	return &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
		if seen.Add(1) <= times {
			return rpc.Errorf(code, "not yet")
		}
		return demo.ReplyResponse(reply, req.Name())
	}}, seen
}

func TestACallThatFailsForAMomentSucceeds(t *testing.T) {
	for _, code := range []rpc.Code{rpc.CodeUnavailable, rpc.CodeLimit} {
		store, seen := failing(code, 2)
		o := quick
		o.Idempotent = always
		name, err := filtertest.Get(t, filtertest.Dial(t, filtertest.Serve(t, store), retry.New(o)), "x")
		require.NoError(t, err)
		require.Equal(t, "x", name)
		require.EqualValues(t, 3, seen.Load())
	}
}

// What might happen twice is not tried again, nor what would fail again.
func TestWhatIsNotTriedAgain(t *testing.T) {
	idempotent := quick
	idempotent.Idempotent = always
	for _, c := range []struct {
		what    string
		options retry.Options
		code    rpc.Code
		calls   int64
	}{
		{"not idempotent", quick, rpc.CodeUnavailable, 1},
		{"a failure of its own", idempotent, rpc.CodeInternal, 1},
		{"malformed", idempotent, rpc.CodeBadRequest, 1},
		{"too late", idempotent, rpc.CodeDeadline, 1},
		{"as often as it may", idempotent, rpc.CodeUnavailable, 3},
	} {
		t.Run(c.what, func(t *testing.T) {
			store, seen := failing(c.code, 1<<40)
			_, err := filtertest.Get(t, filtertest.Dial(t, filtertest.Serve(t, store), retry.New(c.options)), "x")
			require.Equal(t, c.code, rpc.CodeOf(err), "%v", err)
			require.Equal(t, c.calls, seen.Load())
		})
	}
}

// What has certainly not run may be sent again, whatever it does: the first attempt never leaves here.
func TestACallThatWasNeverSentIsTriedAgain(t *testing.T) {
	store, seen := failing(rpc.CodeUnavailable, 0)
	unsent := true
	notYet := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if unsent {
			unsent = false
			return rpc.Errorf(rpc.CodeUnavailable, "not connected")
		}
		return next(ctx, call)
	}
	_, err := filtertest.Get(t, filtertest.Dial(t, filtertest.Serve(t, store), retry.New(quick), notYet), "x")
	require.NoError(t, err)
	require.EqualValues(t, 1, seen.Load())
}

// A server that fails for everybody gets a tenth more of calls, not three times as many.
func TestTheBudgetKeepsAFailingServerAlive(t *testing.T) {
	store, seen := failing(rpc.CodeUnavailable, 1<<40)
	o := quick
	o.Idempotent, o.Burst = always, 5
	client := filtertest.Dial(t, filtertest.Serve(t, store), retry.New(o))
	const calls = 500
	for range calls {
		_, err := filtertest.Get(t, client, "x")
		require.Equal(t, rpc.CodeUnavailable, rpc.CodeOf(err), "%v", err)
	}
	require.InDelta(t, calls*(1+retry.RatioDefault)+5, seen.Load(), 2)
}

// What the server says of when to come again is heard, and a deadline that comes before spares the wait.
func TestTheServersWishIsHeard(t *testing.T) {
	var pauses []time.Duration
	last := time.Time{}
	refuse := func(after time.Duration) rpc.Filter {
		return func(context.Context, *rpc.Call, rpc.Next) error {
			if !last.IsZero() {
				pauses = append(pauses, time.Since(last))
			}
			last = time.Now()
			return &rpc.Error{Code: rpc.CodeLimit, RetryAfter: after}
		}
	}
	address := filtertest.Serve(t, &filtertest.Store{})
	_, err := filtertest.Get(t, filtertest.Dial(t, address, retry.New(quick), refuse(30*time.Millisecond)), "x")
	require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err))
	require.Len(t, pauses, 2)
	for _, p := range pauses {
		require.GreaterOrEqual(t, p, 30*time.Millisecond)
	}
	pauses, last = nil, time.Time{}
	_, err = filtertest.Get(t, filtertest.Dial(t, address, retry.New(quick), refuse(time.Hour)), "x")
	require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err))
	require.Empty(t, pauses)
	require.Panics(t, func() { retry.New(retry.Options{Attempts: -1}) })
}

// A caller that gives up is not kept waiting.
func TestACallerThatGivesUp(t *testing.T) {
	store, seen := failing(rpc.CodeUnavailable, 1<<40)
	o := retry.Options{BackoffMin: time.Hour, BackoffMax: time.Hour, Idempotent: always}
	client := filtertest.Dial(t, filtertest.Serve(t, store), retry.New(o))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		var reply demo.ResponseT
		stub := demo.NewSmfStorageClient(client)
		ended <- stub.GetInto(ctx, &demo.RequestT{Name: "x"}, &reply)
	}()
	require.Eventually(t, func() bool { return seen.Load() == 1 }, filtertest.Patience, time.Millisecond)
	cancel()
	select {
	case err := <-ended:
		require.Error(t, err)
	case <-time.After(filtertest.Patience):
		t.Fatal("it waits on")
	}
}

// A server can't have a caller wait for as long as it likes, and the longest pauses that can be told are pauses.
func TestWaitsAreBounded(t *testing.T) {
	calls := 0
	refuse := func(context.Context, *rpc.Call, rpc.Next) error {
		calls++
		return &rpc.Error{Code: rpc.CodeLimit, RetryAfter: time.Hour}
	}
	address := filtertest.Serve(t, &filtertest.Store{})
	stub := demo.NewSmfStorageClient(filtertest.Dial(t, address, retry.New(quick), refuse))
	var out demo.ResponseT
	err := stub.GetInto(context.Background(), &demo.RequestT{Name: "x"}, &out) // there is no deadline
	require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err))
	require.Equal(t, 1, calls)
	require.Panics(t, func() { retry.New(retry.Options{WaitMax: -1}) })

	longest := time.Duration(1<<63 - 1)
	store, _ := failing(rpc.CodeUnavailable, 1<<40)
	for _, o := range []retry.Options{{BackoffMin: longest, BackoffMax: longest, WaitMax: longest},
		{BackoffMin: 1, BackoffMax: longest, Attempts: 70, Burst: 100}} {
		o.Idempotent = always
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		err := demo.NewSmfStorageClient(filtertest.Dial(t, filtertest.Serve(t, store), retry.New(o))).GetInto(ctx, &demo.RequestT{Name: "x"}, &out)
		require.Equal(t, rpc.CodeUnavailable, rpc.CodeOf(err), "%v", err)
		cancel()
	}
}

// A stream is tried again until it is open; how it ends is told at once.
func TestTheEndOfAStreamIsNotHeldUp(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	m := rpc.Method{Name: "Flow", ID: 1000, Streaming: rpc.StreamingBidi, HandleStream: func(context.Context, *rpc.ServerStreamRaw) error {
		return rpc.Errorf(rpc.CodeUnavailable, "later")
	}}
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{m}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve() }()
	t.Cleanup(func() { _ = server.Close() })
	c := filtertest.Dial(t, address, retry.New(retry.Options{BackoffMin: time.Hour, BackoffMax: time.Hour, Idempotent: always}))
	s, err := c.OpenStream(context.Background(), m.ID)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { _, err := s.Recv(); ended <- err }()
	select {
	case err := <-ended:
		require.Equal(t, rpc.CodeUnavailable, rpc.CodeOf(err))
	case <-time.After(filtertest.Patience):
		t.Fatal("it waits")
	}
}
