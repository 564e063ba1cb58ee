package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// trace is what happened, in its order.
type trace struct {
	mu    sync.Mutex
	lines []string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
}

// take gives what has happened since it was asked last.
func (t *trace) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	t.lines = nil
	return lines
}

// filter notes what goes through it: a "(" before next, a ")" behind it, and "done" when all is over.
func (t *trace) filter(name string) rpc.Filter {
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(call *rpc.Call, err error) error {
			t.add("%s done %d", name, rpc.CodeOf(err))
			return err
		})
		t.add("%s(", name)
		err := next(ctx, call)
		t.add("%s)", name)
		return err
	}
}

// mask is a compression in name only.
func mask(payload []byte) []byte {
	out := make([]byte, len(payload))
	for i, b := range payload {
		out[i] = b ^ 0x55
	}
	return out
}

// unmasking takes compressed requests on the side of the server, and masks every reply.
func unmasking(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	call.OnDone(func(call *rpc.Call, err error) error {
		if err == nil {
			masked := call.Buffer(len(call.ReplyPayload()))
			copy(masked, mask(call.ReplyPayload()))
			call.SetReply(masked, rpc.CompressionZstd)
		}
		return err
	})
	if call.Compression() == rpc.CompressionZstd {
		call.SetPayload(mask(call.Payload()), rpc.CompressionNone)
	}
	return next(ctx, call)
}

// masking is its counterpart on the side of the client.
func masking(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	masked := call.Buffer(len(call.Payload()))
	copy(masked, mask(call.Payload()))
	call.SetPayload(masked, rpc.CompressionZstd)
	err := next(ctx, call)
	if err == nil && call.ReplyCompression() == rpc.CompressionZstd {
		plain := call.Buffer(len(call.ReplyPayload()))
		copy(plain, mask(call.ReplyPayload()))
		call.SetReply(plain, rpc.CompressionNone)
	}
	return err
}

// withFilters gives a method filters.
func withFilters(m rpc.Method, filters ...rpc.Filter) rpc.Method {
	m.Filters = filters
	return m
}

// The ways that a handler runs in.
var waysToRun = []struct {
	name string
	with func(rpc.Method) rpc.Method
}{
	{"on the loop", func(m rpc.Method) rpc.Method { return m }},
	{"late", func(m rpc.Method) rpc.Method {
		handle := m.Handle
		m.Handle = func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(5 * time.Millisecond)
			return handle(ctx, req, reply)
		}
		return m
	}},
	{"as a goroutine", func(m rpc.Method) rpc.Method {
		m.Slow = true
		return m
	}},
}

// What is more general is outside; in a list the first one is.
func TestFiltersInOrder(t *testing.T) {
	var happened trace
	handler := func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		happened.add("handler")
		return reply.Bytes(req.Payload())
	}
	verified := withFilters(method(idWork, handler), happened.filter("method1"), happened.filter("method2"))
	verified.Verify = func([]byte) error {
		happened.add("verify")
		return nil
	}
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Filters: []rpc.Filter{happened.filter("server1"), happened.filter("server2")}})
	require.NoError(t, err)
	defer server.Close()
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{verified, method(idMore, handler)},
		Filters: []rpc.Filter{happened.filter("service")}}))
	require.NoError(t, server.Register(rpc.Service{Name: "Other", Methods: []rpc.Method{method(idEcho, echo)}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve() }()
	c := dial(t, address)
	require.Equal(t, "x", answer(t, c, idWork, "x"))
	require.Equal(t, strings.Split("server1( server2( service( method1( method2( verify handler method2) method1) service) server2) server1)", " "),
		without(happened.take(), "done"))
	require.Equal(t, "x", answer(t, c, idMore, "x"))
	require.Equal(t, strings.Split("server1( server2( service( handler service) server2) server1)", " "), without(happened.take(), "done"))
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	require.Equal(t, []string{"server1(", "server2(", "server2)", "server2 done 200", "server1)", "server1 done 200"}, happened.take())

	settings := server.Settings()
	require.Equal(t, 2, settings.Filters)
	require.Equal(t, []int{0, 1}, []int{settings.Services[0].Filters, settings.Services[1].Filters})
	require.Equal(t, []int{2, 5, 3}, []int{settings.Methods[0].Filters, settings.Methods[1].Filters, settings.Methods[2].Filters})
	for _, s := range server.Services() {
		require.Nil(t, s.Filters)
		for _, m := range s.Methods {
			require.Nil(t, m.Filters)
		}
	}
}

func without(lines []string, text string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, text) })
}

// What filters see of a call.
func TestWhatAFilterSees(t *testing.T) {
	seen := make(chan string, 1)
	look := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		_, limited := ctx.Deadline()
		before := fmt.Sprintf("%v %s %s %d %q %v %q %v", call.Side(), call.Service(), call.Name(), call.Method().ID, call.Payload(),
			call.Compression(), call.ReplyPayload(), limited)
		err := next(ctx, call)
		seen <- fmt.Sprintf("%s | %q %q %v %v %v", before, call.Payload(), call.ReplyPayload(), call.ReplyCompression(), call.Deferred(), err)
		return err
	}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{look}},
		timed(method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return reply.Bytes([]byte("reply")) }), time.Hour),
		method(idMore, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return nil }))
	c := dial(t, address)
	require.Equal(t, "reply", answer(t, c, idWork, "request"))
	require.Equal(t, `server Test Test.Method1001 1001 "request" none "" true | "request" "reply" none false <nil>`, within(t, seen, "it is seen"))
	require.Len(t, answer(t, c, idMore, "request"), 12)
	require.Contains(t, within(t, seen, "it is seen"), `"request" "\b\x00\x00\x00\x04\x00\x04\x00\x04\x00\x00\x00" none`, "an empty table is what will be sent")
}

// Both payloads are rewritten, by filters of several layers; outer ones have the request as they had it.
func TestFiltersRewritePayloads(t *testing.T) {
	suffix := func(text string) rpc.Filter {
		return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			before := string(call.Payload())
			payload := call.Buffer(len(before) + len(text))
			copy(payload[copy(payload, before):], text)
			call.SetPayload(payload, rpc.CompressionNone)
			err := next(ctx, call)
			if err != nil {
				return err
			}
			reply := call.Buffer(len(call.ReplyPayload()) + len(text))
			copy(reply[copy(reply, call.ReplyPayload()):], text)
			call.SetReply(reply, rpc.CompressionNone)
			return nil
		}
	}
	var outside []string
	look := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		outside = append(outside, string(call.Payload()))
		return err
	}
	cut := func(ctx context.Context, call *rpc.Call, next rpc.Next) error { // a part of what is there, which lies in the loan
		err := next(ctx, call)
		call.SetReply(call.ReplyPayload()[:4], rpc.CompressionNone)
		return err
	}
	for _, way := range waysToRun {
		t.Run(way.name, func(t *testing.T) {
			placed := func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
				copy(reply.Place(len(req.Payload())), req.Payload())
				return nil
			}
			outside = nil
			_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{look, suffix("1"), suffix("2")}},
				way.with(method(idWork, placed)), way.with(withFilters(method(idMore, placed), cut)))
			c := dial(t, address)
			for range 8 {
				require.Equal(t, "x1221", answer(t, c, idWork, "x"))
				require.Equal(t, "some21", answer(t, c, idMore, "something"))
			}
			require.Equal(t, "x", outside[0])
			require.Equal(t, "something", outside[len(outside)-1])
		})
	}
}

// A filter's buffer stays what it is until its reply has left, however many calls come in one batch.
func TestBuffersAreNotSharedByCalls(t *testing.T) {
	copied := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		reply := call.Buffer(len(call.ReplyPayload()))
		copy(reply, call.ReplyPayload())
		call.SetReply(reply, rpc.CompressionNone)
		return err
	}
	for _, way := range waysToRun {
		t.Run(way.name, func(t *testing.T) {
			_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{copied}}, way.with(method(idWork, echo)))
			w := dialWire(t, address)
			const calls = 200
			var batch []byte
			for i := range calls {
				batch = append(batch, request(uint16(i), idWork, number(i))...)
			}
			_, err := w.Write(batch)
			require.NoError(t, err)
			for range calls {
				h, payload := w.receive()
				require.Equal(t, int(h.Session), numberOf([]byte(payload)))
			}
		})
	}
}

// A filter that stops a call answers in the handler's place, with an error, a reply, or an empty table.
func TestAFilterThatStopsACall(t *testing.T) {
	ran := 0
	stop := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		switch string(call.Payload()) {
		case "error":
			return fmt.Errorf("on the way: %w", rpc.Errorf(rpc.CodeUnauthenticated, "stopped"))
		case "reply":
			call.SetReply([]byte("from the filter"), rpc.CompressionNone)
			return nil
		case "nothing":
			return nil
		}
		return next(ctx, call)
	}
	var happened trace
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{happened.filter("outer"), stop, happened.filter("inner")}},
		method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			ran++
			return reply.Bytes(req.Payload())
		}))
	c := dial(t, address)
	require.Equal(t, rpc.CodeUnauthenticated, fails(t, c, idWork, "error").Code)
	require.Equal(t, []string{"outer(", "outer)", "outer done 401"}, happened.take())
	require.Equal(t, "from the filter", answer(t, c, idWork, "reply"))
	require.Len(t, answer(t, c, idWork, "nothing"), 12, "an empty table")
	require.Zero(t, ran)
	require.Equal(t, "go", answer(t, c, idWork, "go"))
	require.Equal(t, 1, ran)
}

// A filter may turn an error into another one or into a reply, and a reply into an error. What the handler
// had begun to answer with does not get out.
func TestFiltersRewriteStatuses(t *testing.T) {
	turn := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		switch {
		case errors.Is(err, rpc.ErrNotFound) && string(call.Payload()) == "default":
			if call.ReplyPayload() != nil {
				return rpc.Errorf(rpc.CodeInternal, "a reply and an error")
			}
			call.SetReply([]byte("the default"), rpc.CompressionNone)
			return nil
		case errors.Is(err, rpc.ErrNotFound) && string(call.Payload()) == "empty":
			return nil
		case errors.Is(err, rpc.ErrNotFound):
			return rpc.Errorf(rpc.CodePermission, "not for you")
		}
		return rpc.ErrLimit
	}
	_, address := start(t, rpc.ServerOptions{}, withFilters(method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		_ = reply.Bytes([]byte("begun"))
		if string(req.Payload()) == "there" {
			return nil
		}
		return fmt.Errorf("looking: %w", rpc.Errorf(rpc.CodeNotFound, "it is not there"))
	}), turn))
	c := dial(t, address)
	require.Equal(t, "the default", answer(t, c, idWork, "default"))
	require.Len(t, answer(t, c, idWork, "empty"), 12)
	require.Equal(t, rpc.CodePermission, fails(t, c, idWork, "secret").Code)
	require.Equal(t, rpc.CodeLimit, fails(t, c, idWork, "there").Code)
}

// What fails takes the reply along: who makes a success of it again has to give another one.
func TestAnErrorTakesTheReplyAlong(t *testing.T) {
	fails := map[string]rpc.Filter{
		"error": func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			_ = next(ctx, call)
			call.SetReply([]byte("of who fails"), rpc.CompressionZstd)
			return rpc.ErrLimit
		},
		"error of Done": func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.OnDone(func(*rpc.Call, error) error { return rpc.ErrLimit })
			return next(ctx, call)
		},
		"panic": func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			_ = next(ctx, call)
			panic("on purpose")
		},
		"panic of Done": func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.OnDone(func(*rpc.Call, error) error { panic("on purpose") })
			return next(ctx, call)
		},
	}
	for name, fail := range fails {
		t.Run(name, func(t *testing.T) {
			var happened trace
			_, address := start(t, rpc.ServerOptions{}, withFilters(method(idWork, echo), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
				call.OnDone(func(call *rpc.Call, err error) error {
					happened.add("%v %q", err != nil, call.ReplyPayload())
					return nil
				})
				err := next(ctx, call)
				happened.add("%v %q", err != nil, call.ReplyPayload())
				return err
			}, fail))
			require.Equal(t, string(emptyTable), answer(t, dial(t, address), idWork, "x"))
			for _, line := range happened.take() {
				require.Equal(t, `true ""`, line)
			}
		})
	}
}

// emptyTable is what is sent where nothing is said.
var emptyTable = []byte{8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0}

// The error that a filter gets is the handler's own; what it returns is logged like one of the handler's.
func TestErrorsGoThroughFilters(t *testing.T) {
	errOwn := errors.New("the handler's own")
	same := make(chan bool, 1)
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger(), Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			err := next(ctx, call)
			same <- errors.Is(err, errOwn)
			return err
		},
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			return fmt.Errorf("inner: %w", next(ctx, call))
		},
	}}, method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error { return errOwn }))
	c := dial(t, address)
	require.Equal(t, rpc.CodeInternal, fails(t, c, idWork, "x").Code)
	require.True(t, within(t, same, "the filter runs"))
	require.Contains(t, log.lines("handler failed")[0], "inner: the handler's own")
}

// A handler runs once.
func TestNextTwiceInAServer(t *testing.T) {
	ran := 0
	twice := make(chan error, 1)
	_, address := start(t, rpc.ServerOptions{}, withFilters(method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		ran++
		return reply.Bytes(req.Payload())
	}), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := next(ctx, call); err != nil {
			return err
		}
		err := next(ctx, call)
		twice <- err
		return err
	}))
	c := dial(t, address)
	require.Equal(t, rpc.CodeInternal, fails(t, c, idWork, "x").Code)
	require.ErrorContains(t, within(t, twice, "next returns"), "a filter of Test.Method1001 called next twice")
	require.Equal(t, 1, ran)
	fails(t, c, idWork, "x")
	require.Equal(t, 2, ran, "of another call nothing is known")
}

// A compressed request gets to the filters as it came; the verifier sees what they have made of it.
func TestCompressedRequests(t *testing.T) {
	verified := func(m rpc.Method) rpc.Method {
		m.Verify = func(payload []byte) error {
			if !strings.HasPrefix(string(payload), "plain") {
				return errors.New("not plain")
			}
			return nil
		}
		return m
	}
	compressed := func(session uint16, id uint32, payload string) []byte {
		p := mask([]byte(payload))
		h := frame.Header{Compression: frame.CompressionZstd, Session: session, Size: uint32(len(p)), Checksum: frame.Checksum(p), Meta: id}
		return append(h.Append(nil), p...)
	}
	nothing := func(ctx context.Context, call *rpc.Call, next rpc.Next) error { return next(ctx, call) }
	for _, way := range waysToRun {
		t.Run(way.name, func(t *testing.T) {
			server, address := start(t, rpc.ServerOptions{},
				way.with(verified(withFilters(method(idWork, echo), unmasking))),
				way.with(verified(withFilters(method(idMore, echo), nothing))))
			w := dialWire(t, address)
			for range 8 {
				_, err := w.Write(compressed(1, idWork, "plain text"))
				require.NoError(t, err)
				h, payload := w.receive()
				require.EqualValues(t, rpc.CodeOK, h.Meta)
				require.EqualValues(t, frame.CompressionZstd, h.Compression)
				require.Equal(t, string(mask([]byte("plain text"))), payload)
			}
			w.send(2, idEcho, "plain text") // nothing is left of the calls before
			h, payload := w.receive()
			require.Zero(t, h.Compression)
			require.Equal(t, "plain text", payload)
			_, err := w.Write(compressed(2, idWork, "other text"))
			require.NoError(t, err)
			h, payload = w.receive()
			require.EqualValues(t, rpc.CodeBadRequest, h.Meta)
			require.Zero(t, h.Compression)
			require.Len(t, payload, 12)

			// Where no filter decompresses, and where there is none: 501, and counted.
			for i, id := range []uint32{idMore, idEcho} {
				_, err = w.Write(compressed(3, id, "plain text"))
				require.NoError(t, err)
				h, _ = w.receive()
				require.EqualValues(t, rpc.CodeNotImplemented, h.Meta)
				require.EqualValues(t, i+1, server.Stats().Cores[0].Refused[rpc.RefusedNotImplemented])
			}
			w.send(4, idMore, "plain text") // nothing is left of the call before
			h, payload = w.receive()
			require.EqualValues(t, rpc.CodeOK, h.Meta)
			require.Equal(t, "plain text", payload)
		})
	}
}

// A reply over the limit is 413, whoever made it that large, and one that a filter made smaller is not.
func TestFiltersAndTheLimitOfReplies(t *testing.T) {
	options := rpc.ServerOptions{Limits: rpc.Limits{FrameBytes: 1 << 16}}
	sized := func(size int) rpc.Filter {
		return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			err := next(ctx, call)
			call.SetReply(call.Buffer(size), rpc.CompressionNone)
			return err
		}
	}
	tokens := make(chan *rpc.Deferred, 1)
	smaller := func(call *rpc.Call, err error) error {
		call.SetReply(call.ReplyPayload()[:10], rpc.CompressionNone)
		return err
	}
	_, address := start(t, options,
		withFilters(method(idWork, echo), sized(1<<16+1)),
		withFilters(method(idMore, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			return reply.Bytes(make([]byte, 1<<16+1))
		}), sized(1<<16)),
		withFilters(method(idGate, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			tokens <- reply.Defer()
			return nil
		}), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.OnDone(smaller)
			return next(ctx, call)
		}))
	c := dial(t, address)
	require.Equal(t, rpc.CodeTooLarge, fails(t, c, idWork, "x").Code)
	require.Len(t, answer(t, c, idMore, "x"), 1<<16)
	go func() { (<-tokens).Bytes(make([]byte, 1<<17)) }()
	require.Len(t, answer(t, c, idGate, "x"), 10)

	larger := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(call *rpc.Call, err error) error {
			call.SetReply(call.Buffer(1<<16+1), rpc.CompressionZstd)
			return err
		})
		return next(ctx, call)
	}
	for name, filter := range map[string]rpc.Filter{"made larger": larger, "was too large": passes} {
		_, address := start(t, options, withFilters(method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			tokens <- reply.Defer()
			return nil
		}), filter))
		c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{passes}})
		go func() {
			d := <-tokens
			if name == "made larger" {
				d.Bytes([]byte("small"))
			} else {
				d.Bytes(make([]byte, 1<<16+1))
			}
		}()
		require.Equal(t, rpc.CodeTooLarge, fails(t, c, idWork, "x").Code, name)
	}
}

// Metadata goes from filters to the handler and back, and not from a call to the next one.
func TestMetadataOnTheServersSide(t *testing.T) {
	seen := make(chan string, 1)
	_, address := start(t, rpc.ServerOptions{},
		withFilters(method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			if err := reply.Metadata().Add("served-by", "handler"); err != nil {
				return err
			}
			return reply.Bytes([]byte(req.Metadata().Get("user")))
		}), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if n := call.RequestMetadata().Len() + call.ReplyMetadata().Len(); n != 0 {
				return rpc.Errorf(rpc.CodeConflict, "%d entries", n)
			}
			if err := call.RequestMetadata().Set("user", string(call.Payload())); err != nil {
				return err
			}
			err := next(ctx, call)
			seen <- call.ReplyMetadata().Get("served-by")
			return err
		}),
		method(idMore, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error { // without filters
			if n := req.Metadata().Len() + reply.Metadata().Len(); n != 0 {
				return rpc.Errorf(rpc.CodeConflict, "%d entries", n)
			}
			return reply.Metadata().Add("left", "behind")
		}))
	c := dial(t, address)
	for _, user := range []string{"ann", "ben"} {
		require.Equal(t, user, answer(t, c, idWork, user))
		require.Equal(t, "handler", within(t, seen, "the filter sees it"))
		answer(t, c, idMore, "x")
		answer(t, c, idMore, "x")
	}
}

// Generated servers and clients get their filters by options, and a wrong name is told.
func TestFiltersOfGeneratedCode(t *testing.T) {
	var happened trace
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	defer server.Close()
	require.ErrorContains(t, demo.RegisterSmfStorageServer(server, typed{}, rpc.MethodFilters("Got", happened.filter("x"))),
		`rpc: MethodFilters("Got"): there is no such method; there are Get, Put, Fire, Forget, SomethingElse (service smf_gen.demo.SmfStorage (smf_demo.fbs, registered at `)
	require.NoError(t, demo.RegisterSmfStorageServer(server, typed{}, rpc.MethodFilters("Get", happened.filter("get")),
		rpc.Filters(happened.filter("service1")), rpc.Filters(happened.filter("service2"))))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve() }()
	storage := demo.NewSmfStorageClient(dial(t, address))
	var out demo.ResponseT
	require.NoError(t, storage.GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, []string{"service1(", "service2(", "get(", "get)", "service2)", "service1)"}, without(happened.take(), "done"))
	require.NoError(t, storage.PutInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, []string{"service1(", "service2(", "service2)", "service1)"}, without(happened.take(), "done"))
}
