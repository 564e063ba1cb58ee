// Package deadline is a filter that gives calls a time limit.
package deadline

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

// Within makes a filter that gives every call limit to end in, counted from when the filter is called, or what its
// caller has left, where that is less. Put it around one method (rpc.MethodFilters), or around all of a
// service's, a server's or a client's; of several the shortest counts.
//
// What is inside sees the limit as its context's. A handler that looks at its context ends, and the call with
// status 408; one that does not look runs on, and its reply is sent when it is there. A
// promised reply (Reply.Defer) is not limited. A call whose time is over already goes no further: 408.
//
// It panics when limit is not positive.
//
// Cost: one allocation, and what context.WithDeadline costs only if the context's Done is called.
func Within(limit time.Duration) rpc.Filter {
	if limit <= 0 {
		panic(fmt.Sprintf("deadline: a limit of %s; it must be longer than nothing", limit))
	}
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		now := time.Now()
		at := now.Add(limit)
		if theirs, has := ctx.Deadline(); has && !theirs.After(at) {
			if !now.Before(theirs) {
				return over(call)
			}
			return next(ctx, call)
		}
		limited := &deadlineContext{Context: ctx, at: at}
		defer limited.end() // also if what is inside panics: its timer would go on
		return next(limited, call)
	}
}

func over(call *rpc.Call) error {
	return &rpc.Error{Code: rpc.CodeDeadline, Message: "the deadline of " + call.Name() + " had passed before it began",
		Cause: context.DeadlineExceeded}
}

// deadlineContext is context.WithDeadline's, but for what that costs a call which never waits: that comes with
// the first Done.
type deadlineContext struct {
	context.Context
	at time.Time

	mu      sync.Mutex
	waiting context.Context // has a timer; nil: nobody has asked for Done
	cancel  context.CancelFunc
}

// Deadline is the limit.
func (c *deadlineContext) Deadline() (time.Time, bool) { return c.at, true }

// Done is closed at the deadline, with the context around this one, and when the filter's call has ended.
func (c *deadlineContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting, c.cancel = context.WithDeadline(c.Context, c.at)
	}
	return c.waiting.Done()
}

// Err is nil while the call may go on.
func (c *deadlineContext) Err() error {
	if waiting := c.asked(); waiting != nil {
		return waiting.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(c.at) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value is the context's around this one. Package context finds its own here when there is one, which
// spares contexts made of this a goroutine each.
func (c *deadlineContext) Value(key any) any {
	if waiting := c.asked(); waiting != nil {
		return waiting.Value(key)
	}
	return c.Context.Value(key)
}

func (c *deadlineContext) asked() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

func (c *deadlineContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}
