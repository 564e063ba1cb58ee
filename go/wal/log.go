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
	options Options
	folder  string
	engine  *native.Engine
	cores   []*coreLog
}

// coreLog is what one core has of a log: its partitions, what is staged for them, and a loop.
type coreLog struct {
	options  Options
	batchMax int // bytes
	core     *native.Core
	index    int // of it
	loop     *turns.Loop
	border   border
	budget   *semaphore.Weighted // bytes of what is staged
	members  sync.Pool           // of *member

	appends, handOvers, waits atomic.Uint64
	waiting                   atomic.Int64 // appends for memory, now

	mu         sync.Mutex
	queue      []*Partition // that the driver is to look at
	lingering  []*Partition // with something that the timer is to hand over
	timer      *time.Timer
	partitions map[name]*Partition
	spare      [][]byte // memory of bodies
	spareBytes int64    // their capacities
	bodyBytes  int64    // of bodies that are in use
	uses       int      // calls that need the log open
	closing    bool
	unused     chan struct{} // closed when uses is 0 and closing

	// The driver's.
	wal      *native.Wal // nil: closed
	flushing []*Partition
	flights  []flight // by user value
	free     []uint64 // of flights
	flying   int
	landed   func()       // when nothing is in flight any more
	stalled  []*Partition // to be looked at, and
	again    []func()     // to be called, when the native library says that it is worth another try
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
	engine, err := native.Open(native.Config{Cores: options.Cores, SpinMicros: spinMicros, MemoryBytes: coreBytes})
	if err != nil {
		return nil, fromNative(err)
	}
	l := &Log{options: options, folder: folder, engine: engine}
	for _, core := range engine.Cores() {
		if err := l.join(core); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	return l, nil
}

// join opens what one more core has of the log.
func (l *Log) join(core *native.Core) error {
	var wal *native.Wal
	var err error
	if len(l.cores) > 0 {
		wal, err = core.JoinWal(l.cores[0].wal)
	} else {
		wal, err = core.OpenWal(native.WalConfig{
			Folder: l.folder, ReadOnly: l.options.ReadOnly, Create: l.options.Create, PageCache: l.options.PageCache,
			Disk: l.options.Disk, MemoryBytes: l.options.nativeBytes(),
			LingerMicros:     int(l.options.Linger / time.Microsecond),
			FlushDelayMicros: int(l.options.SlowDiskForTests.Flush / time.Microsecond),
			WriteDelayMicros: int(l.options.SlowDiskForTests.Write / time.Microsecond),
			Cores:            l.options.Cores,
		})
	}
	if err != nil {
		return fromNative(err)
	}
	c := newCoreLog(l.options, core, wal)
	c.wal, c.index = wal, len(l.cores)
	if err := c.run(); err != nil {
		_ = wal.Close()
		return err
	}
	l.cores = append(l.cores, c)
	return nil
}

// newCoreLog makes a log that run makes run.
func newCoreLog(options Options, core *native.Core, b border) *coreLog {
	l := &coreLog{
		options: options, core: core, border: b, batchMax: options.batchMax(),
		budget:     semaphore.NewWeighted(options.stagedBytes()),
		partitions: map[name]*Partition{},
		readers:    map[uint64]*cursor{},
		unused:     make(chan struct{}),
	}
	l.members.New = func() any { return &member{Waiter: turns.NewWaiter()} }
	return l
}

func (l *coreLog) run() (err error) {
	if l.loop, err = turns.OpenSleeping(l.core, l, sleepMax); err != nil {
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
	for _, c := range l.cores {
		if !c.refuse() {
			return errClosed // the first one says so, to all but one caller
		}
	}
	problems := make([]error, len(l.cores))
	var all sync.WaitGroup
	for i, c := range l.cores { // side by side: each waits for its disk, and has a driver of its own
		all.Go(func() { problems[i] = c.finish() })
	}
	all.Wait()
	l.engine.Close()
	return errors.Join(problems...)
}

// Close is for a core alone.
func (l *coreLog) Close() error {
	if !l.refuse() {
		return errClosed
	}
	return l.finish()
}

// refuse has later calls refused. False: they are already.
func (l *coreLog) refuse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.closing = true
	if l.uses == 0 {
		close(l.unused)
	}
	l.timer.Stop()
	return true
}

// finish ends what is under way, and closes.
func (l *coreLog) finish() error {
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
		l.unstall() // nobody says it any more, and nothing is left to be handed over
		if l.wal != nil {
			problems = append(problems, fromNative(l.wal.Close()))
			l.wal = nil
		}
		done()
	})
	l.loop.Stop()
	l.dropSpares()
	return errors.Join(problems...)
}

// await has the driver call f, and waits until f, or what it left behind, calls done.
func (l *coreLog) await(f func(done func())) {
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
func (l *coreLog) do(ctx context.Context, f func() error) error {
	return l.begin(ctx, func(done func(error)) { done(f()) })
}

// begin is do for what may be over only later.
func (l *coreLog) begin(ctx context.Context, f func(done func(error))) (err error) {
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
func (l *coreLog) use() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return false
	}
	l.uses++
	return true
}

func (l *coreLog) unuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.uses--; l.uses == 0 && l.closing {
		close(l.unused)
	}
}

// Describe says in one line how the log gets to its disk. Empty: it is closed.
func (l *Log) Describe() (text string) {
	c := l.cores[0]
	_ = c.do(context.Background(), func() error {
		text = c.wal.Describe()
		return nil
	})
	return text
}

// enqueue has the driver look at a partition, whose mutex the caller holds.
func (l *coreLog) enqueue(p *Partition) {
	l.mu.Lock()
	l.queue = append(l.queue, p)
	l.mu.Unlock()
	l.loop.Ask()
}

// Flush is for the loop: it hands over what is staged.
func (l *coreLog) Flush() {
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
func (l *coreLog) Note(e *native.Event) {
	if e.Kind == native.EventWal {
		l.note(e.WalDone())
	}
}

func (l *coreLog) note(list []native.WalDone) {
	for i := range list {
		switch d := &list[i]; d.Kind {
		case native.WalAppended:
			p, st := l.arrive(d.User)
			p.completed(st, native.Status(d.Status))
		case native.WalReadable:
			if c := l.readers[d.User]; c != nil {
				c.readable()
			}
		case native.WalRetry:
			l.unstall()
		}
	}
	l.land()
}

// depart gives a stage the value by which its acknowledgement is found.
func (l *coreLog) depart(p *Partition, st *stage) (user uint64) {
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
func (l *coreLog) arrive(user uint64) (*Partition, *stage) {
	f := l.flights[user]
	l.flights[user] = flight{}
	l.free = append(l.free, user)
	l.flying--
	return f.partition, f.stage
}

// land calls what waits until nothing is in flight.
func (l *coreLog) land() {
	if l.landed != nil && l.flying == 0 {
		landed := l.landed
		l.landed = nil
		landed()
	}
}

// answer tells the members of a stage what has come of it.
func (l *coreLog) answer(st *stage) {
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

func (l *coreLog) recycle(m *member) {
	m.done, m.stage, m.err = nil, nil, nil
	l.members.Put(m)
}

// stall has a partition looked at again that the native library had no room for.
//
// There is no timer for it: the native library says when it is worth another try (WalRetry), once for
// all that it has refused. It says so in a later poll than the one before the refusal, also when what was
// waited for has ended by then: only the driver polls, and it has noted the partition here before it does.
func (l *coreLog) stall(p *Partition) {
	if p.stalled { // it was asked meanwhile, and refused again
		return
	}
	l.expectRetry()
	p.stalled = true
	l.stalled = append(l.stalled, p)
}

// later is stall for any function.
func (l *coreLog) later(f func()) {
	l.expectRetry()
	l.again = append(l.again, f)
}

// expectRetry has somebody look for what the native library says, though nobody may wait for an answer.
func (l *coreLog) expectRetry() {
	if len(l.stalled)+len(l.again) == 0 {
		l.loop.Expect()
	}
}

// unstall tries again.
func (l *coreLog) unstall() {
	if len(l.stalled)+len(l.again) == 0 {
		return
	}
	l.loop.Forget()
	for i, p := range l.stalled {
		p.stalled = false
		p.mu.Lock()
		p.ask()
		p.mu.Unlock()
		l.stalled[i] = nil
	}
	for i, f := range l.again {
		l.loop.Do(f)
		l.again[i] = nil
	}
	l.stalled, l.again = l.stalled[:0], l.again[:0]
}

// linger has a partition's open stage handed over when it has lingered long enough.
func (l *coreLog) linger(p *Partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lingering = append(l.lingering, p); len(l.lingering) == 1 {
		wait := l.options.Linger
		if l.waiting.Load() > 0 && p.waiters.Load() == 0 { // others wait for what this may have taken
			wait = 0
		}
		l.timer.Reset(wait)
	}
}

// lingered is called by the timer. What began to linger later than the first goes with it.
func (l *coreLog) lingered() {
	l.loop.Do(func() {
		l.mu.Lock()
		due := l.lingering
		l.lingering = nil
		l.mu.Unlock()
		l.ripen(due)
	})
}

// hurry is called by who waits for memory: what lingers elsewhere gives it back. Not where somebody waits,
// too: there bodies get full.
func (l *coreLog) hurry() {
	l.mu.Lock()
	var due []*Partition
	kept := l.lingering[:0]
	for _, p := range l.lingering {
		if p.waiters.Load() > 0 {
			kept = append(kept, p)
		} else {
			due = append(due, p)
		}
	}
	clear(l.lingering[len(kept):])
	l.lingering = kept
	l.mu.Unlock()
	if len(due) > 0 {
		l.loop.Do(func() { l.ripen(due) })
	} else {
		l.loop.Run()
	}
}

// ripen has what lingers in partitions handed over. The driver.
func (l *coreLog) ripen(due []*Partition) {
	for _, p := range due {
		p.mu.Lock()
		if p.open != nil && p.open.lingers {
			p.open.due = true
		}
		p.ask()
		p.mu.Unlock()
	}
}
