package native

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A driver is deposed or leaves, never both and never neither, with fences and without: somebody takes
// the loop away at every moment between Enter and Leave.
func TestLeavingOrDeposed(t *testing.T) {
	for name, fence := range map[string]uint64{"as this machine does": 0, "with a barrier of its own": 1} {
		t.Run(name, func(t *testing.T) { leaveOrBeDeposed(t, fence) })
	}
}

func leaveOrBeDeposed(t *testing.T, fence uint64) {
	const rounds = 20_000
	engine, err := Open(Config{Cores: 1, MemoryBytes: small, SpinMicros: -1, Baton: true})
	require.NoError(t, err)
	defer engine.Close()
	core := engine.Cores()[0]
	core.fence |= fence
	require.Zero(t, core.Poll(WaitNone))
	var handed, stop atomic.Uint64 // handed: the states that HandOver took
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; stop.Load() == 0; n++ {
			state := atomic.LoadUint64(&core.baton.state)
			if state&batonKind == batonInHandler && core.HandOver(state) {
				handed.Add(1)
			}
			if n%64 == 0 {
				runtime.Gosched()
			}
		}
	}()
	deposed := uint64(0)
	for end := time.Now().Add(5 * time.Second); deposed < rounds && time.Now().Before(end); {
		state := core.Enter(0)
		core.Rouse()
		if !core.Leave(state) {
			deposed++
		}
	}
	stop.Store(1)
	<-done
	stats := core.Stats()
	require.Equal(t, deposed, stats.HandedOver+stats.DeposedComputing+stats.DeposedSleeping)
	require.Equal(t, stats.HandedOver, handed.Load())
	require.NotZero(t, deposed)
}
