package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/smf-go/smf/go/internal/loop"
)

// serveFiltered runs one call's filters, and its handler inside of them.
func (w *worker) serveFiltered(lc *loop.Call, m *served) {
	c := &w.call
	c.reset()
	c.method, c.service = &m.Method, m.service
	c.payload, c.compression = lc.Payload, compressionOf(lc.Compression)
	c.accepts = lc.Accepts
	ctx := w.ctx.Load()
	ctx.begin(lc, m.Timeout)
	err := m.run(ctx, c)
	if ctx.asked.Load() {
		w.renewContext()
	}
	w.conclude(lc, m, err)
}

// handle is what is inside of a server's filters.
func handle(ctx context.Context, c *Call) error {
	w := c.served
	lc := w.req.call
	m := lc.Method.Owner.(*served)
	if c.ran {
		return Errorf(CodeInternal, "a filter of %s called next twice; in a server it may do so once", c.Name())
	}
	c.ran = true
	lc.Payload = c.payload
	if c.compression != CompressionNone {
		lc.Loop.StillCompressed()
		return Errorf(CodeNotImplemented, "the request is compressed (%s), and no filter of %s decompresses it", c.compression, c.Name())
	}
	if m.Verify != nil {
		if err := m.Verify(c.payload); err != nil {
			w.server.logs.malformed(m, err)
			return malformedRequest(err)
		}
	}
	c.handled = true
	err := w.run(ctx, c, m)
	if err == nil && w.reply.deferred == nil {
		if c.reply, c.replyCompression = lc.Out.Payload, CompressionNone; len(c.reply) == 0 {
			c.reply = loop.EmptyTable
		}
		return nil
	}
	return w.unanswered(c, m, err)
}

// run calls the handler. One that panics may have promised its reply, and a filter may recover it: from here on the
// reply is either the token's, or the filters'.
func (w *worker) run(ctx context.Context, c *Call, m *served) error {
	returned := false
	defer func() {
		if !returned && !w.takesBack() {
			c.deferred = true
		}
	}()
	err := m.Handle(ctx, &w.req, &w.reply)
	returned = true
	return err
}

// unanswered is for a handler that has failed or has promised its reply, or both.
func (w *worker) unanswered(c *Call, m *served, err error) error {
	c.reply, c.replyCompression = nil, CompressionNone
	out := &w.req.call.Out
	if err != nil && w.takesBack() {
		return err
	}
	if err != nil { // its token was faster
		w.server.logs.handlerError(m, err)
	} else if len(out.Payload) > 0 {
		w.server.logs.answeredTwice(m)
	}
	c.deferred = true
	return nil
}

// takesBack is Reply.takeBack, after which nothing is promised any more.
func (w *worker) takesBack() bool {
	if !w.reply.takeBack() {
		return false
	}
	w.reply.deferred = nil
	return true
}

// conclude answers with what the filters have left behind, or leaves it to who has the token.
func (w *worker) conclude(lc *loop.Call, m *served, err error) {
	c := &w.call
	if c.deferred && err != nil {
		if w.takesBack() {
			c.deferred = false
			err = c.finish(0, err) // what was to run when the token answers
		} else {
			w.server.logs.handlerError(m, err)
		}
	}
	if c.deferred {
		lc.Out.Deferred = true
		w.reply.deferred.filters.returned(c, w.reply.deferred)
		return
	}
	if CodeOf(err) == CodeInternal {
		w.server.logs.handlerError(m, err)
	}
	w.answer(lc, err)
}

// answer makes the loop send the call's reply, or the error.
func (w *worker) answer(lc *loop.Call, err error) {
	c, out := &w.call, &lc.Out
	if m := lc.Method.Owner.(*served); m.Streaming != StreamingNone {
		w.answerStream(lc, m, err)
		return
	}
	if err == nil && (c.replyCompression != CompressionNone || !samePlace(c.reply, out.Payload)) {
		// Not MayPad: only whoever knows the bytes could say that more behind them do no harm.
		out.Payload, out.Flags, out.InLoan = c.reply, 0, false
		out.Compression = uint8(c.replyCompression)
	}
	if err != nil || len(out.Payload) == 0 || len(out.Payload) > w.reply.payloadMax() {
		w.reply.outcome(err, out)
	}
	w.sayMetadata()
}

// samePlace reports whether two payloads are the same memory.
func samePlace(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// failedFiltered answers for a handler or filter that did not return.
func (w *worker) failedFiltered(lc *loop.Call, panicked any) {
	c := &w.call
	c.reply, c.replyCompression = nil, CompressionNone
	if !w.takesBack() {
		c.deferred = true
		lc.Out.Deferred = true
		w.reply.deferred.filters.returned(c, w.reply.deferred)
		return
	}
	c.deferred = false
	err := w.server.finishAll(c, panicError(panicked))
	lc.Out.Payload, lc.Out.Compression = nil, 0
	w.answer(lc, err)
}

// panicError is what filters are told of a handler that did not return. What it panicked with is for them, and
// not for the caller.
func panicError(panicked any) error {
	if panicked == nil {
		return &Error{Code: CodeInternal, Message: "the handler ended its goroutine"}
	}
	cause, ok := panicked.(error)
	if !ok {
		cause = errors.New(fmt.Sprint(panicked))
	}
	return &Error{Code: CodeInternal, Message: "the handler panicked", Cause: cause}
}

// finishAll runs all of a call's hooks, whatever they do.
func (s *Server) finishAll(c *Call, err error) error {
	for len(c.hooks) > 0 {
		err = s.finishSome(c, err)
	}
	return err
}

// finishSome runs hooks until one panics, which is logged and fails the call.
func (s *Server) finishSome(c *Call, err error) (failure error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			s.log().Error("a filter's Done panicked", slog.String("method", c.Name()), slog.String("panic", fmt.Sprint(panicked)),
				slog.String("stack", panicStack()))
			c.reply, c.replyCompression = nil, CompressionNone
			failure = panicError(panicked)
		}
	}()
	return c.finish(0, err)
}
