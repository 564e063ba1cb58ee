package native

/*
#cgo noescape smf_baton_wait
#cgo nocallback smf_baton_wait
#cgo noescape smf_baton_kick
#cgo nocallback smf_baton_kick
#cgo noescape smf_baton_hand_over
#cgo nocallback smf_baton_hand_over
#include <smf/baton.h>
*/
import "C"

import "sync/atomic"

// BatonReason says why a stand-in became the driver; see enum smf_baton_reason.
type BatonReason int

// The reasons.
const (
	BatonClosed   BatonReason = 0
	BatonSlept    BatonReason = 1
	BatonComputed BatonReason = 2
	BatonHanded   BatonReason = 3
)

func batonOf(c *C.struct_smf_core) *C.struct_smf_baton { return C.smf_core_baton(c) }

// HasBaton reports whether handlers may block on this core (Config.Baton).
func (c *Core) HasBaton() bool { return c.baton != nil }

// Enter notes that the driver runs the handler of the event at cursor, and returns the state to leave
// with. No crossing, unless a watcher sleeps and is to be woken.
func (c *Core) Enter(cursor int) uint64 {
	if !c.plain {
		return c.enterFenced(cursor)
	}
	b := c.baton
	state := b.state + (batonSeqOne | batonInHandler) // it was "owned", by us: nobody else writes it
	b.cursor = uint32(cursor)
	// The look at the watchers comes after the store, for every event: else a watcher that goes to
	// sleep in between misses this handler.
	b.state = state
	if b.watchersAsleep != 0 {
		c.kick()
	}
	return state
}

func (c *Core) enterFenced(cursor int) uint64 {
	b := c.baton
	state := b.state + (batonSeqOne | batonInHandler)
	b.cursor = uint32(cursor)
	atomic.SwapUint64(&b.state, state) // not a store: see Ring
	if atomic.LoadUint64(&b.watchersAsleep) != 0 {
		c.kick()
	}
	return state
}

func (c *Core) kick() { C.smf_baton_kick(c.c) }

// Leave takes the loop back after a handler. False: this driver was deposed, the loop is another's.
func (c *Core) Leave(state uint64) bool {
	return atomic.CompareAndSwapUint64(&c.baton.state, state, state&^batonKind)
}

// Cursor is the index of the event whose handler the deposed driver was in.
func (c *Core) Cursor() int { return int(c.baton.cursor) }

// BatonWait blocks until the calling goroutine is the driver. Any goroutine, one at a time.
func (c *Core) BatonWait() BatonReason { return BatonReason(C.smf_baton_wait(c.c)) }

// HandOver gives the loop to the stand-in, if the handler that was entered with state still has it.
// Any goroutine.
func (c *Core) HandOver(state uint64) bool {
	return C.smf_baton_hand_over(c.c, C.uint64_t(state)) != 0
}
