package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/walbody"
)

// patience is how long a test waits for what has to come.
const patience = 60 * time.Second

// pretended stands where the native library does: it keeps what it is given, and acknowledges when it is
// told to, or at once.
type pretended struct {
	t    *testing.T
	log  *coreLog
	auto bool          // acknowledges by itself, a turn later
	slow time.Duration // or so much later

	mu      sync.Mutex
	refuses native.Status // of Append; 0: it takes
	refused bool          // something was, and nobody was told yet to try again
	values  []string
	next    uint64
	bodies  []taken
	told    int // of bodies
}

type taken struct {
	user  uint64
	count uint32
	ack   native.WalAck
}

func (f *pretended) Append(_ uint64, body native.WalBody, ack native.WalAck, user uint64) (uint64, native.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses != 0 {
		f.refused = true
		return 0, f.refuses
	}
	var v walbody.View
	count, latest := uint32(0), body.Base
	for rest := body.Bytes; len(rest) > 0; count++ {
		var err error
		rest, err = walbody.Next(rest, body.Base, &v)
		if err != nil || count == 0 && v.Time != body.Base {
			panic(fmt.Sprint("no body: ", err))
		}
		latest = max(latest, v.Time)
		f.values = append(f.values, string(v.Value))
	}
	if count != body.Count || latest != body.Latest {
		panic(fmt.Sprintf("a body of %d records until %d says %d and %d", count, latest, body.Count, body.Latest))
	}
	f.bodies = append(f.bodies, taken{user, count, ack})
	f.next += uint64(count)
	switch {
	case f.slow > 0:
		time.AfterFunc(f.slow, func() { f.log.loop.Do(f.acknowledge) })
	case f.auto:
		f.log.loop.Do(f.acknowledge)
	}
	return f.next - uint64(count), 0
}

func (f *pretended) Info(uint64) (native.WalInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return native.WalInfo{Next: f.next}, nil
}

func (f *pretended) Sync(uint64) error {
	f.log.loop.Do(f.acknowledge)
	return nil
}

// acknowledge tells the log about everything that was not told yet. The driver.
func (f *pretended) acknowledge() { f.tell(0) }

func (f *pretended) tell(status native.Status) {
	f.mu.Lock()
	var list []native.WalDone
	for _, b := range f.bodies[f.told:] {
		list = append(list, native.WalDone{User: b.user, Kind: native.WalAppended, Status: int32(status)})
	}
	f.told = len(f.bodies)
	f.mu.Unlock()
	f.log.note(list)
	runtime.Gosched() // as the loop does when an event has woken somebody
}

// answer has the driver tell it, and waits for that.
func (f *pretended) answer(status native.Status) {
	f.log.await(func(done func()) {
		f.tell(status)
		done()
	})
}

func (f *pretended) refuse(status native.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = status
	if f.refused && status != native.StatusNoMemory {
		f.refused = false
		f.log.loop.Do(func() { f.log.note([]native.WalDone{{Kind: native.WalRetry}}) })
	}
}

func (f *pretended) has() (bodies []taken, values []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]taken(nil), f.bodies...), append([]string(nil), f.values...)
}

// awaitBodies waits until so many were handed over.
func (f *pretended) awaitBodies(count int) []taken {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		bodies, _ := f.has()
		return len(bodies) >= count
	}, patience, 100*time.Microsecond)
	bodies, _ := f.has()
	require.Len(f.t, bodies, count)
	return bodies
}

// pretend opens a log without files, with one partition.
func pretend(t *testing.T, options Options, auto bool) (*pretended, *Partition) {
	engine, err := native.Open(native.Config{Cores: 1, SpinMicros: spinMicros, MemoryBytes: coreBytes})
	require.NoError(t, err)
	f := &pretended{t: t, auto: auto}
	options, err = options.withDefaults()
	require.NoError(t, err)
	f.log = newCoreLog(options, engine.Cores()[0], f)
	require.NoError(t, f.log.run())
	p := &Partition{log: f.log, topic: "t", recordMax: walbody.RecordSizeMax}
	f.log.partitions[name{"t", 0}] = p
	t.Cleanup(func() {
		f.refuse(0)
		if err := f.log.Close(); err != nil {
			require.ErrorIs(t, err, ErrClosed)
		}
		engine.Close()
	})
	return f, p
}

// occupy has a first body under way, so that what is appended next gathers behind it.
func (f *pretended) occupy(p *Partition) {
	f.t.Helper()
	require.NoError(f.t, p.AppendAsync(f.t.Context(), one("before"), Durable, func(uint64, error) {}))
	f.awaitBodies(1)
}

func one(value string) Batch { return Batch{{Value: []byte(value)}} }

// staged waits until so many records gather in the open stage.
func staged(t *testing.T, p *Partition, count int) {
	t.Helper()
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.open != nil && int(p.open.body.Count()) == count
	}, patience, 100*time.Microsecond)
}

// While a body is under way the next one gathers: all appends of 64 goroutines leave in one call.
func TestAppendsGatherWhileOneIsUnderWay(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	var all sync.WaitGroup
	appendOne := func(i int) {
		first, err := p.Append(t.Context(), one(fmt.Sprint(i)), Durable)
		require.NoError(t, err)
		_, values := f.has()
		require.Equal(t, fmt.Sprint(i), values[first], "the offset is that of the record")
	}
	all.Go(func() { appendOne(-1) })
	f.awaitBodies(1)
	for i := range 64 {
		all.Go(func() { appendOne(i) })
	}
	staged(t, p, 64)
	f.awaitBodies(1)
	f.answer(0)
	bodies := f.awaitBodies(2)
	require.Equal(t, uint32(64), bodies[1].count)
	require.Equal(t, native.WalDurable, bodies[1].ack)
	f.answer(0)
	all.Wait()
	require.Equal(t, Stats{Appends: 65, HandOvers: 2}, f.log.Stats())
}

// A Buffered append is over when it is staged; its offset is right; it is written when it has lingered,
// together with what came later.
func TestBufferedAppendsLinger(t *testing.T) {
	f, p := pretend(t, Options{Linger: 20 * time.Millisecond}, false)
	for i := range 10 {
		first, err := p.Append(t.Context(), Batch{{Value: []byte("a")}, {Value: []byte("b")}}, Buffered)
		require.NoError(t, err)
		require.Equal(t, uint64(2*i), first)
	}
	bodies := f.awaitBodies(1)
	require.Equal(t, []taken{{user: bodies[0].user, count: 20, ack: native.WalDurable}}, bodies)
	f.answer(0)
	_, err := p.Append(t.Context(), one("c"), Buffered)
	require.NoError(t, err)
	f.awaitBodies(2)
	f.answer(0)
}

// A body waits for what the strongest of its appends asks for.
func TestTheStrongestAckCounts(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	var got []string
	note := func(name string) func(uint64, error) {
		return func(first uint64, err error) { got = append(got, fmt.Sprint(name, " ", first, " ", err)) }
	}
	require.NoError(t, p.AppendAsync(t.Context(), one("x"), Written, note("x")))
	f.awaitBodies(1)
	require.NoError(t, p.AppendAsync(t.Context(), one("a"), Written, note("a")))
	require.NoError(t, p.AppendAsync(t.Context(), one("b"), Buffered, note("b")))
	require.NoError(t, p.AppendAsync(t.Context(), one("c"), Durable, note("c")))
	require.NoError(t, p.AppendAsync(t.Context(), one("d"), Written, note("d")))
	f.answer(0)
	bodies := f.awaitBodies(2)
	require.Equal(t, native.WalWritten, bodies[0].ack)
	require.Equal(t, native.WalDurable, bodies[1].ack)
	require.Equal(t, uint32(4), bodies[1].count)
	f.answer(0)
	require.Equal(t, []string{"b 2 <nil>", "x 0 <nil>", "a 1 <nil>", "c 3 <nil>", "d 4 <nil>"}, got)
}

// A context that ends takes its records back, also from between others.
func TestRecordsAreTakenBack(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	f.occupy(p)
	base := time.UnixMicro(1_000_000)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan string, 5)
	for i, c := range []context.Context{ctx, t.Context(), ctx, t.Context(), ctx} {
		records := Batch{{Value: fmt.Appendf(nil, "%d", i), Time: base.Add(time.Duration(7-i) * time.Second)},
			{Value: fmt.Appendf(nil, "%d'", i), Time: base.Add(time.Duration(i) * time.Minute)}}
		go func() {
			first, err := p.Append(c, records, Durable)
			results <- fmt.Sprintf("%d: %d %v", i, first, err)
		}()
		staged(t, p, 2*i+2)
	}
	cancel()
	staged(t, p, 4)
	f.answer(0)
	f.awaitBodies(2)
	f.answer(0)
	var got []string
	for range 5 {
		got = append(got, <-results)
	}
	require.ElementsMatch(t, []string{"0: 0 context canceled", "1: 1 <nil>", "2: 0 context canceled", "3: 3 <nil>",
		"4: 0 context canceled"}, got)
	_, values := f.has()
	require.Equal(t, []string{"before", "1", "1'", "3", "3'"}, values)
	first, err := p.Append(t.Context(), one("next"), Buffered)
	require.NoError(t, err)
	require.Equal(t, uint64(5), first)
}

// What is behind a record that somebody knows the offset of stays where it is.
func TestWhatWasToldIsNotMoved(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, false)
	f.occupy(p)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := p.Append(ctx, one("a"), Durable)
		result <- err
	}()
	staged(t, p, 1)
	first, err := p.Append(t.Context(), one("b"), Buffered)
	require.NoError(t, err)
	require.Equal(t, uint64(2), first)
	cancel()
	err = <-result
	require.ErrorIs(t, err, ErrMayHaveHappened)
	require.ErrorIs(t, err, context.Canceled)
	f.answer(0)
	f.awaitBodies(2)
	f.answer(0)
	_, values := f.has()
	require.Equal(t, []string{"before", "a", "b"}, values)
}

// A context that ends while its body is under way leaves in doubt what happens.
func TestAnAppendThatWasHandedOverMayHappen(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := p.Append(ctx, one("a"), Durable)
		result <- err
	}()
	f.awaitBodies(1)
	cancel()
	err := <-result
	require.ErrorIs(t, err, ErrMayHaveHappened)
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "\n")
	f.answer(0)
	_, err = p.Append(ctx, one("b"), Buffered)
	require.Equal(t, context.Canceled, err, "nothing is begun with a context that has ended")
	require.NoError(t, f.log.Close())
}

// A full disk fails those who wait, tells about buffered records once, and appends work again when there
// is space; no offset is left out.
func TestAHandOverThatFails(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, false)
	_, err := p.Append(t.Context(), one("lost"), Buffered)
	require.NoError(t, err)
	f.refuse(native.StatusNoSpace)
	_, err = p.Append(t.Context(), one("a"), Durable)
	require.ErrorIs(t, err, ErrNoSpace)
	require.NotErrorIs(t, err, ErrLost)
	require.Contains(t, err.Error(), "free some space")
	f.refuse(0)
	_, err = p.Append(t.Context(), one("b"), Durable)
	require.ErrorIs(t, err, ErrLost)
	require.ErrorIs(t, err, ErrNoSpace)
	first, err := p.Append(t.Context(), one("c"), Buffered)
	require.NoError(t, err)
	require.Zero(t, first)
	require.NoError(t, p.Sync(t.Context()))
	_, values := f.has()
	require.Equal(t, []string{"c"}, values)
}

// A write that fails fails what is in it, and what waits behind it.
func TestAWriteThatFails(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	results := make(chan error, 2)
	note := func(_ uint64, err error) { results <- err }
	require.NoError(t, p.AppendAsync(t.Context(), one("a"), Durable, note))
	f.awaitBodies(1)
	require.NoError(t, p.AppendAsync(t.Context(), one("b"), Durable, note))
	f.answer(native.StatusIO)
	require.ErrorIs(t, <-results, ErrDamaged)
	require.ErrorIs(t, <-results, ErrDamaged)
	f.awaitBodies(1)
	require.NoError(t, f.log.Close())
}

// Close hands over what is staged and waits for it; later calls are refused.
func TestClose(t *testing.T) {
	f, p := pretend(t, Options{Linger: time.Minute}, false)
	_, err := p.Append(t.Context(), one("a"), Buffered)
	require.NoError(t, err)
	require.NoError(t, f.log.Close())
	_, values := f.has()
	require.Equal(t, []string{"a"}, values)
	for _, ack := range []Ack{Durable, Written, Buffered} {
		_, err = p.Append(t.Context(), one("b"), ack)
		require.ErrorIs(t, err, ErrClosed)
		require.ErrorIs(t, p.AppendAsync(t.Context(), one("b"), ack, nil), ErrClosed)
	}
	require.ErrorIs(t, p.Sync(t.Context()), ErrClosed)
	require.ErrorIs(t, f.log.Close(), ErrClosed)
	_, err = p.Info()
	require.ErrorIs(t, err, ErrClosed)
}

// Goroutines append until the log is closed: every append that succeeded is there, no other.
func TestCloseWhileOthersAppend(t *testing.T) {
	for range 20 {
		f, p := pretend(t, Options{MemoryBytes: 1}, true)
		var all sync.WaitGroup
		var succeeded atomic.Int64
		for i := range 8 {
			all.Go(func() {
				for {
					_, err := p.Append(context.Background(), one("x"), Ack(i%3))
					if err != nil {
						require.ErrorIs(t, err, ErrClosed)
						return
					}
					succeeded.Add(1)
				}
			})
		}
		require.Eventually(t, func() bool { return succeeded.Load() > 1000 }, patience, time.Millisecond)
		require.NoError(t, f.log.Close())
		all.Wait()
		_, values := f.has()
		require.Len(t, values, int(succeeded.Load()))
	}
}

// 64 goroutines append, waiting for each: the calls into the native library are counted.
func TestCallsAtManyWriters(t *testing.T) {
	f, p := pretend(t, Options{}, true)
	f.slow = 200 * time.Microsecond
	const writers, each = 64, 300
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				_, err := p.Append(context.Background(), one("x"), Durable)
				require.NoError(t, err)
			}
		})
	}
	all.Wait()
	s := f.log.Stats()
	t.Logf("%d appends, %d calls: one for %.1f", s.Appends, s.HandOvers, float64(s.Appends)/float64(s.HandOvers))
	require.Equal(t, uint64(writers*each), s.Appends)
}

// What is refused, and how it is told.
func TestAppendsThatAreRefused(t *testing.T) {
	_, p := pretend(t, Options{}, false)
	p.recordMax = 100
	long := make([]byte, 100)
	for _, test := range []struct {
		batch Batch
		ack   Ack
		kind  error
		says  string
	}{
		{Batch{}, Durable, ErrInvalid, "needs a record"},
		{nil, Durable, ErrInvalid, "needs a record"},
		{one("a"), 3, ErrInvalid, "Buffered (2)"},
		{Batch{{}, {Value: long}}, Durable, ErrTooLarge, "record 1 of the batch: 120 bytes, at most 100 are allowed"},
		{Batch{{Headers: []Header{{Name: make([]byte, walbody.HeadersSizeMax)}}}}, Durable, ErrTooLarge, "at most 524280"},
		{Batch{{Time: time.UnixMicro(walbody.TimeMax + 1)}}, Durable, ErrInvalid, "time out of range"},
	} {
		_, err := p.Append(t.Context(), test.batch, test.ack)
		require.ErrorIs(t, err, test.kind)
		require.Contains(t, err.Error(), test.says)
		require.NotContains(t, err.Error(), "\n")
	}
	var limit *LimitError
	_, err := p.Append(t.Context(), Batch{{Value: long}}, Buffered)
	require.True(t, errors.As(err, &limit))
	require.Equal(t, int64(100), limit.Limit)
	p.log.options.ReadOnly = true
	_, err = p.Append(t.Context(), one("a"), Durable)
	require.ErrorIs(t, err, ErrReadOnly)
}

// Times that are too far apart for one body go into two.
func TestTimesFarApart(t *testing.T) {
	f, p := pretend(t, Options{}, false)
	_, err := p.Append(t.Context(), Batch{{Time: time.Unix(0, 0)}}, Buffered)
	require.NoError(t, err)
	first, err := p.Append(t.Context(), Batch{{Time: time.Unix(1e9, 0)}}, Buffered)
	require.NoError(t, err)
	require.Equal(t, uint64(1), first)
	_, err = p.Append(t.Context(), Batch{{Time: time.Unix(0, 0)}, {Time: time.Unix(1e9, 0)}}, Buffered)
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, p.Sync(t.Context()))
	require.Len(t, f.awaitBodies(2), 2)
}

// Appends do not allocate.
func TestAppendsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f, p := pretend(t, Options{Linger: time.Minute}, false)
	value := []byte("value")
	ctx := t.Context()
	buffered := func() {
		if _, err := p.Append(ctx, Batch{{Value: value}}, Buffered); err != nil {
			t.Error(err)
		}
	}
	for range 1000 {
		buffered()
	}
	require.NoError(t, p.Sync(ctx))
	require.Zero(t, testing.AllocsPerRun(1000, buffered))
	require.NoError(t, f.log.Close())
}

// Nothing runs any more when the log is closed.
func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	f, p := pretend(t, Options{}, true)
	_, err := p.Append(t.Context(), one("a"), Durable)
	require.NoError(t, err)
	require.NoError(t, f.log.Close())
	for until := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}
