package main

import (
	"cmp"
	"slices"
)

// stat is a figure that was measured several times.
type stat struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Count  int     `json:"count"`
}

// summarize returns the median and the spread of values; all zero when there are none.
func summarize(values []float64) stat {
	if len(values) == 0 {
		return stat{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return stat{Median: median, Min: sorted[0], Max: sorted[len(sorted)-1], Count: len(sorted)}
}

// figure is something that a measurement has.
type figure func(*measurement) float64

func callsPerSecond(m *measurement) float64 { return m.CallsPerSecond }
func p50(m *measurement) float64            { return m.First.LatencyUS.P50 }
func p99(m *measurement) float64            { return m.First.LatencyUS.P99 }
func p999(m *measurement) float64           { return m.First.LatencyUS.P999 }
func secondP50(m *measurement) float64      { return m.Second.LatencyUS.P50 }

// rounds are one cell's measurements, by round; nil where one failed.
type rounds []*measurement

func (r rounds) stat(of figure) stat {
	var values []float64
	for _, m := range r {
		if m != nil {
			values = append(values, of(m))
		}
	}
	return summarize(values)
}

// pairwise divides a figure of two cells round by round. Both were measured within seconds in the
// same round, so what the machine does in the long run affects them alike.
func pairwise(ours, theirs rounds, of figure) stat {
	var values []float64
	for i := range min(len(ours), len(theirs)) {
		if ours[i] != nil && theirs[i] != nil {
			values = append(values, ratio(of(ours[i]), of(theirs[i])))
		}
	}
	return summarize(values)
}

// ratio is 0 when there is nothing to divide by.
func ratio(ours, theirs float64) float64 {
	if theirs == 0 {
		return 0
	}
	return ours / theirs
}

// above is how far a figure of one cell is above the other's median. Not round by round: a stall of the
// machine in either round would be taken for a difference.
func above(ours, theirs rounds, of figure) stat {
	all, base := ours.stat(of), theirs.stat(of)
	if all.Count == 0 || base.Count == 0 {
		return stat{}
	}
	return stat{Median: all.Median - base.Median, Min: all.Min - base.Median, Max: all.Max - base.Median,
		Count: all.Count}
}

// best returns which of the named cells has the best median: the greatest, or the least.
func best(cells map[string]rounds, names []string, of figure, greatest bool) (string, bool) {
	var present []string
	for _, name := range names {
		if cells[name].stat(of).Count > 0 {
			present = append(present, name)
		}
	}
	if len(present) == 0 {
		return "", false
	}
	return slices.MaxFunc(present, func(a, b string) int {
		order := cmp.Compare(cells[a].stat(of).Median, cells[b].stat(of).Median)
		if !greatest {
			return -order
		}
		return order
	}), true
}
