package rpc

import (
	"math/bits"
	"sync"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
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
