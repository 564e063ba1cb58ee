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
// with. Rouse must follow.
func (c *Core) Enter(cursor int) uint64 {
	b := c.baton
	b.cursor = uint32(cursor)
	state := b.state + (batonSeqOne | batonInHandler) // it was "owned", by us: nobody else writes it
	publish(&b.state, state)
	return state
}

// Rouse wakes the watchers that sleep; no crossing when none does. It looks for them after Enter's
// store, for every event: else a watcher that goes to sleep in between misses this handler.
func (c *Core) Rouse() {
	if c.baton.watchersAsleep|c.fence != 0 {
		c.rouse()
	}
}

func (c *Core) rouse() {
	b := c.baton
	if c.fence != 0 {
		atomic.AddUint64(&b.state, 0) // a barrier; the state may be another's by now
	}
	if atomic.LoadUint64(&b.watchersAsleep) != 0 {
		C.smf_baton_kick(c.c)
	}
}

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
