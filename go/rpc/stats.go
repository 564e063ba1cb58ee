package rpc

import native "github.com/smf-go/smf/cgo"

// Stats are a server's counters. They are read without stopping the loops: each is exact, sums of
// several may be a few calls apart. docs/metrics.md says what they mean.
type Stats struct {
	Cores   []CoreStats
	Methods []MethodStats // by service and name; empty with ServerOptions.NoMethodStats
	Limits  []LimitStats
}

// CoreStats are the counters of one poll loop since it was opened.
type CoreStats struct {
	Connections   uint64 // accepted, by this core or for it
	Requests      uint64 // handed out
	Replies       uint64 // sent
	BytesReceived uint64
	BytesSent     uint64
	Turns, Waits  uint64            // of the loop; turns that slept
	Polls         uint64            // system calls: looks for what is ready,
	Reads         uint64            // reads
	Writes        uint64            // and writes
	ReadsPaused   uint64            // for memory, calls in flight or unsent replies
	StaleReplies  uint64            // for connections that had gone
	MemoryBytes   uint64            // of the budget, in use
	MemoryRefused uint64            // requests for memory that the budget could not meet
	StreamsQueued int64             // bytes of Go's memory in which messages of streams wait to be sent, now; beside MemoryBytes
	Closed        map[string]uint64 // connections, by reason
	HandlersSlept uint64            // that lost the loop because they slept,
	HandlersBusy  uint64            // because they computed,
	HandlersGave  uint64            // because they called another service
	HandlersLate  int64             // that have lost the loop and still run
	LateMax       int64             // the most of those at once
	Goroutines    uint64            // calls that started as goroutines
	WatcherKicks  uint64

	Events                        uint64            // handed out by the loop: requests, and news of connections
	BatchSizes                    []uint64          // turns by the events they handed out: none, 1, 2 to 3, 4 to 7, …
	Spins                         uint64            // looks that found nothing
	Wakes                         uint64            // by other threads, out of a sleep
	BusyNs, SpinningNs, AsleepNs  uint64            // where the time went
	FramesAssembled               uint64            // payloads that came in several reads
	PausedInFlight, PausedRunning uint64            // ReadsPaused by reason: calls of a connection, of the core,
	PausedMemory, PausedUnsent    uint64            // memory, replies that the peer does not take
	Starved                       uint64            // looks without memory to read into
	InFlight                      uint64            // calls, now
	ConnectionsUnsent             uint64            // those whose peer has not taken its replies, now
	MemoryBudget, MemoryMax       uint64            // bytes; the most that was in use at once
	LateFull                      uint64            // calls that started as goroutines: too many handlers were late
	Refused                       map[string]uint64 // calls that no handler saw, by reason: RefusedReasons

	// Calls whose contexts have ended because nobody waited any more. Those that were answered at once are
	// not among them.
	Cancelled    uint64 // the caller gave up; at level 2
	Disconnected uint64 // its connection ended

	// Placement: a connection goes to the core that has the fewest, whoever accepted it.
	ConnectionsOpen      uint64 // now
	ConnectionsHandedIn  uint64 // accepted by another core and given to this one,
	ConnectionsHandedOut uint64 // accepted by this core and given to another

	// Level 2 of the wire.
	ConnectionsLevel2 uint64 // that speak it, now
	Hellos            uint64 // of clients, answered with it,
	HellosRefused     uint64 // and with an error: their limits are too small
	Pings             uint64 // of peers, answered
	Goaways           uint64 // of peers
	Cancels           uint64 // of calls that were running,
	CancelsIgnored    uint64 // and that had been answered
	OneWay            uint64 // requests that are not answered
	RefusedTooMany    uint64 // answered with 429 by the engine,
	RefusedRunning    uint64 // of these for the limit on all calls of the core, the others for that of a connection
	RefusedDraining   uint64 // answered with 503 by the engine
	FramesDropped     uint64 // sent by the program, and not allowed at the connection's level
}

// Stats reads the counters. After Close they are empty.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var stats Stats
	if s.freed {
		return stats
	}
	stats.Limits = s.limitStats()
	for _, l := range s.loops {
		n, g := l.Core().Stats(), l.Stats()
		c := CoreStats{
			Connections: n.Accepted, Requests: n.Requests, Replies: n.RepliesSent,
			BytesReceived: n.BytesReceived, BytesSent: n.BytesSent, Turns: n.Turns, Waits: n.Waits,
			Polls: n.Polls, Reads: n.Recvs, Writes: n.Sends, ReadsPaused: n.ReadsPaused,
			StaleReplies: n.StaleReplies, MemoryBytes: n.MemoryUsedBytes, MemoryRefused: n.MemoryRefused, StreamsQueued: g.Queued,
			Closed: map[string]uint64{}, HandlersSlept: n.DeposedSleeping, HandlersBusy: n.DeposedComputing,
			HandlersGave: n.HandedOver, HandlersLate: g.Late, LateMax: g.LateMax, Goroutines: g.Spawned,
			WatcherKicks:    n.Kicks,
			ConnectionsOpen: n.ConnectionsOpen, ConnectionsHandedIn: n.ConnectionsHandedIn,
			ConnectionsHandedOut: n.ConnectionsHandedOut,
		}
		c.addTime(&n, &g)
		c.addLevel2(&n)
		for reason, count := range n.Closed {
			if count > 0 {
				c.Closed[native.CloseReason(reason).String()] = count
			}
		}
		stats.Cores = append(stats.Cores, c)
		addLimits(stats.Limits, &n, &g)
	}
	stats.Methods = s.methodStats()
	return stats
}

func (c *CoreStats) addLevel2(n *native.Stats) {
	c.ConnectionsLevel2, c.Hellos, c.HellosRefused = n.ConnectionsLevel2, n.Hellos, n.HellosRefused
	c.Pings, c.Goaways, c.OneWay = n.Pings, n.Goaways, n.OneWay
	c.Cancels, c.CancelsIgnored = n.Cancels, n.CancelsIgnored
	c.RefusedRunning = n.RefusedRunning
	c.RefusedTooMany, c.RefusedDraining, c.FramesDropped = n.RefusedTooMany, n.RefusedDraining, n.FramesDropped
}
