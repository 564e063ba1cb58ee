package load

import "fmt"

// Limit is what kept a run from going faster.
type Limit string

// What it can be.
const (
	LimitNone    Limit = "none"    // an open loop that kept its schedule
	LimitTarget  Limit = "target"  // the server, or the way to it
	LimitClient  Limit = "client"  // the load machine: its figures say little of the server
	LimitUnknown Limit = "unknown" // nothing was measured
)

// Verdict says whether figures can be believed to be the target's.
type Verdict struct {
	Limit Limit  `json:"limit"`
	Text  string `json:"text"` // why, in a sentence
}

// Where the client is to blame.
const (
	cpuBusy     = 0.9  // of the CPUs that it may use
	keptRate    = 0.99 // of the calls that were due
	lagOfMedian = 0.25 // of a call's latency: from there on being late is a part of the figure
	lagFree     = 100  // µs: what a machine needs to wake up is no lag
)

// judge looks at a result.
//
// An open loop is the client's fault where it sends late although it might send: fewer calls are in flight than are
// allowed. Where all of them are, calls wait for replies, and that is the target's.
func judge(r *Result) Verdict {
	busy := r.Client.CPUsMax > 0 && r.Client.CPUs >= cpuBusy*r.Client.CPUsMax
	cpu := fmt.Sprintf("the client used %.1f of its %.0f CPUs", r.Client.CPUs, r.Client.CPUsMax)
	switch {
	case r.Calls == 0:
		return Verdict{LimitUnknown, "no call succeeded"}
	case r.Loop == "closed" && busy:
		return Verdict{LimitClient, cpu + ": it was the limit; use more load machines, or the load program in C"}
	case r.Loop == "closed":
		return Verdict{LimitTarget, cpu + ": the target, or the way to it, was the limit"}
	case r.Client.WaitedFull > 0:
		text := fmt.Sprintf("%d calls were due while %d were in flight: the target did not keep up", r.Client.WaitedFull, r.Conns*r.Outstanding)
		if busy {
			return Verdict{LimitClient, text + ", or the client did not, for " + cpu}
		}
		return Verdict{LimitTarget, text}
	case r.LagUS.P99 > lagFree && r.LagUS.P99 > lagOfMedian*r.LatencyUS.P99:
		return Verdict{LimitClient, fmt.Sprintf("one call in a hundred was sent %.0f µs late or more, and latencies count from when they were due; %s",
			r.LagUS.P99, cpu)}
	case busy:
		return Verdict{LimitClient, cpu + ": latencies are its own in part"}
	}
	return Verdict{LimitNone, fmt.Sprintf("calls were sent when they were due: p99 of the lag %.0f µs; %s", r.LagUS.P99, cpu)}
}
