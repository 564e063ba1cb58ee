package loop

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
)

const (
	// streamOutMax is how many bytes of a stream wait here for the loop, and how many the loop hands to the
	// core before it asks whether they have left. A message that is larger goes alone.
	streamOutMax = 64 << 10
	// queueShare is which part of the core's memory all streams' messages that wait here for the loop may have
	// in Go's. When it is used up a stream has one message here, and none while the core has enough of it.
	queueShare = 8
	// streamTurnBytes is how many bytes of streams the core gets in one turn, and one stream's more: whoever
	// calls in between waits for no more than that.
	streamTurnBytes = 256 << 10
	streamEndsBytes = streamTurnBytes / 2 // of them what streams that end may take: the others go on
	// streamGiveBytes is how many bytes are used up before the loop is told of it, while more messages
	// lie here. Less than a quarter of the smallest credit: what the core keeps back itself is less than
	// another quarter, and half of the credit is what a sender needs.
	streamGiveBytes = 8 << 10
)

// Received is what Stream.Receive returns.
type Received uint8

// What there is instead of a message, and a message.
const (
	ReceivedMessage      Received = iota
	ReceivedEnd                   // the caller sends nothing more
	ReceivedCompressed            // a message that is compressed; the stream's own messages end there
	ReceivedInterrupted           // the channel that was given was closed
	ReceivedAfterHandler          // the handler has returned
)

// Sent is what Stream.Send returns.
type Sent uint8

// How sending went.
const (
	SentGood         Sent = iota
	SentInterrupted       // the channel that was given was closed
	SentAfterHandler      // the handler has returned
)

// Stream is what of a streaming call lies between its handler and the loop. Messages that wait for the
// handler are within the credit that the caller has; those that wait for the loop within streamOutMax, and with
// those of all other streams within queueShare.
//
// Its handler, which is a goroutine of its own, receives on one goroutine and sends on one.
type Stream struct {
	loop    *Loop
	conn    uint64
	session uint16

	mu         sync.Mutex
	in         *arena // messages that came; nil: none
	fin        bool   // and no further one will
	compressed bool   // the next one is
	waiting    bool   // Receive does, for arrived
	out        *arena // frames for the loop; nil: none
	blocked    bool   // the core has enough: nothing is handed to it until it has sent that
	sendWaits  bool   // Send does, for room
	scheduled  bool   // a letter is on its way, or it is among those that are due
	taken      int    // bytes that were used up, for the loop
	released   []kept // likewise
	keepsBack  int    // of reading: how many were released
	copied     int    // bytes of messages that are here as copies

	over atomic.Bool // the handler has returned; written with mu held

	arrived chan struct{} // of size 1
	room    chan struct{} // of size 1

	// Receive's. What reading points to changes with mu held.
	reading *arena
	used    int  // bytes of messages that were used up, and not told yet
	lent    int  // bytes of the one that the handler has
	lentBy  kept // what holds it, or zero

	// The driver's.
	parting *arena // frames that are to be handed over before any other
	unsure  int    // bytes that may still be in the core
}

// kept is a message that stays where it came.
type kept struct {
	payload []byte
	buffer  native.Buffer
}

// arena is a queue of messages: to the handler each one behind its size (a varint, the lowest bit for those that
// are kept elsewhere), to the loop as frames.
type arena struct {
	bytes  []byte
	at     int // to be read next
	count  int // of frames
	keeps  []kept
	keepAt int // to be read next
}

// arenaKeepMax is the largest memory that is kept for other messages.
const arenaKeepMax = 1 << 20

var arenas = sync.Pool{New: func() any { return new(arena) }}

func newArena() *arena { return arenas.Get().(*arena) }

func (a *arena) free() {
	if cap(a.bytes) > arenaKeepMax {
		a.bytes = nil
	}
	clear(a.keeps)
	a.bytes, a.at, a.count, a.keeps, a.keepAt = a.bytes[:0], 0, 0, a.keeps[:0], 0
	arenas.Put(a)
}

func (a *arena) isEmpty() bool { return a == nil || a.at == len(a.bytes) }

// next is the next message; there is one.
func (a *arena) next() (payload []byte, by kept) {
	head, n := binary.Uvarint(a.bytes[a.at:])
	a.at += n
	if head&1 != 0 {
		by = a.keeps[a.keepAt]
		a.keepAt++
		return by.payload, by
	}
	size := int(head >> 1)
	payload = a.bytes[a.at : a.at+size : a.at+size]
	a.at += size
	return payload, by
}

// Receive waits for the next message, which is valid until the next Receive and as long as the handler runs.
// The one before is used up.
func (s *Stream) Receive(done <-chan struct{}) ([]byte, Received) {
	s.used += s.lent
	s.lent = 0
	for {
		select {
		case <-done:
			return nil, ReceivedInterrupted
		default:
		}
		if s.lentBy.payload != nil || s.used >= streamGiveBytes || s.reading.isEmpty() || s.over.Load() {
			if what := s.turnOver(); what != ReceivedMessage {
				return nil, what
			}
		}
		if !s.reading.isEmpty() {
			var payload []byte
			payload, s.lentBy = s.reading.next()
			s.lent = len(payload)
			return payload, ReceivedMessage
		}
		select {
		case <-s.arrived:
		case <-done:
		}
	}
}

// turnOver tells the loop of what was used up, and takes over what has come. Without a message to be read, and
// without another reason, arrived will tell.
func (s *Stream) turnOver() Received {
	s.mu.Lock()
	if s.over.Load() {
		s.mu.Unlock()
		return ReceivedAfterHandler
	}
	s.taken += s.used
	s.used = 0
	if s.lentBy.payload != nil {
		s.released = append(s.released, s.lentBy)
		s.lentBy = kept{}
		s.keepsBack++
	}
	what := ReceivedMessage
	if s.reading.isEmpty() {
		if s.reading != nil {
			s.reading.free()
		}
		s.reading, s.in, s.keepsBack = s.in, nil, 0
		switch {
		case s.reading != nil:
		case s.compressed:
			what = ReceivedCompressed
		case s.fin:
			what = ReceivedEnd
		default:
			s.waiting = true
		}
	}
	post := s.taken > 0 || len(s.released) > 0
	s.schedule(post)
	return what
}

// schedule unlocks the stream, and posts a letter for it if there is need for one.
func (s *Stream) schedule(need bool) {
	post := need && !s.scheduled
	s.scheduled = s.scheduled || post
	s.mu.Unlock()
	if post {
		s.loop.post(letter{stream: s})
	}
}

// hasRoom reports whether a frame of so many bytes may wait for the loop. Whoever gets no room is woken when what
// waits is handed over, or when the core takes more of the stream. s.mu is held.
func (s *Stream) hasRoom(size int) bool {
	spare := s.loop.queued.Load()+int64(size) <= s.loop.queueLimit
	if s.out == nil {
		return spare || !s.blocked
	}
	return spare && len(s.out.bytes)+size <= streamOutMax
}

// queue is the arena for a frame of so many bytes. s.mu is held.
func (s *Stream) queue(size int) *arena {
	if s.out == nil {
		if s.loop.queued.Load()+int64(size) > s.loop.queueLimit {
			s.out = &arena{bytes: make([]byte, 0, size)} // others may have room for more
		} else {
			s.out = newArena()
		}
		s.loop.queued.Add(int64(cap(s.out.bytes)))
	}
	return s.out
}

// unqueue takes what waits for the loop. s.mu is held.
func (s *Stream) unqueue() (a *arena) {
	if a, s.out = s.out, nil; a != nil {
		s.loop.queued.Add(-int64(cap(a.bytes)))
	}
	return a
}

// Send hands a message to the loop, as a copy, with a metadata block in front of it if there is one. It waits
// while there is too much.
func (s *Stream) Send(done <-chan struct{}, status uint32, block, payload []byte) Sent {
	h := frame.Header{Flags: frame.FlagStream, Session: s.session, Size: uint32(len(block) + len(payload)), Meta: status}
	if len(block) != 0 {
		h.Flags |= frame.FlagMetadata
	}
	size := native.HeaderSize + len(block) + len(payload)
	for {
		select {
		case <-done:
			return SentInterrupted
		default:
		}
		s.mu.Lock()
		if s.over.Load() {
			s.mu.Unlock()
			return SentAfterHandler
		}
		if s.hasRoom(size) {
			break
		}
		s.sendWaits = true
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-done:
		}
	}
	a := s.queue(size)
	before := cap(a.bytes)
	a.bytes = append(append(h.Append(a.bytes), block...), payload...)
	a.count++
	s.loop.queued.Add(int64(cap(a.bytes) - before))
	s.schedule(!s.blocked)
	return SentGood
}

// Stream is the stream that the call is, or nil.
func (c *Call) Stream() *Stream { return c.stream }

// spawnStream starts the handler of the stream that e opens. All of the stream's messages, the first one too, come
// by Receive.
func (l *Loop) spawnStream(m *Method, e *native.Event) {
	s := &Stream{loop: l, conn: e.Conn, session: e.Session,
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	t := new(task)
	t.worker = l.service.NewWorker(&t.call)
	t.call.Loop, t.call.Method, t.call.Level, t.call.stream, t.call.arrived = l, m, e.Level, s, l.core.Now()
	t.call.Accepts = l.acceptedBy(e)
	l.describe(&t.call, e)
	t.in = append(t.in, t.call.Metadata...)
	t.call.Metadata = t.in
	l.copied.Add(int64(len(t.in)))
	if l.untimed--; l.untimed == 0 {
		t.timing.choose(l)
	}
	t.call.Out.Conn, t.call.Out.Session = e.Conn, e.Session
	l.spawned.Add(1)
	if c := l.countsOf(m); c != nil {
		c.spawned.Add(1)
	}
	t.pending = l.pendings.add(e.Conn, e.Session, true, t)
	t.pending.stream = s
	l.put(s, e)
	l.holders.Add(1) // until the handler has returned: it may read what is kept
	go t.run()
}

// put takes in what has come for a stream: a message, or the end of them, or both.
func (l *Loop) put(s *Stream, e *native.Event) {
	size := int(e.Size)
	s.mu.Lock()
	if size > 0 {
		if s.over.Load() || s.compressed || e.Compression > compressionDisabled {
			s.compressed = s.compressed || e.Compression > compressionDisabled
			l.core.Taken(s.conn, s.session, size)
		} else {
			l.append(s, e, size)
		}
	}
	s.fin = s.fin || e.Flags&native.FlagFin != 0
	wake := s.waiting
	s.waiting = false
	s.mu.Unlock()
	if wake {
		signal(s.arrived)
	}
}

// append copies a message to those that wait, or keeps it where it is: if it is large, or much is copied already.
func (l *Loop) append(s *Stream, e *native.Event, size int) {
	if s.in == nil {
		s.in = newArena()
	}
	a := s.in
	if size <= copyBytesMax {
		if l.copied.Add(int64(size)) <= l.copyLimit {
			s.copied += size
			a.bytes = append(binary.AppendUvarint(a.bytes, uint64(size)<<1), e.Payload()...)
			return
		}
		l.copied.Add(-int64(size))
	}
	l.core.Retain(e.Buffer())
	a.bytes = binary.AppendUvarint(a.bytes, 1)
	a.keeps = append(a.keeps, kept{e.Payload(), e.Buffer()})
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// errand does what a stream has asked the loop for; frames that it has are handed over when it is its turn.
func (l *Loop) errand(s *Stream) {
	s.mu.Lock()
	l.takeBack(s)
	s.scheduled = s.out != nil && !s.blocked && !s.over.Load()
	if s.scheduled {
		l.due = append(l.due, s)
	}
	s.mu.Unlock()
}

// handOverDue hands over what streams have that are due, as much as a turn may take: what is left is the next
// one's.
func (l *Loop) handOverDue() {
	for l.duePos < len(l.due) && l.given < streamTurnBytes {
		s := l.due[l.duePos]
		s.mu.Lock()
		s.scheduled = false
		if s.parting == nil && !s.blocked && !s.over.Load() {
			s.part()
		}
		s.mu.Unlock()
		if !l.handOver(s) {
			s.mu.Lock()
			s.scheduled = true
			s.mu.Unlock()
			l.stuck = l.core.SendRoom() > sendReserve
			break
		}
		l.due[l.duePos] = nil
		l.duePos++
	}
	if l.duePos > len(l.due)/2 { // those that are left are few
		n := copy(l.due, l.due[l.duePos:])
		clear(l.due[n:])
		l.due, l.duePos = l.due[:n], 0
	}
}

// isDue reports whether streams wait for their turn.
func (l *Loop) isDue() bool { return l.duePos < len(l.due) }

// takeBack gives the caller credit for what was used up. s.mu is held.
func (l *Loop) takeBack(s *Stream) {
	size := s.taken
	s.taken = 0
	if size == 0 {
		return
	}
	l.core.Taken(s.conn, s.session, size)
	for i := range s.released {
		l.core.Release(s.released[i].buffer)
		size -= len(s.released[i].payload)
		s.released[i] = kept{}
	}
	s.released = s.released[:0]
	s.copied -= size
	l.copied.Add(-int64(size))
}

// part makes the frames that wait those that are handed over next. s.mu is held.
func (s *Stream) part() {
	s.parting = s.unqueue()
	if s.sendWaits {
		s.sendWaits = false
		signal(s.room)
	}
}

// handOver gives a stream's frames to the core. False: not now.
func (l *Loop) handOver(s *Stream) bool {
	a := s.parting
	if a == nil {
		return true
	}
	if l.core.SendRoom() <= sendReserve || !l.core.PutInOrder(s.conn, a.bytes, a.count) {
		return false
	}
	s.unsure += len(a.bytes)
	l.given += len(a.bytes)
	s.parting = nil
	a.free()
	if s.unsure >= streamOutMax {
		s.mu.Lock()
		s.blocked = true
		s.mu.Unlock()
		l.unsure = append(l.unsure, s)
	}
	return true
}

// lookAtUnsure lets streams go on whose frames the core has sent, behind a poll. The others are told by an
// event.
func (l *Loop) lookAtUnsure() {
	for i, s := range l.unsure {
		if l.core.Writable(s.conn, s.session) {
			l.writable(s)
		}
		l.unsure[i] = nil
	}
	l.unsure = l.unsure[:0]
}

// writable lets a stream go on.
func (l *Loop) writable(s *Stream) {
	s.unsure = 0
	s.mu.Lock()
	s.blocked = false
	if s.sendWaits && s.out == nil {
		s.sendWaits = false
		signal(s.room)
	}
	s.schedule(s.out != nil)
}

// conclude hands over what is left of a stream whose handler has returned, and makes out its last frame. False:
// not now.
func (l *Loop) conclude(s *Stream, out *native.Reply) bool {
	if out.Flags&native.FlagReset == 0 { // which says all by itself
		out.Flags |= native.FlagStream | native.FlagFin
	}
	if !l.handOver(s) { // what was to go before
		return false
	}
	s.mu.Lock()
	s.over.Store(true)
	s.part()
	s.mu.Unlock()
	return l.handOver(s)
}

// end gives back what a stream has, whose handler has returned.
func (l *Loop) end(s *Stream) {
	s.mu.Lock()
	s.over.Store(true)
	l.takeBack(s)
	l.copied.Add(-int64(s.copied))
	s.copied = 0
	if s.reading != nil { // not to be used again: who knows who reads it
		l.forgetKept(s.reading.keeps[s.keepsBack:])
		s.keepsBack = len(s.reading.keeps)
	}
	if s.in != nil {
		l.forgetKept(s.in.keeps)
		s.in.free()
	}
	if out := s.unqueue(); out != nil {
		out.free()
	}
	s.in = nil
	s.mu.Unlock()
	signal(s.arrived) // for those who go on although they should not
	signal(s.room)
}

func (l *Loop) forgetKept(keeps []kept) {
	for i := range keeps {
		l.core.Release(keeps[i].buffer)
	}
}
