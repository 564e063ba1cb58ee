package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

func slow(m rpc.Method) rpc.Method {
	m.Slow = true
	return m
}

// ways are how a handler may run: each method does the same, on the loop, late, or as a goroutine.
func ways(handle rpc.Handler) (names []string, methods []rpc.Method) {
	return []string{"on the loop", "late", "as a goroutine"}, []rpc.Method{
		method(idWork, handle),
		method(idGate, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(5 * time.Millisecond)
			return handle(ctx, req, reply)
		}),
		slow(method(idMore, handle)),
	}
}

func TestAServerOfLevel1(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Level: 1})
	require.Equal(t, 1, server.Settings().Level)
	w := dialWire(t, address)
	w.send(1, frame.HelloMethodID, string(hello.Append(nil)))
	h, payload := w.receive()
	require.EqualValues(t, rpc.CodeNotFound, h.Meta)
	require.Len(t, payload, 12, "an empty table")
	w.send(2, idEcho, "x")
	_, payload = w.receive()
	require.Equal(t, "x", payload)

	_, err := rpc.NewServer(rpc.ServerOptions{Level: 3})
	require.ErrorContains(t, err, "level")
	_, err = rpc.NewServer(rpc.ServerOptions{Level: -1})
	require.Error(t, err)
}

func TestBothLevelsOnOneServer(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	require.Equal(t, 2, server.Settings().Level)
	p, w := dialLevel2(t, address), dialWire(t, address)
	for i := uint16(1); i < 100; i++ {
		p.call(i, idEcho, number(int(i)))
		require.Equal(t, number(int(i)), p.answered(i, rpc.CodeOK).payload)
		w.send(i, idEcho, number(int(i)))
		_, payload := w.receive()
		require.Equal(t, number(int(i)), payload)
	}
}

func TestMetadataGoesBothWays(t *testing.T) {
	names, methods := ways(func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		for key, value := range req.Metadata().All() {
			if err := reply.Metadata().Add("got."+key, value); err != nil {
				return err
			}
		}
		if string(req.Payload()) == "fail" {
			return rpc.Errorf(rpc.CodeConflict, "on purpose")
		}
		return reply.Bytes(req.Payload())
	})
	_, address := start(t, rpc.ServerOptions{}, methods...)
	p := dialLevel2(t, address)
	large := strings.Repeat("x", 100<<10) // not copied for a goroutine; and in slices
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, payload := range []string{"small", large[:50<<10]} {
				p.callWith(7, methods[i].ID, block(0, "user", "ann", "tag", "1", "tag", "2", "empty", ""), payload)
				r := p.answered(7, rpc.CodeOK)
				require.Equal(t, payload, r.payload)
				require.Equal(t, []string{"ann"}, r.values("got.user"))
				require.Equal(t, []string{"1", "2"}, r.values("got.tag"))
				require.Equal(t, []string{""}, r.values("got.empty"))
			}
			p.call(7, methods[i].ID, "none")
			r := p.answered(7, rpc.CodeOK)
			require.Zero(t, r.Flags, "what an earlier call had is gone")
			p.callWith(7, methods[i].ID, block(0, "user", "bob"), "fail")
			r = p.answered(7, rpc.CodeConflict)
			require.Equal(t, []string{"bob"}, r.values("got.user"), "along with errors, too")
			require.Equal(t, "on purpose", r.failure(t).Message)
		})
	}
	c := dialWire(t, address)
	c.send(1, idWork, "level 1 has none")
	h, payload := c.receive()
	require.EqualValues(t, rpc.CodeOK, h.Meta)
	require.Equal(t, "level 1 has none", payload)
}

// Filters see what comes, the handler sees what they make of it, and each may add to the reply.
func TestMetadataAndFilters(t *testing.T) {
	filter := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if call.RequestMetadata().Get("user") == "" {
			return rpc.Errorf(rpc.CodeUnauthenticated, "who are you?")
		}
		if err := call.RequestMetadata().Set("user", "the "+call.RequestMetadata().Get("user")); err != nil {
			return err
		}
		if err := call.ReplyMetadata().Add("seen", "before"); err != nil {
			return err
		}
		call.OnDone(func(call *rpc.Call, err error) error {
			_ = call.ReplyMetadata().Add("seen", "done")
			return err
		})
		err := next(ctx, call)
		_ = call.ReplyMetadata().Add("seen", "after")
		return err
	}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{filter}},
		method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			_ = reply.Metadata().Add("seen", "handler")
			return reply.Bytes([]byte(req.Metadata().Get("user")))
		}),
		method(idMore, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			_ = reply.Metadata().Add("seen", "handler")
			user, d := req.Metadata().Get("user"), reply.Defer()
			_ = reply.Metadata().Add("seen", "promise")
			go func() {
				time.Sleep(time.Millisecond)
				_ = d.Metadata().Add("seen", "token")
				d.Bytes([]byte(user))
			}()
			return nil
		}))
	p := dialLevel2(t, address)
	p.callWith(1, idWork, block(0, "user", "queen"), "x")
	r := p.answered(1, rpc.CodeOK)
	require.Equal(t, "the queen", r.payload)
	require.Equal(t, []string{"before", "handler", "after", "done"}, r.values("seen"))

	p.callWith(1, idMore, block(0, "user", "queen"), "x")
	r = p.answered(1, rpc.CodeOK)
	require.Equal(t, "the queen", r.payload)
	require.Equal(t, []string{"before", "handler", "promise", "token", "after", "done"}, r.values("seen"))

	p.call(1, idWork, "x")
	require.Equal(t, "who are you?", p.answered(1, rpc.CodeUnauthenticated).failure(t).Message)
}

func TestAPromiseThatIsTakenBackKeepsItsMetadata(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		_ = reply.Metadata().Add("a", "1")
		d := reply.Defer()
		_ = d.Metadata().Add("a", "2")
		return rpc.Errorf(rpc.CodeConflict, "after all")
	}))
	p := dialLevel2(t, address)
	p.call(1, idWork, "x")
	require.Equal(t, []string{"1", "2"}, p.answered(1, rpc.CodeConflict).values("a"))
}

func TestTheCallersDeadlineIsTheHandlers(t *testing.T) {
	left := make(chan time.Duration, 1)
	tell := func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
		deadline, ok := ctx.Deadline()
		if !ok {
			left <- 0
			return nil
		}
		left <- time.Until(deadline)
		return ctx.Err()
	}
	names, methods := ways(tell)
	ids := []uint32{idWork, idGate, idMore}
	_, address := start(t, rpc.ServerOptions{}, append(methods, timed(method(2000, tell), time.Hour))...)
	p := dialLevel2(t, address)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			p.callWith(1, ids[i], block(30*time.Minute), "x")
			p.answered(1, rpc.CodeOK)
			got := <-left
			require.Greater(t, got, 20*time.Minute)
			require.LessOrEqual(t, got, 30*time.Minute)
			p.call(1, ids[i], "x")
			p.answered(1, rpc.CodeOK)
			require.Zero(t, <-left, "what an earlier call had is gone")
		})
	}
	for _, caller := range []time.Duration{30 * time.Minute, 65 * time.Minute, 0} {
		p.callWith(1, 2000, block(caller, "a", "b"), "x")
		p.answered(1, rpc.CodeOK)
		got, lower := <-left, min(caller, time.Hour)
		if caller == 0 {
			lower = time.Hour
		}
		require.Greater(t, got, lower-10*time.Minute, "the lower of the two")
		require.LessOrEqual(t, got, lower, "the lower of the two")
	}
}

func TestADeadlineEndsTheHandlersContext(t *testing.T) {
	causes := make(chan error, 1)
	names, methods := ways(func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	})
	_, address := start(t, rpc.ServerOptions{}, methods...)
	p := dialLevel2(t, address)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			p.callWith(1, methods[i].ID, block(50*time.Millisecond), "x")
			p.answered(1, rpc.CodeDeadline)
			require.ErrorIs(t, within(t, causes, "the context ends"), context.DeadlineExceeded)
		})
	}
}

// Two calls of one turn: when the first one's handler has returned, the second one's time is over.
func TestWorkPastItsDeadlineIsNotStarted(t *testing.T) {
	var ran atomic.Int64
	server, address := startAt(t, "unix:@smf-past-its-deadline", rpc.ServerOptions{},
		method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
			for end := time.Now().Add(time.Millisecond); time.Now().Before(end); {
			}
			return nil
		}),
		method(idMore, func(context.Context, *rpc.Request, *rpc.Reply) error {
			ran.Add(1)
			return nil
		}))
	p := dialLevel2(t, address)
	p.write(frame2(0, 1, idWork, "x"), frame2(frame.FlagMetadata, 2, idMore, block(time.Microsecond)+"x"))
	got := map[uint16]reply2{}
	for range 2 {
		r := p.receive()
		got[r.Session] = r
	}
	require.EqualValues(t, rpc.CodeOK, got[1].Meta)
	require.EqualValues(t, rpc.CodeDeadline, got[2].Meta)
	require.EqualValues(t, frame.FlagReset, got[2].Flags, "no handler saw it")
	require.False(t, got[2].failure(t).MayHaveRun)
	require.Zero(t, ran.Load())
	require.EqualValues(t, 1, coreOf(t, server).Refused[rpc.RefusedDeadline])
	p.echoes(2)
}

// What no handler saw is refused, and says so.
func TestRefusals(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	p := dialLevel2(t, address)
	p.call(3, 7, "x")
	r := p.answered(3, rpc.CodeNotFound)
	require.EqualValues(t, frame.FlagReset, r.Flags)
	require.Equal(t, frame.Error{Message: "no such method"}, r.failure(t))

	compressed := frame.Header{Compression: frame.CompressionLZ4, Session: 4, Size: 1, Meta: idEcho}
	compressed.Checksum = compressed.ChecksumLevel2([]byte("x"))
	p.write(append(compressed.Append(nil), 'x'))
	r = p.answered(4, rpc.CodeNotImplemented)
	require.EqualValues(t, frame.FlagReset, r.Flags)
	require.NotEmpty(t, r.failure(t).Message)
	p.echoes(4)
}

func TestErrorsOfLevel2(t *testing.T) {
	var errOfTest atomic.Pointer[error]
	_, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{MessageBytes: 1 << 20}},
		method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error { return *errOfTest.Load() }),
		method(idGate, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			reply.Defer().Fail(*errOfTest.Load())
			return nil
		}),
		method(idMore, func(context.Context, *rpc.Request, *rpc.Reply) error { panic(*errOfTest.Load()) }))
	p := dialLevel2(t, address)
	full := &rpc.Error{Code: rpc.CodeLimit, Message: "too fast", Details: []byte{1, 0, 2}, DetailsType: "demo.Quota",
		RetryAfter: 1500*time.Millisecond + 1, Cause: errors.New("a secret")}
	for _, test := range []struct {
		err  error
		code rpc.Code
		want frame.Error
	}{
		{full, rpc.CodeLimit, frame.Error{Message: "too fast", Details: []byte{1, 0, 2}, DetailsType: "demo.Quota", RetryAfterMS: 1501}},
		{errors.Join(errors.New("a secret"), full), rpc.CodeLimit, frame.Error{Message: "too fast", Details: []byte{1, 0, 2}, DetailsType: "demo.Quota", RetryAfterMS: 1501}},
		{errors.New("a secret"), rpc.CodeInternal, frame.Error{}},
		{context.Canceled, rpc.CodeCancelled, frame.Error{}},
		{&rpc.Error{Code: rpc.CodeConflict, RetryAfter: 100 * 24 * time.Hour}, rpc.CodeConflict, frame.Error{RetryAfterMS: 1<<32 - 1}},
		{&rpc.Error{Code: rpc.CodeConflict, Message: strings.Repeat("é", 3000)}, rpc.CodeConflict, frame.Error{Message: strings.Repeat("é", 2048)}},
		{&rpc.Error{Code: rpc.CodeConflict, Message: "x", Details: make([]byte, 1<<20)}, rpc.CodeConflict, frame.Error{Message: "x"}},
	} {
		errOfTest.Store(&test.err)
		test.want.MayHaveRun = true
		for _, id := range []uint32{idWork, idGate} {
			p.call(1, id, "x")
			r := p.answered(1, test.code)
			require.Zero(t, r.Flags, "a handler saw it")
			require.Equal(t, test.want, r.failure(t), "%v", test.err)
		}
	}
	p.call(1, idMore, "x")
	require.Equal(t, frame.Error{MayHaveRun: true}, p.answered(1, rpc.CodeInternal).failure(t))

	w := dialWire(t, address)
	w.send(1, idWork, "x")
	h, payload := w.receive()
	require.EqualValues(t, rpc.CodeConflict, h.Meta)
	require.Len(t, payload, 12, "level 1 has an empty table")
}

func TestAMalformedRequestHasNotRun(t *testing.T) {
	_, address := startDemo(t, rpc.ServerOptions{})
	p := dialLevel2(t, address)
	p.call(1, 1792279101, "malformed")
	r := p.answered(1, rpc.CodeBadRequest)
	require.EqualValues(t, frame.FlagReset, r.Flags)
	require.Contains(t, r.failure(t).Message, "malformed")
	require.False(t, r.failure(t).MayHaveRun)
}

// What a filter does not let pass is refused like what the server does not: by a reset, with all that there is to say
// and that a frame has room for.
func TestFiltersRefuseByAReset(t *testing.T) {
	details := map[string][]byte{"fits": make([]byte, 60<<10), "does not": make([]byte, 64<<10)}
	refuse := func(_ context.Context, call *rpc.Call, _ rpc.Next) error {
		call.ReplyMetadata().Set("because", strings.Repeat("x", 15<<10))
		return &rpc.Error{Code: rpc.CodePermission, Message: "not yours", Details: details[string(call.Payload())]}
	}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{refuse}, Limits: rpc.Limits{MessageBytes: 1 << 20}})
	p := dialLevel2(t, address)
	for payload, want := range map[string]frame.Error{
		"fits": {Message: "not yours", Details: details["fits"]}, "does not": {Message: "not yours"},
	} {
		p.call(1, idEcho, payload)
		r := p.answered(1, rpc.CodePermission)
		require.EqualValues(t, frame.FlagReset, r.Flags&^frame.FlagMetadata)
		require.Len(t, r.values("because"), 1)
		require.Equal(t, want, r.failure(t))
	}
	p.write(frame2(frame.FlagOneWay, 0, idEcho, "x"))
	p.pings(7)
}

// A one-way message is handled like a call, and nothing comes back.
func TestOneWay(t *testing.T) {
	handled, done := make(chan bool, 10), make(chan error, 10)
	filter := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(_ *rpc.Call, err error) error {
			done <- err
			return err
		})
		return next(ctx, call)
	}
	work := func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		handled <- req.OneWay()
		_ = reply.Metadata().Add("a", "b")
		switch string(req.Payload()) {
		case "fail":
			return rpc.ErrNotFound
		case "panic":
			panic("on purpose")
		case "defer":
			d := reply.Defer()
			go d.Bytes([]byte("later"))
			return nil
		}
		return reply.Bytes(make([]byte, 100<<10)) // it would go in slices
	}
	names, methods := ways(work)
	server, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{filter}}, methods...)
	p := dialLevel2(t, address)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"reply", "fail", "panic", "defer"} {
				p.write(frame2(frame.FlagOneWay|frame.FlagMetadata, 0, methods[i].ID, block(0, "user", "ann")+what))
				require.True(t, within(t, handled, "the handler runs"))
				err := within(t, done, "its hook runs")
				require.Equal(t, what == "fail" || what == "panic", err != nil, "%v", err)
			}
			p.echoes(1)
			<-done
		})
	}
	p.write(frame2(frame.FlagOneWay, 0, 7, "no such method"))
	p.echoes(1)
	eventually(t, "all of them are over", func() bool { return coreOf(t, server).InFlight == 0 })
}

func TestStreamsAreRefused(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	p := dialLevel2(t, address)
	p.write(frame2(frame.FlagStream, 5, idEcho, "a first message"), frame2(frame.FlagStream, 5, idEcho, "a second one"))
	r := p.answered(5, rpc.CodeBadRequest)
	require.EqualValues(t, frame.FlagReset, r.Flags, "no handler saw it")
	p.cancel(5) // which ends our direction, and the session is free
	p.echoes(5)
}
