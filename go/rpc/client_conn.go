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
	queuedBytesMax = 8 << 20       // here: then calls wait
	unsentBytesMax = 4 << 20       // in the core, not taken by the peer: then frames stay here
	slicedBytesMax = frameBytesMax // there, of calls in slices: so one of them, however large, holds up no other
	queueKeepMax   = 1 << 20       // memory that is kept for the next frames
)

// sliceBytes is the largest message that is surely not cut into slices at level 2.
const sliceBytes = 64 << 10

// abandoned stands for a call that nobody waits for any more; its session stays taken until the reply
// comes or the connection ends.
var abandoned = new(Message)

// clientConn is one connection of a client, from the attempt to its end.
type clientConn struct {
	client  *Client
	engine  *clientEngine
	address string       // numeric
	ready   turns.Waiter // answered when it is up, or has failed

	limits native.Level // what was agreed on; constant once it is up
	good   atomic.Bool  // a reply came
	rests  atomic.Bool  // there were calls whose sessions rest when they are over: see resting
	full   atomic.Bool  // callers wait for others' calls to be answered
	pages  [65536 / sessionPage]atomic.Pointer[sessionTable]

	// Under the client's lock.
	replaced bool // another connection is, or will be, in its place
	away     bool // the server takes no new calls on it

	mu          sync.Mutex
	id          uint64 // in its core; 0: not yet
	up          bool
	wasUp       bool
	leaving     bool   // no new calls
	down        *Error // why it ended
	closeReason native.CloseReason
	next        uint16 // session to try first
	begun       uint64 // calls that got a session
	over        uint64 // of them were answered, as far as the driver has told

	// Frames on their way to the core.
	frames []byte
	count  int
	large  []largeFrame  // that leave before them
	bytes  int           // of large
	queued bool          // the engine knows
	room   chan struct{} // closed when frames were taken; nil: nobody waits
	places chan struct{} // closed when calls were answered; nil: nobody waits

	streams []*clientStream // that have something for the core

	parting parting

	pings map[uint64]*ping // by token
	token uint64           // the last one's

	// The driver's.
	spare    []byte   // memory for the next frames
	answered uint64   // calls
	last     uint64   // calls that are in flight, plus 1, of a connection that is leaving
	streamed int64    // bytes of streams that the core may still have
	resting  []uint16 // sessions
	restTurn uint64   // in which their calls ended
	flushing []*clientStream
	alive    aliveness
}

func newClientConn(c *Client, address string) *clientConn {
	return &clientConn{client: c, engine: c.engine, address: address, ready: turns.NewWaiter(), next: 1}
}

// opened, isUp, isDown, leave, deliver and flush are called by the driver; isDown by Client.Close, too.

func (c *clientConn) opened(id uint64) {
	c.mu.Lock()
	c.id = id
	c.mu.Unlock()
}

func (c *clientConn) closed(reason native.CloseReason) {
	c.mu.Lock()
	c.closeReason = reason
	c.mu.Unlock()
	c.isGone()
}

func (c *clientConn) coreID() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id, c.id != 0
}

func (c *clientConn) isUp(limits native.Level) {
	c.limits = limits
	c.mu.Lock()
	c.up, c.wasUp = true, true
	c.mu.Unlock()
	c.watch(c.client.options.KeepAlive)
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
	unsent := c.dropLarge(sessionsOf(c.frames))
	if c.parting.begun {
		c.frames, c.count = lastWords(c.frames, unsent)
	} else {
		c.frames, c.count = c.frames[:0], 0 // or a flush sends what callers hear was not sent
	}
	pings := c.pings
	c.pings = nil
	c.admit()
	c.mu.Unlock()
	c.eachCall(func(session uint16, place *atomic.Pointer[Message]) {
		m := place.Swap(nil)
		if m == nil || m == abandoned || m == resting {
			return
		}
		if m.stream != nil {
			c.keepLast(m.stream.lost(why))
			return
		}
		m.failure = &Error{Code: CodeUnavailable, Message: why.Message + " before the reply came", MayHaveRun: true, Cause: why.Cause}
		if unsent[session] {
			m.failure.Message, m.failure.MayHaveRun = why.Message+" before the call was sent", false
		}
		c.engine.loop.Answer(m.waiter)
	})
	for _, p := range pings {
		p.failure = why
		c.engine.loop.Answer(p.waiter)
	}
	if !wasUp {
		c.engine.loop.Answer(c.ready)
		return
	}
	c.client.lost(c)
}

// eachCall visits the places of calls that are not over.
func (c *clientConn) eachCall(visit func(session uint16, place *atomic.Pointer[Message])) {
	for i := range c.pages {
		page := c.pages[i].Load()
		if page == nil {
			continue
		}
		for k := range page {
			if m := page[k].Load(); m != nil && m != resting {
				visit(uint16(i*sessionPage+k), &page[k])
			}
		}
	}
}

// sessionsOf is which sessions have calls among frames.
func sessionsOf(frames []byte) map[uint16]bool {
	if len(frames) == 0 {
		return nil
	}
	sessions := map[uint16]bool{}
	for len(frames) > 0 {
		if frames[1]&(native.FlagReset|native.FlagOneWay) == 0 {
			sessions[binary.LittleEndian.Uint16(frames[2:])] = true
		}
		frames = frames[native.HeaderSize+int(binary.LittleEndian.Uint32(frames[4:])):]
	}
	return sessions
}

// resetsOf is what is left of frames when the calls among them go elsewhere: resets of those that were sent.
func resetsOf(frames []byte, unsent map[uint16]bool) (left []byte, count int) {
	left = frames[:0]
	for len(frames) > 0 {
		size := native.HeaderSize + int(binary.LittleEndian.Uint32(frames[4:]))
		if frames[1]&native.FlagReset != 0 && !unsent[binary.LittleEndian.Uint16(frames[2:])] {
			left = append(left, frames[:size]...)
			count++
		}
		frames = frames[size:]
	}
	return left, count
}

// admit has those try again who wait for room or for a place. Under the lock.
func (c *clientConn) admit() {
	c.admitForRoom()
	c.admitForPlaces()
}

func (c *clientConn) admitForRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

func (c *clientConn) admitForPlaces() {
	if c.places != nil {
		close(c.places)
		c.places = nil
	}
	c.full.Store(false)
}

// leave begins the end of a connection that is to take no new calls: those that were not sent yet go
// elsewhere, and it ends with the last reply to the others. One-way messages that were not sent are lost.
func (c *clientConn) leave() {
	if c.isLeaving() || c.ended() {
		return
	}
	c.client.sentAway(c) // first: whoever finds that it is leaving finds no way back to it
	c.mu.Lock()
	c.leaving = true
	unsent := c.dropLarge(sessionsOf(c.frames))
	c.frames, c.count = resetsOf(c.frames, unsent)
	c.admit()
	c.mu.Unlock()
	c.last = 1
	c.eachCall(func(session uint16, place *atomic.Pointer[Message]) {
		if m := place.Load(); m != nil && m.stream != nil {
			if !m.stream.move() {
				c.last++
			} else {
				place.Store(nil)
			}
			return
		}
		if !unsent[session] {
			c.last++
			return
		}
		if m := place.Swap(nil); m != nil && m != abandoned {
			m.moved = true
			c.engine.loop.Answer(m.waiter)
			c.engine.loop.Woke()
		}
	})
	c.endWhenDone()
}

func (c *clientConn) endWhenDone() {
	if c.last == 1 {
		c.last = 0
		c.engine.loop.Core().Disconnect(c.id)
	}
}

// deliver hands a reply to its caller. It reports whether somebody was woken.
func (c *clientConn) deliver(e *native.Event) bool {
	if !c.good.Load() {
		c.good.Store(true)
	}
	session := e.Session
	page := c.pages[session/sessionPage].Load()
	if page == nil {
		return false
	}
	place := &page[session%sessionPage]
	m := c.takeOut(place, session, int(e.Size))
	if m == nil {
		return false
	}
	if c.full.Load() {
		c.free()
	}
	woken := m != abandoned
	if m.stream != nil {
		woken = m.stream.isOver(e)
	} else if woken {
		m.take(e)
		if !m.native.IsZero() {
			c.engine.keep(m.native)
		}
		c.engine.loop.Answer(m.waiter)
	}
	if e.Size > sliceBytes && e.Level >= 2 {
		c.engine.loop.Core().Taken(e.Conn, session, int(e.Size))
	}
	if c.last != 0 {
		c.last--
		c.endWhenDone()
	}
	return woken
}

// free tells those who wait for a place that there may be one.
func (c *clientConn) free() {
	c.mu.Lock()
	c.over = c.answered
	if c.hasPlace() {
		c.admitForPlaces()
	}
	c.mu.Unlock()
}

func (c *clientConn) isLeaving() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaving
}

// hasPlace reports that the server takes another call beside those in flight: one too many would be
// refused. Under the lock.
func (c *clientConn) hasPlace() bool {
	return c.limits.Level < 2 || c.begun-c.over < uint64(c.limits.CallsMax)
}

// enqueue finds a session for a call and queues its frame. While there is no room for it, nothing happens,
// and the channel that is returned is closed when it is worth trying again. moved: it is for another
// connection.
func (c *clientConn) enqueue(m *Message, r *request) (session uint16, wait <-chan struct{}, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait, err = c.refuse(); err != nil || wait != nil {
		return 0, wait, err
	}
	if !c.hasPlace() {
		c.full.Store(true)
		c.ask() // the driver may know better
		return 0, channel(&c.places), nil
	}
	m.sliced = c.limits.Level >= 2 && len(m.block)+len(r.payload) > sliceBytes
	session, free := c.register(m)
	if !free {
		return 0, nil, &Error{Code: CodeLimit, Message: "65536 calls are in flight on this connection"}
	}
	if !m.lent.IsZero() {
		c.putLarge(session, m, r)
	} else {
		c.put(session, r.method, r.flags(), r.compression, m.block, r.payload)
	}
	return session, nil, nil
}

// refuse says why nothing can be queued, or what to wait for. Under the lock.
func (c *clientConn) refuse() (wait <-chan struct{}, err *Error) {
	switch {
	case c.leaving:
		return nil, errMoved
	case c.down != nil:
		return nil, c.down
	case len(c.frames)+c.bytes > queuedBytesMax:
		return channel(&c.room), nil
	}
	return nil, nil
}

// errMoved says that a call belongs on another connection. It is not shown to callers.
var errMoved = &Error{Code: CodeUnavailable, Message: "the server takes no new calls on this connection"}

func channel(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// put queues a frame. Under the lock.
func (c *clientConn) put(session uint16, meta uint32, flags, compression uint8, block, payload []byte) {
	if len(block) != 0 {
		flags |= native.FlagMetadata
	}
	var h [native.HeaderSize]byte
	h[0], h[1] = compression, flags
	binary.LittleEndian.PutUint16(h[2:], session)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(block)+len(payload)))
	binary.LittleEndian.PutUint32(h[12:], meta)
	c.frames = append(append(append(c.frames, h[:]...), block...), payload...)
	c.count++
	c.ask()
}

// ask has the driver flush. Under the lock: when a client was closed nobody asks the loop any more.
func (c *clientConn) ask() {
	if !c.queued {
		c.queued = true
		c.engine.enqueue(c)
	}
}

// register gives a free session to a call. False: there is none.
func (c *clientConn) register(m *Message) (session uint16, free bool) {
	for range sessionPage * len(c.pages) {
		session = c.next
		c.next++
		if session == 0 && c.limits.Level >= 2 {
			continue // stands for no session there
		}
		page := c.pages[session/sessionPage].Load()
		if page == nil {
			page = new(sessionTable)
			c.pages[session/sessionPage].Store(page)
		}
		if place := &page[session%sessionPage]; place.Load() == nil {
			c.engine.loop.Expect()
			if m.stream != nil || m.sliced {
				c.rests.Store(true)
			}
			place.Store(m)
			c.begun++
			return session, true
		}
	}
	return 0, false
}

// flush hands the queued frames to the core. False: not now.
func (c *clientConn) flush(core *native.Core) bool {
	c.wakeRested()
	c.mu.Lock()
	c.flushing, c.streams = c.streams, c.flushing[:0]
	if core.Unsent() > 0 && c.hasEnough(core) || core.SendRoom() <= len(c.large) || !core.NeedLoan(len(c.frames)) {
		c.mu.Unlock()
		c.flushStreams(core)
		return false
	}
	frames, count := c.frames, c.count
	c.frames, c.count, c.queued = c.spare[:0], 0, false
	large := c.large
	c.large, c.bytes = nil, 0
	c.admitForRoom()
	c.over = c.answered
	if c.places != nil && c.hasPlace() {
		c.admitForPlaces()
	}
	c.mu.Unlock()
	for i := range large {
		c.engine.sendLarge(c.id, &large[i])
	}
	if count > 0 {
		core.PutFrames(c.id, frames, count)
	}
	if cap(frames) > queueKeepMax {
		frames = nil // a burst of large calls does not pin its memory
	}
	c.spare = frames
	all := c.flushStreams(core)
	c.mu.Lock()
	defer c.mu.Unlock()
	if all && (c.places == nil || len(c.resting) == 0) {
		return true
	}
	again := !c.queued // else it is on its way already
	c.queued = true
	return !again
}

// hasEnough reports that frames had better stay here: the peer takes nothing, or the core has many large
// messages already. What waits in one stream, or as one message, holds up nothing else.
func (c *clientConn) hasEnough(core *native.Core) bool {
	unsent, queued := core.UnsentBytes(c.id), core.QueuedBytes(c.id)
	return unsent-queued > unsentBytesMax || queued-c.streamed > slicedBytesMax
}

// abandon gives up waiting. False: the reply is in, or on its way.
func (c *clientConn) abandon(session uint16, m *Message) bool {
	if !c.pages[session/sessionPage].Load()[session%sessionPage].CompareAndSwap(m, abandoned) {
		return false
	}
	c.engine.loop.Forget()
	return true
}

// cancel tells the server that a call was abandoned. Its session is in use until the server has ended it.
func (c *clientConn) cancel(session uint16, why Code) {
	if c.limits.Level < 2 {
		return
	}
	c.mu.Lock()
	if c.down == nil && c.pages[session/sessionPage].Load()[session%sessionPage].Load() == abandoned {
		c.put(session, uint32(why), native.FlagReset, 0, nil, nil) // behind the call, and before the session's next one
	}
	c.mu.Unlock()
	c.engine.loop.Run()
}
