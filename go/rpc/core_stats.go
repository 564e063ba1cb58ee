package rpc

import (
	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Why the loop itself answered a call, in CoreStats.Refused.
const (
	RefusedNotFound       = "no such method" // 404
	RefusedNotImplemented = "compressed"     // 501
	RefusedDraining       = "draining"       // 503
)

// addTime fills in where the time goes, and limits that were met.
func (c *CoreStats) addTime(n *native.Stats, g *loop.Stats) {
	c.Events, c.Spins, c.Wakes = n.Events, n.Spins, n.Wakes
	c.BatchSizes = append([]uint64(nil), n.Batches[:]...)
	c.BusyNs, c.SpinningNs, c.AsleepNs = n.BusyNs, n.SpinningNs, n.AsleepNs
	c.FramesAssembled = n.FramesAssembled
	c.PausedInFlight, c.PausedRunning = n.PausedInFlight, n.PausedRunning
	c.PausedMemory, c.PausedUnsent, c.Starved = n.PausedMemory, n.PausedUnsent, n.Starved
	c.InFlight, c.ConnectionsOpen, c.ConnectionsUnsent = n.InFlight, n.ConnectionsOpen, n.ConnectionsUnsent
	c.MemoryBudget, c.MemoryMax = n.MemoryBudgetBytes, n.MemoryUsedMax
	c.LateFull = g.LateFull
	c.Refused = map[string]uint64{
		RefusedNotFound: g.NotFound, RefusedNotImplemented: g.NotImplemented, RefusedDraining: g.Unavailable,
	}
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

type limitStats []LimitStats

// limitStats are the limits, not met yet. add knows their order.
func (s *Server) limitStats() limitStats {
	c := s.engine.Settings()
	seconds := func(ms int) float64 { return float64(ms) / 1000 }
	return limitStats{
		{Name: "connections", Value: float64(c.ConnectionsMax)},
		{Name: "in_flight", Value: float64(c.InFlightMax)},
		{Name: "running", Value: float64(c.RunningMax)},
		{Name: "frame_bytes", Value: float64(c.FrameBytesMax)},
		{Name: "unsent_bytes", Value: float64(c.UnsentBytesMax)},
		{Name: "memory_bytes", Value: float64(c.MemoryBytes)},
		{Name: "header_timeout_seconds", Value: seconds(c.HeaderTimeoutMs)},
		{Name: "body_timeout_seconds", Value: seconds(c.BodyTimeoutMs)},
		{Name: "idle_timeout_seconds", Value: seconds(c.IdleTimeoutMs)},
		{Name: "send_timeout_seconds", Value: seconds(c.SendTimeoutMs)},
		{Name: "late_handlers", Value: float64(s.loops[0].LateLimit())},
	}
}

func (l limitStats) add(n *native.Stats, g *loop.Stats) {
	for i, hits := range []uint64{n.Closed[native.CloseTooMany], n.PausedInFlight, n.PausedRunning,
		n.Closed[native.CloseFrameTooLarge], n.UnsentExceeded, n.MemoryRefused, n.Closed[native.CloseHeaderTimeout],
		n.Closed[native.CloseBodyTimeout], n.Closed[native.CloseIdleTimeout], n.SendTimeouts, g.LateFull} {
		l[i].Hits += hits
	}
}
