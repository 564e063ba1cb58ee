package load_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/smf-go/smf/go/load"
)

// times takes the first n times of a schedule.
func times(s load.Schedule, n int) []time.Duration {
	next := s.Walk()
	out := make([]time.Duration, 0, n)
	for range n {
		at, ok := next()
		if !ok {
			return out
		}
		out = append(out, at)
	}
	return out
}

func ms(values ...float64) []time.Duration {
	out := make([]time.Duration, 0, len(values))
	for _, v := range values {
		out = append(out, time.Duration(math.Round(v*1e6)))
	}
	return out
}

func TestTimesOfProfiles(t *testing.T) {
	require.Equal(t, ms(0, 1, 2, 3), times(load.Even(load.Constant(1000)), 4))
	require.Equal(t, ms(0, 1, 2, 2.5, 3, 3.5), times(load.Even(load.Steps(2*time.Millisecond, 1000, 2000)), 6))
	// From nothing to 2000 calls/s in a second: a thousand of them, the n-th after sqrt(n/1000) seconds.
	ramp := times(load.Even(load.Ramp(0, 2000, time.Second)), 1003)
	require.Equal(t, time.Second, ramp[1000])
	require.Equal(t, 500*time.Millisecond, ramp[250])
	require.Equal(t, time.Second+time.Millisecond, ramp[1002], "and it goes on at its last rate")
	// Down to nothing, where it ends.
	require.Len(t, times(load.Even(load.Ramp(2000, 0, time.Second)), 5000), 1001)
	spikes := load.Spikes(100, 1000, time.Second, 100*time.Millisecond, 2)
	require.EqualValues(t, 100, spikes.Rate(899*time.Millisecond))
	require.EqualValues(t, 1000, spikes.Rate(950*time.Millisecond))
	require.EqualValues(t, 100, spikes.Rate(time.Second))
	require.EqualValues(t, 1000, spikes.Rate(1950*time.Millisecond))
	require.EqualValues(t, 100, spikes.Rate(2950*time.Millisecond))
	require.InDelta(t, 90+100+90+100+50, spikes.Calls(2500*time.Millisecond), 1e-6)
}

// A time without calls is stepped over.
func TestAPauseInAProfile(t *testing.T) {
	p := load.Profile{{Duration: time.Second, From: 2, To: 2}, {Duration: time.Hour}, {From: 2, To: 2}}
	require.Equal(t, []time.Duration{0, 500 * time.Millisecond, time.Second, time.Second + time.Hour + 500*time.Millisecond},
		times(load.Even(p), 4))
}

func profiles(t *rapid.T) load.Profile {
	p := load.Profile{}
	for range rapid.IntRange(1, 5).Draw(t, "segments") {
		p = append(p, load.Segment{Duration: time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "ns")),
			From: rapid.Float64Range(0, 1e5).Draw(t, "from"), To: rapid.Float64Range(0, 1e5).Draw(t, "to")})
	}
	return p
}

// The n-th call is due when the area below the rate is n, and none before the one before it.
func TestTimesAreWhereTheProfileSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := profiles(t)
		require.NoError(t, p.Check())
		before := time.Duration(0)
		for i, at := range times(load.Even(p), 3000) {
			require.GreaterOrEqual(t, at, before)
			before = at
			// A nanosecond of rounding, at that rate.
			require.InDelta(t, float64(i), p.Calls(at), 1e-4+1e-9*float64(i), "call %d at %s", i, at)
		}
	})
}

// Arrivals of a Poisson process: gaps have the mean and the spread of an exponential distribution, and counts of
// equal stretches have a variance that is their mean.
func TestPoissonArrivals(t *testing.T) {
	const rate, n = 1000, 200_000
	s := load.Poisson(load.Constant(rate), 7)
	all := times(s, n)
	require.Equal(t, all[:1000], times(s, 1000), "repeatable")
	require.NotEqual(t, all[:1000], times(load.Poisson(load.Constant(rate), 8), 1000))
	sum, squares, before := 0.0, 0.0, time.Duration(0)
	counts := make([]float64, all[n-1]/(100*time.Millisecond)+1)
	for _, at := range all {
		gap := (at - before).Seconds() * rate
		before = at
		sum += gap
		squares += gap * gap
		counts[at/(100*time.Millisecond)]++
	}
	require.InDelta(t, 1, sum/n, 0.02)
	require.InDelta(t, 2, squares/n, 0.06, "the second moment of an exponential distribution")
	variance := 0.0
	whole := counts[:len(counts)-1]
	for _, c := range whole {
		variance += (c - 100) * (c - 100)
	}
	require.InDelta(t, 100, variance/float64(len(whole)), 10)
}

func TestReplay(t *testing.T) {
	trace := ms(0, 5, 5, 80)
	require.Equal(t, trace, times(load.Replay(trace), 10))
	require.InDelta(t, 50, load.Replay(trace).Rate(0), 1e-9)
	require.Zero(t, load.Replay(nil).Rate(0))
}

// The parts of several machines are the whole.
func TestDividedSchedules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "machines")
		whole := load.Poisson(profiles(t), rapid.Uint64().Draw(t, "seed"))
		all := times(whole, 50*n)
		for part := range n {
			var want []time.Duration
			for i := part; i < len(all); i += n {
				want = append(want, all[i])
			}
			got := times(load.Divide(whole, n, part), len(want))
			require.EqualValues(t, want, append([]time.Duration(nil), got...))
		}
		require.InDelta(t, whole.Rate(0), load.Divide(whole, n, 0).Rate(0)*float64(n), 1e-6)
	})
}

func TestProfilesThatCantBe(t *testing.T) {
	for text, p := range map[string]load.Profile{
		"give it a rate":                             {},
		"segment 1 of the profile lasts":             {{Duration: -1}},
		"segment 2 of the profile goes from 1 to -1": {{From: 1, To: 1}, {From: 1, To: -1}},
		"from NaN to 0":                              {{From: math.NaN()}},
	} {
		require.ErrorContains(t, p.Check(), text)
	}
}
