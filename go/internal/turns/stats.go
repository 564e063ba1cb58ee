package turns

import "sync/atomic"

// Stats are a loop's counters.
type Stats struct {
	Drives   uint64 // times that somebody took the token: callers, the crew, the poller's goroutine, the alarm
	Arrivals uint64 // times that the poller found something while nobody drove
}

// counters of a loop. One goroutine at a time adds to each, any reads.
type counters struct{ drives, arrivals counter }

type counter struct{ n atomic.Uint64 }

// add loses nothing, for nobody else adds now.
func (c *counter) add() { c.n.Store(c.n.Load() + 1) }

// Stats reads the counters. Any goroutine.
func (l *Loop) Stats() Stats {
	return Stats{Drives: l.counts.drives.n.Load(), Arrivals: l.counts.arrivals.n.Load()}
}
