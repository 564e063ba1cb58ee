package rpc

// ClientCoreStats are the counters of the core that the process's clients share: since it was opened by
// the first client, until it is closed with the last. docs/metrics.md says what they mean. How long it
// was busy is not among them: nobody knows that of the time in which nobody drives it.
type ClientCoreStats struct {
	Connections   uint64 // open now
	Calls         uint64 // sent
	Replies       uint64 // to them
	BytesReceived uint64
	BytesSent     uint64
	Turns         uint64 // of the core
	Spins         uint64 // looks that found nothing
	Drives        uint64 // times that somebody began to drive the core, for one turn or many
	LeftToPoller  uint64 // times that the core was left to Go's poller
	Arrivals      uint64 // times that the poller found something for it
}

// ClientStats reads the counters of the core that the process's clients share; all are zero while no
// client is open. Any goroutine. Cost: a lock that Dial and Client.Close take, too.
func ClientStats() ClientCoreStats {
	shared.mu.Lock() // the core is not closed while shared.engine is it
	defer shared.mu.Unlock()
	e := shared.engine
	if e == nil {
		return ClientCoreStats{}
	}
	n, t := e.loop.Core().Stats(), e.loop.Stats()
	return ClientCoreStats{Connections: n.ConnectionsOpen, Calls: n.RequestsSent, Replies: n.Replies,
		BytesReceived: n.BytesReceived, BytesSent: n.BytesSent, Turns: n.Turns, Spins: n.Spins,
		Drives: t.Drives, LeftToPoller: n.Waits, Arrivals: t.Arrivals}
}
