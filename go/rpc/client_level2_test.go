package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// agreeing is a client, and the server of level 2 that the test plays for it.
func agreeing(t testing.TB, options rpc.ClientOptions) (c *rpc.Client, p peer2, accept func() wire) {
	t.Helper()
	address, accept := peer(t.(*testing.T))
	clients, _ := dialling(t, address, options)
	p = accept().agrees()
	return within(t, clients, "it connects"), p, accept
}

// replies answers a call.
func (p peer2) replies(to reply2, code rpc.Code, payload string) {
	p.t.Helper()
	p.write(frame2(0, to.Session, uint32(code), payload))
}

// answering calls elsewhere.
func answering(c *rpc.Client, ctx context.Context, id uint32, payload string) (replies <-chan string, errs <-chan error) {
	r, e := make(chan string, 1), make(chan error, 1)
	go func() {
		reply, err := call(c, ctx, id, payload)
		if err != nil {
			e <- err
			return
		}
		r <- reply
	}()
	return r, e
}

func asError(t testing.TB, err error) *rpc.Error {
	t.Helper()
	var e *rpc.Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestMetadataOfCalls(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		for key, value := range req.Metadata().All() {
			if err := reply.Metadata().Add("re-"+key, value); err != nil {
				return err
			}
		}
		return reply.Bytes(req.Payload())
	}))
	ctx := rpc.WithMetadata(context.Background(), "user", "one", "two")
	ctx = rpc.WithMetadata(ctx, "empty", "")
	text := func(c *rpc.Client, ctx context.Context) (text string) {
		m, err := c.Call(ctx, idWork, []byte("x"))
		require.NoError(t, err)
		defer m.Release()
		require.Equal(t, "x", string(m.Payload()))
		for key, value := range m.Metadata().All() {
			text += key + "=" + value + ";"
		}
		return text
	}
	c := dial(t, address)
	require.Equal(t, "re-user=one;re-user=two;re-empty=;", text(c, ctx))
	require.Empty(t, text(c, context.Background()), "nothing is left of the call before")
	soon, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	require.Equal(t, "re-user=one;re-user=two;re-empty=;", text(c, soon))
	require.Empty(t, text(dialLevel1(t, address), ctx), "level 1 has none")

	// Filters see it, and say more; the reply's is as they leave it.
	filtered := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		require.Equal(t, "one", call.RequestMetadata().Get("user"))
		call.RequestMetadata().Delete("empty")
		require.NoError(t, call.RequestMetadata().Set("token", "secret"))
		err := next(rpc.WithMetadata(ctx, "more", "yes"), call)
		require.True(t, call.ReplyMetadata().Delete("re-token"))
		return err
	}}})
	for range 2 {
		require.Equal(t, "re-user=one;re-user=two;re-more=yes;", text(filtered, ctx))
	}
}

func TestMetadataThatCanNotBe(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	c := dial(t, address)
	for _, test := range []struct{ key, value, says string }{
		{"User", "x", "use lower case"},
		{"", "x", "may have 1 to"},
		{"long", strings.Repeat("x", 16<<10), "at most 16384"},
	} {
		_, err := call(c, rpc.WithMetadata(rpc.WithMetadata(context.Background(), test.key, test.value), "good", "x"), idEcho, "x")
		e := asError(t, err)
		require.Equal(t, rpc.CodeBadRequest, e.Code)
		require.False(t, e.MayHaveRun)
		require.ErrorContains(t, err, test.says)
	}
	// What fits by itself, and not with what filters say.
	large := rpc.WithMetadata(context.Background(), "long", strings.Repeat("x", 16000))
	filtered := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		return next(rpc.WithMetadata(context.Background(), "more", strings.Repeat("x", 16000), strings.Repeat("x", 300)), call)
	}}})
	_, err := call(filtered, large, idEcho, "x")
	require.Error(t, err)
	require.Equal(t, rpc.CodeBadRequest, asError(t, err).Code)
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
}

// The deadline travels as the time that is left; one that is too far away for that does not.
func TestDeadlinesTravel(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	for _, test := range []struct{ timeout, least, most time.Duration }{
		{time.Minute, time.Second, time.Minute},
		{72 * time.Minute, 0, 0},
		{0, 0, 0},
	} {
		ctx := context.Background()
		if test.timeout > 0 {
			soon, cancel := context.WithTimeout(ctx, test.timeout)
			defer cancel()
			ctx = soon
		}
		replies, _ := answering(c, ctx, idWork, "x")
		r := p.receive()
		left := time.Duration(r.metadata.DeadlineUS()) * time.Microsecond
		require.GreaterOrEqual(t, left, test.least)
		require.LessOrEqual(t, left, test.most)
		require.Equal(t, test.most > 0, r.Flags&frame.FlagMetadata != 0, "a call that says nothing has no block")
		require.Equal(t, "x", r.payload)
		p.replies(r, rpc.CodeOK, "y")
		require.Equal(t, "y", within(t, replies, "the reply"))
	}
}

// ctx's end is told to the server, with the reason, and reaches the handler.
func TestCancelReachesTheHandler(t *testing.T) {
	running, causes := make(chan struct{}, 1), make(chan error, 1)
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
		running <- struct{}{}
		<-ctx.Done()
		causes <- ctx.Err()
		return ctx.Err()
	}))
	c := dial(t, address)
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		_, errs := answering(c, ctx, idWork, "x")
		within(t, running, "the handler runs")
		cancel()
		err := within(t, errs, "the caller comes back")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, rpc.CodeCancelled, asError(t, err).Code)
		require.True(t, asError(t, err).MayHaveRun)
		require.ErrorIs(t, within(t, causes, "the handler ends"), context.Canceled)
	}
	eventually(t, "every call has ended", func() bool { return core(server).InFlight == 0 })
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
}

// The session of a call that was cancelled is in use until its last frame, and free then.
func TestTheSessionOfACancelledCall(t *testing.T) {
	for code, begin := range map[rpc.Code]func() (context.Context, context.CancelFunc){
		rpc.CodeCancelled: func() (context.Context, context.CancelFunc) {
			return context.WithCancel(context.Background())
		},
		rpc.CodeDeadline: func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 50*time.Millisecond)
		},
	} {
		t.Run(code.String(), func(t *testing.T) {
			c, p, _ := agreeing(t, rpc.ClientOptions{})
			ctx, cancel := begin()
			_, errs := answering(c, ctx, idWork, "first")
			first := p.receive()
			require.EqualValues(t, 1, first.Session)
			if code == rpc.CodeCancelled {
				cancel()
			}
			defer cancel()
			require.Equal(t, code, asError(t, within(t, errs, "the caller comes back")).Code)
			r := p.receive()
			require.EqualValues(t, frame.FlagReset, r.Flags)
			require.EqualValues(t, 1, r.Session)
			require.EqualValues(t, code, r.Meta)
			require.Empty(t, r.payload)

			// Once around all sessions but those two: 0 is none at level 2.
			var running sync.WaitGroup
			var failed atomic.Int64
			const callers, each = 5, 13200
			for range callers {
				running.Go(func() {
					for range each {
						if _, err := call(c, context.Background(), idEcho, "x"); err != nil {
							failed.Add(1)
						}
					}
				})
			}
			for i := range callers * each {
				r := p.receive()
				require.NotZero(t, r.Session)
				if i < 65533 {
					require.NotEqualValues(t, 1, r.Session)
				}
				if i == 1000 {
					p.replies(first, rpc.CodeCancelled, "")
				}
				p.replies(r, rpc.CodeOK, "x")
			}
			running.Wait()
			require.Zero(t, failed.Load())
		})
	}
}

// What a server says of an error reaches the caller; whether the call may have run is its business, too.
func TestErrorsOfReplies(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	says := func(e frame.Error) string { return string(e.Append(nil)) }
	for _, test := range []struct {
		name    string
		flags   uint8
		code    rpc.Code
		payload string
		want    rpc.Error
	}{
		{"all of it", 0, rpc.CodeConflict, says(frame.Error{Message: "taken", Details: []byte("by whom"), DetailsType: "T", RetryAfterMS: 1500, MayHaveRun: true}),
			rpc.Error{Code: rpc.CodeConflict, Message: "taken", Details: []byte("by whom"), DetailsType: "T", RetryAfter: 1500 * time.Millisecond, MayHaveRun: true}},
		{"it has not run", 0, rpc.CodeNotFound, says(frame.Error{Message: "no such method"}), rpc.Error{Code: rpc.CodeNotFound, Message: "no such method"}},
		{"nothing", 0, rpc.CodeInternal, "", rpc.Error{Code: rpc.CodeInternal, MayHaveRun: true}},
		{"refused", frame.FlagReset, rpc.CodeLimit, says(frame.Error{Message: "too many", MayHaveRun: true}), rpc.Error{Code: rpc.CodeLimit, Message: "too many"}},
		{"refused without a word", frame.FlagReset, rpc.CodeLimit, "", rpc.Error{Code: rpc.CodeLimit}},
		{"refused by one who stays", frame.FlagReset, rpc.CodeUnavailable, "", rpc.Error{Code: rpc.CodeUnavailable}},
		{"malformed", 0, rpc.CodeInternal, "\xff\xff\xff\xffrubbish", rpc.Error{Code: rpc.CodeInternal, MayHaveRun: true,
			Message: "what the server says of it is malformed: Error: root offset is out of range (at byte 0)"}},
	} {
		_, errs := answering(c, context.Background(), idWork, "x")
		r := p.receive()
		p.write(frame2(test.flags, r.Session, uint32(test.code), test.payload))
		e := asError(t, within(t, errs, test.name))
		require.Equal(t, test.want, *e, test.name)
	}
	// An empty reply is one, at level 2.
	replies, _ := answering(c, context.Background(), idWork, "x")
	p.replies(p.receive(), rpc.CodeOK, "")
	require.Empty(t, within(t, replies, "the reply"))
}

func TestErrorsFromHandlers(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
		return &rpc.Error{Code: rpc.CodePrecondition, Message: "not now", Details: []byte{1, 2, 3}, DetailsType: "bytes", RetryAfter: time.Second,
			Cause: errors.New("it stays there")}
	}))
	e := fails(t, dial(t, address), idWork, "x")
	require.Equal(t, rpc.Error{Code: rpc.CodePrecondition, Message: "not now", Details: []byte{1, 2, 3}, DetailsType: "bytes",
		RetryAfter: time.Second, MayHaveRun: true}, *e)
	require.Equal(t, rpc.Error{Code: rpc.CodePrecondition, MayHaveRun: true}, *fails(t, dialLevel1(t, address), idWork, "x"))
}

// A lost connection: what was sent may have run, what was not has not.
func TestWhatALostConnectionLeaves(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{BackoffMin: time.Hour, BackoffMax: time.Hour})
	// The peer reads one call and nothing more: others fill the socket and the core, and those behind them
	// stay in the client.
	_, sent := answering(c, context.Background(), idWork, "sent")
	p.receive()
	large := make([]byte, 60<<10)
	var running sync.WaitGroup
	var called atomic.Int64
	settled := func(calls int64) {
		before := rpc.ClientCoreStats{}
		eventually(t, "nothing more goes to the core", func() bool {
			stats := rpc.ClientStats()
			same := stats.Calls == before.Calls && called.Load() == calls
			before = stats
			time.Sleep(100 * time.Millisecond)
			return same
		})
	}
	// How much that is, the system's buffers decide: as much as it takes, within what the peer allows.
	filling := int64(0)
	for rpc.ClientStats().Calls == uint64(filling+1) {
		require.Less(t, filling, int64(hello.CallsMax)-200, "some are left in the client")
		for range 100 {
			running.Go(func() {
				called.Add(1)
				_, err := c.Call(context.Background(), idWork, large)
				if err == nil {
					t.Error("a reply to what nobody read")
				}
			})
		}
		filling += 100
		settled(filling)
	}
	var unsent atomic.Int64
	for range 50 {
		running.Go(func() {
			called.Add(1)
			_, err := c.Call(context.Background(), idWork, []byte("unsent"))
			var e *rpc.Error
			if errors.As(err, &e) && e.Code == rpc.CodeUnavailable && !e.MayHaveRun {
				unsent.Add(1)
			}
		})
	}
	settled(filling + 50)
	require.NoError(t, p.Close())
	e := asError(t, within(t, sent, "the caller is told"))
	require.Equal(t, rpc.CodeUnavailable, e.Code)
	require.True(t, e.MayHaveRun)
	running.Wait()
	require.EqualValues(t, 50, unsent.Load())
}

func TestOneWayCalls(t *testing.T) {
	type message struct{ payload, key string }
	got := make(chan message, 1000)
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		require.True(t, req.OneWay())
		got <- message{string(req.Payload()), req.Metadata().Get("key")}
		return reply.Bytes([]byte("for nobody"))
	}))
	ctx := rpc.WithMetadata(context.Background(), "key", "value")
	var seen []string
	for _, options := range []rpc.ClientOptions{{}, {Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		seen = append(seen, string(call.Payload()))
		return next(ctx, call)
	}}}} {
		c := dialWith(t, address, options)
		for i := range 100 {
			require.NoError(t, c.OneWay(ctx, idWork, []byte(number(i))))
		}
		want := map[message]bool{}
		for i := range 100 {
			want[message{number(i), "value"}] = true
		}
		for range 100 {
			m := within(t, got, "a message")
			require.True(t, want[m], "%v", m)
			delete(want, m)
		}
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
	}
	require.Len(t, seen, 101)

	c := dial(t, address)
	require.Equal(t, rpc.CodeBadRequest, asError(t, c.OneWay(ctx, 0, []byte("x"))).Code)
	require.Equal(t, rpc.CodeBadRequest, asError(t, c.OneWay(ctx, idWork, nil)).Code)
	require.Equal(t, rpc.CodeTooLarge, asError(t, c.OneWay(ctx, idWork, make([]byte, 16<<20))).Code, "with its metadata")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, c.OneWay(ended, idWork, []byte("x")), context.Canceled)
	err := dialLevel1(t, address).OneWay(ctx, idWork, []byte("x"))
	require.Equal(t, rpc.CodeLevel, asError(t, err).Code)
	require.ErrorContains(t, err, "a one-way call needs level 2")
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.OneWay(ctx, idWork, []byte("x")), rpc.ErrClosed)
}

// More calls than the server takes wait for their turn instead of being refused.
func TestCallsBeyondTheLimitWait(t *testing.T) {
	const calls = 500
	var running, most atomic.Int64
	_, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 10}}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		now := running.Add(1)
		defer running.Add(-1)
		for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		time.Sleep(100 * time.Microsecond)
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	ctx, cancel := context.WithCancel(patient(t))
	defer cancel()
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			if got, err := call(c, ctx, idWork, number(i)); err != nil || got != number(i) {
				t.Errorf("%q %v", got, err)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, most.Load(), int64(10))
}

// Whoever waits for his turn leaves with his context, and with the connection.
func TestWaitingForATurnEnds(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	_, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 2}}, method(idGate, func(context.Context, *rpc.Request, *rpc.Reply) error {
		<-gate
		return nil
	}))
	c := dial(t, address)
	ctx, cancel := context.WithCancel(context.Background())
	_, one := answering(c, ctx, idGate, "x")
	_, two := answering(c, context.Background(), idGate, "x")
	_, three := answering(c, context.Background(), idGate, "x")
	waiting, leave := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer leave()
	_, err := call(c, waiting, idGate, "x")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	cancel()
	require.ErrorIs(t, within(t, one, "the first ends"), context.Canceled)
	require.NoError(t, c.Close())
	for _, errs := range []<-chan error{two, three} {
		require.ErrorIs(t, within(t, errs, "it is told"), rpc.ErrUnavailable)
	}
}
