// Package accesslog is a filter that writes a line for calls: for all that failed or were slow, up to a
// bound, and for a sample of the others.
package accesslog

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/smf-go/smf/go/rpc"
)

// Unless Options say otherwise.
const (
	EveryDefault          = 1000
	SlowDefault           = 100 * time.Millisecond
	LinesPerSecondDefault = 100
)

// Options of New. The zero value is a good one.
type Options struct {
	// Logger takes the lines. nil: slog.Default().
	Logger *slog.Logger
	// Every: of the calls that are neither failed nor slow, one in so many is logged, by chance. 0:
	// EveryDefault; 1: all of them; < 0: none.
	Every int
	// Slow calls are logged, all of them. 0: SlowDefault; < 0: none is slow.
	Slow time.Duration
	// LinesPerSecond bounds the lines of failed and slow calls, so that an attack does not fill a disk; a line says how
	// many were left out before it. 0: LinesPerSecondDefault; < 0: no bound.
	LinesPerSecond int
}

type filter struct {
	options Options
	lines   *rate.Limiter // nil: no bound
	records sync.Pool     // of *record

	mu      sync.Mutex
	leftOut int64
}

// record is of a call that is running.
type record struct {
	start   time.Time
	request int      // bytes
	done    rpc.Done // finish, made once
}

// New makes a filter; around the others it sees what was sent and how long all of it took. Promised replies are
// logged when they come.
//
// A line is at level Info, at Warn for slow calls and those that failed by the server's fault (500 and above), and has:
// side, method, status, duration, request_bytes, reply_bytes (as they are at the filter's place: compressed or
// not), deferred, and error, where there is one; left_out when lines were.
//
// Cost: about 150 ns for a call that is not logged, most of it for reading the clock; no allocation.
func New(options Options) rpc.Filter {
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Every == 0 {
		options.Every = EveryDefault
	}
	if options.Slow == 0 {
		options.Slow = SlowDefault
	}
	if options.LinesPerSecond == 0 {
		options.LinesPerSecond = LinesPerSecondDefault
	}
	f := &filter{options: options}
	if per := options.LinesPerSecond; per > 0 {
		f.lines = rate.NewLimiter(rate.Limit(per), per)
	}
	f.records.New = func() any {
		r := new(record)
		r.done = func(call *rpc.Call, err error) error {
			f.finish(r, call, err)
			f.records.Put(r)
			return err
		}
		return r
	}
	return f.run
}

func (f *filter) run(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	r := f.records.Get().(*record)
	r.start, r.request = time.Now(), len(call.Payload())
	call.OnDone(r.done)
	return next(ctx, call)
}

func (f *filter) finish(r *record, call *rpc.Call, err error) {
	took := time.Since(r.start)
	slow := f.options.Slow > 0 && took >= f.options.Slow
	leftOut := int64(0)
	switch {
	case err != nil || slow:
		var allowed bool
		if leftOut, allowed = f.allow(); !allowed {
			return
		}
	case f.options.Every < 0 || f.options.Every > 1 && rand.IntN(f.options.Every) > 0:
		return
	}
	code := rpc.CodeOf(err)
	level := slog.LevelInfo
	if slow || code >= rpc.CodeInternal {
		level = slog.LevelWarn
	}
	attributes := make([]slog.Attr, 0, 9)
	attributes = append(attributes, slog.String("side", call.Side().String()), slog.String("method", call.Name()),
		slog.Int("status", int(code)), slog.Duration("duration", took), slog.Int("request_bytes", r.request),
		slog.Int("reply_bytes", len(call.ReplyPayload())), slog.Bool("deferred", call.Deferred()))
	if err != nil {
		attributes = append(attributes, slog.String("error", fmt.Sprint(err)))
	}
	if leftOut > 0 {
		attributes = append(attributes, slog.Int64("left_out", leftOut))
	}
	f.options.Logger.LogAttrs(context.Background(), level, "call", attributes...)
}

// allow reports whether a line may be written, and how many were not since the last one.
func (f *filter) allow() (leftOut int64, allowed bool) {
	if f.lines == nil {
		return 0, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lines.Allow() {
		f.leftOut++
		return 0, false
	}
	leftOut, f.leftOut = f.leftOut, 0
	return leftOut, true
}
