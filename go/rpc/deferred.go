package rpc

import (
	"context"
	"sync/atomic"

	flatbuffers "github.com/google/flatbuffers/go"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// Deferred is a reply that was promised. Exactly one of its methods is called once, from any goroutine,
// after or before the handler has returned; further calls do nothing and report false. A connection
// that is gone by then is no error. Until then the call is in flight, and a drain waits for it; also when
// its caller has given it up, which Context tells.
type Deferred struct {
	loop       *loop.Loop
	due        loop.Due
	conn       uint64
	session    uint16
	payloadMax int
	filters    *deferredFilters // nil: there are none around the method
	done       atomic.Bool
	level      uint8
	oneWay     bool
	ctx        callContext
	promise    loop.Promise
	metadata   Metadata
}

// Context ends when nobody waits for the reply any more: when the caller gives up or its connection ends,
// at the deadline, when the server is closed; and when the reply was given. context.Cause says which, as
// for a handler's. Unlike the handler's it goes on when the handler has returned. The handler's values are not in
// it. Any goroutine.
//
// Cost: as a handler's context, none until Done is asked for.
func (d *Deferred) Context() context.Context { return &d.ctx }

// Metadata is what the reply will say beside its payload, with what was set before it was promised. For who
// answers, until he does.
func (d *Deferred) Metadata() *Metadata { return &d.metadata }

// Bytes answers with a copy of payload.
func (d *Deferred) Bytes(payload []byte) bool { return d.answer(nil, 0, payload) }

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
	return d.answer(nil, native.MayPad, b.FinishedBytes())
}

// Fail answers with the error's status.
func (d *Deferred) Fail(err error) bool { return d.answer(failure(err), native.MayPad, nil) }

// failure is an error that fails a call: nil, too, is none of the ways to succeed.
func failure(err error) error {
	if err == nil {
		return &Error{Code: CodeInternal}
	}
	return err
}

func (d *Deferred) answer(err error, flags uint8, payload []byte) bool {
	if !d.done.CompareAndSwap(false, true) {
		return false
	}
	if err == nil && len(payload) == 0 {
		flags, payload = native.MayPad, loop.EmptyTable
	} else if len(payload) <= d.payloadMax || d.filters != nil { // they may make it smaller
		payload = append([]byte(nil), payload...)
	}
	p := promised{err: err, flags: flags, payload: payload}
	if d.filters == nil {
		d.send(&p, CompressionNone)
		return true
	}
	early := p // which is on the heap
	if call, kept := d.filters.keep(&early); !kept {
		d.finish(call, &early)
	}
	return true
}

// finish runs what filters have left to be run, and answers.
func (d *Deferred) finish(call *Call, p *promised) {
	compression := CompressionNone
	if call != nil {
		d.metadata.append(&call.replyMetadata)
		call.replyMetadata = d.metadata
		call.reply = p.payload
		if p.err != nil {
			call.reply = nil
		}
		p.err = d.filters.server.finishAll(call, p.err)
		if compression = call.replyCompression; compression != CompressionNone || !samePlace(call.reply, p.payload) {
			p.payload, p.flags = call.reply, 0
		}
		d.metadata = call.replyMetadata
	}
	d.send(p, compression)
}

func (d *Deferred) send(p *promised, compression Compression) {
	r := native.Reply{Conn: d.conn, Session: d.session, Status: uint32(CodeOf(p.err)), Flags: p.flags, Payload: p.payload,
		Compression: uint8(compression)}
	switch {
	case p.err != nil:
		failed(p.err, d.level, d.payloadMax, true, &r)
	case len(p.payload) > d.payloadMax:
		failed(tooLarge(len(p.payload), d.payloadMax), d.level, d.payloadMax, true, &r)
	case len(p.payload) == 0:
		r.Flags, r.Payload, r.Compression = native.MayPad, loop.EmptyTable, 0
	}
	if d.level >= 2 {
		r.Metadata = d.metadata.appendBlock(nil, 0)
	}
	if d.oneWay { // only the status counts, and it is not sent
		r.Flags, r.Payload, r.Compression, r.Metadata = native.MayPad, loop.EmptyTable, 0, nil
	}
	d.ctx.finish(context.Canceled)
	d.loop.Answer(d.due, &d.promise, &r)
}
