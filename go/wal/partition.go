package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/internal/walbody"
)

// Partition is one sequence of records. Any goroutine.
type Partition struct {
	log       *coreLog
	topic     string
	number    int
	handle    uint64
	recordMax int

	returns atomic.Int64 // appenders that were answered since the last hand-over and may come back
	early   bool         // the driver's: the next hand-over does not wait for all of them
	stalled bool         // the driver's: it is among the log's that are stalled

	waiters atomic.Int32 // appends for memory, now

	mu       sync.Mutex
	open     *stage        // what gathers; nil: nothing does
	ready    []*stage      // full, or due: to be handed over, in this order
	next     uint64        // offset of the next record
	told     uint64        // the first offset that nobody was told yet
	queued   bool          // the driver is going to look at it
	inFlight int           // bodies
	lost     error         // what Buffered appends were promised and did not get; told once
	usual    int           // bytes of the body that was handed over last
	held     chan struct{} // not nil: appends wait until it is closed
	holds    []func()      // that wait for their turn
	closed   bool
}

// Topic is the name of its topic.
func (p *Partition) Topic() string { return p.topic }

// Number says which of the topic's partitions it is, from 0.
func (p *Partition) Number() int { return p.number }

// Core says which of the log's cores it is on, from 0 (Options.Cores).
func (p *Partition) Core() int { return p.log.index }

// String is the topic and the number.
func (p *Partition) String() string { return fmt.Sprintf("%s/%d", p.topic, p.number) }

// Append appends records, all of them or none, and waits for what ack says. It returns the offset of the
// first one; the others follow.
//
// The batch is copied. Errors: *LimitError (ErrTooLarge), ErrReadOnly, ErrNoSpace, ErrDamaged, ErrLost,
// ErrClosed, ErrInvalid, and the context's: with ErrMayHaveHappened when it can't be told whether the
// records are in the log. After any other error they are not.
//
// Cost: no allocation; one call into the native library for all appends that are staged together.
func (p *Partition) Append(ctx context.Context, batch Batch, ack Ack) (first uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if ack == Buffered {
		first, asked, err := p.put(ctx, batch, ack, nil)
		if asked {
			p.log.loop.Run()
		}
		return first, err
	}
	l := p.log
	m := l.members.Get().(*member)
	l.loop.Expect()
	if _, _, err := p.put(ctx, batch, ack, m); err != nil {
		l.loop.Forget()
		l.recycle(m)
		return 0, err
	}
	if !l.loop.Await(m.Waiter, ctx.Done()) && p.abandon(m, &err, ctx) {
		return 0, err
	}
	first, err = m.first, m.err
	l.recycle(m)
	return first, err
}

// AppendAsync is Append for callers that do not wait: done is called with what Append would return, once,
// unless an error is returned here. The context counts until then: for as long as memory has no room.
//
// done is called by whichever goroutine drives the partition's core of the log, for Buffered by the caller
// before this returns; on several cores at the same time for partitions of each.
// It must not block and must not call methods of the log, of its topics and of its partitions: all other
// appends wait meanwhile. In one partition, calls for appends that wait for the same come in the order of
// offsets; one that waits for less may be told before an earlier one that waits for more.
func (p *Partition) AppendAsync(ctx context.Context, batch Batch, ack Ack, done func(first uint64, err error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var m *member
	if ack != Buffered {
		m = p.log.members.Get().(*member)
		m.done = done
	}
	first, asked, err := p.put(ctx, batch, ack, m)
	if asked {
		p.log.loop.Run()
	}
	if err != nil {
		if m != nil {
			p.log.recycle(m)
		}
		return err
	}
	if m == nil {
		done(first, nil)
	}
	return nil
}

// abandon is for a caller whose context has ended. False: the answer is there.
func (p *Partition) abandon(m *member, err *error, ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case m.state == memberAnswered:
		p.mu.Unlock() // the driver may want it before it answers
		p.log.loop.Await(m.Waiter, nil)
		p.mu.Lock()
		return false
	case p.takeBack(m):
		p.log.loop.Forget()
		p.log.recycle(m)
		*err = ctx.Err()
	default:
		m.state = memberAbandoned
		*err = &Error{Kind: ErrMayHaveHappened, Cause: ctx.Err(),
			Text: fmt.Sprintf("%s; the append to %s was under way, and its records may be in the log", ctx.Err(), p)}
	}
	return true
}

// put stages records. m: who waits for them; nil: nobody. asked: the driver has something to do, and the
// caller has to see that there is one.
func (p *Partition) put(ctx context.Context, batch Batch, ack Ack, m *member) (first uint64, asked bool, err error) {
	if err := ack.check(); err != nil {
		return 0, false, err
	}
	size, err := batch.size(p.recordMax, p.log.batchMax)
	if err != nil {
		return 0, false, err
	}
	now := time.Now().UnixMicro()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.makeRoom(ctx, size); err != nil {
		p.dropEmpty()
		return 0, false, err
	}
	mark, err := p.add(batch, now)
	if errors.Is(err, walbody.ErrTime) && mark.Count() > 0 { // too far away from those beside it
		p.seal()
		if err := p.makeRoom(ctx, size); err != nil {
			p.dropEmpty()
			return 0, false, err
		}
		mark, err = p.add(batch, now)
	}
	if err != nil {
		p.dropEmpty()
		return 0, false, errorf(ErrInvalid, "%v", err)
	}
	st := p.open
	first = p.next
	if mark.Count() == 0 {
		st.first = first
	}
	p.next += uint64(len(batch))
	if ack == Buffered {
		st.told, p.told = true, p.next
	} else {
		st.ack = max(st.ack, ack.native())
		st.join(m, &mark)
		p.returns.Add(-1) // below 0: more have come than were waited for
	}
	p.log.appends.Add(1)
	return first, p.urge(st), nil
}

// add adds records to the open stage: all of them, or none. mark is the body before that.
func (p *Partition) add(batch Batch, now int64) (mark walbody.Builder, err error) {
	body := &p.open.body
	mark = *body
	for i := range batch {
		r := batch[i].encoded(now)
		if err := body.Add(&r); err != nil {
			*body = mark
			return mark, err
		}
	}
	return mark, nil
}

// makeRoom waits until so many bytes have room in an open stage. It lets go of the mutex meanwhile.
func (p *Partition) makeRoom(ctx context.Context, size int) error {
	for {
		if err := p.refusal(); err != nil {
			return err
		}
		if p.held != nil {
			if err := p.awaitRelease(ctx); err != nil {
				return err
			}
			continue
		}
		if p.open != nil && p.open.body.Count() > 0 && p.open.size()+size > stageBytes {
			p.seal()
		}
		if p.open == nil {
			p.open = newStage()
		}
		if p.hasRoom(size) {
			return nil
		}
		if err := p.awaitBudget(ctx, size); err != nil {
			return err
		}
	}
}

// hasRoom says whether so many bytes have room in the open stage, and makes it if the budget has it: for
// as much as the last body needed, or else for this.
func (p *Partition) hasRoom(size int) bool {
	st := p.open
	need := st.size() + size
	if need <= cap(st.body.Body()) {
		return true
	}
	for _, capacity := range [...]int{bodyCapacity(max(need, p.usual)), bodyCapacity(need)} {
		short := p.log.short(st, capacity)
		if short > 0 && !p.log.budget.TryAcquire(short) {
			continue
		}
		st.reserved += max(short, 0)
		p.log.grow(st, capacity)
		return true
	}
	return false
}

// awaitBudget takes memory from the budget for so many bytes when others give it back, for what is open then. It has
// those hand over what they hold, in other partitions, too: nobody else may hurry them.
func (p *Partition) awaitBudget(ctx context.Context, size int) error {
	p.dropEmpty()
	p.seal()
	p.ask()
	p.mu.Unlock()
	p.log.waits.Add(1)
	p.waiters.Add(1)
	p.log.waiting.Add(1) // before: what begins to linger later does so no longer
	p.log.hurry()
	short := min(int64(bodyCapacity(size)), p.log.options.stagedBytes()) // of a new stage
	err := p.log.budget.Acquire(ctx, short)
	p.log.waiting.Add(-1)
	p.waiters.Add(-1)
	p.mu.Lock()
	if err != nil {
		return err
	}
	if p.closed {
		p.log.budget.Release(short)
		return nil // the caller finds out
	}
	if p.open == nil {
		p.open = newStage()
	}
	p.open.reserved += short
	return nil
}

// awaitRelease waits while appends are held.
func (p *Partition) awaitRelease(ctx context.Context) error {
	held := p.held
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refusal says why nothing can be appended.
func (p *Partition) refusal() error {
	switch {
	case p.closed:
		return errClosed
	case p.log.options.ReadOnly:
		return errorf(ErrReadOnly, "%s: the log was opened to be read only; open it without ReadOnly to append", p)
	case p.lost != nil:
		return p.takeLost()
	}
	return nil
}

// takeLost is what has to be told once.
func (p *Partition) takeLost() error {
	err := p.lost
	p.lost = nil
	return err
}

// seal ends the open stage: what comes later goes into another one.
func (p *Partition) seal() {
	p.ripen()
	if p.mayHandOver() {
		p.ask()
	}
}

// dropEmpty gives back the memory of an open stage that nothing is in.
func (p *Partition) dropEmpty() {
	if p.open != nil && p.open.body.Count() == 0 {
		p.log.freeStage(p.open)
		p.open = nil
	}
}

// urge sees that what was just added to a stage is handed over in time. True: somebody has to drive.
func (p *Partition) urge(st *stage) bool {
	if p.mayHandOver() {
		p.ask()
	}
	if !st.lingers && st.ack == 0 {
		st.lingers = true
		p.log.linger(p)
	}
	return p.queued
}

// mayHandOver says whether there is a stage that is to be handed over now.
func (p *Partition) mayHandOver() bool {
	if p.inFlight >= inFlightMax {
		return false
	}
	if len(p.ready) > 0 {
		return true
	}
	st := p.open
	if st == nil || st.body.Count() == 0 || st.ack == 0 && !st.due {
		return false
	}
	return p.inFlight == 0 || st.due || st.size() >= worthBytes
}

// ask has the driver look at the partition. The mutex is held: Close comes after it.
func (p *Partition) ask() {
	if !p.queued {
		p.queued = true
		p.log.enqueue(p)
	}
}

// takeBack takes an append out of what is staged, if it is not being handed over, and if no offset behind
// it was told.
func (p *Partition) takeBack(m *member) bool {
	st := m.stage
	if st.handing || p.told > st.first+uint64(m.index) || !st.leave(m) {
		return false
	}
	behind := false // the stages in front of it keep their offsets
	kept := p.ready[:0]
	for _, other := range p.ready {
		if behind {
			other.first -= uint64(m.count)
		}
		behind = behind || other == st
		if other == st && st.body.Count() == 0 {
			p.log.freeStage(st)
			continue
		}
		kept = append(kept, other)
	}
	clear(p.ready[len(kept):])
	p.ready = kept
	if p.open != nil && p.open != st {
		p.open.first -= uint64(m.count)
	}
	p.next -= uint64(m.count)
	p.dropEmpty()
	return true
}
