package walbody

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is left when records are cut out is what the others alone would have built.
func TestCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var records []Record
		var ends []int
		var all Builder
		for i := range 1 + random.IntN(6) {
			r := Record{Value: fmt.Append(nil, i), Time: random.Int64N(2000) - 1000}
			if random.IntN(2) == 0 {
				r.Headers = []Header{{Name: make([]byte, random.IntN(20))}}
			}
			require.NoError(t, all.Add(&r))
			size, err := Size(&r)
			require.NoError(t, err)
			records, ends = append(records, r), append(ends, len(all.Body()))
			require.Equal(t, size, ends[i]-append([]int{0}, ends...)[i])
		}
		from := random.IntN(len(records))
		to := from + random.IntN(len(records)-from+1)
		begins := append([]int{0}, ends...)
		require.True(t, all.Cut(begins[from], begins[to], uint32(to-from)))
		var rest Builder
		for i, r := range records {
			if i < from || i >= to {
				require.NoError(t, rest.Add(&r))
			}
		}
		require.Equal(t, string(rest.Body()), string(all.Body()))
		require.Equal(t, rest.Count(), all.Count())
		if rest.Count() > 0 {
			require.Equal(t, [2]int64{rest.base, rest.max}, [2]int64{all.base, all.max})
		}
	}
}

// Times that can't be counted from another record stay as they are.
func TestCutOfWhatOthersNeed(t *testing.T) {
	var b Builder
	for _, at := range []int64{0, -DeltaMax, DeltaMax} {
		require.NoError(t, b.Add(&Record{Time: at}))
	}
	before := string(b.Body())
	require.False(t, b.Cut(0, RecordHeaderSize, 1))
	require.Equal(t, before, string(b.Body()))
	require.Equal(t, uint32(3), b.Count())
	require.True(t, b.Cut(RecordHeaderSize, 2*RecordHeaderSize, 1))
	require.True(t, b.Cut(0, RecordHeaderSize, 1))
	base, latest := b.Times()
	require.Equal(t, []int64{DeltaMax, DeltaMax}, []int64{base, latest})
}
