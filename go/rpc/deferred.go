package rpc

import (
	"sync/atomic"

	flatbuffers "github.com/google/flatbuffers/go"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Deferred is a reply that was promised. Exactly one of its methods is called once, from any goroutine,
// after or before the handler has returned; further calls do nothing and report false. A connection
// that is gone by then is no error. Until then the call is in flight, and a drain waits for it.
type Deferred struct {
	loop       *loop.Loop
	due        loop.Due
	conn       uint64
	session    uint16
	payloadMax int
	done       atomic.Bool
}

// Bytes answers with a copy of payload.
func (d *Deferred) Bytes(payload []byte) bool { return d.answer(CodeOK, 0, payload) }

// Object answers with a packed object of the object API.
func (d *Deferred) Object(o Packer) bool {
	if d.done.Load() {
		return false
	}
	b := GetBuilder()
	defer PutBuilder(b)
	b.Finish(o.Pack(b))
	return d.Finish(b)
}

// Finish answers with what a builder has built. Unlike Reply.Finish, which takes the root's offset and
// finishes by itself, it wants a builder that is finished already: b.Finish(root) comes before it. The
// builder is free again when Finish returns.
func (d *Deferred) Finish(b *flatbuffers.Builder) bool {
	return d.answer(CodeOK, native.MayPad, b.FinishedBytes())
}

// Fail answers with the error's status.
func (d *Deferred) Fail(err error) bool { return d.answer(codeOf(err), native.MayPad, nil) }

func (d *Deferred) answer(code Code, flags uint8, payload []byte) bool {
	if !d.done.CompareAndSwap(false, true) {
		return false
	}
	if len(payload) > d.payloadMax {
		code, payload = CodeTooLarge, nil
	}
	if len(payload) == 0 {
		flags, payload = native.MayPad, loop.EmptyTable
	} else {
		payload = append([]byte(nil), payload...)
	}
	d.loop.Answer(d.due, d.conn, d.session, uint32(code), flags, payload)
	return true
}
