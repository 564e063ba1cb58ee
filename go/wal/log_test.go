package wal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/wal"
)

// cores is how many cores logs have that do not say, 0 for the default: SMF_WAL_CORES=3 runs all tests on
// three.
var cores, _ = strconv.Atoi(os.Getenv("SMF_WAL_CORES"))

// open opens a log that is closed with the test, if it was not before.
func open(t *testing.T, folder string, options wal.Options) *wal.Log {
	t.Helper()
	if options.Cores == 0 {
		options.Cores = cores
	}
	log, err := wal.Open(folder, options)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			require.ErrorIs(t, err, wal.ErrClosed)
		}
	})
	return log
}

// partition opens a new log with one topic, and its first partition.
func partition(t *testing.T, config wal.TopicConfig) (*wal.Log, *wal.Partition) {
	t.Helper()
	log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true})
	require.NoError(t, log.CreateTopic("orders", config))
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	return log, p
}

// all reads values from an offset to the end.
func all(t *testing.T, p *wal.Partition, from uint64) (values []string) {
	t.Helper()
	for batch, err := range p.Records(t.Context(), from) {
		require.NoError(t, err)
		for _, r := range batch {
			require.Equal(t, from+uint64(len(values)), r.Offset)
			values = append(values, string(r.Value))
		}
	}
	return values
}

// What was appended is there, with keys, headers and times, also after a reopen.
func TestAppendAndRead(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	at := time.UnixMicro(1_700_000_000_123_456)
	batch := wal.Batch{
		{Key: []byte("k"), Value: []byte("v"), Time: at, Headers: []wal.Header{{Name: []byte("a"), Value: []byte("b")}, {Name: []byte("none")}}},
		{Key: []byte{}, Value: nil, Time: at.Add(time.Second)},
		{Value: []byte{}, Time: at.Add(-time.Second)},
	}
	log := open(t, folder, wal.Options{Create: true})
	require.Contains(t, log.Describe(), folder)
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: 2}))
	p, err := log.Partition("orders", 1)
	require.NoError(t, err)
	for i, ack := range []wal.Ack{wal.Durable, wal.Written, wal.Buffered} {
		first, err := p.Append(t.Context(), batch, ack)
		require.NoError(t, err)
		require.Equal(t, uint64(3*i), first)
	}
	require.NoError(t, log.Close())

	log = open(t, folder, wal.Options{})
	topics, err := log.Topics()
	require.NoError(t, err)
	require.Len(t, topics, 1)
	require.Equal(t, "orders", topics[0].Name)
	require.Equal(t, 2, topics[0].Partitions)
	p, err = log.Partition("orders", 1)
	require.NoError(t, err)
	read, err := p.Read(t.Context(), 0, 1<<20)
	require.NoError(t, err)
	require.Len(t, read, 9)
	for i, r := range read {
		want := batch[i%3]
		want.Offset = uint64(i)
		require.True(t, want.Time.Equal(r.Time))
		want.Time = r.Time
		require.Equal(t, want, r)
	}
	offset, err := p.OffsetForTime(t.Context(), at)
	require.NoError(t, err)
	require.Equal(t, uint64(0), offset)
	offset, err = p.OffsetForTime(t.Context(), at.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, uint64(9), offset)
	info, err := p.Info()
	require.NoError(t, err)
	require.Equal(t, []uint64{0, 9, 9, 9}, []uint64{info.Head, info.Next, info.Written, info.Durable})
	require.NoError(t, info.Err)
}

// Many goroutines append at once: every record is where its append said. The calls are counted.
func TestManyWriters(t *testing.T) {
	log, p := partition(t, wal.TopicConfig{})
	const writers, each = 64, 100
	var all sync.WaitGroup
	var mu sync.Mutex
	said := map[uint64]string{}
	padding := string(make([]byte, 1000))
	for i := range writers {
		all.Go(func() {
			for j := range each {
				value := strconv.Itoa(i*each+j) + padding
				first, err := p.Append(t.Context(), wal.Batch{{Value: []byte(value)}}, wal.Durable)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				said[first] = value
				mu.Unlock()
			}
		})
	}
	all.Wait()
	s := log.Stats()
	t.Logf("%d appends, %d calls: one for %.1f", s.Appends, s.HandOvers, float64(s.Appends)/float64(s.HandOvers))
	require.LessOrEqual(t, s.HandOvers, s.Appends) // how many less depends on the disk
	count := uint64(0)
	for batch, err := range p.Records(t.Context(), 0) {
		require.NoError(t, err)
		for _, r := range batch {
			require.Equal(t, said[r.Offset], string(r.Value))
			count++
		}
	}
	require.Equal(t, uint64(writers*each), count)
}

// Buffered appends are written within the linger time, though nobody waits and nothing else happens.
func TestBufferedAppendsAreWritten(t *testing.T) {
	_, p := partition(t, wal.TopicConfig{})
	for i := range 3 {
		_, err := p.Append(t.Context(), wal.Batch{{Value: []byte("x")}}, wal.Buffered)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			info, err := p.Info()
			require.NoError(t, err)
			return info.Written == uint64(i+1)
		}, time.Minute, time.Millisecond)
	}
}

// Follow gets what comes, until its context ends, or the log is closed.
func TestFollow(t *testing.T) {
	log, p := partition(t, wal.TopicConfig{})
	const count = 200
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	follow := func(ctx context.Context, until int) {
		next, last := 0, error(nil)
		for batch, err := range p.Follow(ctx, 0) {
			last = err
			for _, r := range batch {
				require.Equal(t, fmt.Sprint(next), string(r.Value))
				if next++; next == until {
					cancel()
				}
			}
		}
		ended <- last
	}
	go follow(ctx, count)
	for i := range count {
		_, err := p.Append(t.Context(), wal.Batch{{Value: fmt.Append(nil, i)}}, wal.Ack(i%2))
		require.NoError(t, err)
		if i%50 == 0 {
			time.Sleep(30 * time.Millisecond) // the loop falls asleep
		}
	}
	require.NoError(t, p.Sync(t.Context()))
	require.ErrorIs(t, <-ended, context.Canceled)
	go follow(t.Context(), count+1)
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, log.Close())
	require.ErrorIs(t, <-ended, wal.ErrClosed)
}

// Head and tail are given up; errors have the range.
func TestTruncate(t *testing.T) {
	_, p := partition(t, wal.TopicConfig{})
	for i := range 10 {
		_, err := p.Append(t.Context(), wal.Batch{{Value: fmt.Append(nil, i)}}, wal.Ack(i%3))
		require.NoError(t, err)
	}
	require.NoError(t, p.TruncateTail(t.Context(), 7))
	first, err := p.Append(t.Context(), wal.Batch{{Value: []byte("new")}}, wal.Buffered)
	require.NoError(t, err)
	require.Equal(t, uint64(7), first)
	require.NoError(t, p.TruncateHead(t.Context(), 3))
	require.NoError(t, p.Sync(t.Context()))
	require.Equal(t, []string{"3", "4", "5", "6", "new"}, all(t, p, 3))
	want := wal.RangeError{Head: 3, Next: 8, What: "orders/0"}
	var got *wal.RangeError
	for _, offset := range []uint64{2, 9} {
		want.Offset = offset
		require.ErrorAs(t, p.TruncateTail(t.Context(), offset), &got)
		require.Equal(t, want, *got)
		_, err := p.Read(t.Context(), offset, 1)
		require.ErrorAs(t, err, &got)
		require.ErrorIs(t, err, wal.ErrOutOfRange)
		require.Equal(t, want, *got)
	}
	require.ErrorIs(t, p.TruncateHead(t.Context(), 9), wal.ErrOutOfRange)
	require.NoError(t, p.TruncateHead(t.Context(), 2))
}

// Read returns what fits, and at least one record.
func TestReadIsBounded(t *testing.T) {
	_, p := partition(t, wal.TopicConfig{})
	batch := make(wal.Batch, 5000)
	for i := range batch {
		batch[i].Value = make([]byte, 100)
	}
	_, err := p.Append(t.Context(), batch, wal.Durable)
	require.NoError(t, err)
	for _, test := range [][2]int{{0, 1}, {99, 1}, {100, 1}, {250, 2}, {150_000, 1500}, {1 << 30, 5000}} {
		read, err := p.Read(t.Context(), 0, test[0])
		require.NoError(t, err)
		require.Len(t, read, test[1])
	}
	read, err := p.Read(t.Context(), 5000, 1)
	require.NoError(t, err)
	require.Empty(t, read)
}

// Records of a key are in one partition, which is the same after a reopen; records without take turns.
func TestKeys(t *testing.T) {
	log := open(t, t.TempDir(), wal.Options{Create: true})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{Partitions: 8}))
	topic, err := log.Topic("orders")
	require.NoError(t, err)
	require.Len(t, topic.Partitions(), 8)
	used := map[int]bool{}
	for i := range 100 {
		key := fmt.Append(nil, i)
		p, _, err := topic.Append(t.Context(), wal.Record{Key: key}, wal.Buffered)
		require.NoError(t, err)
		require.Same(t, topic.For(key), p)
		used[p.Number()] = true
	}
	require.Len(t, used, 8)
	clear(used)
	for range 8 {
		p, _, err := topic.Append(t.Context(), wal.Record{}, wal.Buffered)
		require.NoError(t, err)
		used[p.Number()] = true
	}
	require.Len(t, used, 8)
	require.Equal(t, int(xxhash.Sum64String("hello")%8), topic.For([]byte("hello")).Number())
}

// Every mistake has its error, in one line.
func TestMistakes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	_, err := wal.Open(folder, wal.Options{})
	require.ErrorIs(t, err, wal.ErrNotFound)
	for _, o := range []wal.Options{{MemoryBytes: -1}, {Linger: -1}, {Linger: time.Hour}, {ReadOnly: true, Create: true}, {Disk: "tape"},
		{SlowDiskForTests: wal.SlowDisk{Flush: -1}}, {SlowDiskForTests: wal.SlowDisk{Write: time.Hour}}} {
		_, err := wal.Open(folder, o)
		require.ErrorIs(t, err, wal.ErrInvalid)
	}
	_, err = wal.Open("", wal.Options{Create: true})
	require.ErrorIs(t, err, wal.ErrInvalid)
	require.NoFileExists(t, folder)

	log := open(t, folder, wal.Options{Create: true})
	_, err = wal.Open(folder, wal.Options{})
	require.ErrorIs(t, err, wal.ErrLocked)
	require.NotContains(t, err.Error(), "\n")
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{RecordBytesMax: 1000}))
	require.ErrorIs(t, log.CreateTopic("orders", wal.TopicConfig{}), wal.ErrExists)
	for _, name := range []string{"", "../x", "a/b", "META", "a\x00b"} {
		require.ErrorIs(t, log.CreateTopic(name, wal.TopicConfig{}), wal.ErrInvalid, name)
	}
	for _, c := range []wal.TopicConfig{{Partitions: -1}, {Partitions: 1 << 20}, {SegmentBytes: 1}, {RecordBytesMax: 1 << 30}, {RecordBytesMax: 1 << 40}} {
		require.ErrorIs(t, log.CreateTopic("other", c), wal.ErrInvalid, "%+v", c)
	}
	_, err = log.Partition("nobody", 0)
	require.ErrorIs(t, err, wal.ErrNotFound)
	require.Contains(t, err.Error(), "orders")
	_, err = log.Topic("nobody")
	require.ErrorIs(t, err, wal.ErrNotFound)
	for _, number := range []int{-1, 1, 1 << 40} {
		_, err = log.Partition("orders", number)
		require.ErrorIs(t, err, wal.ErrNotFound)
	}
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	_, err = p.Append(t.Context(), wal.Batch{{Value: make([]byte, 1000)}}, wal.Durable)
	require.ErrorIs(t, err, wal.ErrTooLarge)
	require.Contains(t, err.Error(), "1000 are allowed")
	_, err = p.View(9).Read(t.Context(), 0, 1)
	require.ErrorIs(t, err, wal.ErrInvalid)
	require.NoError(t, log.Close())
	_, err = p.Read(t.Context(), 0, 1)
	require.ErrorIs(t, err, wal.ErrClosed)
	require.ErrorIs(t, log.CreateTopic("x", wal.TopicConfig{}), wal.ErrClosed)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "x"), nil, 0o600))
	_, err = wal.Open(filepath.Join(folder, "x"), wal.Options{Create: true})
	require.Error(t, err)
}

// A log that is open to be written can be read beside it, and not changed.
func TestReadOnly(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	log := open(t, folder, wal.Options{Create: true})
	require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{}))
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	_, err = p.Append(t.Context(), wal.Batch{{Value: []byte("a")}, {Value: []byte("b")}}, wal.Durable)
	require.NoError(t, err)

	beside := open(t, folder, wal.Options{ReadOnly: true})
	q, err := beside.Partition("orders", 0)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, all(t, q, 0))
	_, err = q.Append(t.Context(), wal.Batch{{}}, wal.Durable)
	require.ErrorIs(t, err, wal.ErrReadOnly)
	require.ErrorIs(t, q.TruncateHead(t.Context(), 1), wal.ErrReadOnly)
	require.ErrorIs(t, beside.CreateTopic("x", wal.TopicConfig{}), wal.ErrReadOnly)
	require.NoError(t, beside.Close())
}

// Readers, writers and a truncation, all at once; for the race detector.
func TestAllAtOnce(t *testing.T) {
	log, p := partition(t, wal.TopicConfig{SegmentBytes: 64 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, err := p.Append(ctx, wal.Batch{{Value: make([]byte, 2000)}}, wal.Ack(i%3))
				if err != nil {
					require.ErrorIs(t, err, context.DeadlineExceeded)
				}
			}
		})
		all.Go(func() {
			for range p.Follow(ctx, 0) {
			}
		})
		all.Go(func() {
			for ctx.Err() == nil {
				_ = p.Sync(ctx)
				if _, err := p.Info(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.NoError(t, log.Close())
}

// A log that was closed leaves no goroutine behind, whatever its users were about to do.
func TestNoGoroutineIsLeftOfALog(t *testing.T) {
	before := runtime.NumGoroutine()
	log, p := partition(t, wal.TopicConfig{})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range p.Follow(ctx, 0) {
			}
		})
		_, err := p.Append(ctx, wal.Batch{{}}, wal.Ack(i%3))
		require.NoError(t, err)
	}
	cancel()
	all.Wait()
	require.NoError(t, log.Close())
	for until := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}

// Waiting appends do not allocate, either.
func TestDurableAppendsDoNotAllocate(t *testing.T) {
	_, p := partition(t, wal.TopicConfig{})
	value := make([]byte, 100)
	append1 := func() {
		if _, err := p.Append(t.Context(), wal.Batch{{Value: value}}, wal.Durable); err != nil {
			t.Error(err)
		}
	}
	append1()
	allocations := testing.AllocsPerRun(200, append1)
	if !raceEnabled { // the detector allocates
		require.Zero(t, allocations)
	}
}

// The tail is cut while others append: every record that is there has the offset that was told last.
func TestTruncateWhileOthersAppend(t *testing.T) {
	_, p := partition(t, wal.TopicConfig{})
	said := map[uint64]string{}
	stop, stopped := make(chan struct{}), make(chan struct{})
	var count atomic.Int64
	go func() {
		defer close(stopped)
		defer count.Store(1 << 40)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			first, err := p.Append(t.Context(), wal.Batch{{Value: fmt.Append(nil, i)}}, wal.Buffered)
			if err != nil {
				t.Error(err)
				return
			}
			said[first] = fmt.Sprint(i)
			count.Add(1)
		}
	}()
	for range 15 {
		for before := count.Load(); count.Load() < before+10; {
			time.Sleep(time.Millisecond)
		}
		info, err := p.Info()
		require.NoError(t, err)
		require.NoError(t, p.TruncateTail(t.Context(), info.Durable))
	}
	close(stop)
	<-stopped
	require.NoError(t, p.Sync(t.Context()))
	for offset, value := range all(t, p, 0) {
		require.Equal(t, said[uint64(offset)], value)
	}
}

// The disk of a test is as slow as it asks for, each kind of write by its own delay.
func TestSlowDisk(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, test := range []struct {
		disk wal.SlowDisk
		ack  wal.Ack
	}{
		{wal.SlowDisk{Flush: delay}, wal.Durable},
		{wal.SlowDisk{Write: delay}, wal.Written},
	} {
		log := open(t, filepath.Join(t.TempDir(), "log"), wal.Options{Create: true, SlowDiskForTests: test.disk})
		require.Contains(t, log.Describe(), fmt.Sprintf("slowed down (flushes %d us, writes %d us", test.disk.Flush.Microseconds(), test.disk.Write.Microseconds()))
		require.NoError(t, log.CreateTopic("orders", wal.TopicConfig{}))
		p, err := log.Partition("orders", 0)
		require.NoError(t, err)
		began := time.Now()
		_, err = p.Append(t.Context(), wal.Batch{{Value: []byte("x")}}, test.ack)
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(began), delay)
		require.NoError(t, log.Close())
	}
}
