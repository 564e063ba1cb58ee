package wal

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/walbody"
)

// soon is a context for what has to be possible at once.
func soon(t *testing.T) context.Context {
	ctx, end := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(end)
	return ctx
}

// waitsFor waits until what is said of a partition is true.
func waitsFor(t *testing.T, p *Partition, condition func() bool) {
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return condition()
	}, 20*time.Second, time.Millisecond)
}

// What an append had taken of the budget before it was refused is there for others.
func TestARefusedAppendKeepsNoMemory(t *testing.T) {
	f, p := pretend(t, Options{MemoryBytes: 8 << 20}, true)
	other := &Partition{log: f.log, topic: "t", number: 1, handle: 1, recordMax: walbody.RecordSizeMax}
	big := Batch{{Value: make([]byte, 1500<<10)}}
	f.refuse(native.StatusNoMemory)
	_, err := p.Append(t.Context(), big, Buffered)
	require.NoError(t, err)
	refused := make(chan error, 1)
	go func() {
		_, err := p.Append(soon(t), big, Durable)
		refused <- err
	}()
	require.Eventually(t, func() bool { return f.log.waits.Load() > 0 }, 20*time.Second, time.Millisecond)
	f.refuse(native.StatusNoSpace)
	require.ErrorIs(t, <-refused, ErrLost)
	f.refuse(0)
	_, err = other.Append(soon(t), big, Buffered)
	require.NoError(t, err)
}

// firstStaged is the offset that what is staged begins with. A stage that was refused may gather on, and
// is not ready then.
func firstStaged(p *Partition) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) > 0 {
		return p.ready[0].first
	}
	return p.open.first
}

// An append that is taken back changes no offset in front of it.
func TestTakingBackLeavesOffsetsInFront(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	first := make(chan error, 1)
	go func() {
		_, err := p.Append(soon(t), one("first"), Durable)
		first <- err
	}()
	f.awaitBodies(1)
	f.refuse(native.StatusNoMemory)
	offset, err := p.Append(t.Context(), one("second"), Buffered)
	require.NoError(t, err)
	require.EqualValues(t, 1, offset)
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan error, 1)
	go func() {
		_, err := p.Append(ctx, Batch{{Value: make([]byte, stageBytes)}}, Durable)
		taken <- err
	}()
	waitsFor(t, p, func() bool { return len(p.ready) == 1 && p.open != nil && len(p.open.members) == 1 })
	cancel()
	require.ErrorIs(t, <-taken, context.Canceled)
	require.EqualValues(t, 1, firstStaged(p))
	f.refuse(0)
	f.awaitBodies(2)
	offset, err = p.Append(t.Context(), one("third"), Buffered)
	require.NoError(t, err)
	require.EqualValues(t, 2, offset)
	f.answer(0)
	require.NoError(t, <-first)
}

// A partition that is asked for while the log is being closed is closed with it.
func TestClosingMeetsAPartition(t *testing.T) {
	l, err := Open(t.TempDir()+"/log", Options{Create: true})
	require.NoError(t, err)
	require.NoError(t, l.CreateTopic("t", TopicConfig{Partitions: 2}))
	held := make(chan struct{})
	c := l.coreOf("t", 1)
	c.loop.Do(func() { <-held })
	found := make(chan *Partition, 1)
	go func() {
		p, _ := l.Partition("t", 1)
		found <- p
	}()
	uses := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.uses
	}
	require.Eventually(t, func() bool { return uses() == 1 }, 20*time.Second, time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.closing }, 20*time.Second, time.Millisecond)
	close(held)
	p := <-found
	require.NoError(t, <-closed)
	require.NotNil(t, p)
	_, err = p.Append(soon(t), one("x"), Buffered)
	require.ErrorIs(t, err, ErrClosed)
}

// Who waits for memory has it handed over by those who hold it, however long they may linger.
func TestWaitingHurriesWhatLingers(t *testing.T) {
	f, p := pretend(t, Options{MemoryBytes: 1, Linger: time.Minute}, true)
	for i := 1; f.log.budget.TryAcquire(bodySmall); i++ {
		f.log.budget.Release(bodySmall)
		other := &Partition{log: f.log, topic: "t", number: i, handle: uint64(i), recordMax: walbody.RecordSizeMax}
		_, err := other.Append(t.Context(), one("small"), Buffered)
		require.NoError(t, err)
	}
	require.Zero(t, f.log.Stats().Waits)
	for range 3 {
		_, err := p.Append(soon(t), one("durable"), Durable)
		require.NoError(t, err)
	}
	require.NotZero(t, f.log.Stats().Waits)
}

// What begins to linger while somebody waits for memory does not keep it.
func TestNothingLingersWhileSomebodyWaits(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, true)
	f.log.waiting.Add(1)
	_, err := p.Append(t.Context(), one("small"), Buffered)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		bodies, _ := f.has()
		return len(bodies) == 1
	}, 20*time.Second, time.Millisecond)
	f.log.waiting.Add(-1)
}

// Where somebody waits for memory bodies get full: what lingers there is not handed over before that.
func TestWaitingDoesNotHurryItsOwnPartition(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, true)
	f.log.waiting.Add(1)
	p.waiters.Add(1)
	_, err := p.Append(t.Context(), one("small"), Buffered)
	require.NoError(t, err)
	f.log.hurry()
	for range 2 { // the driver has done what was asked before, and handed over what came of it
		f.log.await(func(done func()) { done() })
	}
	bodies, _ := f.has()
	require.Empty(t, bodies)
	p.waiters.Add(-1)
	f.log.hurry()
	f.awaitBodies(1)
	f.log.waiting.Add(-1)
}
