package workload

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// Twice the rounds are about twice the work: the compiler did not drop it.
func TestComputeIsWork(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	compute(10_000_000)
	middle := threadTime()
	compute(100_000_000)
	after := threadTime()
	require.Positive(t, middle-before)
	require.Greater(t, after-middle, middle-before)
}

func TestCalibrateFindsAPlausibleSpeed(t *testing.T) {
	rounds := Calibrate()
	require.Greater(t, rounds, 1_000)
	require.Less(t, rounds, 100_000_000)
}

func TestUseTakesWhatItIsTold(t *testing.T) {
	Use(1234)
	require.Equal(t, 1234, roundsPerMillisecond)
	Use(0)
	require.Greater(t, roundsPerMillisecond, 1_234)
}

func TestKnown(t *testing.T) {
	require.False(t, Known(0))
	require.True(t, Known(Echo))
	require.True(t, Known(ComputeBriefly))
	require.False(t, Known(ComputeBriefly+1))
}
