package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func rates(values ...float64) rounds {
	var r rounds
	for _, v := range values {
		r = append(r, &measurement{CallsPerSecond: v})
	}
	return r
}

func TestSummarize(t *testing.T) {
	require.Equal(t, stat{}, summarize(nil))
	require.Equal(t, stat{Median: 3, Min: 1, Max: 9, Count: 3}, summarize([]float64{9, 1, 3}))
	require.Equal(t, stat{Median: 2.5, Min: 1, Max: 9, Count: 4}, summarize([]float64{9, 1, 3, 2}))
}

// A machine that slows down between two rounds changes both sides of a ratio, and not the ratio.
func TestPairwiseComparesWithinARound(t *testing.T) {
	ours, theirs := rates(90, 45, 80), rates(100, 50, 100)
	require.Equal(t, stat{Median: 0.9, Min: 0.8, Max: 0.9, Count: 3},
		pairwise(ours, theirs, callsPerSecond))
}

func TestPairwiseLeavesOutFailedRounds(t *testing.T) {
	ours, theirs := rates(90, 1, 80), rates(100, 50, 100)
	ours[1] = nil
	require.Equal(t, 2, pairwise(ours, theirs, callsPerSecond).Count)
	require.Equal(t, 2, ours.stat(callsPerSecond).Count)
	require.Zero(t, pairwise(nil, theirs, callsPerSecond).Count)
}

func TestBest(t *testing.T) {
	cells := map[string]rounds{"slow": rates(1, 2, 900), "fast": rates(3, 4, 5), "failed": {nil, nil}}
	name, found := best(cells, []string{"slow", "fast", "failed", "absent"}, callsPerSecond, true)
	require.True(t, found)
	require.Equal(t, "fast", name)
	name, _ = best(cells, []string{"slow", "fast"}, callsPerSecond, false)
	require.Equal(t, "slow", name)
	_, found = best(cells, []string{"failed", "absent"}, callsPerSecond, true)
	require.False(t, found)
}

func TestAboveIsMeasuredFromTheMedian(t *testing.T) {
	require.Equal(t, stat{Median: 5, Min: -5, Max: 990, Count: 3},
		above(rates(1000, 15, 5), rates(10, 900, 9), callsPerSecond))
	require.Zero(t, above(rates(1), nil, callsPerSecond).Count)
}

func TestCosts(t *testing.T) {
	at := func(callsPerSecond ...float64) (r rounds) {
		for _, c := range callsPerSecond {
			if c == 0 {
				r = append(r, nil)
				continue
			}
			r = append(r, &measurement{CallsPerSecond: c})
		}
		return r
	}
	got := costs(at(1e6, 0, 2e6, 1e6), at(2e6, 1e6, 2e6))
	if got.Count != 2 || got.Min != 0 || got.Max != 500 || got.Median != 250 {
		t.Fatal(got)
	}
}
