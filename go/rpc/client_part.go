package rpc

import (
	"encoding/binary"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

// partWait bounds how long Client.Close waits for the server to take what was handed over before.
const partWait = time.Second

// parting is the end of a connection whose client is closed.
type parting struct {
	waiter turns.Waiter
	begun  bool // under the connection's lock: what was handed over is still to be sent
	waits  bool // likewise: for waiter
	gone   bool // the driver's: the core knows the connection no more
}

// lastWords is what is left of queued frames when their client is closed: one-way messages, and resets of calls that
// were sent. Their callers were told that they are on their way; those of calls hear that they were not sent.
func lastWords(frames []byte, unsent map[uint16]bool) (left []byte, count int) {
	left = frames[:0]
	for len(frames) > 0 {
		size := native.HeaderSize + int(binary.LittleEndian.Uint32(frames[4:]))
		flags, session := frames[1], binary.LittleEndian.Uint16(frames[2:])
		if flags&native.FlagOneWay != 0 || flags&native.FlagReset != 0 && !unsent[session] {
			left = append(left, frames[:size]...)
			count++
		}
		frames = frames[size:]
	}
	return left, count
}

// part fails the calls that wait, and has the connection end behind its last words. awaitEnd has to follow.
func (c *clientConn) part(why *Error) {
	c.mu.Lock()
	c.parting.begun, c.parting.waits, c.parting.waiter = true, true, turns.NewWaiter()
	c.mu.Unlock()
	c.engine.loop.Expect()
	// At once, not when the loop says so: it may end before, or wait for the peer to take what is left.
	c.isDown(why)
	until := time.Now().Add(partWait)
	c.engine.loop.Do(func() { c.sayLast(until) })
}

// keepLast adds what a stream has still to say: that it was given up.
func (c *clientConn) keepLast(frames []byte, count int) {
	if count == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parting.begun {
		c.frames = append(c.frames, frames...)
		c.count += count
	}
}

// awaitEnd waits until all has left, or until late is closed.
func (c *clientConn) awaitEnd(late <-chan struct{}) {
	if !c.engine.loop.Await(c.parting.waiter, late) && c.stopWaiting() {
		c.engine.loop.Forget()
	}
}

// stopWaiting reports whether somebody waited for the end.
func (c *clientConn) stopWaiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waited := c.parting.waits
	c.parting.waits = false
	return waited
}

// What follows is the driver's.

func (c *clientConn) sayLast(until time.Time) {
	core := c.engine.loop.Core()
	id, known := c.coreID()
	if !known || c.parting.gone {
		c.isGone()
		return
	}
	c.mu.Lock()
	frames, count := c.frames, c.count
	if count > 0 && (core.SendRoom() == 0 || !core.NeedLoan(len(frames))) && time.Now().Before(until) {
		c.mu.Unlock()
		c.engine.loop.Do(func() { c.sayLast(until) }) // when this turn's sends have left
		return
	}
	c.frames, c.count = nil, 0
	c.mu.Unlock()
	if count > 0 {
		core.PutFrames(id, frames, count)
	}
	core.Disconnect(id)
}

// isGone says that the core knows the connection no more.
func (c *clientConn) isGone() {
	c.parting.gone = true
	if c.stopWaiting() {
		c.engine.loop.Answer(c.parting.waiter)
		c.engine.loop.Woke()
	}
}
