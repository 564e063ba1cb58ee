package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// A promised reply is known later; until then nothing is done. The handler's token may be faster than its
// filters, too.
func TestDoneOfDeferredReplies(t *testing.T) {
	for _, way := range waysToRun {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, early %v", way.name, early), func(t *testing.T) {
				var happened trace
				tokens := make(chan *rpc.Deferred, 1)
				server, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{happened.filter("outer"), happened.filter("inner")}},
					way.with(method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
						d := reply.Defer()
						if early {
							answered := make(chan struct{})
							go func() {
								defer close(answered)
								d.Bytes([]byte("early"))
							}()
							<-answered
							happened.add("answered")
						} else {
							tokens <- d
						}
						return nil
					})))
				c := dial(t, address)
				idle := idleMemory(t, server, c)
				happened.take()
				for range 8 {
					if early {
						require.Equal(t, "early", answer(t, c, idWork, "x"))
						require.Equal(t, []string{"outer(", "inner(", "answered", "inner)", "outer)", "inner done 200", "outer done 200"}, happened.take())
						continue
					}
					errs := make(chan error, 1)
					go func() {
						_, err := call(c, context.Background(), idWork, "x")
						errs <- err
					}()
					d := within(t, tokens, "the handler runs")
					eventually(t, "the filters return", func() bool {
						happened.mu.Lock()
						defer happened.mu.Unlock()
						return len(happened.lines) == 4
					})
					require.Equal(t, []string{"outer(", "inner(", "inner)", "outer)"}, happened.take())
					require.True(t, d.Fail(rpc.Errorf(rpc.CodeConflict, "no")))
					require.False(t, d.Bytes([]byte("twice")))
					require.Equal(t, []string{"inner done 409", "outer done 409"}, happened.take())
					require.ErrorIs(t, within(t, errs, "the answer"), &rpc.Error{Code: rpc.CodeConflict})
				}
				happened.take()
				comesBack(t, server, c, idle)
			})
		}
	}
}

// Whatever is registered behind next has its turn all the same: inner filters first.
func TestDoneRegisteredBehindNext(t *testing.T) {
	var happened trace
	behind := func(name string) rpc.Filter {
		return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			done := func(what string) rpc.Done {
				return func(call *rpc.Call, err error) error {
					happened.add("%s %s %v", name, what, call.Deferred())
					return err
				}
			}
			call.OnDone(done("before"))
			err := next(ctx, call)
			call.OnDone(done("behind"))
			return err
		}
	}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{behind("outer"), behind("inner")}},
		method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			go reply.Defer().Bytes([]byte("later"))
			return nil
		}))
	c := dial(t, address)
	for _, test := range []struct {
		id       uint32
		deferred bool
	}{{idWork, true}, {idEcho, false}} {
		answer(t, c, test.id, "x")
		var want []string
		for _, line := range []string{"inner behind", "inner before", "outer behind", "outer before"} {
			want = append(want, fmt.Sprint(line, " ", test.deferred))
		}
		require.Equal(t, want, happened.take())
	}
}

// What Done makes of a promised reply is what is sent: another payload, compressed or not, or a status.
func TestDoneRewritesDeferredReplies(t *testing.T) {
	errOwn := errors.New("of the token")
	swap := func(call *rpc.Call, err error) error {
		switch {
		case errors.Is(err, errOwn):
			call.SetReply([]byte("the default"), rpc.CompressionNone)
			return nil
		case string(call.ReplyPayload()) == "bad":
			return rpc.ErrLimit
		case string(call.ReplyPayload()) == "panic":
			panic("on purpose")
		}
		return err
	}
	after := make(chan error, 1)
	tokens := make(chan *rpc.Deferred, 1)
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()}, withFilters(method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		tokens <- reply.Defer()
		return nil
	}), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(call *rpc.Call, err error) error {
			after <- err
			return err
		})
		return next(ctx, call)
	}, func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(swap)
		return next(ctx, call)
	}, unmasking))
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		if err == nil && call.ReplyCompression() == rpc.CompressionZstd {
			call.SetReply(mask(call.ReplyPayload()), rpc.CompressionNone)
		}
		return err
	}}})
	answered := func(with func(d *rpc.Deferred)) (string, error) {
		go func() { with(<-tokens) }()
		return call(c, patient(t), idWork, "x")
	}
	reply, err := answered(func(d *rpc.Deferred) { d.Bytes([]byte("plain")) })
	require.NoError(t, err)
	require.Equal(t, "plain", reply, "it was masked on the way")
	require.NoError(t, within(t, after, "Done runs"))
	reply, err = answered(func(d *rpc.Deferred) { d.Fail(fmt.Errorf("later: %w", errOwn)) })
	require.NoError(t, err)
	require.Equal(t, "the default", reply)
	require.NoError(t, within(t, after, "Done runs"))
	reply, err = answered(func(d *rpc.Deferred) { d.Object(&demo.ResponseT{Name: "packed"}) })
	require.NoError(t, err)
	require.NoError(t, demo.VerifyResponse([]byte(reply)))
	require.NoError(t, within(t, after, "Done runs"))
	_, err = answered(func(d *rpc.Deferred) { d.Bytes(mask([]byte("bad"))) })
	require.ErrorIs(t, err, rpc.ErrLimit)
	require.ErrorIs(t, within(t, after, "Done runs"), rpc.ErrLimit)
	_, err = answered(func(d *rpc.Deferred) { d.Bytes(mask([]byte("panic"))) })
	require.ErrorIs(t, err, &rpc.Error{Code: rpc.CodeInternal})
	require.ErrorContains(t, within(t, after, "Done runs"), "panicked")
	require.Contains(t, log.lines("a filter's Done panicked")[0], "on purpose")
}

// A filter that fails a call whose reply was promised is too late when the token has answered.
func TestAFilterThatFailsAPromise(t *testing.T) {
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprint("early ", early), func(t *testing.T) {
			var happened trace
			tokens := make(chan *rpc.Deferred, 1)
			_, address := start(t, rpc.ServerOptions{}, withFilters(method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
				if d := reply.Defer(); early {
					d.Bytes([]byte("from the token"))
				} else {
					tokens <- d
				}
				return nil
			}), happened.filter("outer"), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
				if err := next(ctx, call); err != nil || !call.Deferred() {
					return rpc.Errorf(rpc.CodeInternal, "not promised")
				}
				return rpc.ErrLimit
			}, happened.filter("inner")))
			w := dialWire(t, address)
			for range 2 {
				w.send(1, idWork, "x")
				h, payload := w.receive()
				code := rpc.CodeLimit
				if early {
					code = rpc.CodeOK
					require.Equal(t, "from the token", payload)
				} else {
					require.False(t, within(t, tokens, "the handler runs").Bytes([]byte("too late")))
				}
				require.EqualValues(t, code, h.Meta)
				require.Equal(t, []string{"outer(", "inner(", "inner)", "outer)", fmt.Sprint("inner done ", uint32(code)),
					fmt.Sprint("outer done ", uint32(code))}, happened.take())
			}
			w.send(1, idEcho, "the next") // and there was one answer
			_, payload := w.receive()
			require.Equal(t, "the next", payload)
		})
	}
}

// Whatever way a handler or a filter ends in, all that was registered runs, once, and knows.
func TestDoneOfCallsThatPanic(t *testing.T) {
	fails := func(before func(reply *rpc.Reply), fail func()) rpc.Handler {
		return func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			before(reply)
			fail()
			return nil
		}
	}
	nothing := func(*rpc.Reply) {}
	panics := func() { panic(errors.New("on purpose")) }
	for _, test := range []struct {
		name   string
		handle rpc.Handler
		filter rpc.Filter // inside of those that look
		code   rpc.Code
	}{
		{"panic", fails(nothing, panics), nil, rpc.CodeInternal},
		{"Goexit", fails(nothing, runtime.Goexit), nil, rpc.CodeInternal},
		{"panic after a reply", fails(func(reply *rpc.Reply) { _ = reply.Bytes([]byte("begun")) }, panics), nil, rpc.CodeInternal},
		{"panic after Defer", fails(func(reply *rpc.Reply) { reply.Defer() }, panics), nil, rpc.CodeInternal},
		{"panic after the token's answer", fails(func(reply *rpc.Reply) { reply.Defer().Bytes([]byte("from the token")) }, panics), nil, rpc.CodeOK},
		{"panic in a filter", echo, func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			_ = next(ctx, call)
			panic("on purpose")
		}, rpc.CodeInternal},
		{"panic in Done", echo, func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.OnDone(func(*rpc.Call, error) error { panic("on purpose") })
			return next(ctx, call)
		}, rpc.CodeInternal},
		{"panic in both", fails(nothing, panics), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.OnDone(func(*rpc.Call, error) error { panic("once more") })
			return next(ctx, call)
		}, rpc.CodeInternal},
	} {
		for _, way := range waysToRun {
			t.Run(test.name+" "+way.name, func(t *testing.T) {
				var happened trace
				filters := []rpc.Filter{happened.filter("outer"), happened.filter("inner")}
				if test.filter != nil {
					filters = append(filters, test.filter)
				}
				server, address := start(t, rpc.ServerOptions{}, way.with(withFilters(method(idWork, test.handle), filters...)))
				c := dial(t, address)
				idle := idleMemory(t, server, c)
				for range 6 {
					reply, err := call(c, patient(t), idWork, "x")
					if test.code == rpc.CodeOK {
						require.NoError(t, err)
						require.Equal(t, "from the token", reply)
					} else {
						require.ErrorIs(t, err, &rpc.Error{Code: test.code})
					}
					require.Equal(t, []string{"outer(", "inner(", fmt.Sprint("inner done ", uint32(test.code)),
						fmt.Sprint("outer done ", uint32(test.code))}, happened.take())
				}
				comesBack(t, server, c, idle)
			})
		}
	}
}

// Filters are told what the handler panicked with, and the log has the stack without what is this package's.
func TestWhatIsKnownOfAPanic(t *testing.T) {
	told := make(chan error, 1)
	errOwn := errors.New("on purpose")
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()}, withFilters(method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
		panic(errOwn)
	}), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(_ *rpc.Call, err error) error {
			told <- err
			return err
		})
		return next(ctx, call)
	}))
	fails(t, dial(t, address), idWork, "x")
	err := within(t, told, "Done runs")
	require.ErrorIs(t, err, errOwn)
	require.EqualError(t, err, "rpc: 500 handler failed: the handler panicked", "what others are told")
	line := log.lines("handler panicked")[0]
	require.Contains(t, line, "filter_done_test.go")
	require.NotContains(t, line, "/go/rpc/filter.go")
	require.NotContains(t, line, "internal/loop")
}

// A filter that recovers goes on as if next had returned, and inner filters are done before it.
func TestAFilterThatRecovers(t *testing.T) {
	var happened trace
	recovers := func(ctx context.Context, call *rpc.Call, next rpc.Next) (err error) {
		defer func() {
			if recover() != nil {
				call.OnDone(func(_ *rpc.Call, err error) error {
					happened.add("recovered")
					return err
				})
				err = rpc.Errorf(rpc.CodeUnavailable, "it panicked")
			}
		}()
		return next(ctx, call)
	}
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger(), Filters: []rpc.Filter{happened.filter("outer"), recovers, happened.filter("inner")}},
		method(idWork, failsOnPurpose))
	c := dial(t, address)
	require.Equal(t, rpc.CodeUnavailable, fails(t, c, idWork, "x").Code)
	require.Equal(t, []string{"outer(", "inner(", "recovered", "inner done 503", "outer)", "outer done 503"}, happened.take())
	require.Empty(t, log.lines("panicked"))
}

// Metadata and hooks of a promised reply are its own, while its worker serves others.
func TestAPromiseKeepsWhatIsItsOwn(t *testing.T) {
	tokens := make(chan *rpc.Deferred, 100)
	seen := make(chan string, 1)
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := call.RequestMetadata().Set("text", string(call.Payload())); err != nil {
			return err
		}
		if call.Method().ID == idWork {
			call.OnDone(func(call *rpc.Call, err error) error {
				seen <- fmt.Sprintf("%s %s %s %q", call.Name(), call.RequestMetadata().Get("text"), call.ReplyPayload(), call.Payload())
				return err
			})
		}
		return next(ctx, call)
	}}}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		tokens <- reply.Defer()
		return nil
	}))
	c := dial(t, address)
	w := dialWire(t, address)
	w.send(1, idWork, "promised")
	d := within(t, tokens, "the handler runs")
	for range 100 {
		require.Equal(t, "other", answer(t, c, idEcho, "other"))
	}
	require.True(t, d.Bytes([]byte("kept")))
	require.Equal(t, `Test.Method1001 promised kept ""`, within(t, seen, "Done runs"))
	_, payload := w.receive()
	require.Equal(t, "kept", payload)
}

// Tokens that answer while filters return, from many goroutines.
func TestTokensAndFiltersAtOnce(t *testing.T) {
	done := make(chan uint32, 10_000)
	_, address := start(t, rpc.ServerOptions{Cores: 2, Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(call *rpc.Call, err error) error {
			done <- uint32(rpc.CodeOf(err))
			reply := call.Buffer(len(call.ReplyPayload()))
			copy(reply, call.ReplyPayload())
			call.SetReply(reply, rpc.CompressionNone)
			return err
		})
		return next(ctx, call)
	}}}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		d, text := reply.Defer(), string(req.Payload())
		go d.Bytes([]byte(text))
		time.Sleep(time.Duration(len(text)) * time.Nanosecond)
		return nil
	}))
	w := dialWire(t, address)
	const calls = 2000
	go func() {
		for i := range calls {
			_, _ = w.Write(request(uint16(i), idWork, number(i)))
		}
	}()
	for range calls {
		h, payload := w.receive()
		require.EqualValues(t, rpc.CodeOK, h.Meta)
		require.Equal(t, int(h.Session), numberOf([]byte(payload)))
		require.EqualValues(t, rpc.CodeOK, within(t, done, "Done runs"))
	}
	require.Empty(t, done)
}
