package wal

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/walbody"
)

// Memory is bounded: who finds none waits, and goes on when there is some again, or gives up.
func TestMemoryIsBounded(t *testing.T) {
	f, p := pretend(t, Options{MemoryBytes: 1}, false)
	limit := p.log.options.stagedBytes()
	f.refuse(native.StatusNoMemory)
	value := make([]byte, 100_000)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	count := int64(0)
	for ; ; count++ {
		require.Less(t, count*int64(len(value)), limit, "memory is not bounded")
		if _, err := p.Append(ctx, Batch{{Value: value}}, Buffered); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, ErrMayHaveHappened)
			break
		}
	}
	require.Greater(t, count*int64(len(value)), limit/2)
	f.refuse(0)
	first, err := p.Append(t.Context(), Batch{{Value: value}}, Buffered)
	require.NoError(t, err)
	require.Equal(t, uint64(count), first)
	require.NotZero(t, f.log.Stats().Waits)
	require.NoError(t, f.log.Close())
	require.True(t, f.log.budget.TryAcquire(limit), "all memory was given back")
}

// What bodies hold is counted, not only what is in them: many partitions do not take more than one does.
func TestMemoryOfManyPartitions(t *testing.T) {
	f, first := pretend(t, Options{MemoryBytes: 1}, false)
	f.refuse(native.StatusNoMemory)
	limit := f.log.options.stagedBytes()
	partitions := []*Partition{first}
	for i := 1; i < 64; i++ {
		p := &Partition{log: f.log, topic: "t", number: i, recordMax: walbody.RecordSizeMax}
		f.log.partitions[name{"t", i}] = p
		partitions = append(partitions, p)
	}
	for _, p := range partitions { // a little in each has room
		_, err := p.Append(t.Context(), one("small"), Buffered)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range partitions {
		all.Go(func() {
			for ctx.Err() == nil {
				_, _ = p.Append(ctx, Batch{{Value: make([]byte, 3000)}}, Buffered)
			}
		})
	}
	all.Wait()
	held := int64(0)
	for _, p := range partitions {
		p.mu.Lock()
		for _, st := range append(slices.Clone(p.ready), p.open) {
			if st != nil {
				held += int64(cap(st.body.Body()))
			}
		}
		p.mu.Unlock()
	}
	require.LessOrEqual(t, held, limit)
	require.Greater(t, held, limit/2)
	f.refuse(0)
	_ = f.log.Close() // the border that is pretended gives all of them one row of offsets
	require.True(t, f.log.budget.TryAcquire(limit), "all memory was given back")
}

// Memory is used again, and what is kept for that is within the budget, too.
func TestMemoryIsUsedAgain(t *testing.T) {
	f, p := pretend(t, Options{MemoryBytes: 1}, true)
	l := p.log
	limit := l.options.stagedBytes()
	held := func() int64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		kept := int64(0)
		for _, memory := range l.spare {
			kept += int64(cap(memory))
		}
		require.Equal(t, kept, l.spareBytes)
		require.LessOrEqual(t, l.bodyBytes+kept, limit)
		return kept
	}
	sizes := []int{100, 20_000, 200_000, 300_000, 100}
	for range 3 {
		for _, size := range sizes {
			for range 20 {
				_, err := p.Append(t.Context(), Batch{{Value: make([]byte, size)}}, Durable)
				require.NoError(t, err)
				held()
			}
		}
	}
	require.Greater(t, held(), limit/4)
	require.NoError(t, f.log.Close())
	require.Zero(t, held())
	require.Zero(t, l.bodyBytes)
}

// One append may be larger than the share of memory.
func TestALargeAppend(t *testing.T) {
	f, p := pretend(t, Options{MemoryBytes: 1}, true)
	value := make([]byte, p.log.options.stagedBytes())
	for i := range 4 {
		first, err := p.Append(t.Context(), Batch{{Value: value}, {Value: value}}, Ack(i%2))
		require.NoError(t, err)
		require.Equal(t, uint64(2*i), first)
	}
	require.NoError(t, f.log.Close())
}
