package native

/*
#cgo noescape smf_tally_answered_late
#cgo nocallback smf_tally_answered_late
#include <smf/tally.h>
*/
import "C"

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// TallyBuckets is how many latencies are told apart; see smf/tally.h.
const TallyBuckets = C.SMF_TALLY_BUCKETS

// Tally mirrors struct smf_tally. It lives in C memory, as long as its core.
type Tally struct {
	turnAnswered, turnFailed uint32
	succeeded, latencyNs     uint64
	buckets                  [TallyBuckets]uint64
	_                        uint64
}

// tallied mirrors struct smf_tallied.
type tallied struct {
	tally   unsafe.Pointer
	sinceNs uint64
	failed  uint32
	_       uint32
}

// Tallies gives the core tallies, once and before its first poll. Any goroutine.
func (c *Core) Tallies(count int) ([]Tally, error) {
	var first *C.struct_smf_tally
	if status := C.smf_core_tallies(c.c, C.uint32_t(count), &first); status != C.SMF_OK {
		return nil, &Error{Status: Status(status), Text: C.GoString(C.smf_status_name(status)) + ": no tallies for a core"}
	}
	return unsafe.Slice((*Tally)(unsafe.Pointer(first)), count), nil
}

// Answered counts a reply that was sent to a request of this turn.
func (c *Core) Answered(t *Tally) {
	if t.turnAnswered == 0 {
		c.list(tallied{tally: unsafe.Pointer(t)})
	}
	t.turnAnswered++
}

// Failed counts, of what Answered has counted in this turn, one that has a status other than 200.
func (c *Core) Failed(t *Tally) { t.turnFailed++ }

// AnsweredLate counts a reply to a request that was handed out by an earlier turn, when Now was since.
func (c *Core) AnsweredLate(t *Tally, since uint64, failed bool) {
	item := tallied{tally: unsafe.Pointer(t), sinceNs: since}
	if failed {
		item.failed = 1
	}
	if c.turn.talliedCount >= C.SMF_TALLIED_LATE_MAX {
		C.smf_tally_answered_late(c.c, (*C.struct_smf_tally)(item.tally), C.uint64_t(since), C.int(item.failed))
		return
	}
	c.list(item)
}

// list has room: one place for each tally, beside those for late answers.
func (c *Core) list(item tallied) {
	t := c.turn
	at := (*tallied)(unsafe.Add(t.tallied, uintptr(t.talliedCount)*unsafe.Sizeof(tallied{})))
	setPointer(&at.tally, item.tally)
	at.sinceNs, at.failed = item.sinceNs, item.failed
	t.talliedCount++
}

// Add adds what was counted so far. Any goroutine.
func (t *Tally) Add(succeeded *uint64, latency *time.Duration, buckets *[TallyBuckets]uint64) {
	*succeeded += atomic.LoadUint64(&t.succeeded)
	*latency += time.Duration(atomic.LoadUint64(&t.latencyNs))
	for i := range t.buckets {
		buckets[i] += atomic.LoadUint64(&t.buckets[i])
	}
}

// TallyBucket is the bucket of a latency.
func TallyBucket(latency time.Duration) int {
	return int(C.smf_tally_bucket(C.uint64_t(max(latency, 0))))
}

// TallyBound is the greatest latency that a bucket holds; a negative one: there is none.
func TallyBound(bucket int) time.Duration {
	return time.Duration(C.smf_tally_bound_ns(C.uint32_t(bucket)))
}
