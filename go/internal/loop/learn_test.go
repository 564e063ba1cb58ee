package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// noon is any time far from zero.
var noon = time.Unix(1_700_000_000, 0)

func sleepOften(m *Method, at time.Time) {
	for range strikesMax {
		m.slept(at)
	}
}

func TestAMethodThatSleepsOftenIsDemoted(t *testing.T) {
	var m Method
	require.False(t, m.startsAsGoroutine())
	m.slept(noon)
	m.slept(noon.Add(time.Second))
	require.False(t, m.startsAsGoroutine())
	m.slept(noon.Add(2 * time.Second))
	require.True(t, m.startsAsGoroutine())
	require.True(t, m.sleeps())
}

func TestAMethodThatSleepsNowAndThenIsNot(t *testing.T) {
	var m Method
	for i := range 100 {
		m.slept(noon.Add(time.Duration(i) * time.Duration(strikeWindow+1)))
		require.False(t, m.startsAsGoroutine())
	}
}

// Held up for a moment by the collector: not the handler's fault.
func TestAStrikeIsTakenBack(t *testing.T) {
	var m Method
	for range 100 {
		m.slept(noon)
		m.refund()
	}
	require.False(t, m.startsAsGoroutine())
	sleepOften(&m, noon)
	require.True(t, m.startsAsGoroutine())
}

// A refund may come before the strike that it is for.
func TestARefundThatComesFirst(t *testing.T) {
	var m Method
	for range 100 {
		m.refund()
		m.slept(noon)
	}
	require.False(t, m.startsAsGoroutine())
}

func TestAMethodThatBecameQuickIsForgiven(t *testing.T) {
	var m Method
	sleepOften(&m, noon)
	for range needMin - 1 {
		m.ran(quick - 1)
	}
	require.True(t, m.startsAsGoroutine())
	m.ran(quick - 1)
	require.False(t, m.startsAsGoroutine())
}

func TestASlowRunBeginsTheCountAgain(t *testing.T) {
	var m Method
	sleepOften(&m, noon)
	for range 10 {
		for range needMin - 1 {
			m.ran(0)
		}
		m.ran(quick)
	}
	require.True(t, m.startsAsGoroutine())
}

// Each disappointment doubles what a method has to prove, up to a bound.
func TestForgivenessIsHarderEachTime(t *testing.T) {
	var m Method
	need := uint32(needMin)
	for i := range 12 {
		sleepOften(&m, noon.Add(time.Duration(i)*time.Minute))
		require.True(t, m.startsAsGoroutine())
		require.Equal(t, need, m.need.Load())
		for range need {
			m.ran(0)
		}
		require.False(t, m.startsAsGoroutine())
		need = min(2*need, needMax)
	}
	require.EqualValues(t, needMax, m.need.Load())
}

// What the schema says is not unlearned.
func TestASlowMethodStaysOne(t *testing.T) {
	m := Method{Slow: true}
	for range 2 * needMin {
		m.ran(0)
	}
	require.True(t, m.startsAsGoroutine())
	require.False(t, m.sleeps())
}

// Runs on the loop say nothing of a method that was never demoted.
func TestRunsOfAMethodThatWasNotDemoted(t *testing.T) {
	var m Method
	for range needMin {
		m.ran(time.Hour)
		m.ran(0)
	}
	require.False(t, m.startsAsGoroutine())
	require.Zero(t, m.good.Load())
}
