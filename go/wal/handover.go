package wal

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// gatherFor is how long the driver lets others run before it hands over, after the last of them came.
const gatherFor = 5 * time.Microsecond

// What the driver does for a partition. The border is called without the mutex: others go on staging.

// flush hands over what is to be handed over; all: everything that is staged now. Else no more at a time
// than is worth the longest write: the disk begins with that meanwhile. True: the native library has no
// room now.
func (p *Partition) flush(all bool) (stalled bool) {
	l := p.log
	p.mu.Lock()
	p.queued = false
	left := math.MaxInt
	if all {
		p.ripen()
		left = len(p.ready)
	}
	for taken := 0; left > 0; left-- {
		st := p.toHandOver(all)
		if st == nil {
			break
		}
		if taken > 0 && taken+st.size() > stageBytes && !all {
			p.ask()
			break
		}
		taken += st.size()
		st.handing = true
		p.mu.Unlock()
		body, ack := st.handOver()
		user := l.depart(p, st)
		l.handOvers.Add(1)
		first, status := l.border.Append(p.handle, body, ack, user)
		p.mu.Lock()
		if status == 0 {
			p.departed(st, first)
			continue
		}
		l.arrive(user)
		if status == native.StatusNoMemory || status == native.StatusLimit {
			p.putBack(st)
			stalled = true
			break
		}
		p.fail(p.reason(status))
		p.mu.Lock()
	}
	p.mu.Unlock()
	return stalled
}

// gather lets those run who were just answered: their next appends leave in the same call. Not for long:
// they may have nothing more to append, and what is worth a write does not wait while the disk does.
func (p *Partition) gather() {
	last := p.returns.Load()
	if last <= 0 {
		return
	}
	for since := time.Now(); last > 0; {
		if p.keepsDiskIdle() {
			p.early = true
			return
		}
		runtime.Gosched()
		left, now := p.returns.Load(), time.Now()
		if left != last {
			last, since = left, now
		} else if now.Sub(since) > gatherFor {
			return
		}
	}
}

// keepsDiskIdle says whether something waits that is worth a write, while nothing is written.
func (p *Partition) keepsDiskIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inFlight == 0 && (len(p.ready) > 0 || p.open != nil && p.open.size() >= worthBytes)
}

// toHandOver is the next stage that is to be handed over, which is the first of those that are ready
// then; nil: none is.
func (p *Partition) toHandOver(all bool) *stage {
	if len(p.ready) == 0 && p.mayHandOver() {
		p.ripen()
	}
	if len(p.ready) == 0 || !all && p.inFlight >= inFlightMax {
		return nil
	}
	return p.ready[0]
}

// ripen makes the open stage one that is ready.
func (p *Partition) ripen() {
	if p.open != nil && p.open.body.Count() > 0 {
		p.ready, p.open = append(p.ready, p.open), nil
	}
}

// departed notes that the native library has taken a copy of the first stage.
func (p *Partition) departed(st *stage, first uint64) {
	p.ready = slices.Delete(p.ready, 0, 1)
	p.inFlight++
	if !p.early {
		p.returns.Store(0)
	}
	p.early = false
	p.usual = min(st.size(), stageBytes) // a large append says nothing of the next
	p.log.loop.Expect()                  // somebody looks until it is acknowledged
	p.log.freeBody(st)
	if first != st.first && st.told {
		p.lose(st, fmt.Errorf("they got offset %d instead of %d", first, st.first))
	}
	st.first = first
}

// putBack takes the first stage back, to be tried again. If nothing is behind it, it gathers on.
func (p *Partition) putBack(st *stage) {
	st.handing = false
	if p.open == nil && len(p.ready) == 1 {
		p.open, p.ready = st, p.ready[:0]
		st.due = true
	}
}

// completed notes what came of a stage.
func (p *Partition) completed(st *stage, status native.Status) {
	l := p.log
	l.loop.Forget()
	var err error
	if status != 0 {
		err = p.reason(status)
	}
	p.mu.Lock()
	p.inFlight--
	if err != nil && st.told {
		p.lose(st, err)
	}
	st.settle(l, err)
	p.returns.Add(int64(len(st.members)))
	if err == nil && p.mayHandOver() {
		p.ask()
	}
	p.mu.Unlock()
	l.answer(st)
	stages.Put(st)
	if err != nil {
		p.mu.Lock()
		p.fail(err)
	}
}

// fail gives up everything that is staged. It begins with the mutex, and ends without.
func (p *Partition) fail(err error) {
	failed := p.ready
	if p.open != nil && p.open.body.Count() > 0 {
		failed, p.open = append(failed, p.open), nil
	}
	p.ready = nil
	for _, st := range failed {
		if st.told {
			p.lose(st, err)
		}
		p.log.freeBody(st)
		st.settle(p.log, err)
	}
	if info, err := p.log.border.Info(p.handle); err == nil {
		p.next = info.Next
		p.told = min(p.told, p.next)
	}
	p.mu.Unlock()
	for _, st := range failed {
		p.log.answer(st)
		stages.Put(st)
	}
}

// lose notes that Buffered appends of a stage are lost.
func (p *Partition) lose(st *stage, err error) {
	if p.lost == nil {
		p.lost = &Error{Kind: ErrLost, Cause: err,
			Text: fmt.Sprintf("%s: buffered records from offset %d on were lost, and nothing was appended now: %v", p, st.first, err)}
	}
}

// reason is the error of an append that the native library has refused, or failed.
func (p *Partition) reason(status native.Status) error {
	text := ""
	if info, err := p.log.border.Info(p.handle); err == nil {
		text = info.Text
	}
	kind := kinds[status]
	if kind == nil {
		kind = ErrDamaged
	}
	if text == "" {
		text = advice[status]
	}
	if text == "" {
		text = fmt.Sprintf("status %d of the native library", status)
	}
	return &Error{Kind: kind, Text: fmt.Sprintf("%s: %s", p, text), Cause: &native.Error{Status: status, Text: text}}
}

// advice is for statuses of appends that come without a sentence.
var advice = map[native.Status]string{
	native.StatusNoSpace:  "the disk is full; free some space, then append again",
	native.StatusQuota:    "the disk quota is used up; free some space, then append again",
	native.StatusReadOnly: "the log, or its file system, can only be read; open it where it can be written",
	native.StatusIO:       "the disk failed; look at the kernel's messages, then open the log again",
	native.StatusInvalid:  "the native library refuses the batch; this is a bug in smf",
	native.StatusClosed:   "the log is closed; open it again",
}

// drain hands over everything that is staged, makes it durable, and tells what of that failed. The
// driver; it may be over only later.
func (p *Partition) drain(done func(error)) {
	if p.flush(true) {
		p.log.later(func() { p.drain(done) })
		return
	}
	err := fromNative(p.log.border.Sync(p.handle))
	p.mu.Lock()
	lost := p.takeLost()
	p.mu.Unlock()
	if lost != nil {
		err = lost
	}
	done(err)
}

// hold has appends wait until what done is given is called, when everything before is durable. The
// driver; one hold at a time.
func (p *Partition) hold(done func(release func(), err error)) {
	p.mu.Lock()
	if p.held != nil {
		p.holds = append(p.holds, func() { p.hold(done) })
		p.mu.Unlock()
		return
	}
	held := make(chan struct{})
	p.held = held
	p.mu.Unlock()
	p.drain(func(err error) {
		done(func() {
			p.mu.Lock()
			p.held = nil
			next := p.holds
			p.holds = nil
			p.mu.Unlock()
			close(held)
			for _, f := range next { // the first one holds it, the others wait again
				p.log.loop.Do(f)
			}
		}, err)
	})
}
