package load

import (
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// line is where the workers of an open loop wait for the next call. One of them, the leader, sleeps until that one
// is due and makes it; another one leads in its place. So nobody has to be woken between the time at which a call
// is due and its being sent. Where all are busy, who comes back takes what is overdue.
type line struct {
	mu      sync.Mutex
	next    func() (due, bool)
	first   due // the next one, if there is one
	some    bool
	leading bool
	idle    []chan struct{}
	taken   uint64
	stopped chan struct{}
	clock   func() time.Duration
	// more starts another worker, and tells whether there may be one.
	more func() bool
	full uint64 // how often a call was due and nobody was there to make it
}

// due is a call of a schedule.
type due struct {
	at     time.Duration // since the measured time began; before it: warming up
	number uint64        // of all calls
}

func newLine(next func() (due, bool), clock func() time.Duration) *line {
	l := &line{next: next, clock: clock, stopped: make(chan struct{})}
	l.first, l.some = next()
	return l
}

// take waits for a call that is due, or for the end of all. wake is the worker's own, of one place.
func (l *line) take(wake chan struct{}) (due, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.some && !l.over() {
		if wait := l.first.at - l.clock(); wait <= 0 {
			d := l.first
			l.first, l.some = l.next()
			l.taken++
			l.follow()
			return d, true
		}
		if l.leading {
			l.idle = append(l.idle, wake)
			l.mu.Unlock()
			<-wake
			l.mu.Lock()
			continue
		}
		l.leading = true
		until := l.first.at
		l.mu.Unlock()
		l.sleep(until)
		l.mu.Lock()
		l.leading = false
	}
	l.release()
	return due{}, false
}

// follow sees to it that somebody waits for the next call. Under the lock.
func (l *line) follow() {
	if l.leading || !l.some {
		return
	}
	if n := len(l.idle); n > 0 {
		l.idle[n-1] <- struct{}{}
		l.idle = l.idle[:n-1]
		return
	}
	if !l.more() && l.first.at <= l.clock() {
		l.full++
	}
}

// release ends everybody's waiting. Under the lock.
func (l *line) release() {
	for _, wake := range l.idle {
		wake <- struct{}{}
	}
	l.idle = nil
}

func (l *line) over() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// stop ends it. Once.
func (l *line) stop() {
	close(l.stopped)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release()
}

// remaining is how many calls are due until a time and were not taken. After stop.
func (l *line) remaining(until time.Duration) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := uint64(0)
	for l.some && l.first.at < until {
		n++
		l.first, l.some = l.next()
	}
	return n
}

// How the leader sleeps: the Go runtime's timers are late by up to a millisecond where nothing else runs, so the
// last part is a sleep of the thread's own.
const (
	coarseStep = 20 * time.Millisecond // from here on with a timer, which can be stopped
	timerSlack = 1                     // ns by which the kernel may be late on purpose; the default is 50,000
)

func (l *line) sleep(until time.Duration) {
	for {
		wait := until - l.clock()
		switch {
		case wait <= 0 || l.over():
			return
		case wait > coarseStep:
			timer := time.NewTimer(wait - coarseStep/2)
			select {
			case <-timer.C:
			case <-l.stopped:
				timer.Stop()
				return
			}
		default:
			sleepThread(wait)
		}
	}
}

func sleepThread(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0)
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil)                        // a signal ends it early: the caller looks at the clock again
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // as it was
}
