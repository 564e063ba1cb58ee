package wal_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/wal"
)

const (
	spreadPartitions = 8
	spreadWriters    = 64
	spreadAppends    = 15
)

// spreadRound appends to a topic from many goroutines, while one makes another topic, with records in it,
// and one gives up the oldest records of every partition. It returns the values of each partition.
func spreadRound(t *testing.T, log *wal.Log, round int) [spreadPartitions][]string {
	topic, err := log.Topic("orders")
	require.NoError(t, err)
	partitions := topic.Partitions()
	var mu sync.Mutex
	var values [spreadPartitions][]string
	var all sync.WaitGroup
	for w := range spreadWriters {
		all.Go(func() {
			p := partitions[w%spreadPartitions]
			for i := range spreadAppends {
				value := fmt.Sprintf("%d.%d.%d", round, w, i)
				if _, err := p.Append(t.Context(), wal.Batch{{Value: []byte(value)}}, wal.Ack(i%3)); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				values[p.Number()] = append(values[p.Number()], value)
				mu.Unlock()
			}
		})
	}
	all.Go(func() {
		other := fmt.Sprintf("round%d", round)
		if err := log.CreateTopic(other, wal.TopicConfig{Partitions: 5}); err != nil {
			t.Error(err)
			return
		}
		for i := range 5 {
			p, err := log.Partition(other, i)
			if err == nil {
				_, err = p.Append(t.Context(), wal.Batch{{Value: []byte(other)}}, wal.Durable)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	all.Go(func() {
		for _, p := range partitions {
			if err := p.TruncateHead(t.Context(), uint64(round)); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	return values
}

// A log that is opened with another number of cores every time holds what was appended.
func TestAnyNumberOfCores(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	log := open(t, folder, wal.Options{Create: true})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: spreadPartitions, SegmentBytes: 64 << 10}))
	require.NoError(t, log.Close())
	var want [spreadPartitions][]string
	for round, cores := range []int{4, 2, 8, 1, 3} {
		log := open(t, folder, wal.Options{Cores: cores})
		for i, values := range spreadRound(t, log, round) {
			want[i] = append(want[i], values...)
		}
		used := map[int]bool{}
		for i := range spreadPartitions {
			p, err := log.Partition("orders", i)
			require.NoError(t, err)
			require.Less(t, p.Core(), cores)
			used[p.Core()] = true
			require.NoError(t, p.Sync(t.Context()))
			checkSpread(t, p, want[i])
		}
		require.True(t, cores == 1 || len(used) > 1)
		per := log.CoreStats()
		require.Len(t, per, cores)
		var sum wal.Stats
		for core, s := range per {
			require.Equal(t, used[core], s.Appends > 5, "core %d of %d", core, cores) // the other topic has 5
			sum.Appends += s.Appends
			sum.HandOvers += s.HandOvers
			sum.Waits += s.Waits
		}
		require.Equal(t, sum, log.Stats())
		require.EqualValues(t, spreadWriters*spreadAppends+5, sum.Appends)
		require.NoError(t, log.Close())
	}
}

// checkSpread compares what is in a partition, where writers have mixed their records in any order.
func checkSpread(t *testing.T, p *wal.Partition, want []string) {
	info, err := p.Info()
	require.NoError(t, err)
	require.EqualValues(t, len(want), info.Next, "%s", p)
	got := all(t, p, info.Head)
	require.Len(t, got, int(info.Next-info.Head))
	want = slices.Clone(want)
	slices.Sort(want)
	for _, value := range got {
		_, found := slices.BinarySearch(want, value)
		require.True(t, found, "%s has %q", p, value)
	}
	slices.Sort(got)
	require.Len(t, slices.Compact(got), int(info.Next-info.Head), "each of them once")
}

// A topic that was just made is there for everybody.
func TestTopicsAreThereOnAllCores(t *testing.T) {
	log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true, Cores: 4})
	for i := range 10 {
		name := fmt.Sprintf("t%d", i)
		require.NoError(t, log.CreateTopic(name, wal.TopicConfig{Partitions: 6}))
		require.ErrorIs(t, log.CreateTopic(name, wal.TopicConfig{}), wal.ErrExists)
		var all sync.WaitGroup
		for number := range 6 {
			all.Go(func() {
				p, err := log.Partition(name, number)
				if err == nil {
					_, err = p.Append(t.Context(), wal.Batch{{}}, wal.Durable)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		_, err := log.Partition(name, 6)
		require.ErrorIs(t, err, wal.ErrNotFound)
		_, err = log.Partition(name, -1)
		require.ErrorIs(t, err, wal.ErrNotFound)
		topics, err := log.Topics()
		require.NoError(t, err)
		require.Len(t, topics, i+1)
	}
	_, err := log.Topic("none")
	require.ErrorIs(t, err, wal.ErrNotFound)
	require.Contains(t, log.Describe(), "on 4 cores")
}

// A log that is closed under its writers has what it has acknowledged.
func TestCoresCloseWhileOthersAppend(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	for round := range 5 {
		log := open(t, folder, wal.Options{Create: true, Cores: 1 + round})
		if round == 0 {
			require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: spreadPartitions}))
		}
		topic, err := log.Topic("orders")
		require.NoError(t, err)
		var next [spreadPartitions]atomic.Uint64
		var all sync.WaitGroup
		var appended atomic.Int64
		for w := range 16 {
			all.Go(func() {
				p := topic.Partitions()[w%spreadPartitions]
				for i := 0; ; i++ {
					first, err := p.Append(context.Background(), wal.Batch{{}}, wal.Ack(i%3))
					if err != nil {
						require.ErrorIs(t, err, wal.ErrClosed)
						return
					}
					appended.Add(1)
					for at := &next[p.Number()]; ; {
						if seen := at.Load(); seen > first || at.CompareAndSwap(seen, first+1) {
							break
						}
					}
				}
			})
		}
		require.Eventually(t, func() bool { return appended.Load() > 500 }, time.Minute, time.Millisecond)
		require.NoError(t, log.Close())
		require.ErrorIs(t, log.Close(), wal.ErrClosed)
		all.Wait()
		log = open(t, folder, wal.Options{Cores: 5 - round})
		for i := range next {
			p, err := log.Partition("orders", i)
			require.NoError(t, err)
			info, err := p.Info()
			require.NoError(t, err)
			require.Equal(t, next[i].Load(), info.Next)
		}
		require.NoError(t, log.Close())
	}
}

// Beside a process that writes, on cores of its own.
func TestReadOnlyCoresFollow(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	log := open(t, folder, wal.Options{Create: true, Cores: 2})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: spreadPartitions}))
	for i := range spreadPartitions {
		p, err := log.Partition("orders", i)
		require.NoError(t, err)
		_, err = p.Append(t.Context(), wal.Batch{{}}, wal.Durable)
		require.NoError(t, err)
	}
	beside := open(t, folder, wal.Options{ReadOnly: true, Cores: 3})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for i := range spreadPartitions {
		all.Go(func() {
			p, err := beside.Partition("orders", i)
			if err != nil {
				t.Error(err)
				return
			}
			seen := 0
			for batch, err := range p.Follow(ctx, 0) {
				if err != nil {
					t.Error(err)
					return
				}
				if seen += len(batch); seen == 2 {
					return
				}
			}
		})
	}
	for i := range spreadPartitions {
		p, err := log.Partition("orders", i)
		require.NoError(t, err)
		_, err = p.Append(t.Context(), wal.Batch{{}}, wal.Durable)
		require.NoError(t, err)
	}
	all.Wait()
	require.NoError(t, beside.Close())
	require.NoError(t, log.Close())
}

func TestCoresThatCantBe(t *testing.T) {
	for _, cores := range []int{-1, 257} {
		_, err := wal.Open(t.TempDir(), wal.Options{Create: true, Cores: cores})
		require.ErrorIs(t, err, wal.ErrInvalid)
		require.ErrorContains(t, err, "1 to 256")
	}
	folder := filepath.Join(t.TempDir(), "log")
	log := open(t, folder, wal.Options{Create: true, Cores: 2})
	for _, cores := range []int{1, 3} {
		_, err := wal.Open(folder, wal.Options{Cores: cores})
		require.ErrorIs(t, err, wal.ErrLocked)
	}
	require.NoError(t, log.Close())
}

// Nothing runs any more, on any core.
func TestNoGoroutineIsLeftOfCores(t *testing.T) {
	before := runtime.NumGoroutine()
	log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true, Cores: 6})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: spreadPartitions}))
	require.NoError(t, log.Close())
	for until := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

func TestAppendsOnCoresDoNotAllocate(t *testing.T) {
	log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true, Cores: 3})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: spreadPartitions}))
	topic, err := log.Topic("orders")
	require.NoError(t, err)
	partitions, value := topic.Partitions(), make([]byte, 100)
	appendAll := func() {
		for _, p := range partitions {
			if _, err := p.Append(t.Context(), wal.Batch{{Value: value}}, wal.Durable); err != nil {
				t.Error(err)
			}
		}
	}
	for range 20 {
		appendAll()
	}
	allocations := testing.AllocsPerRun(30, appendAll)
	if !raceEnabled { // the detector allocates
		require.Zero(t, allocations)
	}
}

// A disk that is slowed down is so for META, too, which the cores share.
func TestSlowDiskOfSeveralCores(t *testing.T) {
	const delay = 30 * time.Millisecond
	log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true, Cores: 2, SlowDiskForTests: wal.SlowDisk{Flush: delay}})
	began := time.Now()
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: 4}))
	require.GreaterOrEqual(t, time.Since(began), delay)
	topic, err := log.Topic("orders")
	require.NoError(t, err)
	for _, p := range topic.Partitions() {
		began := time.Now()
		_, err = p.Append(t.Context(), wal.Batch{{Value: []byte("x")}}, wal.Durable)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), delay)
	}
}
