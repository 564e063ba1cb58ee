// Package retry is a client's filter that tries calls again which have failed and bear it.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

// Unless Options say otherwise.
const (
	AttemptsDefault   = 3
	BackoffMinDefault = 10 * time.Millisecond
	BackoffMaxDefault = time.Second
	RatioDefault      = 0.1
	BurstDefault      = 10
	WaitMaxDefault    = 10 * time.Second
)

// Options of New. The zero value is a good one.
type Options struct {
	// Attempts of one call, the first one included. 0: AttemptsDefault.
	Attempts int
	// BackoffMin and BackoffMax bound the pause before an attempt: a random time up to a bound that
	// begins at BackoffMin and doubles. A server that says how long to wait (Error.RetryAfter) is waited for as long,
	// up to WaitMax, and the pause comes on top. 0: BackoffMinDefault and BackoffMaxDefault.
	BackoffMin, BackoffMax time.Duration
	// WaitMax is how long a server may have a call wait that is tried again. One that wants more is not tried again:
	// its caller gets the error, which says it. 0: WaitMaxDefault.
	WaitMax time.Duration
	// Ratio is how many retries there may be for every call, over time: the budget. When most calls fail,
	// the server gets (1 + Ratio) times the calls, and not Attempts times. 0: RatioDefault.
	Ratio float64
	// Burst is how many retries may come at once when there was none for long. 0: BurstDefault.
	Burst int
	// Idempotent says of which methods a call may run twice. nil: those that are marked in the schema, by
	// (idempotent), which generated clients know. Client.Call itself knows the id only.
	Idempotent func(*rpc.Method) bool
}

// token is one retry, in the budget's unit.
const token = 1 << 20

type filter struct {
	options Options
	earned  int64        // for each call
	budget  atomic.Int64 // in units of 1/token retries; at most Burst of them
}

// New makes a filter for clients. Calls that share it share its budget: use one for a server that is called.
//
// What is tried again: code 503 (not connected, draining, the connection was lost) and 429 (over a
// limit), if the method is idempotent, or if the request has certainly not reached a handler (Error.MayHaveRun is
// false). Nothing else is; nothing after the context has ended, nor where the pause would outlast its deadline, nor without
// budget. A stream is tried again until it is open: its end, however it ends, is not held up. The error is then the last attempt's.
//
// It panics when options are negative. A handler that calls through it blocks during pauses.
//
// Cost: tens of nanoseconds for a call that succeeds, no allocation.
func New(options Options) rpc.Filter {
	o := &options
	if o.Attempts < 0 || o.BackoffMin < 0 || o.BackoffMax < 0 || o.WaitMax < 0 || !(o.Ratio >= 0) || o.Burst < 0 {
		panic(fmt.Sprintf("retry: an option is negative: %+v", options))
	}
	orDefault(&o.Attempts, AttemptsDefault)
	orDefault(&o.BackoffMin, BackoffMinDefault)
	orDefault(&o.BackoffMax, max(BackoffMaxDefault, o.BackoffMin))
	orDefault(&o.WaitMax, WaitMaxDefault)
	for _, d := range []*time.Duration{&o.BackoffMin, &o.BackoffMax, &o.WaitMax} {
		*d = min(*d, math.MaxInt64/4) // twice it, and the sum of two, are durations
	}
	orDefault(&o.Ratio, RatioDefault)
	orDefault(&o.Burst, BurstDefault)
	if o.Idempotent == nil {
		o.Idempotent = func(m *rpc.Method) bool { return m.Idempotent }
	}
	f := &filter{options: options, earned: int64(o.Ratio * token)}
	f.budget.Store(int64(o.Burst) * token)
	return f.run
}

func orDefault[T int | float64 | time.Duration](option *T, value T) {
	if *option == 0 {
		*option = value
	}
}

func (f *filter) run(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	f.earn()
	bound := f.options.BackoffMin
	for attempt := 1; ; attempt++ {
		err := next(ctx, call)
		if err == nil || attempt >= f.options.Attempts || ctx.Err() != nil {
			return err
		}
		wait, bears := f.bears(call, err)
		if !bears {
			return err
		}
		wait += rand.N(bound + 1)
		bound = min(2*bound, f.options.BackoffMax)
		if deadline, has := ctx.Deadline(); has && time.Until(deadline) <= wait || !f.take() || !pause(ctx, wait) {
			return err
		}
	}
}

// bears reports whether a call that failed may be tried again, and what the server wants to be waited.
func (f *filter) bears(call *rpc.Call, err error) (after time.Duration, bears bool) {
	var failure *rpc.Error
	if !errors.As(err, &failure) || errors.Is(err, rpc.ErrClosed) || !call.Repeatable() {
		return 0, false
	}
	if failure.Code != rpc.CodeUnavailable && failure.Code != rpc.CodeLimit {
		return 0, false
	}
	if failure.RetryAfter > f.options.WaitMax {
		return 0, false
	}
	return max(0, failure.RetryAfter), !failure.MayHaveRun || f.options.Idempotent(call.Method())
}

// earn puts into the budget what a call brings.
func (f *filter) earn() {
	full := int64(f.options.Burst) * token
	for {
		have := f.budget.Load()
		if have >= full || f.budget.CompareAndSwap(have, min(full, have+f.earned)) {
			return
		}
	}
}

// take takes a retry out of the budget. False: there is none.
func (f *filter) take() bool {
	for {
		have := f.budget.Load()
		if have < token {
			return false
		}
		if f.budget.CompareAndSwap(have, have-token) {
			return true
		}
	}
}

// pause reports whether it was waited for so long; false: the context has ended.
func pause(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
