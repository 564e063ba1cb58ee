package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Request is a call as its handler sees it.
type Request struct {
	call   *loop.Call
	beside *Call // what filters see, with the metadata
	view   flatbuffers.Table
}

// Payload is the request's payload, lent until the handler returns.
func (r *Request) Payload() []byte { return r.call.Payload }

// Method describes the method that was called.
func (r *Request) Method() *Method { return &r.call.Method.Owner.(*served).Method }

// Metadata is what the request says beside its payload, with what filters have made of it. It is lent until the handler returns.
func (r *Request) Metadata() *Metadata { return r.beside.RequestMetadata() }

func (r *Request) table() *flatbuffers.Table { return root(&r.view, r.call.Payload) }

// root looks at a payload's root table. What is behind the payload in its memory is out of reach also
// for a length in it that was not verified.
func root(t *flatbuffers.Table, payload []byte) *flatbuffers.Table {
	t.Bytes = payload[:len(payload):len(payload)]
	t.Pos = flatbuffers.GetUOffsetT(payload)
	return t
}

// Packer is an object of the object API that flatc generates: it can build itself.
type Packer interface {
	Pack(*flatbuffers.Builder) flatbuffers.UOffsetT
}

// Reply is what a handler answers with, in one of these ways: write a small table by the function that
// smfc generated for it (`return demo.ReplyResponse(reply, name)`: the fastest), build any table
// (Builder and Finish), pack an object (Object), give bytes (Bytes), write a FlatBuffer of known size in
// place (Place, which the generated functions use), or promise it (Defer). A handler that does none of it
// and returns nil answers with an empty table.
type Reply struct {
	builder  flatbuffers.Builder
	heap     []byte // where it is built when nothing is lent; kept for the next call
	deferred *Deferred
	call     *loop.Call
	beside   *Call // what filters see, with the metadata
	server   *Server

	payloadMax int
}

func (r *Reply) begin() {
	out := &r.call.Out
	out.Status, out.Flags, out.Compression, out.InLoan, out.Deferred = uint32(CodeOK), 0, 0, false, false
	out.Payload = out.Payload[:0]
	if r.deferred != nil {
		r.deferred = nil
	}
}

// Metadata is what the reply will say beside its payload.
func (r *Reply) Metadata() *Metadata { return r.beside.ReplyMetadata() }

// Builder is a builder, reset, over memory that the core lends: the reply is built where it will be
// sent from. Finish it with Finish. A reply larger than the loan moves to the Go heap by itself.
func (r *Reply) Builder() *flatbuffers.Builder {
	if r.call.Loan != nil {
		r.builder.Bytes = r.call.Loan
	} else {
		r.builder.Bytes = r.heap
	}
	r.builder.Reset()
	return &r.builder
}

// Finish ends the reply at its root table. It returns nil, for `return reply.Finish(root)`.
func (r *Reply) Finish(root flatbuffers.UOffsetT) error {
	r.builder.Finish(root)
	b, loan, out := r.builder.Bytes, r.call.Loan, &r.call.Out
	out.Payload = b[r.builder.Head():]
	out.Flags = native.MayPad
	out.InLoan = len(loan) > 0 && len(b) == len(loan) && &b[0] == &loan[0]
	if loan == nil {
		r.heap = b
	}
	return nil
}

// Place lends size bytes, not zeroed, that will be sent as the reply's payload: a FlatBuffer that the
// caller writes there before the handler returns. Generated writers (ReplyX) are built on it. It lies
// where it will be sent from, unless it is larger than what the core can lend.
func (r *Reply) Place(size int) []byte {
	loan, out := r.call.Loan, &r.call.Out
	out.Flags = native.MayPad
	out.InLoan = size <= len(loan)
	if out.InLoan {
		out.Payload = loan[len(loan)-size:]
		return out.Payload
	}
	if cap(r.heap) < size {
		r.heap = make([]byte, size)
	}
	r.heap = r.heap[:cap(r.heap)]
	out.Payload = r.heap[:size:size]
	return out.Payload
}

// Object packs an object of the object API. It returns nil.
func (r *Reply) Object(o Packer) error { return r.Finish(o.Pack(r.Builder())) }

// Bytes answers with a payload that is there already, for example (a part of) the request's. It is
// copied when the handler returns. It returns nil.
func (r *Reply) Bytes(payload []byte) error {
	out := &r.call.Out
	out.Payload, out.Flags, out.InLoan = payload, 0, false
	return nil
}

// Defer promises the reply: the handler returns nil, and whoever has the token answers later, from any
// goroutine. The request is gone by then: copy what is needed of it before the handler returns.
// What the handler itself answers besides, before or after, is not sent; that is logged, once a method. An
// error that it returns is sent, unless the token has answered.
func (r *Reply) Defer() *Deferred {
	if r.deferred == nil {
		r.deferred = &Deferred{payloadMax: r.payloadMax, loop: r.call.Loop, due: r.call.Due(), conn: r.call.Out.Conn, session: r.call.Out.Session}
		if r.call.Method.Owner.(*served).run != nil {
			r.deferred.filters = &deferredFilters{server: r.server}
		}
	}
	return r.deferred
}

// outcome writes down what the handler left behind.
func (r *Reply) outcome(err error, out *native.Reply) {
	switch {
	case err != nil:
		if out.Deferred = !r.takeBack(); !out.Deferred {
			fail(CodeOf(err), out)
		}
	case r.deferred != nil:
		out.Deferred = true
	case len(out.Payload) > r.payloadMax:
		fail(CodeTooLarge, out)
	case len(out.Payload) == 0:
		out.Flags, out.Payload, out.InLoan = native.MayPad, loop.EmptyTable, false
	}
}

// takeBack makes the handler answer by itself although it promised. False: its token has answered.
func (r *Reply) takeBack() bool {
	return r.deferred == nil || r.deferred.done.CompareAndSwap(false, true)
}

func fail(code Code, out *native.Reply) {
	out.Status, out.Flags, out.Compression, out.Payload = uint32(code), native.MayPad, 0, loop.EmptyTable
	out.InLoan, out.Deferred = false, false
}

// served is a registered method.
type served struct {
	Method
	service string
	run     Next // its filters, around what handle does; nil: there are none

	answeredTwice atomic.Bool // it was logged
}

// worker runs handlers, one at a time.
type worker struct {
	server *Server
	req    Request
	reply  Reply
	call   Call // for filters
	ctx    *callContext
}

func newWorker(s *Server, call *loop.Call) *worker {
	w := &worker{server: s, req: Request{call: call}, reply: Reply{call: call, server: s, payloadMax: s.payloadMax}, ctx: newCallContext(s, call)}
	w.call.served, w.req.beside, w.reply.beside = w, &w.call, &w.call
	return w
}

// Serve runs one call's handler.
func (w *worker) Serve(c *loop.Call) {
	m := c.Method.Owner.(*served)
	w.reply.begin()
	if m.run != nil {
		w.serveFiltered(c, m)
		return
	}
	if w.call.dirty { // with metadata
		w.call.reset()
	}
	if m.Verify != nil {
		if err := m.Verify(c.Payload); err != nil {
			w.server.logs.malformed(m, err)
			fail(CodeBadRequest, &c.Out)
			return
		}
	}
	w.ctx.begin(m.Timeout)
	err := m.Handle(w.ctx, &w.req, &w.reply)
	if w.ctx.asked.Load() {
		w.renewContext()
	}
	if err == nil && w.reply.deferred == nil && len(c.Out.Payload) > 0 && len(c.Out.Payload) <= w.reply.payloadMax {
		return // what most handlers do
	}
	if err != nil {
		w.server.logs.handlerError(m, err)
	} else if w.reply.deferred != nil && len(c.Out.Payload) > 0 {
		w.server.logs.answeredTwice(m)
	}
	w.reply.outcome(err, &c.Out)
}

// renewContext ends a context that somebody may have kept; the next call gets another.
func (w *worker) renewContext() {
	call := w.ctx.call
	w.ctx.cancel(context.Canceled)
	w.ctx.leave()
	w.ctx = newCallContext(w.server, call)
}

// Failed answers 500 for a handler that panicked or ended its goroutine.
func (w *worker) Failed(c *loop.Call, panicked any) {
	m := c.Method.Owner.(*served)
	if w.ctx.asked.Load() {
		w.renewContext()
	}
	switch {
	case m.run != nil:
		w.failedFiltered(c, panicked)
	case w.reply.takeBack():
		fail(CodeInternal, &c.Out)
	default:
		c.Out.Deferred = true
	}
	name := slog.String("method", m.service+"."+m.Name)
	if panicked == nil {
		w.server.log().Error("handler ended its goroutine (runtime.Goexit) instead of returning", name)
		return
	}
	w.server.log().Error("handler panicked", name, slog.String("panic", fmt.Sprint(panicked)),
		slog.String("stack", panicStack()))
}

type callKey struct{}

// callContext is a handler's context. It allocates nothing until somebody asks for Done; then it is
// not used for another call any more, so that whoever kept it is told the truth.
type callContext struct {
	server   *Server
	call     *loop.Call // nil once the handler has returned and somebody may hold the context
	limited  bool       // has a deadline
	deadline time.Time
	asked    atomic.Bool // for Done: somebody may still hold the context when the handler has returned

	mu    sync.Mutex
	done  chan struct{}
	err   error
	stops []func() bool
}

func newCallContext(s *Server, call *loop.Call) *callContext {
	return &callContext{server: s, call: call}
}

func (c *callContext) begin(timeout time.Duration) {
	if timeout > 0 || c.limited {
		c.setDeadline(timeout)
	}
}

func (c *callContext) setDeadline(timeout time.Duration) {
	c.limited = timeout > 0
	c.deadline = time.Time{}
	if c.limited {
		c.deadline = time.Now().Add(timeout)
	}
}

func (c *callContext) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.done)
	for _, stop := range c.stops {
		stop()
	}
	c.stops = nil
}

// Deadline is the method's, counted from when its handler was called.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done is closed at the deadline, when the handler has returned, and when the server is closed.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil {
		return c.done
	}
	c.done = make(chan struct{})
	c.asked.Store(true)
	if !c.deadline.IsZero() {
		timer := time.AfterFunc(time.Until(c.deadline), func() { c.cancel(context.DeadlineExceeded) })
		c.stops = append(c.stops, timer.Stop)
	}
	c.stops = append(c.stops, context.AfterFunc(c.server.base, func() { c.cancel(context.Canceled) }))
	return c.done
}

// Err is nil while the call may go on.
func (c *callContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	if err == nil && c.server.base.Err() != nil {
		return context.Canceled
	}
	return err
}

// Value knows the context itself, for this package's clients.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return nil
}

func (c *callContext) leave() {
	c.mu.Lock()
	c.call = nil
	c.mu.Unlock()
}

// giveWay lets the loop go on without the handler that ctx belongs to: the caller is about to wait.
func giveWay(ctx context.Context) {
	c, ok := ctx.Value(callKey{}).(*callContext)
	if !ok {
		return
	}
	c.mu.Lock() // the handler must not return meanwhile: the call becomes another one's then
	defer c.mu.Unlock()
	if c.call != nil {
		c.call.GiveWay()
	}
}
