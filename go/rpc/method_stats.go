package rpc

import (
	"cmp"
	"math"
	"slices"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// CodeOther stands in MethodStats.Replies for all codes outside 400 to 511 but 200.
const CodeOther Code = 512

// MethodStats are the counters of one method, on all cores. Which calls are in which of them is
// docs/metrics.md.
type MethodStats struct {
	Service, Name string
	Replies       map[Code]uint64 // by status; those that the peer did not stay for, too
	Latency       Histogram       // of every reply: from when the loop had read the request to when it sent the reply
	Handler       Histogram       // of one call in 64, chosen by chance: how long its handler ran
	Panics        uint64          // handlers that panicked, or ended their goroutine
	Goroutines    uint64          // calls that started as goroutines
	Late          uint64          // handlers that lost the loop to another
	OffLoop       bool            // calls start as goroutines now: Method.Slow, or it was late too often
}

// Histogram counts durations.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	Buckets []uint64 // how many are up to HistogramBounds()[i] and above the bound before; the last: above all
}

var histogramBounds = func() []time.Duration {
	bounds := make([]time.Duration, native.TallyBuckets-1)
	for i := range bounds {
		bounds[i] = native.TallyBound(i)
	}
	return bounds
}()

// HistogramBounds are the greatest durations that the buckets of every Histogram hold, in rising order:
// four for each doubling from 256 ns to 69 s. There is one bucket more than bounds.
func HistogramBounds() []time.Duration { return slices.Clone(histogramBounds) }

// Quantile is what the part q (0 to 1) of the durations does not exceed: the bound of a bucket, so up to
// a quarter too much. 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(min(max(q, 0), 1)*float64(h.Count))))
	var sum uint64
	for i, n := range h.Buckets {
		if sum += n; sum >= rank {
			return histogramBounds[min(i, len(histogramBounds)-1)]
		}
	}
	return histogramBounds[len(histogramBounds)-1]
}

// Mean is 0 when there are none.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

func histogram(h loop.Histogram) Histogram {
	var count uint64
	for _, n := range h.Buckets {
		count += n
	}
	return Histogram{Count: count, Sum: h.Sum, Buckets: slices.Clone(h.Buckets[:])}
}

// methodStats adds the cores up. s.mu is held.
func (s *Server) methodStats() []MethodStats {
	if s.options.NoMethodStats {
		return nil
	}
	all := make([]MethodStats, 0, len(s.methods))
	for _, m := range s.methods {
		sum := loop.MethodStats{Errors: map[uint32]uint64{}}
		for _, l := range s.loops {
			l.AddTo(&sum, m)
		}
		owner := m.Owner.(*served)
		stats := MethodStats{Service: owner.service, Name: owner.Name, Replies: map[Code]uint64{CodeOK: sum.Succeeded},
			Latency: histogram(sum.Latency), Handler: histogram(m.Handlers()), Panics: sum.Panics,
			Goroutines: sum.Spawned, Late: sum.Late, OffLoop: m.OffLoop()}
		for code, n := range sum.Errors {
			stats.Replies[Code(code)] += n
		}
		all = append(all, stats)
	}
	slices.SortFunc(all, func(a, b MethodStats) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name))
	})
	return all
}
