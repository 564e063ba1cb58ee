package native

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openCore(t testing.TB) *Core {
	e, err := Open(Config{Cores: 1, MemoryBytes: 16 << 20})
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e.Cores()[0]
}

type counted struct {
	succeeded uint64
	latency   time.Duration
	buckets   [TallyBuckets]uint64
}

func read(t *Tally) (c counted) {
	t.Add(&c.succeeded, &c.latency, &c.buckets)
	return c
}

func (c counted) replies() (sum uint64) {
	for _, n := range c.buckets {
		sum += n
	}
	return sum
}

// What Go counts the library settles when the next poll begins: at once, in turns and late.
func TestTallies(t *testing.T) {
	core := openCore(t)
	_, err := core.Tallies(0)
	require.ErrorContains(t, err, "no tallies")
	tallies, err := core.Tallies(2)
	require.NoError(t, err)
	require.Zero(t, core.Poll(WaitNone))
	since := core.Now()
	core.Answered(&tallies[1])
	core.Answered(&tallies[1])
	core.Failed(&tallies[1])
	require.Zero(t, read(&tallies[1]).replies())
	require.Zero(t, core.Poll(WaitNone))
	got := read(&tallies[1])
	require.EqualValues(t, 2, got.replies())
	require.EqualValues(t, 1, got.succeeded)
	require.Positive(t, got.latency)
	require.EqualValues(t, 2, got.buckets[TallyBucket(got.latency/2)], "both left together")

	const late = 5000 // more than a turn lists
	time.Sleep(time.Millisecond)
	for i := range late {
		core.AnsweredLate(&tallies[0], since, i%2 == 0)
	}
	core.Answered(&tallies[1])
	require.Zero(t, core.Poll(WaitNone))
	got = read(&tallies[0])
	require.EqualValues(t, late, got.replies())
	require.EqualValues(t, late/2, got.succeeded)
	require.GreaterOrEqual(t, got.latency, late*time.Millisecond)
	require.EqualValues(t, 3, read(&tallies[1]).replies())
}

func TestTallyBounds(t *testing.T) {
	require.Negative(t, TallyBound(TallyBuckets-1))
	require.Zero(t, TallyBucket(-1))
	for i := range TallyBuckets - 1 {
		require.Equal(t, i, TallyBucket(TallyBound(i)))
		require.Equal(t, i+1, TallyBucket(TallyBound(i)+1))
	}
}

func TestSettingsHaveTheirDefaults(t *testing.T) {
	e, err := Open(Config{MemoryBytes: 16 << 20, SpinMicros: -2, Net: "epoll", IdleTimeoutMs: 7})
	require.NoError(t, err)
	defer e.Close()
	s := e.Settings()
	require.Equal(t, 1, s.Cores)
	require.Equal(t, "epoll", s.Net)
	require.Equal(t, -2, s.SpinMicros)
	require.Equal(t, 7, s.IdleTimeoutMs)
	require.Equal(t, 4096, s.InFlightMax)
	require.EqualValues(t, 16<<20, s.MemoryBytes)
}

// What it costs to count: a turn of 1 or 64 calls on an idle core, counted and not. The difference of
// two, divided by the calls, is the cost of one.
func BenchmarkTallies(b *testing.B) {
	for _, calls := range []int{1, 64} {
		for name, count := range map[string]bool{"uncounted": false, "counted": true} {
			b.Run(map[int]string{1: "turns of 1 call ", 64: "turns of 64 calls "}[calls]+name, func(b *testing.B) {
				core := openCore(b)
				tallies, err := core.Tallies(1)
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					if count {
						for range calls {
							core.Answered(&tallies[0])
						}
					}
					core.Poll(WaitNone)
				}
			})
		}
	}
}
