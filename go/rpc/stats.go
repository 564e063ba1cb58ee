package rpc

import native "github.com/smf-go/smf/cgo"

// Stats are a server's counters, one entry per core. They are read without stopping the loops: sums may
// be a few calls apart.
type Stats struct {
	Cores []CoreStats
}

// CoreStats are the counters of one poll loop since it was opened.
type CoreStats struct {
	Connections   uint64 // accepted
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
	Closed        map[string]uint64 // connections, by reason
	HandlersSlept uint64            // that lost the loop because they slept,
	HandlersBusy  uint64            // because they computed,
	HandlersGave  uint64            // because they called another service
	HandlersLate  int64             // that have lost the loop and still run
	LateMax       int64             // the most of those at once
	Goroutines    uint64            // calls that started as goroutines
	WatcherKicks  uint64
}

// Stats reads the counters. After Close they are empty.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var stats Stats
	if s.freed {
		return stats
	}
	for _, l := range s.loops {
		n, g := l.Core().Stats(), l.Stats()
		c := CoreStats{
			Connections: n.Accepted, Requests: n.Requests, Replies: n.RepliesSent,
			BytesReceived: n.BytesReceived, BytesSent: n.BytesSent, Turns: n.Turns, Waits: n.Waits,
			Polls: n.Polls, Reads: n.Recvs, Writes: n.Sends, ReadsPaused: n.ReadsPaused,
			StaleReplies: n.StaleReplies, MemoryBytes: n.MemoryUsedBytes, MemoryRefused: n.MemoryRefused,
			Closed: map[string]uint64{}, HandlersSlept: n.DeposedSleeping, HandlersBusy: n.DeposedComputing,
			HandlersGave: n.HandedOver, HandlersLate: g.Late, LateMax: g.LateMax, Goroutines: g.Spawned,
			WatcherKicks: n.Kicks,
		}
		for reason, count := range n.Closed {
			if count > 0 {
				c.Closed[native.CloseReason(reason).String()] = count
			}
		}
		stats.Cores = append(stats.Cores, c)
	}
	return stats
}
