package loop

import (
	"encoding/binary"
	"sync"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// Bounds of what waits for a connection.
const (
	outboxBytesMax = 8 << 20 // in the outbox: then Add refuses
	unsentBytesMax = 4 << 20 // in the core, not taken by the peer: then the outbox keeps its frames
	stalledRetry   = time.Millisecond
)

// Outbox collects the frames that goroutines send on one connection; the loop takes them all at once.
type Outbox struct {
	loop *Loop
	conn uint64

	mu     sync.Mutex
	frames []byte
	count  int
	posted bool
	room   chan struct{} // closed when frames were taken; nil: nobody waits
}

// NewOutbox makes an outbox for a connection of the loop. Any goroutine.
func (l *Loop) NewOutbox(conn uint64) *Outbox { return &Outbox{loop: l, conn: conn} }

// Conn is the connection's id in its core.
func (o *Outbox) Conn() uint64 { return o.conn }

// Add queues a frame. When too much waits already nothing is queued, and the channel that is returned
// is closed when it is worth trying again. Any goroutine.
func (o *Outbox) Add(session uint16, meta uint32, flags uint8, payload []byte) <-chan struct{} {
	o.mu.Lock()
	if len(o.frames) > outboxBytesMax {
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		return room
	}
	var h [native.HeaderSize]byte
	h[1] = flags
	binary.LittleEndian.PutUint16(h[2:], session)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[12:], meta)
	o.frames = append(append(o.frames, h[:]...), payload...)
	o.count++
	first := !o.posted
	o.posted = true
	o.mu.Unlock()
	if first {
		o.loop.post(letter{outbox: o})
	}
	return nil
}

// flush hands what was collected to the core. False: there is no memory now. The driver.
func (o *Outbox) flush(core *native.Core) bool {
	if core.Unsent() > 0 && core.UnsentBytes(o.conn) > unsentBytesMax {
		time.AfterFunc(stalledRetry, func() { o.loop.post(letter{outbox: o}) })
		return true
	}
	if core.SendRoom() <= sendReserve {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count > 0 && !core.PutFrames(o.conn, o.frames, o.count) {
		return false
	}
	o.count = 0
	o.posted = false
	if cap(o.frames) > 1<<20 {
		o.frames = nil // a burst of large calls does not pin its memory
	}
	o.frames = o.frames[:0]
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
	return true
}
