package rpc

import (
	"context"
	"math/bits"
	"sync"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
	"github.com/smf-go/smf/go/internal/turns"
)

// largeReply is the largest payload that the driver copies for its caller: it drives for all callers, who would
// wait meanwhile. A larger one stays in the core's memory until its caller has copied it.
const largeReply = 256 << 10

// largeBuffers is memory for large payloads, by how many bits its size has: getting it from the system each time,
// page by page, takes longer than the copy. What nobody uses is the garbage collector's.
var largeBuffers [bits.UintSize + 1]sync.Pool

func getLarge(size int) *[]byte {
	if b, ok := largeBuffers[bits.Len(uint(size))].Get().(*[]byte); ok && cap(*b) >= size {
		*b = (*b)[:size]
		return b
	}
	b := make([]byte, size)
	return &b
}

func putLarge(b *[]byte) { largeBuffers[bits.Len(uint(cap(*b)))].Put(b) }

// keep keeps a payload beyond the turn, until fetch has copied it. The driver.
func (e *clientEngine) keep(b native.Buffer) {
	e.loop.Core().Retain(b)
	e.kept.Add(1)
}

// fetch copies a payload that was kept. The caller's goroutine.
func (e *clientEngine) fetch(m *Message) {
	m.large = getLarge(len(m.payload))
	loop.CopyInPieces(*m.large, m.payload)
	m.payload = *m.large
	e.fetched.Add(1)
	e.mu.Lock()
	e.freed = append(e.freed, m.native)
	e.mu.Unlock()
	m.native = native.Buffer{}
	e.loop.Ask()
	e.loop.Run()
	e.kept.Done() // the core is closed when the last one was fetched
}

// release gives back what was fetched. The driver.
func (e *clientEngine) release(freed []native.Buffer) {
	for _, b := range freed {
		e.loop.Core().Release(b)
	}
}

// largeRequest is the largest request that the driver copies. A larger one is copied by its caller into memory that
// the core lends, and not into the queue of its connection. lentRequestsMax of them have memory and wait to be sent.
const (
	largeRequest    = 256 << 10
	lentRequestsMax = 2
)

// want is a caller that wants memory for a large request.
type want struct {
	waiter turns.Waiter
	size   int
	lent   native.Lent // none: the engine is closed
}

// largeFrame is a large request that waits for the driver.
type largeFrame struct {
	session uint16
	head    native.Reply // but for Conn, and for the payload
	lent    native.Lent
}

// carry copies a large request, with its metadata, into memory of the core. The caller's goroutine. It waits
// while others have memory and have not sent yet.
func (c *clientConn) carry(ctx context.Context, m *Message, r *request) error {
	e := c.engine
	w := &want{waiter: m.waiter, size: len(m.block) + len(r.payload)}
	e.loop.Expect()
	e.mu.Lock()
	e.wants = append(e.wants, w)
	e.mu.Unlock()
	e.loop.Ask()
	if !e.loop.Await(w.waiter, ctx.Done()) {
		if e.forget(w) {
			e.loop.Forget()
			return contextError(ctx.Err(), false)
		}
		e.loop.Await(w.waiter, nil)
	}
	if w.lent.IsZero() {
		return errClientClosed()
	}
	to := w.lent.Bytes()
	loop.CopyInPieces(to[copy(to, m.block):], r.payload)
	m.lent = w.lent
	return nil
}

// forget takes a want back. False: it has been answered.
func (e *clientEngine) forget(w *want) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.wants {
		if e.wants[i] == w {
			e.wants = append(e.wants[:i], e.wants[i+1:]...)
			return true
		}
	}
	return false
}

// grant lends memory to those who want it. False: there is not enough. The driver.
func (e *clientEngine) grant() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range native.LendsOfTurn {
		if len(e.wants) == 0 || e.lent == lentRequestsMax {
			return true
		}
		w := e.wants[0]
		lent, ok := e.loop.Core().Lend(w.size)
		if !ok {
			return false
		}
		w.lent = lent
		e.wants = append(e.wants[:0], e.wants[1:]...)
		e.lent++
		e.kept.Add(1)
		e.loop.Answer(w.waiter)
		e.loop.Woke()
	}
	return true
}

// grantNobody tells those who want memory that there is no engine any more.
func (e *clientEngine) grantNobody() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.wants {
		e.loop.Answer(w.waiter)
	}
	e.wants = nil
}

// putLarge queues a request that carry has copied. Under the lock.
func (c *clientConn) putLarge(session uint16, m *Message, r *request) {
	f := largeFrame{session: session, lent: m.lent, head: native.Reply{
		Status: r.method, Session: session, Flags: r.flags(), Compression: r.compression}}
	if len(m.block) != 0 {
		f.head.Flags |= native.FlagMetadata
	}
	c.bytes += len(f.lent.Bytes())
	c.large = append(c.large, f)
	m.lent = native.Lent{}
	c.ask()
}

// dropLarge takes large requests out of the queue that were not sent, and adds their sessions to unsent. Under
// the lock.
func (c *clientConn) dropLarge(unsent map[uint16]bool) map[uint16]bool {
	if len(c.large) == 0 {
		return unsent
	}
	if unsent == nil {
		unsent = map[uint16]bool{}
	}
	for i := range c.large {
		unsent[c.large[i].session] = true
		c.engine.discard(&c.large[i].lent)
	}
	c.large, c.bytes = nil, 0
	return unsent
}

// discard gives memory back that was not sent. Any goroutine.
func (e *clientEngine) discard(lent *native.Lent) {
	e.mu.Lock()
	e.freed = append(e.freed, lent.Buffer())
	e.lent--
	e.mu.Unlock()
	*lent = native.Lent{}
	e.loop.Ask()
	e.loop.Run()
	e.kept.Done()
}

// sendLarge sends what was queued by putLarge; there is room in the turn. The driver.
func (e *clientEngine) sendLarge(conn uint64, f *largeFrame) {
	f.head.Conn = conn
	e.loop.Core().SendLent(&f.head, &f.lent)
	e.sent, e.sentTurn = append(e.sent, f.lent.Buffer()), e.loop.Turn()
	e.carried.Add(1)
	e.mu.Lock()
	e.lent--
	e.mu.Unlock()
	e.kept.Done()
}

// mindSent lets go of the memory of large requests when the poll that sends them has returned: what the peer has
// not taken the core keeps. The driver, in each flush.
func (e *clientEngine) mindSent() {
	if len(e.sent) == 0 {
		return
	}
	if e.sentTurn != e.loop.Turn() {
		e.release(e.sent)
		e.sent = e.sent[:0]
	}
	e.loop.Ask() // a flush follows: to let go, or for those who wait for what came back
}
