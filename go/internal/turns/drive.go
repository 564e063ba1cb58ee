package turns

import (
	"runtime"
	"time"
)

// nobody is the waiter of those who drive for others.
var nobody Waiter

// drive makes turns until w has its answer or is cancelled; for nobody, until nobody waits; or until
// nothing comes for too long. It begins with the token, and gives it away at its end. told: there is
// something to find; finding it says nothing about whether looking is worth it.
func (l *Loop) drive(w Waiter, cancelled <-chan struct{}, told bool) {
	looks := l.looks()
	if l.armed && looks > 0 {
		l.armed = l.gate.disarm() != nil // else every packet would wake the poller's thread
	}
	left := looks
	if told {
		left = 0
	}
	for {
		l.yield()
		n, asked := l.turn(left > 0)
		if l.ending {
			l.end()
			return
		}
		if n > 0 || asked {
			l.active++
		}
		if n > 0 && left > 0 {
			l.worth = min(l.worth+hitWorth, worthMax)
		}
		over, waiting := w.isOver(cancelled), l.waiting.Load()
		switch {
		case over:
			l.woken = max(l.woken-1, 0) // w, which is about to run
			l.retire(waiting)
			return
		case w == nobody && waiting == 0 && l.woken <= 1 && !l.settling:
			l.woken = 0
			if l.leave(false) {
				return
			}
		case n > 0 || asked:
			left = looks
		case left > 1 && waiting > 0:
			left--
			runtime.Gosched() // another goroutine may want the only processor
		default:
			if left > 0 && waiting > 0 {
				l.worth = max(l.worth-1, 0)
			}
			left, looks = 0, 0
			if l.arm() && l.leave(true) {
				return
			}
		}
	}
}

// retire is the end of a driver whose own wait is over: for those who still wait, or come just now, the
// crew drives on.
func (l *Loop) retire(waiting int64) {
	if waiting > 0 || !l.leave(false) {
		l.crew <- struct{}{}
	}
}

// looks is how often the next driver looks for input, each time for a while, before it leaves the loop
// to the poller: once, or in short pieces where Go has one processor, or not at all.
func (l *Loop) looks() int {
	l.counts.drives.add() // asked once by each
	if l.worth == 0 {
		if l.passed++; l.passed%probeEvery != 0 {
			return 0
		}
	}
	if l.procs == 1 {
		return spinMicros / sliceMicros
	}
	return 1
}

// yield lets those run who were woken: they may call again, and it all goes out in one piece.
func (l *Loop) yield() {
	if l.woken > 0 {
		l.woken = 0
		runtime.Gosched()
	}
}

// turn makes one turn of the core and tells how many events it found, and whether something was asked.
func (l *Loop) turn(spin bool) (n int, asked bool) {
	if l.asked.Load() || l.core.Pending() {
		asked = l.deliver()
	}
	wait := int64(0)
	if spin && l.waiting.Load() > 0 {
		wait = max(spinMicros, l.sleep)
		if l.procs == 1 {
			wait = sliceMicros
		}
	}
	l.polls++
	if n = l.core.Poll(wait); n <= 0 {
		return 0, asked
	}
	events := l.core.Events()
	for i := range events {
		l.user.Note(&events[i])
	}
	return n, asked
}

// deliver does what others asked for. False: that was done already, and their bell came late; it would
// keep the core awake.
func (l *Loop) deliver() (asked bool) {
	l.core.ClearPending()
	asked = l.asked.Swap(false)
	l.mu.Lock()
	l.taken, l.mail = l.mail, l.taken[:0]
	l.mu.Unlock()
	for i, f := range l.taken {
		f()
		l.taken[i] = nil
	}
	l.user.Flush()
	return asked
}

// arm leaves the loop to the poller. False: there is something to do first.
func (l *Loop) arm() bool {
	wait := l.core.Arm()
	if wait == 0 {
		return false
	}
	if l.gate.arm() != nil {
		wait = int64(quietAfter / time.Microsecond) // the descriptor was taken away: look from time to time
	}
	l.armed, l.settling = true, false
	if wait > 0 {
		due := time.Duration(wait) * time.Microsecond
		l.alarmed = due <= quietAfter
		l.alarm.Reset(due)
	}
	return true
}

// leave gives the token back. False: it was taken again, because somebody wants something who may have
// seen it taken. The core is not touched any more: the loop may have been stopped. armed: the poller tells when there is input; else those who wait count, too.
func (l *Loop) leave(armed bool) bool {
	if !armed && !l.alarmed {
		l.alarmed = true
		l.alarm.Reset(quietAfter)
	}
	l.token.Swap(0)
	if l.asked.Load() || !armed && l.waiting.Load() > 0 {
		return !l.token.CompareAndSwap(0, 1)
	}
	return true
}

// ring is called by the alarm: a timer of the core is due, or nobody may have driven for a while.
func (l *Loop) ring() {
	if !l.token.CompareAndSwap(0, 1) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.dead {
			l.alarm.Reset(quietAfter) // whoever drives may leave without setting it
		}
		return
	}
	l.alarmed = false
	l.procs = runtime.GOMAXPROCS(0)
	l.settling = l.active == l.seen || l.armed
	l.seen = l.active
	l.drive(nobody, nil, false)
}

// end is the driver's last.
func (l *Loop) end() {
	l.core.Poll(0) // what is still to be sent
	l.mu.Lock()
	l.dead = true
	l.alarm.Stop()
	l.mu.Unlock()
	close(l.crew)
	l.gate.close()
}

// drivesForAll is the goroutine that drives while several wait.
func (l *Loop) drivesForAll() {
	for range l.crew {
		l.drive(nobody, nil, false)
	}
}

// watches is the goroutine that drives when there is input and nobody looks for it.
func (l *Loop) watches() {
	for l.gate.wait() {
		l.counts.arrivals.add()
		l.fired()
	}
}

func (l *Loop) fired() {
	l.Ask() // a driver that has armed the gate just now has not given the token back yet
	if l.token.CompareAndSwap(0, 1) {
		l.drive(nobody, nil, true)
	}
}

func (w Waiter) isOver(cancelled <-chan struct{}) bool {
	if len(w.answer) > 0 {
		return true
	}
	if cancelled == nil {
		return false
	}
	select {
	case <-cancelled:
		return true
	default:
		return false
	}
}
