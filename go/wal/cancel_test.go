package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
)

// canceller appends from many goroutines, whose contexts end at any time.
type canceller struct {
	t *testing.T
	f *pretended
	p *Partition

	mu    sync.Mutex
	there map[string]uint64 // by name: what has to be in the log, and where
	gone  map[string]error  // what must not be there

	callbacks, cancelled, doubtful atomic.Int64
}

// ending is a context that ends by itself, some of the time.
func ending(random *rand.Rand) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	if random.IntN(2) == 0 {
		time.AfterFunc(time.Duration(random.IntN(600))*time.Microsecond, cancel)
	}
	return ctx, cancel
}

// note notes what has come of an append.
func (c *canceller) note(names []string, first uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		for i, name := range names {
			c.there[name] = first + uint64(i)
		}
	case errors.Is(err, ErrMayHaveHappened):
		c.doubtful.Add(1)
	default:
		c.cancelled.Add(1)
		for _, name := range names {
			c.gone[name] = err
		}
	}
}

func (c *canceller) appendOne(random *rand.Rand, name string) {
	batch, names := make(Batch, 1+random.IntN(3)), []string{}
	for i := range batch {
		names = append(names, fmt.Sprint(name, ".", i))
		size := random.IntN(500)
		if random.IntN(20) == 0 { // a few of these are all the memory that there is
			size = random.IntN(500_000)
		}
		batch[i].Value = []byte(names[i] + " " + strings.Repeat("x", size))
		if random.IntN(10) == 0 { // too far away from others for one body
			batch[i].Time = time.Unix(random.Int64N(2)*1e9, 0)
		}
	}
	ctx, cancel := ending(random)
	defer cancel()
	ack := Ack(random.IntN(3))
	if random.IntN(3) > 0 {
		first, err := c.p.Append(ctx, batch, ack)
		if !errors.Is(err, ErrInvalid) { // of times too far apart in one batch
			c.note(names, first, err)
		}
		return
	}
	var called atomic.Bool
	c.callbacks.Add(1)
	err := c.p.AppendAsync(ctx, batch, ack, func(first uint64, err error) {
		if called.Swap(true) {
			c.t.Error("a callback is called twice")
		}
		c.note(names, first, err)
		c.callbacks.Add(-1)
	})
	if err != nil {
		c.callbacks.Add(-1)
		if !errors.Is(err, ErrInvalid) {
			c.note(names, 0, err)
		}
	}
}

// disturb makes hand-overs slow or impossible, for a moment each, and has appends held.
func (c *canceller) disturb(random *rand.Rand, done <-chan struct{}) {
	for {
		select {
		case <-done:
			c.f.refuse(0)
			return
		default:
		}
		c.f.refuse([]native.Status{0, 0, native.StatusNoMemory, native.StatusLimit}[random.IntN(4)])
		c.f.mu.Lock()
		c.f.slow = time.Duration(random.IntN(400)) * time.Microsecond
		c.f.mu.Unlock()
		time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
		c.f.refuse(0)
		ctx, cancel := ending(random)
		_ = c.p.Sync(ctx)
		require.NoError(c.t, c.p.log.begin(context.Background(), func(done func(error)) {
			c.p.hold(func(release func(), err error) {
				release()
				done(err)
			})
		}))
		cancel()
	}
}

// What is in the log is what was said to be, where it was said to be.
func (c *canceller) compare() {
	_, values := c.f.has()
	found := map[string]uint64{}
	for i, value := range values {
		name, _, _ := strings.Cut(value, " ")
		require.NotContains(c.t, found, name, "it is there twice")
		found[name] = uint64(i)
	}
	for name, offset := range c.there {
		require.Contains(c.t, found, name, "it was acknowledged")
		require.Equal(c.t, offset, found[name])
	}
	for name, err := range c.gone {
		require.NotContains(c.t, found, name, "its append had failed: %v", err)
	}
}

// Contexts end at any time while appends wait for memory, are staged, held, or handed over: nothing that
// was acknowledged is lost, nothing that was taken back is there, no memory and no goroutine is left.
func TestContextsEndAtAnyTime(t *testing.T) {
	const appenders, each = 16, 80
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	before := runtime.NumGoroutine()
	f, p := pretend(t, Options{MemoryBytes: 1, Linger: time.Millisecond}, true)
	c := &canceller{t: t, f: f, p: p, there: map[string]uint64{}, gone: map[string]error{}}
	var all, others sync.WaitGroup
	done := make(chan struct{})
	others.Go(func() { c.disturb(rand.New(rand.NewPCG(seed, 1<<32)), done) })
	for i := range appenders {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		all.Go(func() {
			for j := range each {
				c.appendOne(random, fmt.Sprint(i, "-", j))
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
		others.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("it does not end:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	require.NoError(t, f.log.Close())
	require.Zero(t, c.callbacks.Load(), "callbacks that did not come")
	c.compare()
	t.Logf("%d records, %d appends taken back, %d in doubt, %d waits for memory", len(c.there), c.cancelled.Load(), c.doubtful.Load(), f.log.Stats().Waits)
	require.True(t, f.log.budget.TryAcquire(f.log.options.stagedBytes()), "all memory was given back")
	require.Zero(t, f.log.flying)
	for until := time.Now().Add(patience); runtime.NumGoroutine() > before && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
}
