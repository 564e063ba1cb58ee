package rpc_test

import (
	"context"
	"net"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// promising serves a method that defers its replies and hands the tokens out.
func promising(t *testing.T) (*rpc.Server, string, chan *rpc.Deferred) {
	tokens := make(chan *rpc.Deferred, 1000)
	server, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		tokens <- reply.Defer()
		return nil
	}))
	return server, address, tokens
}

func TestAReplyIsDeferred(t *testing.T) {
	server, address, tokens := promising(t)
	c := dial(t, address)
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idWork, "x") }()
	d := within(t, tokens, "the handler runs")
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	payload := []byte("later")
	require.True(t, d.Bytes(payload))
	copy(payload, "XXXXX")
	require.Equal(t, "later", within(t, answers, "the answer"))
	require.False(t, d.Bytes([]byte("twice")))
	require.False(t, d.Fail(rpc.ErrNotFound))
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
	require.Zero(t, deposed(server))
}

func TestADeferredBuilderAndError(t *testing.T) {
	_, address, tokens := promising(t)
	c := dial(t, address)
	go func() {
		b := flatbuffers.NewBuilder(0)
		b.Finish(b.CreateString("built"))
		(<-tokens).Finish(b)
		(<-tokens).Fail(rpc.Errorf(rpc.CodeConflict, "no"))
		(<-tokens).Bytes(nil)
		d := <-tokens
		d.Object(&demo.ResponseT{Name: "packed"})
		d.Object(&demo.ResponseT{Name: "twice"})
	}()
	require.Contains(t, answer(t, c, idWork, "x"), "built")
	require.Equal(t, rpc.CodeConflict, fails(t, c, idWork, "x").Code)
	require.Len(t, answer(t, c, idWork, "x"), 12, "an empty table")
	packed := []byte(answer(t, c, idWork, "x"))
	require.NoError(t, demo.VerifyResponse(packed))
	require.Contains(t, string(packed), "packed")
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
}

// The handler has answered through its token, and then fails: the caller gets one answer, and the next
// one with the same session is not taken for another.
func TestADeferredReplyThatCameFirst(t *testing.T) {
	for _, test := range []struct {
		name string
		fail func() error
		code rpc.Code // when the token is not used before
	}{
		{"nil", func() error { return nil }, 0},
		{"error", func() error { return rpc.ErrNotFound }, rpc.CodeNotFound},
		{"panic", func() error { panic("on purpose") }, rpc.CodeInternal},
		{"Goexit", func() error { return exits(context.Background(), nil, nil) }, rpc.CodeInternal},
	} {
		t.Run(test.name, func(t *testing.T) {
			tokens := make(chan *rpc.Deferred, 1)
			_, address := start(t, rpc.ServerOptions{},
				method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
					require.True(t, reply.Defer().Bytes([]byte("from the token")))
					return test.fail()
				}),
				method(idMore, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
					tokens <- reply.Defer()
					return test.fail()
				}))
			w := dialWire(t, address)
			w.send(1, idWork, "x")
			h, payload := w.receive()
			require.EqualValues(t, rpc.CodeOK, h.Meta)
			require.Equal(t, "from the token", payload)
			w.send(1, idEcho, "the next")
			_, payload = w.receive()
			require.Equal(t, "the next", payload)
			if test.code == 0 {
				return
			}
			w.send(1, idMore, "x")
			h, _ = w.receive()
			require.EqualValues(t, test.code, h.Meta)
			require.False(t, within(t, tokens, "the token").Bytes([]byte("too late")))
			w.send(1, idEcho, "the last")
			_, payload = w.receive()
			require.Equal(t, "the last", payload)
		})
	}
}

// What the handler says besides its promise is lost, and the log says so, once.
func TestAHandlerThatAnswersThoughItPromised(t *testing.T) {
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()},
		method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			go reply.Defer().Bytes([]byte("from the token"))
			return reply.Bytes([]byte("from the handler"))
		}))
	c := dial(t, address)
	for range 3 {
		require.Equal(t, "from the token", answer(t, c, idWork, "x"))
	}
	eventually(t, "it is logged", func() bool { return len(log.lines("after Reply.Defer")) > 0 })
	require.Len(t, log.lines("after Reply.Defer"), 1)
	require.Len(t, log.lines("Test.Method1001"), 1)
}

func TestADeferredReplyToAConnectionThatIsGone(t *testing.T) {
	server, address, tokens := promising(t)
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	w := dialWire(t, address)
	w.send(1, idWork, "x")
	d := within(t, tokens, "the handler runs")
	require.NoError(t, w.Conn.(*net.TCPConn).SetLinger(0))
	require.NoError(t, w.Close())
	eventually(t, "the server knows", func() bool {
		answer(t, c, idEcho, "x")
		closed := core(server).Closed
		return closed["broken"]+closed["by peer"] == 1
	})
	require.True(t, d.Bytes([]byte("to nobody")))
	comesBack(t, server, c, idle)
	eventually(t, "the reply goes nowhere", func() bool {
		answer(t, c, idEcho, "x")
		return core(server).StaleReplies == 1
	})
}

func TestADeferredReplyOfAServerThatIsClosed(t *testing.T) {
	server, address, tokens := promising(t)
	c := dial(t, address)
	errs := make(chan error, 1)
	go func() {
		_, err := call(c, context.Background(), idWork, "x")
		errs <- err
	}()
	d := within(t, tokens, "the handler runs")
	require.NoError(t, server.Close())
	require.ErrorIs(t, within(t, errs, "the caller is told"), rpc.ErrUnavailable)
	eventually(t, "everything is freed", func() bool { return len(server.Stats().Cores) == 0 })
	d.Bytes([]byte("to nobody"))
	require.False(t, d.Bytes([]byte("twice")))
}

// A drain waits for what was promised.
func TestADrainWaitsForDeferredReplies(t *testing.T) {
	server, address, tokens := promising(t)
	c := dial(t, address)
	answers := make(chan string, 1)
	go func() { answers <- answer(t, c, idWork, "x") }()
	d := within(t, tokens, "the handler runs")
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(patient(t)) }()
	select {
	case <-drained:
		require.Fail(t, "drained with a call in flight")
	case <-time.After(50 * time.Millisecond):
	}
	d.Bytes([]byte("promised"))
	require.Equal(t, "promised", within(t, answers, "the answer"))
	require.NoError(t, within(t, drained, "the drain ends"))
}

// Tokens of many calls, answered backwards by another goroutine.
func TestDeferredRepliesInAnyOrder(t *testing.T) {
	_, address, tokens := promising(t)
	w := dialWire(t, address)
	const count = 500
	var all []*rpc.Deferred
	for i := range count {
		w.send(uint16(i), idWork, "x")
		all = append(all, within(t, tokens, "the handler runs"))
	}
	for i := count - 1; i >= 0; i-- {
		go all[i].Bytes([]byte(number(i)))
	}
	for range count {
		h, payload := w.receive()
		require.Equal(t, int(h.Session), numberOf([]byte(payload)))
	}
}
