package rpc

import (
	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Why the loop itself answered a call, in CoreStats.Refused.
const (
	RefusedNotFound       = "no such method"  // 404
	RefusedDeadline       = "deadline passed" // 408: before it was the call's turn
	RefusedTooMany        = "too many calls"  // 429: at level 2, and where handlers without callers fill the limit; else level 1 is not read on
	RefusedCancelled      = "cancelled"       // 499: before it was the call's turn
	RefusedNotImplemented = "compressed"      // 501: or a stream
	RefusedDraining       = "draining"        // 503
)

// RefusedReasons lists the keys of CoreStats.Refused.
func RefusedReasons() []string {
	return []string{RefusedNotFound, RefusedDeadline, RefusedTooMany, RefusedCancelled, RefusedNotImplemented, RefusedDraining}
}

// addTime fills in where the time goes, and limits that were met.
func (c *CoreStats) addTime(n *native.Stats, g *loop.Stats) {
	c.Events, c.Spins, c.Wakes = n.Events, n.Spins, n.Wakes
	c.BatchSizes = append([]uint64(nil), n.Batches[:]...)
	c.BusyNs, c.SpinningNs, c.AsleepNs = n.BusyNs, n.SpinningNs, n.AsleepNs
	c.FramesAssembled = n.FramesAssembled
	c.PausedInFlight, c.PausedRunning = n.PausedInFlight, n.PausedRunning
	c.PausedMemory, c.PausedUnsent, c.Starved = n.PausedMemory, n.PausedUnsent, n.Starved
	c.InFlight, c.ConnectionsUnsent = n.InFlight, n.ConnectionsUnsent
	c.MemoryBudget, c.MemoryMax = n.MemoryBudgetBytes, n.MemoryUsedMax
	c.LateFull = g.LateFull
	c.Refused = map[string]uint64{
		RefusedNotFound: g.NotFound, RefusedDeadline: g.Expired, RefusedTooMany: n.RefusedTooMany + g.TooMany, RefusedCancelled: g.Abandoned,
		RefusedNotImplemented: g.NotImplemented, RefusedDraining: g.Unavailable + n.RefusedDraining,
	}
	c.Cancelled, c.Disconnected = g.Cancelled, g.Disconnected
}

// CloseReasons lists what CoreStats.Closed may have as keys.
func CloseReasons() []string {
	names := make([]string, native.CloseReasons)
	for i := range names {
		names[i] = native.CloseReason(i).String()
	}
	return names
}

// LimitStats is a limit as it is in force, and how often it was met.
type LimitStats struct {
	Name  string  // with its unit, if it is not a number of things: "frame_bytes", "send_timeout_seconds"
	Value float64 // of one core, connection or frame, as Limits says; 0: none
	Hits  uint64
}

// limits are all there are: what each is, and where it is counted that it was met.
var limits = []struct {
	name  string
	value func(c *native.Config) float64
	hits  func(n *native.Stats, g *loop.Stats) uint64
}{
	{"connections", func(c *native.Config) float64 { return float64(c.ConnectionsMax) }, closedFor(native.CloseTooMany)},
	{"in_flight", func(c *native.Config) float64 { return float64(c.InFlightMax) },
		func(n *native.Stats, _ *loop.Stats) uint64 {
			return n.PausedInFlight + n.RefusedTooMany - n.RefusedRunning
		}},
	{"running", func(c *native.Config) float64 { return float64(c.RunningMax) },
		func(n *native.Stats, g *loop.Stats) uint64 {
			return n.PausedRunning + n.RefusedRunning + g.TooMany
		}},
	{"frame_bytes", func(c *native.Config) float64 { return float64(c.FrameBytesMax) },
		closedFor(native.CloseFrameTooLarge)},
	{"unsent_bytes", func(c *native.Config) float64 { return float64(c.UnsentBytesMax) },
		func(n *native.Stats, _ *loop.Stats) uint64 { return n.UnsentExceeded }},
	{"memory_bytes", func(c *native.Config) float64 { return float64(c.MemoryBytes) },
		func(n *native.Stats, _ *loop.Stats) uint64 { return n.MemoryRefused }},
	{"header_timeout_seconds", func(c *native.Config) float64 { return seconds(c.HeaderTimeoutMs) },
		closedFor(native.CloseHeaderTimeout)},
	{"body_timeout_seconds", func(c *native.Config) float64 { return seconds(c.BodyTimeoutMs) },
		closedFor(native.CloseBodyTimeout)},
	{"idle_timeout_seconds", func(c *native.Config) float64 { return seconds(c.IdleTimeoutMs) },
		closedFor(native.CloseIdleTimeout)},
	{"send_timeout_seconds", func(c *native.Config) float64 { return seconds(c.SendTimeoutMs) },
		func(n *native.Stats, _ *loop.Stats) uint64 { return n.SendTimeouts }},
	{"late_handlers", func(c *native.Config) float64 { return float64(loop.LateLimit(c.MemoryBytes)) },
		func(_ *native.Stats, g *loop.Stats) uint64 { return g.LateFull }},
}

func seconds(ms int) float64 { return float64(ms) / 1000 }

func closedFor(reason native.CloseReason) func(*native.Stats, *loop.Stats) uint64 {
	return func(n *native.Stats, _ *loop.Stats) uint64 { return n.Closed[reason] }
}

// limitStats are the limits, not met yet.
func (s *Server) limitStats() []LimitStats {
	c := s.engine.Settings()
	all := make([]LimitStats, 0, len(limits))
	for _, l := range limits {
		all = append(all, LimitStats{Name: l.name, Value: l.value(&c)})
	}
	return all
}

// addLimits adds how often a core met them.
func addLimits(all []LimitStats, n *native.Stats, g *loop.Stats) {
	for i, l := range limits {
		all[i].Hits += l.hits(n, g)
	}
}
