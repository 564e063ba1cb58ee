package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

// wrappedCaller is what a program makes that puts something of its own around a client.
type wrappedCaller struct{ rpc.Caller }

// A method's filters are outside, the client's are next to the wire; each attempt goes through what is inside.
func TestFiltersOfAClientInOrder(t *testing.T) {
	var happened trace
	_, address := startDemo(t, rpc.ServerOptions{})
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{happened.filter("client1"), happened.filter("client2")}})
	options := []rpc.ServiceOption{rpc.Filters(happened.filter("service")), rpc.MethodFilters("Get", happened.filter("method1"), happened.filter("method2"))}
	storage := demo.NewSmfStorageClient(c, options...)
	var out demo.ResponseT
	require.NoError(t, storage.GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, "x", out.Name)
	require.Equal(t, strings.Split("method1( method2( service( client1( client2( client2) client1) service) method2) method1)", " "),
		without(happened.take(), "done"))
	require.NoError(t, storage.PutInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, strings.Split("service( client1( client2( client2) client1) service)", " "), without(happened.take(), "done"))
	require.ErrorIs(t, storage.FireInto(patient(t), &demo.RequestT{Name: "x"}, &out), rpc.ErrNotImplemented)
	require.Equal(t, []string{"service(", "client1(", "client2(", "client2)", "client2 done 501", "client1)", "client1 done 501", "service)", "service done 501"},
		happened.take())

	// Without options of its own, without filters of the client's, and through something of the program's.
	require.NoError(t, demo.NewSmfStorageClient(c).GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, strings.Split("client1( client2( client2) client1)", " "), without(happened.take(), "done"))
	require.NoError(t, demo.NewSmfStorageClient(dial(t, address), options...).PutInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, strings.Split("service( service)", " "), without(happened.take(), "done"))
	require.NoError(t, demo.NewSmfStorageClient(wrappedCaller{c}, options...).PutInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, strings.Split("service( client1( client2( client2) client1) service)", " "), without(happened.take(), "done"))

	wrong := demo.NewSmfStorageClient(c, rpc.MethodFilters("Got"))
	require.EqualError(t, wrong.GetInto(patient(t), &demo.RequestT{}, &out),
		`rpc: MethodFilters("Got"): there is no such method; there are Get, Put, Fire, Forget, SomethingElse`)
	old := rpc.NewStub(c, rpc.MethodFilters("Get"))
	err := rpc.CallInto(patient(t), &old, demo.SmfStorageGetMethodID, (&demo.RequestT{}).Pack, func(*demo.Response) {}, demo.VerifyResponse)
	require.EqualError(t, err, `rpc: MethodFilters("Get"): the generated client does not tell its methods; run smfc again`)
}

// What filters see of a call: with generated code what its schema says, else the id.
func TestWhatAClientsFilterSees(t *testing.T) {
	var seen []string
	_, address := startDemo(t, rpc.ServerOptions{})
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		seen = append(seen, fmt.Sprintf("%v %q %s %d", call.Side(), call.Service(), call.Name(), call.Method().ID))
		return next(ctx, call)
	}}})
	var out demo.ResponseT
	require.NoError(t, demo.NewSmfStorageClient(c).GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	answer(t, c, demo.SmfStorageGetMethodID, string(demoRequest("x")))
	require.NoError(t, demo.NewSmfStorageClient(wrappedCaller{c}).GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	plain := `client "" method 1792279101 1792279101`
	require.Equal(t, []string{`client "SmfStorage" SmfStorage.Get 1792279101`, plain, plain}, seen)
}

// Payloads go masked over the wire in both directions, and neither the handler nor the caller knows.
func TestBothSidesRewritePayloads(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{unmasking}}, method(idWork, echo))
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{masking}})
	for _, size := range []int{1, 100, 100_000, 2 << 20, 1} {
		text := strings.Repeat("x", size)
		require.Equal(t, text, answer(t, c, idWork, text))
	}
	var callers sync.WaitGroup
	for caller := range 50 {
		callers.Go(func() {
			for i := range 50 {
				text := randomText(caller*1000+i, 1+(caller*i)%3000)
				require.Equal(t, text, answer(t, c, idWork, text))
			}
		})
	}
	callers.Wait()

	// A filter's reply is the message's until it is released, whatever is called meanwhile.
	m, err := c.Call(patient(t), idWork, []byte("kept"))
	require.NoError(t, err)
	for range 10 {
		answer(t, c, idWork, "other")
	}
	require.Equal(t, "kept", string(m.Payload()))
	m.Release()

	require.Equal(t, rpc.CodeNotImplemented, fails(t, dial(t, address), idWork, "x").Code, "who does not unmask gets no garbage")
	nothing := func(ctx context.Context, call *rpc.Call, next rpc.Next) error { return next(ctx, call) }
	e := fails(t, dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{nothing}}), idWork, "x")
	require.EqualError(t, e, "rpc: 501 not implemented: the reply is compressed (zstd), and no filter of method 1001 decompresses it")
	require.True(t, e.MayHaveRun)
}

// The bytes of a compressed request: its header says so, and nothing is behind it.
func TestTheFrameOfACompressedRequest(t *testing.T) {
	address, accept := peer(t)
	clients := make(chan *rpc.Client, 1)
	go func() {
		clients <- dialWith(t, address, rpc.ClientOptions{Level: 1, Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			call.SetPayload([]byte("abc"), rpc.CompressionLZ4)
			return next(ctx, call)
		}}})
	}()
	w := accept()
	c := within(t, clients, "it is connected")
	replies := make(chan string, 1)
	go func() { replies <- answer(t, c, idWork, "something") }()
	h, payload := w.receive()
	require.Equal(t, "abc", payload)
	require.EqualValues(t, frame.CompressionLZ4, h.Compression)
	require.Zero(t, h.Flags)
	_, err := w.Write(request(h.Session, uint32(rpc.CodeOK), "reply"))
	require.NoError(t, err)
	require.Equal(t, "reply", within(t, replies, "the reply"))
}

// Another attempt starts with the request as the filter has it, and earlier replies leave nothing behind.
func TestAFilterThatTriesAgain(t *testing.T) {
	var happened trace
	attempts := 0
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{unmasking}}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		attempts++
		switch attempts % 3 {
		case 1:
			return rpc.ErrUnavailable
		case 2:
			return reply.Bytes([]byte("again"))
		}
		return reply.Bytes(req.Payload())
	}))
	retry := func(ctx context.Context, call *rpc.Call, next rpc.Next) (err error) {
		for range 3 {
			err = next(ctx, call)
			if err == nil && string(call.ReplyPayload()) != "again" {
				return nil
			}
			if err != nil && call.ReplyPayload() != nil {
				return errors.New("an error, and a reply")
			}
		}
		return errors.New("three times in vain")
	}
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{happened.filter("outer"), retry, happened.filter("attempt"), masking}})
	for range 2 {
		require.Equal(t, "x", answer(t, c, idWork, "x"))
		require.Equal(t, []string{"outer(", "attempt(", "attempt)", "attempt done 503", "attempt(", "attempt)", "attempt done 200",
			"attempt(", "attempt)", "attempt done 200", "outer)", "outer done 200"}, happened.take())
	}
}

// An attempt that fails leaves no reply of the one before, also not for the filter that is next to the wire.
func TestAnAttemptThatFailsAfterAReply(t *testing.T) {
	ran := 0
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if ran++; ran%2 == 0 {
			return rpc.ErrLimit
		}
		return reply.Bytes(req.Payload())
	}))
	var left []byte
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := next(ctx, call); err != nil || string(call.ReplyPayload()) != "x" {
			return errors.New("the first one fails")
		}
		err := next(ctx, call)
		left = call.ReplyPayload()
		return err
	}}})
	for range 2 {
		require.Equal(t, rpc.CodeLimit, fails(t, c, idWork, "x").Code)
		require.Nil(t, left)
	}
}

// A filter that does not call: with an error, with a reply of its own, or by mistake with neither.
func TestAClientsFilterThatStopsACall(t *testing.T) {
	errOwn := errors.New("the filter's own")
	stop := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		switch string(call.Payload()) {
		case "error":
			return errOwn
		case "buffer":
			reply := call.Buffer(100)
			call.SetReply(reply[:copy(reply, "from a buffer")], rpc.CompressionNone)
		case "reply":
			call.SetReply([]byte("from the filter"), rpc.CompressionNone)
		case "part":
			if err := next(ctx, call); err != nil {
				return err
			}
			call.SetReply(call.ReplyPayload()[2:], rpc.CompressionNone)
		case "error after a reply":
			_ = next(ctx, call)
			return errOwn
		case "nothing after an error":
			call.SetPayload([]byte("y"), rpc.CompressionNone)
			_ = next(ctx, call)
		}
		return nil
	}
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if string(req.Payload()) == "y" {
			return rpc.ErrNotFound
		}
		return reply.Bytes(req.Payload())
	}))
	var happened trace
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{happened.filter("outer"), stop}})
	for range 3 {
		for _, payload := range []string{"error", "error after a reply"} {
			_, err := call(c, patient(t), idWork, payload)
			require.ErrorIs(t, err, errOwn)
		}
		require.Equal(t, "from a buffer", answer(t, c, idWork, "buffer"))
		require.Equal(t, "from the filter", answer(t, c, idWork, "reply"))
		require.Equal(t, "rt", answer(t, c, idWork, "part"))
		for _, payload := range []string{"nothing", "nothing after an error"} {
			require.EqualError(t, fails(t, c, idWork, payload),
				"rpc: 500 handler failed: a filter ended the call of method 1001 without an error and without a reply; call next, or SetReply")
		}
	}
}

// A caller that takes payloads as they are is told so.
func TestACompressingFilterAroundAnotherCaller(t *testing.T) {
	_, address := startDemo(t, rpc.ServerOptions{})
	storage := demo.NewSmfStorageClient(wrappedCaller{dial(t, address)}, rpc.Filters(masking))
	var out demo.ResponseT
	err := storage.GetInto(patient(t), &demo.RequestT{Name: "x"}, &out)
	require.ErrorIs(t, err, rpc.ErrNotImplemented)
	require.ErrorContains(t, err, "what it is called through, a rpc_test.wrappedCaller, takes payloads as they are; give the filter to ClientOptions.Filters")
}

// Errors of the server, of the context and of the connection get to filters as callers know them, and so through them.
func TestErrorsGoThroughAClientsFilters(t *testing.T) {
	var seen error
	look := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := next(ctx, call); err != nil {
			seen = err
			return fmt.Errorf("filtered: %w", err)
		}
		return nil
	}
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
		return rpc.Errorf(rpc.CodeConflict, "no")
	}))
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{look}})
	e := fails(t, c, idWork, "x")
	require.Equal(t, rpc.CodeConflict, e.Code)
	require.True(t, e.MayHaveRun)
	require.Same(t, seen, e)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := call(c, ended, idWork, "x")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "filtered: ")
	require.NoError(t, server.Close())
	eventually(t, "it is noticed", func() bool { return errors.Is(fails(t, c, idEcho, "x"), rpc.ErrUnavailable) })
}

// A filter that panics does so in its caller, who may recover, and what was registered runs.
func TestAClientsFilterThatPanics(t *testing.T) {
	var happened trace
	_, address := start(t, rpc.ServerOptions{}, method(idWork, echo))
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{happened.filter("outer"), func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		err := next(ctx, call)
		if string(call.Payload()) == "panic" {
			panic("on purpose")
		}
		return err
	}}})
	for range 3 {
		require.PanicsWithValue(t, "on purpose", func() { _, _ = call(c, patient(t), idWork, "panic") })
		require.Equal(t, []string{"outer(", "outer done 500"}, happened.take())
		require.Equal(t, "x", answer(t, c, idWork, "x"))
		happened.take()
	}
}

// Metadata goes from filter to filter, stays where it was set while there are attempts, and ends with its call.
func TestMetadataOnTheClientsSide(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, method(idWork, echo))
	var seen []string
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if call.RequestMetadata().Len() != 0 || call.ReplyMetadata().Len() != 0 {
				return errors.New("of another call")
			}
			_ = next(ctx, call)
			return next(ctx, call)
		},
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if err := call.RequestMetadata().Set("token", string(call.Payload())); err != nil {
				return err
			}
			return next(ctx, call)
		},
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			seen = append(seen, fmt.Sprint(call.RequestMetadata().Len(), " ", call.RequestMetadata().Get("token")))
			err := next(ctx, call)
			if call.ReplyMetadata().Len() != 0 {
				return errors.New("of another attempt")
			}
			return errors.Join(err, call.ReplyMetadata().Add("from", "a filter"))
		},
	}})
	answer(t, c, idWork, "x")
	answer(t, c, idWork, "y")
	require.Equal(t, []string{"1 x", "1 x", "1 y", "1 y"}, seen)
}

// A handler that calls gives its loop away behind filters, too, and with a context that one of them has made.
func TestAFilteredClientInAHandler(t *testing.T) {
	type key struct{}
	var c *rpc.Client
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		m, err := c.Call(ctx, idEcho, req.Payload())
		if err != nil {
			return err
		}
		defer m.Release()
		return reply.Bytes(append([]byte(nil), m.Payload()...))
	}))
	c = dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		return next(context.WithValue(ctx, key{}, 1), call)
	}}})
	for range 10 {
		require.Equal(t, "x", answer(t, dial(t, address), idWork, "x"))
	}
	require.NotZero(t, core(server).HandlersGave)
}

func TestCodeOf(t *testing.T) {
	require.Equal(t, rpc.CodeOK, rpc.CodeOf(nil))
	require.Equal(t, rpc.CodeConflict, rpc.CodeOf(fmt.Errorf("no: %w", rpc.Errorf(rpc.CodeConflict, "no"))))
	require.Equal(t, rpc.CodeDeadline, rpc.CodeOf(context.DeadlineExceeded))
	require.Equal(t, rpc.CodeInternal, rpc.CodeOf(errors.New("no")))
	require.Equal(t, []string{"none", "zstd", "lz4", "compression 9"}, []string{rpc.CompressionNone.String(), rpc.CompressionZstd.String(),
		rpc.CompressionLZ4.String(), rpc.Compression(9).String()})
}

// A pair of both, as programs' tests make it.
func TestFiltersInAPair(t *testing.T) {
	c, _ := rpctest.NewPairWith(t, rpc.ServerOptions{Cores: 1, Spin: -1, Filters: []rpc.Filter{unmasking}}, func(r rpc.Registrar) error {
		return registerGetterServer(r, getter(echoName))
	})
	var out demo.ResponseT
	require.NoError(t, newGetterClient(c, rpc.MethodFilters("Get", masking)).GetInto(patient(t), &demo.RequestT{Name: "x"}, &out))
	require.Equal(t, "x", out.Name)
}
