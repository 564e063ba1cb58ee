package wal

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
)

// What the native library refuses for the moment is tried again when it says so. There is no timer that would
// do it.

// counted counts what the native library takes and refuses.
type counted struct {
	border
	taken, refused atomic.Int64
}

func (c *counted) Append(p uint64, body native.WalBody, ack native.WalAck, user uint64) (uint64, native.Status) {
	first, status := c.border.Append(p, body, ack, user)
	switch status {
	case 0:
		c.taken.Add(1)
	case native.StatusNoMemory, native.StatusLimit:
		c.refused.Add(1)
	}
	return first, status
}

// count puts a counter between a core of a log and the native library.
func count(l *coreLog) *counted {
	c := &counted{border: l.border}
	l.await(func(done func()) {
		l.border = c
		done()
	})
	return c
}

// turn waits until the driver has made a turn with something to do.
func turn(l *coreLog) { l.await(func(done func()) { done() }) }

// Neither time nor acknowledgements have a stalled partition looked at again.
func TestStalledUntilTold(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	c := count(f.log)
	first, second := make(chan error, 1), make(chan error, 1)
	require.NoError(t, p.AppendAsync(t.Context(), one("a"), Durable, func(_ uint64, err error) { first <- err }))
	f.awaitBodies(1)
	other := &Partition{log: f.log, topic: "t", number: 1, recordMax: p.recordMax}
	f.log.partitions[name{"t", 1}] = other
	f.refuse(native.StatusNoMemory)
	require.NoError(t, other.AppendAsync(t.Context(), one("b"), Durable, func(_ uint64, err error) { second <- err }))
	require.Eventually(t, func() bool { return c.refused.Load() == 1 }, patience, 100*time.Microsecond)
	for range 20 {
		turn(f.log)
		time.Sleep(time.Millisecond) // a timer would come
	}
	f.answer(0)
	require.NoError(t, <-first)
	turn(f.log)
	require.EqualValues(t, 1, c.refused.Load())
	f.refuse(0)
	f.awaitBodies(2)
	f.answer(0)
	require.NoError(t, <-second)
	require.EqualValues(t, 1, c.refused.Load())
}

// A stalled partition that is asked again and again is among those to be looked at once.
func TestStalledOnce(t *testing.T) {
	const asks = 20
	f, p := pretend(t, Options{}, true)
	c := count(f.log)
	f.refuse(native.StatusNoMemory)
	var answers [asks]chan error
	for i := range answers {
		answers[i] = make(chan error, 1)
		require.NoError(t, p.AppendAsync(t.Context(), one("a"), Durable, func(_ uint64, err error) { answers[i] <- err }))
		f.log.await(func(done func()) { // what an acknowledgement does
			p.mu.Lock()
			p.ask()
			p.mu.Unlock()
			done()
		})
		require.Eventually(t, func() bool { return c.refused.Load() > int64(i) }, patience, 100*time.Microsecond)
	}
	stalled := 0
	f.log.await(func(done func()) {
		stalled = len(f.log.stalled)
		done()
	})
	require.Equal(t, 1, stalled)
	f.refuse(0)
	for _, answer := range answers {
		require.NoError(t, <-answer)
	}
	f.log.await(func(done func()) {
		stalled = len(f.log.stalled)
		done()
	})
	require.Zero(t, stalled)
	require.False(t, p.stalled)
}

// Who is refused again is told again, and closing waits for it.
func TestStalledAgain(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, true)
	c := count(f.log)
	f.refuse(native.StatusLimit)
	_, err := p.Append(t.Context(), one("a"), Buffered)
	require.NoError(t, err)
	closed := make(chan error, 1)
	go func() { closed <- f.log.Close() }()
	for refused := int64(1); refused <= 5; refused++ {
		require.Eventually(t, func() bool { return c.refused.Load() == refused }, patience, 100*time.Microsecond)
		f.log.loop.Do(func() { f.log.note([]native.WalDone{{Kind: native.WalRetry}}) })
	}
	f.refuse(0)
	require.NoError(t, <-closed)
	_, values := f.has()
	require.Equal(t, []string{"a"}, values)
}

// Holds of one partition wait for each other, and none is forgotten.
func TestStalledHolds(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, true)
	c := count(f.log)
	f.refuse(native.StatusNoMemory)
	_, err := p.Append(t.Context(), one("a"), Buffered)
	require.NoError(t, err)
	var order []int
	done := make(chan struct{})
	for i := range 5 {
		f.log.loop.Do(func() {
			p.hold(func(release func(), err error) {
				order = append(order, i)
				if release(); len(order) == 5 {
					close(done)
				}
			})
		})
	}
	require.Eventually(t, func() bool { return c.refused.Load() == 1 }, patience, 100*time.Microsecond)
	turn(f.log)
	f.refuse(0)
	<-done
	require.ElementsMatch(t, []int{0, 1, 2, 3, 4}, order)
	require.Nil(t, p.held)
}

// A stream over many small files: each file that is begun refuses something, nobody but the native library
// says when to go on, and that also where nobody waits for an answer.
func TestStalledAtEachFile(t *testing.T) {
	const writers, each, partitions, size = 6, 120, 3, 3000
	for _, ack := range []Ack{Durable, Written, Buffered} {
		for _, cores := range []int{1, 2} {
			t.Run(fmt.Sprint(ack, cores), func(t *testing.T) {
				log, err := Open(filepath.Join(t.TempDir(), "log"), Options{Create: true, Cores: cores})
				require.NoError(t, err)
				var counts []*counted
				for _, c := range log.cores {
					counts = append(counts, count(c))
				}
				require.NoError(t, log.CreateTopic("t", TopicConfig{Partitions: partitions, SegmentBytes: 64 << 10}))
				topic, err := log.Topic("t")
				require.NoError(t, err)
				value := make([]byte, size)
				var all sync.WaitGroup
				for w := range writers {
					all.Go(func() {
						for i := range each {
							a := ack
							if i%10 == 9 { // else all of it leaves together
								a = Durable
							}
							if _, err := topic.Partitions()[w%partitions].Append(t.Context(), Batch{{Value: value}}, a); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				all.Wait()
				files, refused := uint64(0), int64(0)
				for _, p := range topic.Partitions() {
					require.NoError(t, p.Sync(t.Context()))
					info, err := p.Info()
					require.NoError(t, err)
					require.EqualValues(t, writers/partitions*each, info.Durable)
					files += info.Segments
				}
				for i, c := range counts {
					refused += c.refused.Load()
					turn(log.cores[i])
				}
				t.Logf("%d files, %d refusals", files, refused)
				require.Greater(t, files, uint64(10))
				require.GreaterOrEqual(t, refused, int64(partitions), "a partition's first append waits for its file")
				require.NoError(t, log.Close())
			})
		}
	}
}
