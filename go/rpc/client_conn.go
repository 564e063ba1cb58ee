package rpc

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

// sessionPage is how many sessions a page of a connection's table holds; pages come when needed.
const sessionPage = 256

// sessionTable is who waits for which of a page's sessions; nil: nobody. Callers take places under the
// connection's lock; whoever swaps somebody out owes him an answer.
type sessionTable [sessionPage]atomic.Pointer[Message]

// Bounds of what waits for a connection.
const (
	queuedBytesMax = 8 << 20 // here: then calls wait
	unsentBytesMax = 4 << 20 // in the core, not taken by the peer: then frames stay here
	queueKeepMax   = 1 << 20 // memory that is kept for the next frames
)

// statusMax is the highest number that is a status.
const statusMax = 999

// abandoned stands for a call that nobody waits for any more; its session stays taken until the reply
// comes or the connection ends.
var abandoned = new(Message)

// clientConn is one connection of a client, from the attempt to its end.
type clientConn struct {
	engine *clientEngine
	ready  turns.Waiter // answered when it is up, or has failed
	onDown func(wasUp, wasGood bool)

	good  atomic.Bool // a reply came
	pages [65536 / sessionPage]atomic.Pointer[sessionTable]

	mu    sync.Mutex
	id    uint64 // in its core; 0: not yet
	up    bool
	wasUp bool
	down  *Error // why it ended
	next  uint16 // session to try first

	// Frames on their way to the core.
	frames []byte
	count  int
	queued bool          // the engine knows
	room   chan struct{} // closed when frames were taken; nil: nobody waits

	spare []byte // the driver's: memory for the next frames
}

func newClientConn(e *clientEngine, onDown func(wasUp, wasGood bool)) *clientConn {
	return &clientConn{engine: e, ready: turns.NewWaiter(), next: 1, onDown: onDown}
}

// opened, isUp, isDown, deliver and flush are called by the driver; isDown by Client.Close, too.

func (c *clientConn) opened(id uint64) {
	c.mu.Lock()
	c.id = id
	c.mu.Unlock()
}

func (c *clientConn) coreID() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id, c.id != 0
}

func (c *clientConn) isUp() {
	c.mu.Lock()
	c.up, c.wasUp = true, true
	c.mu.Unlock()
	c.engine.loop.Answer(c.ready)
}

// isDown fails every call that waits. Only the first time counts.
func (c *clientConn) isDown(why *Error) {
	c.mu.Lock()
	if c.down != nil {
		c.mu.Unlock()
		return
	}
	wasUp := c.up
	c.up = false
	c.down = why // nobody takes a session any more
	c.mu.Unlock()
	for i := range c.pages {
		page := c.pages[i].Load()
		if page == nil {
			continue
		}
		for k := range page {
			if m := page[k].Swap(nil); m != nil && m != abandoned {
				m.failure = &Error{Code: CodeUnavailable, Message: why.Message + " before the reply came", MayHaveRun: true,
					Cause: why.Cause}
				c.engine.loop.Answer(m.waiter)
			}
		}
	}
	if !wasUp {
		c.engine.loop.Answer(c.ready)
	}
	c.onDown(wasUp, c.good.Load())
}

// deliver hands a reply to its caller. It reports whether somebody was woken.
//
// Servers of the Java port put the method's id where the status belongs: that is a 200, unless the id
// could be a status.
func (c *clientConn) deliver(session uint16, code Code, compression Compression, payload []byte) bool {
	if !c.good.Load() {
		c.good.Store(true)
	}
	page := c.pages[session/sessionPage].Load()
	if page == nil {
		return false
	}
	m := page[session%sessionPage].Swap(nil)
	if m == nil || m == abandoned {
		return false
	}
	if code > statusMax && uint32(code) == m.method {
		code = CodeOK
	}
	if compression != CompressionNone && code == CodeOK {
		if m.compression = compression; !m.filtered {
			code = CodeNotImplemented // not asked for
		}
	}
	m.code = code
	if code == CodeOK {
		m.payload = append(m.payload[:0], payload...)
	}
	c.engine.loop.Answer(m.waiter)
	return true
}

// enqueue finds a session for a call and queues its frame. While too much is queued already nothing
// happens, and the channel that is returned is closed when it is worth trying again.
func (c *clientConn) enqueue(m *Message, payload []byte) (session uint16, room <-chan struct{}, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.down != nil:
		return 0, nil, c.down
	case len(c.frames) > queuedBytesMax:
		if c.room == nil {
			c.room = make(chan struct{})
		}
		return 0, c.room, nil
	}
	session, free := c.register(m)
	if !free {
		return 0, nil, &Error{Code: CodeLimit, Message: "65536 calls are in flight on this connection"}
	}
	var h [native.HeaderSize]byte
	h[0], h[1] = uint8(m.request), native.MayPad
	if m.request != CompressionNone {
		h[1] = 0 // who decompresses it would stumble over what is behind its end
	}
	binary.LittleEndian.PutUint16(h[2:], session)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[12:], m.method)
	c.frames = append(append(c.frames, h[:]...), payload...)
	c.count++
	if !c.queued {
		c.queued = true
		c.engine.enqueue(c) // under the lock: when a client was closed nobody asks the loop any more
	}
	return session, nil, nil
}

// register gives a free session to a call. False: there is none.
func (c *clientConn) register(m *Message) (session uint16, free bool) {
	for range sessionPage * len(c.pages) {
		session = c.next
		c.next++
		page := c.pages[session/sessionPage].Load()
		if page == nil {
			page = new(sessionTable)
			c.pages[session/sessionPage].Store(page)
		}
		if place := &page[session%sessionPage]; place.Load() == nil {
			c.engine.loop.Expect()
			place.Store(m)
			return session, true
		}
	}
	return 0, false
}

// flush hands the queued frames to the core. False: not now.
func (c *clientConn) flush(core *native.Core) bool {
	c.mu.Lock()
	if core.Unsent() > 0 && core.UnsentBytes(c.id) > unsentBytesMax || core.SendRoom() == 0 || !core.NeedLoan(len(c.frames)) {
		c.mu.Unlock()
		return false
	}
	frames, count := c.frames, c.count
	c.frames, c.count, c.queued = c.spare[:0], 0, false
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
	c.mu.Unlock()
	if count > 0 {
		core.PutFrames(c.id, frames, count)
	}
	if cap(frames) > queueKeepMax {
		frames = nil // a burst of large calls does not pin its memory
	}
	c.spare = frames
	return true
}

// abandon gives up waiting. False: the reply is in, or on its way.
func (c *clientConn) abandon(session uint16, m *Message) bool {
	if !c.pages[session/sessionPage].Load()[session%sessionPage].CompareAndSwap(m, abandoned) {
		return false
	}
	c.engine.loop.Forget()
	return true
}
