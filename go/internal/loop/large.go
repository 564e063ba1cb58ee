package loop

import (
	"runtime"

	native "github.com/smf-go/smf/cgo"
)

// Large replies are copied into the core's memory by the goroutine that has them, not by the loop: it would stand
// still for all the others meanwhile. The goroutine asks the loop for memory, fills it, and sends a letter.

// largeReply is the largest payload that the loop copies; pieceBytes is how much a goroutine copies until it lets
// others run: a copy is nothing that Go's scheduler interrupts. With one processor that is busy the next piece has
// its turn half a millisecond later: smaller pieces would take longer than the message's way.
const (
	largeReply = 256 << 10
	pieceBytes = 1 << 20
)

// want is a goroutine that wants memory.
type want struct {
	size  int
	lent  native.Lent // none: nobody reads mail any more
	ready chan struct{}
}

func isLarge(r *native.Reply) bool { return len(r.Payload) > largeReply && !r.InLoan && !r.Deferred }

// carry puts a large reply into memory of the core, and does nothing with others. It waits for the driver:
// not for the driver's goroutine. Whoever gets memory hands it on by send.
func (l *Loop) carry(r *native.Reply) native.Lent {
	if !isLarge(r) {
		return native.Lent{}
	}
	w := &want{size: len(r.Metadata) + len(r.Payload), ready: make(chan struct{})}
	l.mu.Lock()
	over := l.over
	if !over {
		l.postLocked(letter{want: w})
	}
	l.mu.Unlock()
	if over {
		return native.Lent{}
	}
	<-w.ready
	if !w.lent.IsZero() {
		to := w.lent.Bytes()
		CopyInPieces(to[copy(to, r.Metadata):], r.Payload)
		l.carried.Add(1)
	}
	return w.lent
}

// CopyInPieces is copy for what is large: others run in between.
func CopyInPieces(to, from []byte) {
	for len(from) > pieceBytes {
		copy(to, from[:pieceBytes])
		to, from = to[pieceBytes:], from[pieceBytes:]
		runtime.Gosched()
	}
	copy(to, from)
}

// send posts a letter, and lets go of what carry has made the core keep.
func (l *Loop) send(m letter) {
	l.post(m)
	if !m.lent.IsZero() {
		l.release() // after the letter: it may be the last that is read
	}
}

// grant gives memory to those who wait for it. The driver.
func (l *Loop) grant() {
	given := 0
	for given < len(l.wants) {
		if given == native.LendsOfTurn {
			l.core.Ring()
			break
		}
		w := l.wants[given]
		lent, ok := l.core.Lend(w.size)
		if !ok {
			l.stuck = true
			break
		}
		l.holders.Add(1)
		w.lent = lent
		close(w.ready)
		given++
	}
	if given > 0 {
		left := copy(l.wants, l.wants[given:])
		clear(l.wants[left:])
		l.wants = l.wants[:left]
	}
}

// sendFrom sends a reply from where it is. False: not now.
func (l *Loop) sendFrom(m *letter) bool {
	if m.lent.IsZero() {
		return l.core.Send(&m.out)
	}
	if !l.core.SendLent(&m.out, &m.lent) {
		return false
	}
	l.sent = append(l.sent, m.lent.Buffer())
	return true
}

// releaseSent lets go of what the last poll has sent: the engine keeps what the peer has not taken.
func (l *Loop) releaseSent() {
	for _, b := range l.sent {
		l.core.Release(b)
	}
	l.sent = l.sent[:0]
}

// endOfMail tells those who wait for memory that they get none. The last thing that a driver does.
func (l *Loop) endOfMail() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, letters := range [][]letter{l.taken[l.takenPos:], l.mail} {
		for i := range letters {
			if w := letters[i].want; w != nil {
				close(w.ready)
			}
		}
	}
	for _, w := range l.wants {
		close(w.ready)
	}
	l.wants = nil
}
