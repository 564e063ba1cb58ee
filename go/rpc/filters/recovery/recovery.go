// Package recovery is a filter that makes errors of panics.
//
// A server does not end with a handler that panics: it answers 500 and logs the panic. But that is at the
// very outside: filters in between are unwound, and what is behind their next does not run. With this
// filter inside of them they see an error like any other.
package recovery

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/smf-go/smf/go/rpc"
)

// Options of New. The zero value is a good one.
type Options struct {
	// Logger gets a line with the stack for each panic. nil: slog.Default().
	Logger *slog.Logger
	// Handle decides, in place of the log line, what a panic means: what it returns is the call's error;
	// nil, too, is CodeInternal. stack is for people. It is called on the goroutine that panicked.
	Handle func(call *rpc.Call, panicked any, stack []byte) error
}

// New makes a filter, to be put inside of those that are to see the error: last in a server's list. In a
// client it is for panics of the filters inside of it.
//
// The error that a panic becomes has CodeInternal and does not say what was panicked with: callers would read
// it. errors.As and Is find it, if it was an error. In a client MayHaveRun is true. runtime.Goexit is not recovered: the server
// deals with it.
//
// Cost: a few nanoseconds, no allocation, when nothing panics.
func New(options Options) rpc.Filter {
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) (err error) {
		defer func() {
			if panicked := recover(); panicked != nil {
				err = options.recovered(call, panicked)
			}
		}()
		return next(ctx, call)
	}
}

func (o *Options) recovered(call *rpc.Call, panicked any) error {
	cause, _ := panicked.(error)
	failure := &rpc.Error{Code: rpc.CodeInternal, Message: "a panic", MayHaveRun: call.Side() == rpc.SideClient, Cause: cause}
	stack := debug.Stack()
	if o.Handle != nil {
		if err := o.Handle(call, panicked, stack); err != nil {
			return err
		}
		return failure
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.Error("a call panicked", slog.String("method", call.Name()), slog.String("side", call.Side().String()),
		slog.String("panic", fmt.Sprint(panicked)), slog.String("stack", string(stack)))
	return failure
}
