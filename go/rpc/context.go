package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/internal/loop"
)

type callKey struct{}

// callContext is the context of a handler, or of a promised reply. It allocates nothing until somebody
// asks for Done; then it is not used for another call any more, so that whoever kept it is told the truth.
type callContext struct {
	server   *Server
	call     *loop.Call // nil once the handler has returned and somebody may hold the context
	worker   *worker    // that runs the handler; nil: the context is a promised reply's
	limited  bool       // has a deadline
	deadline time.Time
	asked    atomic.Bool // for Done, or it has ended before its handler: not used for another call

	mu    sync.Mutex
	inner context.Context // made by Done: what others derive theirs from
	end   context.CancelCauseFunc
	cause error // why it has ended; nil: it has not, or by its deadline, or with the server
}

func newCallContext(w *worker) *callContext {
	return &callContext{server: w.server, call: w.req.call, worker: w}
}

// begin sets the deadline: the caller's or the method's, whichever is earlier.
func (c *callContext) begin(call *loop.Call, timeout time.Duration) {
	if timeout > 0 || c.limited || call.Flags != 0 {
		c.setDeadline(call.Deadline, timeout)
	}
}

func (c *callContext) setDeadline(deadline time.Time, timeout time.Duration) {
	if timeout > 0 {
		if own := time.Now().Add(timeout); deadline.IsZero() || own.Before(deadline) {
			deadline = own
		}
	}
	c.deadline, c.limited = deadline, !deadline.IsZero()
}

// Cancel ends the context because nobody waits for the call any more: see loop.Canceller.
func (c *callContext) Cancel(why uint32) { c.finish(causeOf(why)) }

// finish ends the context. The first one says why.
func (c *callContext) finish(cause error) {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return
	}
	c.cause = cause
	c.asked.Store(true)
	end := c.end
	c.mu.Unlock()
	if end != nil {
		end(cause)
	}
}

// pass ends heir, too, if the context was ended for its caller.
func (c *callContext) pass(heir *callContext) {
	c.mu.Lock()
	cause := c.cause
	c.mu.Unlock()
	if cause != nil {
		heir.finish(cause)
	}
}

// causes of handlers' contexts that their callers have ended in the ordinary ways.
var (
	causeCancelled = &Error{Code: CodeCancelled, Message: "the caller gave up"}
	causeDeadline  = &Error{Code: CodeDeadline, Message: "the caller gave up"}
)

// causeOf is the context.Cause for what a loop.Canceller is told.
func causeOf(why uint32) error {
	switch Code(why) {
	case loop.WhyDisconnected:
		return ErrDisconnected
	case CodeCancelled:
		return causeCancelled
	case CodeDeadline:
		return causeDeadline
	}
	return &Error{Code: Code(why), Message: "the caller gave up"}
}

// Deadline is the caller's or the method's, whichever is earlier. The method's is counted from when its
// handler was called.
func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done is closed at the deadline, when the caller gives up or its connection ends, when the handler has
// returned, and when the server is closed.
func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.derive().Done()
}

// derive makes the context that others derive theirs from. c.mu is held.
func (c *callContext) derive() context.Context {
	if c.inner != nil {
		return c.inner
	}
	c.inner, c.end = context.WithCancelCause(c.server.base)
	if !c.deadline.IsZero() {
		inner, stop := context.WithDeadline(c.inner, c.deadline)
		end := c.end
		c.inner, c.end = inner, func(cause error) {
			end(cause)
			stop()
		}
	}
	c.asked.Store(true)
	if c.cause != nil {
		c.end(c.cause)
	}
	return c.inner
}

// Err is nil while the call may go on.
func (c *callContext) Err() error {
	c.mu.Lock()
	inner, cause := c.inner, c.cause
	c.mu.Unlock()
	switch {
	case inner != nil:
		return inner.Err()
	case cause != nil || c.server.base.Err() != nil:
		return context.Canceled
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	}
	return nil
}

// Value knows the context itself, for this package's clients, and who has ended it, for context.Cause.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	if !c.asked.Load() {
		return c.server.base.Value(key)
	}
	c.mu.Lock()
	inner := c.derive()
	c.mu.Unlock()
	return inner.Value(key)
}

// RequestMetadata is what the request says beside its payload, to a handler of whatever kind, and to what it calls with
// its context or one derived from it: Request.Metadata, for those who have no Request. It is empty for any other
// context. Valid until the handler returns, on its goroutine.
//
// Cost: none for calls that do not ask; who asks pays for reading it, as Request.Metadata says.
func RequestMetadata(ctx context.Context) *Metadata {
	if w := workerOf(ctx); w != nil {
		return w.call.RequestMetadata()
	}
	return new(Metadata)
}

// ReplyMetadata is what the reply will say beside its payload, as Reply.Metadata and Sender.Metadata, which it is the
// same as: for those who have only a handler's context, or one derived from it. What is set with any other context
// goes nowhere. Valid until the handler returns, on its goroutine.
func ReplyMetadata(ctx context.Context) *Metadata {
	if w := workerOf(ctx); w != nil {
		return w.reply.Metadata()
	}
	return new(Metadata)
}

// workerOf is what runs the handler that ctx belongs to; nil: it belongs to none, or that has returned.
func workerOf(ctx context.Context) *worker {
	c, ok := ctx.Value(callKey{}).(*callContext)
	if !ok || c.worker == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.call == nil {
		return nil
	}
	return c.worker
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
