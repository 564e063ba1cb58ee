package rpc

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// logEvery is how often a line of one kind may be written.
const logEvery = time.Second

// limitedLogs writes lines that somebody outside can provoke: one of a kind per second, with the
// number of those that were left out.
type limitedLogs struct {
	log *slog.Logger

	mu    sync.Mutex
	kinds map[string]*logKind
}

type logKind struct {
	last time.Time
	left int
}

// allow reports whether a line may be written now, and how many were left out before it.
func (l *limitedLogs) allow(kind string) (leftOut int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[kind]
	if k == nil {
		k = new(logKind)
		l.kinds[kind] = k
	}
	now := time.Now()
	if now.Sub(k.last) < logEvery {
		k.left++
		return 0, false
	}
	leftOut, k.left, k.last = k.left, 0, now
	return leftOut, true
}

func (l *limitedLogs) closed(peer string, reason native.CloseReason) {
	if left, ok := l.allow("closed:" + reason.String()); ok {
		// On a goroutine of its own: a log that is slow must not stop the loop.
		go l.log.Warn("connection closed", slog.String("peer", peer), slog.String("reason", reason.String()),
			leftOut(left))
	}
}

// handlerError tells of errors that say nothing to the caller: those without a code of their own.
func (l *limitedLogs) handlerError(m *served, err error) {
	if CodeOf(err) != CodeInternal {
		return
	}
	if left, ok := l.allow("handler:" + m.service + "." + m.Name); ok {
		l.log.Error("handler failed", slog.String("method", m.service+"."+m.Name),
			slog.String("error", err.Error()), leftOut(left))
	}
}

// malformed tells what is wrong with a request that the verifier refused: its caller learns only that it is.
func (l *limitedLogs) malformed(m *served, err error) {
	if left, ok := l.allow("malformed:" + m.service + "." + m.Name); ok {
		// On a goroutine of its own: see closed.
		go l.log.Warn("request refused: malformed", slog.String("method", m.service+"."+m.Name),
			slog.String("error", err.Error()), leftOut(left))
	}
}

// leftOut is nothing for 0: handlers leave empty attributes out.
func leftOut(lines int) slog.Attr {
	if lines == 0 {
		return slog.Attr{}
	}
	return slog.Int("left_out", lines)
}

// answeredTwice tells, once for a method, of a handler that promised its reply and then answered, too.
func (l *limitedLogs) answeredTwice(m *served) {
	if m.answeredTwice.CompareAndSwap(false, true) {
		l.log.Error("handler answered after Reply.Defer: only the token's answer is sent",
			slog.String("method", m.service+"."+m.Name))
	}
}

// framesMax bounds the stack that is logged for a panic.
const framesMax = 32

// panicStack is where a handler panicked: its own frames and those of filters, innermost first,
// without what recovers on the one side and what calls handlers on the other. It is called while the
// panic is being recovered.
func panicStack() string {
	pcs := make([]uintptr, 2*framesMax)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	var text strings.Builder
	panicked, written := false, 0
	for more := true; more && written < framesMax; {
		var f runtime.Frame
		f, more = frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case !panicked || strings.HasPrefix(f.Function, "runtime."):
		case strings.HasSuffix(f.Function, "/go/rpc.(*worker).Serve"), strings.HasSuffix(f.Function, "/go/rpc.(*worker).serveFiltered"):
			more = false
		case strings.Contains(f.Function, ".aroundOne.func"), // func1, or another number where it is inlined
			strings.HasSuffix(f.Function, "/go/rpc.handle"):
		default:
			fmt.Fprintf(&text, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
			written++
		}
	}
	return text.String()
}
