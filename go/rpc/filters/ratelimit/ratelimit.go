// Package ratelimit is a filter that bounds how many calls of a method begin in a second.
package ratelimit

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/internal/permethod"
)

// PerMethod makes a filter that lets perSecond calls of each method that it is put around begin in a
// second, and burst of them at once (a token bucket, full at first). One that comes too early is not run and not
// queued: an error with code 429, which says how long to wait: RetryAfter. On either side of calls.
//
// One filter around several methods counts each of them by itself. It panics when perSecond is not
// positive, or burst less than 1.
//
// Cost: about 100 ns, no allocation.
func PerMethod(perSecond float64, burst int) rpc.Filter {
	if !(perSecond > 0) || burst < 1 {
		panic(fmt.Sprintf("ratelimit: %v calls a second and %d at once; both must be more than nothing", perSecond, burst))
	}
	methods := permethod.New(func() *rate.Limiter { return rate.NewLimiter(rate.Limit(perSecond), burst) })
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		limiter, now := methods.Of(call), time.Now()
		if limiter.AllowN(now, 1) {
			return next(ctx, call)
		}
		err := rpc.Errorf(rpc.CodeLimit, "%s may be called %v times a second", call.Name(), perSecond)
		if missing := 1 - limiter.TokensAt(now); missing > 0 {
			err.RetryAfter = time.Duration(missing / perSecond * float64(time.Second))
		}
		return err
	}
}
