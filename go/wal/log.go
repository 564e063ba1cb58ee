package wal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

const (
	// spinMicros is how long the driver looks for what the disk has done before it sleeps, and sleepMax how
	// long it does so before it leaves the loop to Go's poller.
	spinMicros = 50
	sleepMax   = 5 * time.Millisecond

	// coreBytes is the memory of a core that has no connections.
	coreBytes = 8 << 20

	// stalledRetry is when bodies are tried again that the native library had no room for, or no file, if
	// nothing is acknowledged before.
	stalledRetry = 200 * time.Microsecond
)

var errClosed = errorf(ErrClosed, "the log is closed; open it again")

// border is what staging needs of the native library.
type border interface {
	Append(partition uint64, body native.WalBody, ack native.WalAck, user uint64) (first uint64, status native.Status)
	Info(partition uint64) (native.WalInfo, error)
	Sync(partition uint64) error
}

// Log is an open log. Any goroutine.
type Log struct {
	options  Options
	folder   string
	batchMax int // bytes
	engine   *native.Engine
	loop     *turns.Loop
	border   border
	budget   *semaphore.Weighted // bytes of what is staged
	members  sync.Pool           // of *member

	appends, handOvers, waits atomic.Uint64

	mu         sync.Mutex
	queue      []*Partition // that the driver is to look at
	lingering  []*Partition // with something that the timer is to hand over
	timer      *time.Timer
	partitions map[name]*Partition
	spare      [][]byte // memory of bodies
	spareBytes int64    // their capacities
	uses       int      // calls that need the log open
	closing    bool
	unused     chan struct{} // closed when uses is 0 and closing

	// The driver's.
	wal      *native.Wal // nil: closed
	flushing []*Partition
	flights  []flight // by user value
	free     []uint64 // of flights
	flying   int
	landed   func() // when nothing is in flight any more
	stalled  []*Partition
	retries  bool
	readers  map[uint64]*cursor
	nextUser uint64
}

type name struct {
	topic  string
	number int
}

// flight is a stage that was handed over.
type flight struct {
	partition *Partition
	stage     *stage
}

// Open opens the log in a folder. One process at a time writes to it (ErrLocked).
//
// After a crash the last seconds before it are read and checked: what was torn is cut, what was
// acknowledged stays. A partition that is damaged does not stop the others: its Info says so.
//
// Errors: ErrLocked, ErrNotFound (without Create), ErrTooNew, ErrPermission, ErrReadOnly, ErrNoSpace,
// ErrDamaged, ErrInvalid.
func Open(folder string, options Options) (*Log, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if folder == "" {
		return nil, errorf(ErrInvalid, "a log needs a folder; its name is empty")
	}
	engine, err := native.Open(native.Config{Cores: 1, SpinMicros: spinMicros, MemoryBytes: coreBytes})
	if err != nil {
		return nil, fromNative(err)
	}
	wal, err := engine.Cores()[0].OpenWal(native.WalConfig{
		Folder: folder, ReadOnly: options.ReadOnly, Create: options.Create, PageCache: options.PageCache,
		Disk: options.Disk, MemoryBytes: options.MemoryBytes - options.stagedBytes(),
		LingerMicros:     int(options.Linger / time.Microsecond),
		FlushDelayMicros: int(options.SlowDiskForTests.Flush / time.Microsecond),
		WriteDelayMicros: int(options.SlowDiskForTests.Write / time.Microsecond),
	})
	if err != nil {
		engine.Close()
		return nil, fromNative(err)
	}
	l := newLog(options, engine, wal)
	l.wal, l.folder = wal, folder
	if err := l.run(); err != nil {
		_ = wal.Close()
		engine.Close()
		return nil, err
	}
	return l, nil
}

// newLog makes a log that run makes run.
func newLog(options Options, engine *native.Engine, b border) *Log {
	l := &Log{
		options: options, engine: engine, border: b, batchMax: options.batchMax(),
		budget:     semaphore.NewWeighted(options.stagedBytes()),
		partitions: map[name]*Partition{},
		readers:    map[uint64]*cursor{},
		unused:     make(chan struct{}),
	}
	l.members.New = func() any { return &member{Waiter: turns.NewWaiter()} }
	return l
}

func (l *Log) run() (err error) {
	if l.loop, err = turns.OpenSleeping(l.engine.Cores()[0], l, sleepMax); err != nil {
		return fmt.Errorf("wal: a loop for the log: %w", err)
	}
	l.timer = time.AfterFunc(time.Hour, l.lingered)
	l.timer.Stop()
	return nil
}

// Close hands over what is staged, waits until all that was appended is durable, and closes. Appends that
// wait get their answer; calls that come later, and readers, get ErrClosed. It returns what Buffered
// appends were promised and did not get, and what the disk says; the log is closed in any case.
//
// Not for callbacks of AppendAsync.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return errClosed
	}
	l.closing = true
	if l.uses == 0 {
		close(l.unused)
	}
	l.timer.Stop()
	l.mu.Unlock()
	<-l.unused
	l.mu.Lock() // a call that was still under way may have added one
	all := slices.Collect(maps.Values(l.partitions))
	l.mu.Unlock()
	for _, p := range all {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}
	var problems []error
	l.await(func(done func()) {
		for _, c := range l.readers {
			c.end(errClosed)
		}
		left := 1
		drained := func(err error) {
			problems = append(problems, err)
			if left--; left == 0 {
				l.landed = done
				l.land()
			}
		}
		if !l.options.ReadOnly {
			left += len(all)
			for _, p := range all {
				p.drain(drained)
			}
		}
		drained(nil)
	})
	l.await(func(done func()) {
		if l.wal != nil {
			problems = append(problems, fromNative(l.wal.Close()))
			l.wal = nil
		}
		done()
	})
	l.loop.Stop()
	l.engine.Close()
	return errors.Join(problems...)
}

// await has the driver call f, and waits until f, or what it left behind, calls done.
func (l *Log) await(f func(done func())) {
	w := turns.NewWaiter()
	l.loop.Expect()
	l.loop.Do(func() {
		f(func() {
			l.loop.Answer(w)
			l.loop.Woke()
		})
	})
	l.loop.Await(w, nil)
}

// do has the driver call f, which uses the native log, and waits for it.
func (l *Log) do(ctx context.Context, f func() error) error {
	return l.begin(ctx, func(done func(error)) { done(f()) })
}

// begin is do for what may be over only later.
func (l *Log) begin(ctx context.Context, f func(done func(error))) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !l.use() {
		return errClosed
	}
	defer l.unuse()
	l.await(func(done func()) {
		f(func(problem error) {
			err = problem
			done()
		})
	})
	return err
}

// use keeps the log open until unuse. False: it is closed.
func (l *Log) use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.uses++
	return true
}

func (l *Log) unuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses--; l.uses == 0 && l.closing {
		close(l.unused)
	}
}

// Describe says in one line how the log gets to its disk. Empty: it is closed.
func (l *Log) Describe() (text string) {
	_ = l.do(context.Background(), func() error {
		text = l.wal.Describe()
		return nil
	})
	return text
}

// enqueue has the driver look at a partition, whose mutex the caller holds.
func (l *Log) enqueue(p *Partition) {
	l.mu.Lock()
	l.queue = append(l.queue, p)
	l.mu.Unlock()
	l.loop.Ask()
}

// Flush is for the loop: it hands over what is staged.
func (l *Log) Flush() {
	l.mu.Lock()
	l.flushing, l.queue = l.queue, l.flushing[:0]
	l.mu.Unlock()
	for i, p := range l.flushing {
		p.gather()
		if p.flush(false) {
			l.stall(p)
		}
		l.flushing[i] = nil
	}
}

// Note is for the loop: it takes acknowledgements, and news for readers.
func (l *Log) Note(e *native.Event) {
	if e.Kind == native.EventWal {
		l.note(e.WalDone())
	}
}

func (l *Log) note(list []native.WalDone) {
	for i := range list {
		switch d := &list[i]; d.Kind {
		case native.WalAppended:
			p, st := l.arrive(d.User)
			p.completed(st, native.Status(d.Status))
		case native.WalReadable:
			if c := l.readers[d.User]; c != nil {
				c.readable()
			}
		}
	}
	l.unstall()
	l.land()
}

// depart gives a stage the value by which its acknowledgement is found.
func (l *Log) depart(p *Partition, st *stage) (user uint64) {
	if n := len(l.free); n > 0 {
		user, l.free = l.free[n-1], l.free[:n-1]
	} else {
		user = uint64(len(l.flights))
		l.flights = append(l.flights, flight{})
	}
	l.flights[user] = flight{p, st}
	l.flying++
	return user
}

// arrive finds it.
func (l *Log) arrive(user uint64) (*Partition, *stage) {
	f := l.flights[user]
	l.flights[user] = flight{}
	l.free = append(l.free, user)
	l.flying--
	return f.partition, f.stage
}

// land calls what waits until nothing is in flight.
func (l *Log) land() {
	if l.landed != nil && l.flying == 0 {
		landed := l.landed
		l.landed = nil
		landed()
	}
}

// answer tells the members of a stage what has come of it.
func (l *Log) answer(st *stage) {
	for i, m := range st.members {
		st.members[i] = nil
		if m.done == nil {
			l.loop.Answer(m.Waiter)
			l.loop.Woke()
			continue
		}
		done, first, err := m.done, m.first, m.err
		l.recycle(m)
		done(first, err)
	}
}

func (l *Log) recycle(m *member) {
	m.done, m.stage, m.err = nil, nil, nil
	l.members.Put(m)
}

// stall has a partition tried again that the native library had no room for.
func (l *Log) stall(p *Partition) {
	l.stalled = append(l.stalled, p)
	if !l.retries {
		l.retries = true
		l.later(func() {
			l.retries = false
			l.unstall()
		})
	}
}

// later has the driver call f in a moment.
func (l *Log) later(f func()) {
	time.AfterFunc(stalledRetry, func() { l.loop.Do(f) })
}

// unstall tries again.
func (l *Log) unstall() {
	for i, p := range l.stalled {
		p.mu.Lock()
		p.ask()
		p.mu.Unlock()
		l.stalled[i] = nil
	}
	l.stalled = l.stalled[:0]
}

// linger has a partition's open stage handed over when it has lingered long enough.
func (l *Log) linger(p *Partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lingering = append(l.lingering, p); len(l.lingering) == 1 {
		l.timer.Reset(l.options.Linger)
	}
}

// lingered is called by the timer. What began to linger later than the first goes with it.
func (l *Log) lingered() {
	l.loop.Do(func() {
		l.mu.Lock()
		due := l.lingering
		l.lingering = nil
		l.mu.Unlock()
		for _, p := range due {
			p.mu.Lock()
			if p.open != nil && p.open.lingers {
				p.open.due = true
			}
			p.ask()
			p.mu.Unlock()
		}
	})
}
