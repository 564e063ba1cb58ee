package wal

import (
	"github.com/smf-go/smf/go/internal/turns"
	"github.com/smf-go/smf/go/internal/walbody"

	native "github.com/smf-go/smf/cgo"
)

// Sizes of what is staged.
const (
	// stageBytes is where a body is full; larger is only one that is a single append. With the header of
	// its batch it fills eight of the native library's buffers, which are one write if they are side by side.
	stageBytes = 8*128<<10 - 96

	// worthBytes is what is worth a write of its own. While another one is under way less waits for it, and
	// gathers; while none is more does not.
	worthBytes = 64 << 10

	// inFlightMax bounds the bodies of a partition that were handed over and not acknowledged.
	inFlightMax = 16
)

// stage is a body that is built, handed over, and acknowledged, with those who wait for it. The
// partition's mutex guards it; while it is handing, the driver reads its body without.
type stage struct {
	body     walbody.Builder
	first    uint64 // offset of its first record
	ack      native.WalAck
	members  []*member
	told     bool // a Buffered append is in it, whose caller knows its offset
	lingers  bool // the log's timer knows of it
	due      bool // it has lingered long enough
	handing  bool // it is being handed over, or was
	reserved int64
}

// member is one append that waits for its stage. It belongs to whoever called until it is staged, then
// to the stage until it is answered.
type member struct {
	turns.Waiter
	done       func(first uint64, err error) // of an asynchronous append; else the waiter is used
	stage      *stage
	index      uint32 // of its first record in the body
	count      uint32
	start, end int // bytes
	state      memberState
	first      uint64
	err        error
}

type memberState uint8

const (
	memberStaged    memberState = iota
	memberAbandoned             // its caller has gone
	memberAnswered              // its caller is being told
)

// size is how many bytes are staged.
func (st *stage) size() int { return len(st.body.Body()) }

// join makes an append that was just added a member: what is behind mark.
func (st *stage) join(m *member, mark *walbody.Builder) {
	m.stage = st
	m.index, m.count = mark.Count(), st.body.Count()-mark.Count()
	m.start, m.end = len(mark.Body()), st.size()
	m.state = memberStaged
	st.members = append(st.members, m)
}

// leave takes a member's records out. False: that can't be done.
func (st *stage) leave(m *member) bool {
	if !st.body.Cut(m.start, m.end, m.count) {
		return false
	}
	kept := st.members[:0]
	for _, other := range st.members {
		if other == m {
			continue
		}
		if other.start > m.start {
			other.start -= m.end - m.start
			other.end -= m.end - m.start
			other.index -= m.count
		}
		kept = append(kept, other)
	}
	st.members[len(st.members)-1] = nil
	st.members = kept
	return true
}

// handOver is the body as the border takes it. What nobody waits for is written all the same; what has
// lingered is made durable, or it would linger a second time.
func (st *stage) handOver() (native.WalBody, native.WalAck) {
	base, latest := st.body.Times()
	ack := st.ack
	if ack == 0 {
		ack = native.WalWritten
		if st.due {
			ack = native.WalDurable
		}
	}
	return native.WalBody{Bytes: st.body.Body(), Count: st.body.Count(), Base: base, Latest: latest}, ack
}

// settle says what came of it. After that the caller answers the members.
func (st *stage) settle(l *coreLog, err error) {
	kept := st.members[:0]
	for _, m := range st.members {
		if m.state == memberAbandoned {
			l.loop.Forget()
			l.recycle(m)
			continue
		}
		m.state = memberAnswered
		m.first, m.err = st.first+uint64(m.index), err
		if err != nil {
			m.first = 0
		}
		kept = append(kept, m)
	}
	clear(st.members[len(kept):])
	st.members = kept
}
