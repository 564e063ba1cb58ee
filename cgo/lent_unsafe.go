package native

import "C"

import "unsafe"

// LendsOfTurn is how often Core.Lend may be called between two polls.
const LendsOfTurn = 4

// Lent is memory of a core that was lent for one large frame: whoever has it fills it, in any goroutine, while
// the loop goes on. The zero value is none.
type Lent struct {
	buffer Buffer
	start  unsafe.Pointer // of the frame's header
	size   int            // of what comes behind it
}

// IsZero reports whether there is nothing.
func (l *Lent) IsZero() bool { return l.buffer.IsZero() }

// Bytes is where the frame's metadata block goes, and its payload behind it. Any goroutine.
func (l *Lent) Bytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(l.start, HeaderSize)), l.size)
}

// Buffer is what Release gives back, if the memory was not sent, or after the poll that follows SendLent.
func (l *Lent) Buffer() Buffer { return l.buffer }

// Lend lends memory for size bytes, not zeroed. False: memory is used up. For large frames: what the core lends
// to small ones is replaced, too.
func (c *Core) Lend(size int) (Lent, bool) {
	if !c.NeedLoan(size) {
		return Lent{}, false
	}
	start := unsafe.Add(c.turn.loanTop, -(size + HeaderSize))
	buffer := c.DetachLoan()
	return Lent{buffer: buffer, start: start, size: size}, !buffer.IsZero()
}

// SendLent sends a reply (or a call) from where it lies; r's Payload is not looked at, and of its Metadata only
// whether there is one. The memory is in use until the next poll has returned. False: the turn collects no
// further send.
func (c *Core) SendLent(r *Reply, l *Lent) bool {
	t := c.turn
	if t.sendCount == t.sendCapacity {
		return false
	}
	flags := r.Flags
	if len(r.Metadata) != 0 {
		flags |= FlagMetadata
	}
	putHeader((*[HeaderSize]byte)(l.start), r, l.size, flags)
	s := (*send)(unsafe.Add(t.sends, uintptr(t.sendCount)*unsafe.Sizeof(send{})))
	s.conn, s.size, s.count = r.Conn, uint32(l.size+HeaderSize), 1
	setPointer(&s.frames, l.start)
	setPointer(&s.buffer, l.buffer.p)
	t.sendCount++
	return true
}
