package native

/*
#cgo noescape smf_core_poll
#cgo nocallback smf_core_poll
#cgo noescape smf_core_loan
#cgo nocallback smf_core_loan
#cgo noescape smf_core_wake
#cgo nocallback smf_core_wake
#cgo noescape smf_core_arm
#cgo nocallback smf_core_arm
#include <smf/core.h>
#include <smf/level2.h>
#include <smf/loop.h>
*/
import "C"

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Core is one poll loop; see smf/core.h. Its methods are for the driver, the goroutine that polls it,
// unless they say "any goroutine".
type Core struct {
	c     *C.struct_smf_core
	turn  *turn
	baton *baton
	fence uint64 // 1: Rouse needs a barrier of its own
}

func newCore(c *C.struct_smf_core) *Core {
	n := &Core{
		c:     c,
		turn:  (*turn)(unsafe.Pointer(C.smf_core_turn(c))),
		baton: (*baton)(unsafe.Pointer(batonOf(c))),
	}
	if !plainStores || n.baton != nil && n.baton.fences == 0 {
		n.fence = 1
	}
	return n
}

// Poll does one turn and returns the number of events, or -1 after Stop. One crossing.
func (c *Core) Poll(waitMicros int64) int {
	n := int(C.smf_core_poll(c.c, C.int64_t(waitMicros)))
	if n < 0 {
		return -1
	}
	return n
}

// Events are the last turn's events; lent until the next poll.
func (c *Core) Events() []Event {
	return unsafe.Slice((*Event)(c.turn.events), int(c.turn.eventCount))
}

// Now is the core's clock when the last poll returned, in nanoseconds.
func (c *Core) Now() uint64 { return c.turn.nowNs }

// Unsent is how many connections have bytes that their peer has not taken.
func (c *Core) Unsent() int { return int(c.turn.unsent) }

// SendRoom is how many more sends the turn can collect.
func (c *Core) SendRoom() int { return int(c.turn.sendCapacity - c.turn.sendCount) }

// Loan is the memory to build a payload in, downwards from its last byte; the frame's header fits in
// front of it. Nil when memory is used up.
func (c *Core) Loan() []byte {
	t := c.turn
	room := int(uintptr(t.loanTop) - uintptr(t.loan))
	if room <= HeaderSize {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(t.loan, HeaderSize)), room-HeaderSize)
}

// NeedLoan makes the loan at least size bytes large, by a crossing if it is not. False: memory is used
// up.
func (c *Core) NeedLoan(size int) bool {
	if int(uintptr(c.turn.loanTop)-uintptr(c.turn.loan)) >= size+HeaderSize {
		return true
	}
	return c.growLoan(size)
}

func (c *Core) growLoan(size int) bool {
	return C.smf_core_loan(c.c, C.uint64_t(size+HeaderSize)) == C.SMF_OK
}

// Reply is an answer on its way to the core. It is filled in place, field by field: a copy of freshly
// written small fields stalls the processor for longer than the rest of a call's bookkeeping takes.
type Reply struct {
	Payload     []byte // valid until it was sent
	Metadata    []byte // a metadata block, which goes in front of the payload; valid until it was sent
	Conn        uint64
	Status      uint32
	Session     uint16
	Flags       uint8 // MayPad and the flags of level 2; FlagMetadata is set by Send
	Compression uint8 // of Payload
	InLoan      bool  // Payload is the end of the loan
	Deferred    bool  // nothing is sent now; for the caller
}

// Send sends a reply (or a call: Status is then the method id): one that was built in the loan from where
// it lies, another as a copy. Frames of a stream leave in the order of their sends, others in any. False:
// memory is used up, or the turn collects no further send.
func (c *Core) Send(r *Reply) bool {
	t := c.turn
	size := len(r.Payload)
	if t.sendCount == t.sendCapacity {
		return false
	}
	if len(r.Metadata) != 0 {
		return c.sendWithMetadata(r)
	}
	if !r.InLoan {
		if int(uintptr(t.loanTop)-uintptr(t.loan)) < size+HeaderSize && !c.growLoan(size) {
			return false
		}
		copy(unsafe.Slice((*byte)(unsafe.Add(t.loanTop, -size)), size), r.Payload)
	}
	c.put(r, size, r.Flags)
	return true
}

// sendWithMetadata puts the block in front of a payload that is in the loan, or is copied there.
func (c *Core) sendWithMetadata(r *Reply) bool {
	t := c.turn
	payload, inLoan := r.Payload, r.InLoan
	size := len(payload) + len(r.Metadata)
	if int(uintptr(t.loanTop)-uintptr(t.loan)) < size+HeaderSize {
		if inLoan { // the next loan is elsewhere
			payload, inLoan = append([]byte(nil), payload...), false
		}
		if !c.growLoan(size) {
			return false
		}
	}
	place := unsafe.Slice((*byte)(unsafe.Add(t.loanTop, -size)), size)
	copy(place, r.Metadata)
	if !inLoan {
		copy(place[len(r.Metadata):], payload)
	}
	c.put(r, size, r.Flags|FlagMetadata)
	return true
}

// put writes the header in front of what lies at the top of the loan.
func (c *Core) put(r *Reply, size int, flags uint8) {
	start := unsafe.Add(c.turn.loanTop, -(size + HeaderSize))
	putHeader((*[HeaderSize]byte)(start), r, size, flags)
	if flags&FlagStream != 0 || !c.extend(r.Conn, start, size+HeaderSize, 1) {
		c.add(r.Conn, start, size+HeaderSize, 1)
	}
}

func putHeader(h *[HeaderSize]byte, r *Reply, size int, flags uint8) {
	binary.LittleEndian.PutUint64(h[:8], uint64(r.Compression)|uint64(flags)<<8|uint64(r.Session)<<16|uint64(uint32(size))<<32)
	binary.LittleEndian.PutUint32(h[8:12], 0)
	binary.LittleEndian.PutUint32(h[12:], r.Status)
}

// extend makes frames at the top of the loan a part of the last send, if they lie right below it and
// are for the same connection.
func (c *Core) extend(conn uint64, start unsafe.Pointer, size, count int) bool {
	t := c.turn
	if t.sendCount == 0 {
		return false
	}
	last := (*send)(unsafe.Add(t.sends, uintptr(t.sendCount-1)*unsafe.Sizeof(send{})))
	if last.conn != conn || last.frames != t.loanTop || last.buffer != t.loanBuffer {
		return false
	}
	setPointer(&last.frames, start)
	last.size += uint32(size)
	last.count += uint32(count)
	setPointer(&t.loanTop, start)
	return true
}

// add makes frames at the top of the loan a send of their own.
func (c *Core) add(conn uint64, start unsafe.Pointer, size, count int) {
	t := c.turn
	s := (*send)(unsafe.Add(t.sends, uintptr(t.sendCount)*unsafe.Sizeof(send{})))
	s.conn, s.size, s.count = conn, uint32(size), uint32(count)
	setPointer(&s.frames, start)
	setPointer(&s.buffer, t.loanBuffer)
	t.sendCount++
	setPointer(&t.loanTop, start)
}

// setPointer stores a pointer to C memory in C memory: no business of the garbage collector's, whose
// write barrier would be asked about every one.
func setPointer(where *unsafe.Pointer, p unsafe.Pointer) {
	*(*uintptr)(unsafe.Pointer(where)) = uintptr(p)
}

// PutFrames copies whole frames (without checksums) into the loan and sends them. False as in Send.
func (c *Core) PutFrames(conn uint64, frames []byte, count int) bool {
	if c.SendRoom() == 0 || !c.NeedLoan(len(frames)) {
		return false
	}
	start := unsafe.Add(c.turn.loanTop, -len(frames))
	copy(unsafe.Slice((*byte)(start), len(frames)), frames)
	if !c.extend(conn, start, len(frames), count) {
		c.add(conn, start, len(frames), count)
	}
	return true
}

// PutInOrder is PutFrames for frames that must not leave before those that were put earlier: of streams.
func (c *Core) PutInOrder(conn uint64, frames []byte, count int) bool {
	if c.SendRoom() == 0 || !c.NeedLoan(len(frames)) {
		return false
	}
	start := unsafe.Add(c.turn.loanTop, -len(frames))
	copy(unsafe.Slice((*byte)(start), len(frames)), frames)
	c.add(conn, start, len(frames), count)
	return true
}

// DetachLoan takes the loan out of the way of whoever still writes into it. Release gives it back.
func (c *Core) DetachLoan() Buffer { return Buffer{unsafe.Pointer(C.smf_core_loan_detach(c.c))} }

// Retain keeps a payload's buffer beyond the next poll.
func (c *Core) Retain(b Buffer) { C.smf_core_retain(c.c, (*C.struct_smf_buffer)(b.p)) }

// Release gives back what Retain or DetachLoan kept.
func (c *Core) Release(b Buffer) { C.smf_core_release(c.c, (*C.struct_smf_buffer)(b.p)) }

// Connect begins to connect to a numeric address; EventConnected or EventClosed follows.
func (c *Core) Connect(address string, user uint64) (uint64, error) {
	return c.ConnectWith(address, user, 0)
}

// ConnectWith is Connect with flags: ConnectHello, and what it offers. Then EventConnected comes when the peer agreed on level
// 2, or EventClosed with CloseHelloTimeout or CloseNotLevel2.
func (c *Core) ConnectWith(address string, user uint64, flags uint32) (uint64, error) {
	if err := checkAddress(address); err != nil {
		return 0, err
	}
	ca := cText(address)
	var conn C.uint64_t
	var cerr C.struct_smf_error
	if C.smf_core_connect_with(c.c, &ca[0], C.uint64_t(user), C.uint32_t(flags), &conn, &cerr) != C.SMF_OK {
		return 0, goError(&cerr)
	}
	return uint64(conn), nil
}

// Disconnect closes a connection after what was sent has gone out.
func (c *Core) Disconnect(conn uint64) { C.smf_core_disconnect(c.c, C.uint64_t(conn)) }

// DisconnectAll closes listeners and connections at once.
func (c *Core) DisconnectAll() { C.smf_core_disconnect_all(c.c) }

// UnsentBytes is what the connection's peer has not taken yet.
func (c *Core) UnsentBytes(conn uint64) int64 {
	return int64(C.smf_core_unsent_bytes(c.c, C.uint64_t(conn)))
}

// Drain closes listeners, and each connection when nothing of it is in flight any more.
func (c *Core) Drain() { C.smf_core_drain(c.c) }

// Drained reports whether no accepted connection is left after Drain.
func (c *Core) Drained() bool { return C.smf_core_drained(c.c) != 0 }

// Stop makes Poll return -1 and BatonWait BatonClosed. Any goroutine.
func (c *Core) Stop() { C.smf_core_stop(c.c) }

// Pending reports whether somebody rang since ClearPending.
func (c *Core) Pending() bool { return atomic.LoadUint32(&c.turn.pending) != 0 }

// ClearPending is called before looking at what others have left for the loop.
func (c *Core) ClearPending() { atomic.StoreUint32(&c.turn.pending, 0) }

// Ring tells the driver that something waits for it; a crossing only when it sleeps. Any goroutine.
//
// A swap, not a store: under the race detector a store is not ordered before a later load
// (golang.org/issue/58020), and the driver would sleep on.
func (c *Core) Ring() {
	atomic.SwapUint32(&c.turn.pending, 1)
	if atomic.LoadUint32(&c.turn.sleeping) != 0 {
		C.smf_core_wake(c.c)
	}
}

// Ask is Ring for a loop that never sleeps in Poll: the driver comes back from it. Any goroutine.
func (c *Core) Ask() { atomic.SwapUint32(&c.turn.pending, 1) }

// Fd is a descriptor that is readable when Poll would find something. Any goroutine.
func (c *Core) Fd() (int, error) {
	fd := int(C.smf_core_fd(c.c))
	if fd < 0 {
		return 0, &Error{Status: Status(fd), Text: "the transport has no descriptor to wait on"}
	}
	return fd, nil
}

// Arm asks whether the driver may sleep outside of Poll: for so many microseconds, WaitForever, or 0: no.
func (c *Core) Arm() int64 { return int64(C.smf_core_arm(c.c)) }

// Stats reads the counters.
func (c *Core) Stats() Stats {
	var s C.struct_smf_core_stats
	C.smf_core_stats(c.c, &s)
	r := Stats{
		Turns: uint64(s.turns), Waits: uint64(s.waits), Wakes: uint64(s.wakes),
		Polls: uint64(s.polls), Recvs: uint64(s.recvs), Sends: uint64(s.sends),
		Requests: uint64(s.requests), RepliesSent: uint64(s.replies_sent),
		RequestsSent: uint64(s.requests_sent), Replies: uint64(s.replies),
		BytesReceived: uint64(s.bytes_received), BytesSent: uint64(s.bytes_sent),
		Accepted: uint64(s.accepted), Connected: uint64(s.connected),
		FramesAssembled: uint64(s.frames_assembled), ReadsPaused: uint64(s.reads_paused),
		StaleReplies:      uint64(s.stale_replies),
		MemoryBudgetBytes: uint64(s.memory_budget_bytes), MemoryUsedBytes: uint64(s.memory_used_bytes),
		MemoryUsedMax: uint64(s.memory_used_bytes_max), MemoryRefused: uint64(s.memory_refused),
		DeposedSleeping: uint64(s.deposed_sleeping), DeposedComputing: uint64(s.deposed_computing),
		HandedOver: uint64(s.handed_over), Kicks: uint64(s.kicks),
		ConnectionsOpen:      uint64(s.connections_open),
		ConnectionsHandedIn:  uint64(s.connections_handed_in),
		ConnectionsHandedOut: uint64(s.connections_handed_out),
	}
	for i := range r.Closed {
		r.Closed[i] = uint64(s.closed[i])
	}
	r.addTime(&s)
	return r
}
