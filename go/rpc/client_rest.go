package rpc

import "sync/atomic"

// resting stands for a call that is over whose session is not to be used yet: what is sent on it before the
// core's next poll would be taken for a late frame of the stream, or of the message in slices, that has ended.
var resting = new(Message)

// What follows is the driver's.

// takeOut takes a call that is over out of its place. nil: there is none.
func (c *clientConn) takeOut(place *atomic.Pointer[Message], session uint16, size int) *Message {
	if !c.rests.Load() && (size <= sliceBytes || c.limits.Level < 2) { // as nearly always
		m := place.Swap(nil)
		if m != nil {
			c.answered++
		}
		return m
	}
	m := place.Swap(resting)
	switch {
	case m == resting:
		return nil
	case m == nil: // nobody has called; but somebody may have begun to in this moment
		place.CompareAndSwap(resting, nil)
		return nil
	case m == abandoned || m.stream != nil || m.sliced || size > sliceBytes:
		c.rest(session)
	default:
		place.Store(nil)
		c.answered++
	}
	return m
}

// rest keeps the place of a call that ended in this turn.
func (c *clientConn) rest(session uint16) {
	c.wakeRested()
	c.resting, c.restTurn = append(c.resting, session), c.engine.loop.Turn()
	if c.full.Load() {
		c.mu.Lock()
		if c.down == nil {
			c.ask() // those who wait for a place get it behind the next poll
		}
		c.mu.Unlock()
	}
}

// wakeRested gives the places free that have rested.
func (c *clientConn) wakeRested() {
	if len(c.resting) == 0 || c.restTurn == c.engine.loop.Turn() {
		return
	}
	for _, session := range c.resting {
		c.pages[session/sessionPage].Load()[session%sessionPage].CompareAndSwap(resting, nil)
	}
	c.answered += uint64(len(c.resting))
	c.resting = c.resting[:0]
}
