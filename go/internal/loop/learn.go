package loop

import (
	"sync/atomic"
	"time"
)

// How a method's manners are learned.
const (
	strikesMax   = 3                       // a method that slept that often within strikeWindow …
	strikeWindow = int64(10 * time.Second) // … starts as a goroutine from then on
	quick        = 30 * time.Microsecond   // a run that was not worth a goroutine
	needMin      = 256                     // quick runs in a row until it may run on the loop again,
	needMax      = 1 << 16                 // doubling each time that it disappoints
)

// Method is what a loop knows of a method. Shared by all loops of a server.
type Method struct {
	ID         uint32
	Index      int  // among the server's methods, from 0
	Slow       bool // its author says that it computes for long: it starts as a goroutine
	Streams    bool // its calls are streams, and no others; each has a goroutine
	Compressed bool // its worker takes compressed requests; those of others are answered by the loop
	Owner      any

	strikes     atomic.Int32
	firstStrike atomic.Int64 // Unix nanoseconds
	demoted     atomic.Bool
	good, need  atomic.Uint32

	times handlerTimes
}

func (m *Method) startsAsGoroutine() bool { return m.Slow || m.Streams || m.demoted.Load() }

// sleeps tells methods that wait from those that compute.
func (m *Method) sleeps() bool { return !m.Slow }

// slept notes that a handler slept on the loop.
func (m *Method) slept(now time.Time) {
	if t := now.UnixNano(); t-m.firstStrike.Load() > strikeWindow {
		m.firstStrike.Store(t)
		m.strikes.Store(0)
	}
	if m.strikes.Add(1) < strikesMax || m.demoted.Load() {
		return
	}
	m.good.Store(0)
	m.need.Store(min(max(2*m.need.Load(), needMin), needMax))
	m.demoted.Store(true)
}

// refund takes back what slept noted: the handler was held up for a moment only.
func (m *Method) refund() { m.strikes.Add(-1) }

// ran notes how long a call took that ran as a goroutine.
func (m *Method) ran(d time.Duration) {
	if !m.demoted.Load() {
		return
	}
	if d >= quick {
		m.good.Store(0)
		return
	}
	if m.good.Add(1) == m.need.Load() {
		m.strikes.Store(0)
		m.demoted.Store(false)
	}
}
