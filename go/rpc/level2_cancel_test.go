package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// endings serves handlers that wait for the end of their context, in each of the ways, and a fourth that
// promises its reply and waits elsewhere. It tells why they ended.
func endings(t testing.TB, options rpc.ServerOptions) (server *rpc.Server, address string, ids map[string]uint32, running chan struct{}, causes chan error) {
	running, causes = make(chan struct{}, 100), make(chan error, 100)
	wait := func(ctx context.Context) error {
		running <- struct{}{}
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}
	handle := func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error { return wait(ctx) }
	promise := func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		d := reply.Defer()
		go func() { d.Fail(wait(d.Context())) }()
		return nil
	}
	server, address = start(t, options, method(idWork, handle), slow(method(idGate, handle)), method(idMore, promise), slow(method(2000, promise)))
	ids = map[string]uint32{"late": idWork, "as a goroutine": idGate, "promised": idMore, "promised by a goroutine": 2000}
	return server, address, ids, running, causes
}

func TestACancelReachesTheHandler(t *testing.T) {
	server, address, ids, running, causes := endings(t, rpc.ServerOptions{})
	p := dialLevel2(t, address)
	count := uint64(0)
	for name, id := range ids {
		t.Run(name, func(t *testing.T) {
			for _, status := range []rpc.Code{rpc.CodeCancelled, rpc.CodeDeadline, rpc.CodeUnavailable} {
				p.call(9, id, "x")
				within(t, running, "the handler runs")
				p.write(frame2(frame.FlagReset, 9, uint32(status), ""))
				var why *rpc.Error
				require.ErrorAs(t, within(t, causes, "the context ends"), &why)
				require.Equal(t, status, why.Code)
				r := p.answered(9, rpc.CodeCancelled)
				require.Zero(t, r.Flags, "a handler saw it")
				p.echoes(9) // the session is free, and nothing else came
				count++
				require.Equal(t, count, coreOf(t, server).Cancelled)
			}
		})
	}
	require.Zero(t, coreOf(t, server).Disconnected)
}

// The context of a handler that is cancelled when nobody has asked for Done.
func TestACancelThatNobodyWaitsFor(t *testing.T) {
	gate, running := make(chan struct{}), make(chan struct{}, 1)
	_, address := start(t, rpc.ServerOptions{}, slow(method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		running <- struct{}{}
		<-gate
		if ctx.Err() == nil || context.Cause(ctx) == nil {
			return rpc.Errorf(rpc.CodeConflict, "%v %v", ctx.Err(), context.Cause(ctx))
		}
		return context.Cause(ctx)
	})))
	p := dialLevel2(t, address)
	for range 20 {
		p.call(1, idWork, "x")
		within(t, running, "the handler runs")
		p.cancel(1)
		p.pings(1)  // the server has read it
		p.echoes(2) // and dealt with it
		gate <- struct{}{}
		require.Equal(t, "the caller gave up", p.answered(1, rpc.CodeCancelled).failure(t).Message)
	}
}

// A cancelled call counts until its handler has returned, whatever its caller thinks.
func TestAHandlerThatIgnoresItsContextKeepsItsSlot(t *testing.T) {
	gate, running := make(chan struct{}), make(chan struct{}, 10)
	server, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 2}}, slow(method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		running <- struct{}{}
		<-gate
		return reply.Bytes([]byte("done all the same"))
	})))
	p := dialLevel2(t, address)
	for i := uint16(1); i <= 2; i++ {
		p.call(i, idWork, "x")
		within(t, running, "the handler runs")
		p.cancel(i)
	}
	for range 3 { // one after the other: what is answered is no slot
		p.call(3, idEcho, "x")
		r := p.answered(3, rpc.CodeLimit)
		require.EqualValues(t, frame.FlagReset, r.Flags)
	}
	require.EqualValues(t, 2, coreOf(t, server).InFlight)
	close(gate)
	for range 2 {
		r := p.receive()
		require.EqualValues(t, rpc.CodeOK, r.Meta)
		require.Equal(t, "done all the same", r.payload)
	}
	p.echoes(1)
	p.echoes(2)
	require.EqualValues(t, 3, coreOf(t, server).Refused[rpc.RefusedTooMany])
	for _, l := range server.Stats().Limits {
		switch l.Name {
		case "in_flight":
			require.EqualValues(t, 3, l.Hits)
		case "running":
			require.Zero(t, l.Hits)
		}
	}
}

// Cancels of what is over, of what never was, and twice of what runs.
func TestCancelsOfNothing(t *testing.T) {
	server, address, ids, running, causes := endings(t, rpc.ServerOptions{})
	p := dialLevel2(t, address)
	p.echoes(1)
	p.cancel(1)
	p.cancel(77)
	p.call(2, ids["late"], "x")
	within(t, running, "the handler runs")
	p.write(frame2(frame.FlagReset, 2, 499, ""), frame2(frame.FlagReset, 2, 499, ""))
	within(t, causes, "the context ends")
	p.answered(2, rpc.CodeCancelled)
	p.cancel(2)
	p.echoes(2)
	require.EqualValues(t, 1, coreOf(t, server).Cancelled)
}

func TestAConnectionThatEndsEndsItsHandlers(t *testing.T) {
	var log logText
	server, address, ids, running, causes := endings(t, rpc.ServerOptions{Logger: log.logger()})
	other := dialLevel2(t, address)
	other.call(1, ids["late"], "stays")
	within(t, running, "the other's handler runs")
	count := uint64(0)
	for name, id := range ids {
		t.Run(name, func(t *testing.T) {
			p := dialLevel2(t, address)
			for i := range uint16(3) {
				p.call(1+i, id, "x")
				within(t, running, "the handler runs")
			}
			require.NoError(t, p.Close())
			for range 3 {
				require.ErrorIs(t, within(t, causes, "the context ends"), rpc.ErrDisconnected)
				count++
			}
			require.Equal(t, count, coreOf(t, server).Disconnected)
		})
	}
	select {
	case err := <-causes:
		t.Fatalf("a handler of another connection ended: %v", err)
	default:
	}
	other.cancel(1)
	other.answered(1, rpc.CodeCancelled)
	eventually(t, "nothing is in flight any more", func() bool { return coreOf(t, server).InFlight == 0 })
	require.Empty(t, log.lines("connection closed"), "an ordinary end is not worth a line")
}

func TestAServerThatClosesEndsItsHandlers(t *testing.T) {
	for _, name := range []string{"late", "as a goroutine", "promised", "promised by a goroutine"} {
		t.Run(name, func(t *testing.T) {
			server, address, ids, running, causes := endings(t, rpc.ServerOptions{})
			p := dialLevel2(t, address)
			p.call(1, ids[name], "x")
			within(t, running, "the handler runs")
			require.NoError(t, server.Close())
			// The sockets are closed first; whichever is noticed first says why.
			why := within(t, causes, "the context ends")
			require.True(t, why == rpc.ErrClosed || why == rpc.ErrDisconnected, "%v", why)
		})
	}
}

// A promise's context goes on when the handler has returned, and ends when the reply was given.
func TestThePromisesContext(t *testing.T) {
	tokens, handlers := make(chan *rpc.Deferred, 1), make(chan context.Context, 1)
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		_ = ctx.Done()
		d := reply.Defer()
		handlers <- ctx
		tokens <- d
		if deadline, ok := ctx.Deadline(); ok {
			if other, ok := d.Context().Deadline(); !ok || other != deadline {
				return rpc.Errorf(rpc.CodeConflict, "%v", other)
			}
		}
		return nil
	}))
	p := dialLevel2(t, address)
	for _, left := range []time.Duration{0, time.Hour} {
		p.callWith(1, idWork, block(left), "x")
		d := within(t, tokens, "the handler runs")
		within(t, (<-handlers).Done(), "the handler's context ends with it")
		require.NoError(t, d.Context().Err())
		require.True(t, d.Bytes([]byte("x")))
		within(t, d.Context().Done(), "the promise's ends with the answer")
		require.Equal(t, context.Canceled, context.Cause(d.Context()))
		p.answered(1, rpc.CodeOK)
	}
}

// The promise's context ends although the handler that made it goes on and looks at nothing.
func TestAPromiseOfAHandlerThatGoesOn(t *testing.T) {
	for _, isSlow := range []bool{false, true} {
		tokens, gate := make(chan *rpc.Deferred, 1), make(chan struct{})
		m := method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			tokens <- reply.Defer()
			<-gate
			return nil
		})
		m.Slow = isSlow
		_, address := start(t, rpc.ServerOptions{}, m)
		p := dialLevel2(t, address)
		p.call(1, idWork, "x")
		d := within(t, tokens, "the handler runs")
		p.cancel(1)
		within(t, d.Context().Done(), "the promise's context ends")
		require.ErrorIs(t, context.Cause(d.Context()), rpc.ErrCancelled)
		close(gate)
		d.Fail(context.Cause(d.Context()))
		p.answered(1, rpc.CodeCancelled)
		p.echoes(1)
	}
}

// What runs a late handler is used again, for a call that is late and cancelled: that is none of the business of the
// promise that the call before it has made.
func TestAPromiseIsNotAnotherCalls(t *testing.T) {
	const rounds = 30
	tokens, running := make(chan *rpc.Deferred, 1), make(chan struct{}, 1)
	var methods []rpc.Method
	for i := range uint32(rounds) { // methods of its own for each round: none is ever known to sleep
		methods = append(methods,
			method(2000+i, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
				time.Sleep(2 * time.Millisecond) // it is late
				tokens <- reply.Defer()
				return nil
			}),
			method(3000+i, func(context.Context, *rpc.Request, *rpc.Reply) error {
				time.Sleep(2 * time.Millisecond)
				return nil
			}),
			method(4000+i, func(ctx context.Context, _ *rpc.Request, _ *rpc.Reply) error {
				running <- struct{}{}
				<-ctx.Done()
				return ctx.Err()
			}))
	}
	_, address := start(t, rpc.ServerOptions{}, methods...)
	p := dialLevel2(t, address)
	for i := range uint32(rounds) {
		p.call(1, 2000+i, "promises")
		d := within(t, tokens, "the handler runs")
		p.echoes(3)
		for range i % 3 { // so that each of those who drive comes to each of the calls
			p.call(3, 3000+i, "is late")
			p.answered(3, rpc.CodeOK)
		}
		p.call(2, 4000+i, "is cancelled")
		within(t, running, "the handler runs")
		p.cancel(2)
		p.answered(2, rpc.CodeCancelled)
		require.NoError(t, d.Context().Err())
		d.Bytes([]byte("x"))
		p.answered(1, rpc.CodeOK)
	}
}

// A handler is cancelled first, and promises then: whoever answers is told nevertheless.
func TestAPromiseOfACancelledCall(t *testing.T) {
	for _, m := range []rpc.Method{{}, {Slow: true}} {
		ended, running := make(chan error, 1), make(chan struct{}, 1)
		m.Name, m.ID = "Promise", idWork
		m.Handle = func(ctx context.Context, _ *rpc.Request, reply *rpc.Reply) error {
			running <- struct{}{}
			<-ctx.Done()
			d := reply.Defer()
			go func() {
				<-d.Context().Done()
				ended <- context.Cause(d.Context())
				d.Fail(context.Cause(d.Context()))
			}()
			return nil
		}
		_, address := start(t, rpc.ServerOptions{}, m)
		p := dialLevel2(t, address)
		p.call(1, idWork, "x")
		within(t, running, "the handler runs")
		p.cancel(1)
		require.ErrorIs(t, within(t, ended, "the promise's context ends"), rpc.ErrCancelled)
		p.answered(1, rpc.CodeCancelled)
		p.echoes(1)
	}
}

// Whatever handlers do, and whenever their callers give up: each call has exactly one last frame, and
// contexts of calls that nobody cancelled do not end.
func TestCancelsAtAnyMoment(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const sessions, calls = 64, 6000
	var wrong atomic.Int64
	handle := func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		what := req.Metadata().Get("what")
		work := func(ctx context.Context) error {
			if what == "keep" { // it is never cancelled
				time.Sleep(200 * time.Microsecond)
				if ctx.Err() != nil {
					wrong.Add(1)
				}
				return ctx.Err()
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Duration(len(req.Metadata().Get("long"))) * 100 * time.Microsecond):
				return nil
			}
		}
		if req.Metadata().Has("promise") {
			d := reply.Defer()
			long := len(req.Metadata().Get("long"))
			go func() {
				if what == "keep" {
					time.Sleep(200 * time.Microsecond)
					if d.Context().Err() != nil {
						wrong.Add(1)
					}
				} else {
					select {
					case <-d.Context().Done():
					case <-time.After(time.Duration(long) * 100 * time.Microsecond):
					}
				}
				d.Bytes([]byte("x"))
			}()
			return nil
		}
		return work(ctx)
	}
	quick := func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if ctx.Err() != nil && req.Metadata().Has("what") {
			wrong.Add(1)
		}
		return reply.Bytes([]byte("x"))
	}
	server, address := start(t, rpc.ServerOptions{}, method(idWork, handle), slow(method(idGate, handle)), method(idMore, quick))
	p := dialLevel2(t, address)
	free := make(chan uint16, sessions)
	for i := range uint16(sessions) {
		free <- i + 1
	}
	received := make(chan error, 1)
	var open [sessions + 1]atomic.Bool
	go func() {
		for range calls {
			r, err := p.next()
			if err != nil {
				received <- err
				return
			}
			if !open[r.Session].CompareAndSwap(true, false) {
				received <- fmt.Errorf("session %d was answered twice", r.Session)
				return
			}
			free <- r.Session
		}
		received <- nil
	}()
	for range calls {
		session := within(t, free, "a session is free")
		open[session].Store(true)
		id := []uint32{idWork, idGate, idMore}[random.IntN(3)]
		texts := []string{"long", "xxxxxxxxxxxxxxxxxxxx"[:random.IntN(20)]}
		if random.IntN(2) == 0 {
			texts = append(texts, "promise", "")
		}
		keep := random.IntN(3) == 0
		if keep {
			texts = append(texts, "what", "keep")
		}
		frames := [][]byte{frame2(frame.FlagMetadata, session, id, block(0, texts...)+"x")}
		if !keep && random.IntN(4) == 0 { // at once; later ones below
			frames = append(frames, frame2(frame.FlagReset, session, 499, ""))
		}
		p.write(frames...)
		if !keep && random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
			if open[session].Load() {
				p.cancel(session)
			}
		}
	}
	require.NoError(t, within(t, received, "all are answered"))
	require.Zero(t, wrong.Load(), "contexts ended without a cancel")
	require.NotZero(t, coreOf(t, server).Cancelled)
	p.echoes(1)
	eventually(t, "nothing is in flight", func() bool { return coreOf(t, server).InFlight == 0 })
}

// How long after the cancel was written the handler's context ends, on this machine: of a handler that is
// late, and of one that began as a goroutine.
func BenchmarkACancelReachesTheHandler(b *testing.B) {
	for _, name := range []string{"late", "as a goroutine", "promised"} {
		b.Run(name, func(b *testing.B) {
			_, address, ids, running, causes := endings(b, rpc.ServerOptions{})
			p := dialLevel2(b, address)
			b.ResetTimer()
			b.StopTimer()
			for range b.N {
				p.call(1, ids[name], "x")
				<-running
				time.Sleep(100 * time.Microsecond) // it waits by now
				b.StartTimer()
				p.cancel(1)
				<-causes
				b.StopTimer()
				p.answered(1, rpc.CodeCancelled)
			}
		})
	}
}
