package rpc

import (
	"log/slog"
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
			slog.Int("left_out", left))
	}
}

// handlerError tells of errors that say nothing to the caller: those without a code of their own.
func (l *limitedLogs) handlerError(m *served, err error) {
	if codeOf(err) != CodeInternal {
		return
	}
	if left, ok := l.allow("handler:" + m.service + "." + m.Name); ok {
		l.log.Error("handler failed", slog.String("method", m.service+"."+m.Name),
			slog.String("error", err.Error()), slog.Int("left_out", left))
	}
}
