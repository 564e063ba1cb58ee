package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	flatbuffers "github.com/google/flatbuffers/go"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Request is a call as its handler sees it.
type Request struct {
	call   *loop.Call
	worker *worker
	view   flatbuffers.Table
}

// Payload is the request's payload, lent until the handler returns.
func (r *Request) Payload() []byte { return r.call.Payload }

// Metadata is what the request says beside its payload, and what filters have made of it; empty at level 1
// of the wire format, unless a filter has put something there. It is valid until the handler returns; the
// texts that it gives may be kept.
//
// Cost: reading it, for the first one who asks, is an allocation, if there is something to be read.
func (r *Request) Metadata() *Metadata { return r.worker.call.RequestMetadata() }

// OneWay reports that nobody waits for a reply: what the handler answers, or fails with, is not sent.
func (r *Request) OneWay() bool { return r.call.Flags&native.FlagOneWay != 0 }

// Method describes the method that was called.
func (r *Request) Method() *Method { return &r.call.Method.Owner.(*served).Method }

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
	worker   *worker
}

// payloadMax is the largest payload that a reply of this call may have.
func (r *Reply) payloadMax() int {
	if r.call.Level >= 2 {
		return r.worker.server.messageMax
	}
	return r.worker.server.payloadMax
}

// Metadata is what the reply will say beside its payload: the handler adds to it, before it returns, and so
// do filters, as Call.ReplyMetadata. It goes along with errors, too. At level 1 of the wire format it is
// not sent. After Defer it is Deferred.Metadata.
func (r *Reply) Metadata() *Metadata {
	if r.deferred != nil {
		return r.deferred.Metadata()
	}
	return r.worker.call.ReplyMetadata()
}

func (r *Reply) begin() {
	out := &r.call.Out
	out.Status, out.Flags, out.Compression, out.InLoan, out.Deferred = uint32(CodeOK), 0, 0, false, false
	out.Payload = out.Payload[:0]
	if r.deferred != nil {
		r.deferred = nil
	}
	if len(out.Metadata) != 0 {
		out.Metadata = nil
	}
}

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
		r.deferred = r.worker.promise()
	}
	return r.deferred
}

// outcome writes down what the handler left behind.
func (r *Reply) outcome(err error, out *native.Reply) {
	switch {
	case err != nil:
		if out.Deferred = !r.takeBack(); !out.Deferred {
			r.fail(err)
		}
	case r.deferred != nil:
		out.Deferred = true
	case len(out.Payload) > r.payloadMax():
		r.fail(tooLarge(len(out.Payload), r.payloadMax()))
	case len(out.Payload) == 0:
		out.Flags, out.Payload, out.InLoan = native.MayPad, loop.EmptyTable, false
	}
}

// takeBack makes the handler answer by itself although it promised. False: its token has answered.
func (r *Reply) takeBack() bool {
	d := r.deferred
	if d == nil {
		return true
	}
	if !d.done.CompareAndSwap(false, true) {
		return false
	}
	d.ctx.finish(context.Canceled)
	r.call.Promised(nil)
	// What the token has is the reply's again.
	r.worker.call.dirty = true
	d.metadata.append(&r.worker.call.replyMetadata)
	r.worker.call.replyMetadata, d.metadata = d.metadata, Metadata{}
	r.deferred = nil
	return true
}

// fail answers with an error.
func (r *Reply) fail(err error) {
	c := &r.worker.call
	ran := c.handled || r.call.Method.Owner.(*served).run == nil
	failed(err, r.call.Level, r.payloadMax(), ran, &r.call.Out)
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
	call   Call             // for filters, and for metadata
	stream *ServerStreamRaw // of the call, once its handler has begun; nil: it is none
	ctx    atomic.Pointer[callContext]
	block  []byte // the reply's metadata
}

func newWorker(s *Server, call *loop.Call) *worker {
	w := &worker{server: s, req: Request{call: call}, reply: Reply{call: call}}
	w.req.worker, w.reply.worker, w.call.served = w, w, w
	w.ctx.Store(newCallContext(w))
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
	if w.call.dirty {
		w.call.reset()
	}
	if m.Verify != nil {
		if err := m.Verify(c.Payload); err != nil {
			w.server.logs.malformed(m, err)
			failed(malformedRequest(err), c.Level, w.reply.payloadMax(), false, &c.Out)
			return
		}
	}
	ctx := w.ctx.Load()
	ctx.begin(c, m.Timeout)
	err := m.Handle(ctx, &w.req, &w.reply)
	if ctx.asked.Load() {
		w.renewContext()
	}
	if err == nil && w.reply.deferred == nil && len(c.Out.Payload) > 0 && len(c.Out.Payload) <= w.server.payloadMax && !w.call.dirty {
		return // what most handlers do
	}
	if err != nil {
		w.server.logs.handlerError(m, err)
	} else if w.reply.deferred != nil && len(c.Out.Payload) > 0 {
		w.server.logs.answeredTwice(m)
	}
	w.reply.outcome(err, &c.Out)
	w.sayMetadata()
}

// renewContext ends a context that somebody may have kept; the next call gets another.
func (w *worker) renewContext() {
	ctx := w.ctx.Load()
	ctx.finish(context.Canceled)
	ctx.leave()
	w.ctx.Store(newCallContext(w))
}

// Cancel ends the handler's context.
func (w *worker) Cancel(why uint32) { w.ctx.Load().Cancel(why) }

// promise makes the token for a reply. It has the metadata that was set until now.
func (w *worker) promise() *Deferred {
	c, ctx := w.req.call, w.ctx.Load()
	d := &Deferred{payloadMax: w.reply.payloadMax(), loop: c.Loop, due: c.Due(), conn: c.Out.Conn, session: c.Out.Session,
		level: c.Level, oneWay: c.Flags&native.FlagOneWay != 0}
	d.ctx = callContext{server: w.server, limited: ctx.limited, deadline: ctx.deadline}
	d.promise.Who = &d.ctx
	if c.Method.Owner.(*served).run != nil {
		d.filters = &deferredFilters{server: w.server}
	}
	d.metadata, w.call.replyMetadata = w.call.replyMetadata, Metadata{}
	c.Promised(&d.promise)
	ctx.pass(&d.ctx) // whoever cancels the handler from now on tells the promise, too
	return d
}

// sayMetadata makes the reply carry what was set.
func (w *worker) sayMetadata() {
	c := w.req.call
	if w.stream != nil && w.stream.told {
		return // with the first message
	}
	if c.Level >= 2 && w.call.replyMetadata.Len() > 0 && !c.Out.Deferred {
		w.block = w.call.replyMetadata.appendBlock(w.block[:0], 0)
		c.Out.Metadata = w.block
	}
}

// Failed answers 500 for a handler that panicked or ended its goroutine.
func (w *worker) Failed(c *loop.Call, panicked any) {
	m := c.Method.Owner.(*served)
	if w.ctx.Load().asked.Load() {
		w.renewContext()
	}
	switch {
	case m.run != nil:
		w.failedFiltered(c, panicked)
	case w.reply.takeBack():
		w.reply.fail(&Error{Code: CodeInternal})
	default:
		c.Out.Deferred = true
	}
	w.sayMetadata()
	name := slog.String("method", m.service+"."+m.Name)
	if panicked == nil {
		w.server.log().Error("handler ended its goroutine (runtime.Goexit) instead of returning", name)
		return
	}
	w.server.log().Error("handler panicked", name, slog.String("panic", fmt.Sprint(panicked)),
		slog.String("stack", panicStack()))
}
