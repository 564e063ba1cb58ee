package rpc

import (
	"context"
	"fmt"

	"github.com/smf-go/smf/go/internal/frame"
)

// Filter runs around calls: in a server around the handler, in a client around the exchange with the
// server. It gets the call, and next, which is all that is inside of it:
//
//	func refuseLarge(ctx context.Context, call *rpc.Call, next rpc.Next) error {
//		if len(call.Payload()) > 1<<20 {
//			return rpc.Errorf(rpc.CodeTooLarge, "%s takes 1 MiB", call.Name())
//		}
//		return next(ctx, call)
//	}
//
// It may look at the request and rewrite it, give next another context, stop the call by returning
// without next, look at the reply and rewrite it, and return another error than next did, or none. What
// it returns is what the filter around it gets from its next; the outermost one's error is the status
// (in a server) or what the caller gets (in a client). An *Error decides the status by its Code.
//
// Filters of several calls run at once. In a server they run where the handler does: on the poll loop
// as long as they are quick. They may block, as handlers may.
//
// Order: in a list the first one is the outermost. What is more general is nearer to the wire: in a
// server ServerOptions.Filters are around the service's, those around the method's, and those around
// verifier and handler. In a client the method's are around the service's, and those around
// ClientOptions.Filters. See docs/filters.md.
type Filter func(ctx context.Context, call *Call, next Next) error

// Next runs what is inside of a filter: other filters, and then the handler, or the exchange with the
// server. It gets the filter's call; ctx is what they will see.
//
// In a client a filter may call it again (one after the other, not at once), for another attempt; it
// starts with the request as the filter has it. In a server a second time is an error: handlers run once.
//
// A nil error means that there is a reply, or in a server that it was promised: Call.Deferred.
type Next func(ctx context.Context, call *Call) error

// Done is told how a call has ended: Call.OnDone. err is nil for a reply, which call.ReplyPayload is; else
// it is the error. What it returns takes err's place.
type Done func(call *Call, err error) error

// Side is a side of calls.
type Side uint8

// The sides.
const (
	SideServer Side = iota
	SideClient
)

// String is "server" or "client".
func (s Side) String() string {
	if s == SideClient {
		return "client"
	}
	return "server"
}

// Compression is how a payload is compressed, as frames say it.
type Compression uint8

// Compressions.
const (
	CompressionNone Compression = frame.CompressionNone
	CompressionZstd Compression = frame.CompressionZstd
	CompressionLZ4  Compression = frame.CompressionLZ4
)

// String is "none", "zstd" or "lz4".
func (c Compression) String() string {
	switch c {
	case CompressionNone:
		return "none"
	case CompressionZstd:
		return "zstd"
	case CompressionLZ4:
		return "lz4"
	}
	return fmt.Sprintf("compression %d", uint8(c))
}

// compressionOf reads a frame's: "disabled" is none.
func compressionOf(b uint8) Compression {
	if b <= frame.CompressionDisabled {
		return CompressionNone
	}
	return Compression(b)
}

// Call is a call as filters see it, on either side. It is valid until the filter returns, or the Done
// that was registered with it; so are its payloads and its metadata. It belongs to one goroutine at a time: the
// filter's.
type Call struct {
	method  *Method
	service string // "SmfStorage"; empty: not known
	side    Side

	payload          []byte
	reply            []byte
	compression      Compression
	replyCompression Compression
	ran              bool // server: the handler was called
	deferred         bool
	dirty            bool // there is something that reset has to do
	handled          bool // server: the handler was begun
	read             bool // server: requestMetadata has what came

	accepts uint8 // server: bits of what the caller decompresses
	relied  uint8 // client: bits of what PeerAccepts has said yes to

	depth int // of the filter that runs; 0: none
	hooks []hook

	buffers [][]byte // used of them are lent
	used    int

	requestMetadata, replyMetadata Metadata

	served  *worker // server
	caller  Caller  // client: what is called through
	answer  *Message
	told    *said          // client: what of requestMetadata was the context's
	oneWay  bool           // client: no reply will come
	opening *streamOpening // client: the call is a stream; nil: it is not
	plain   Method         // describes a method of which only the id is known
}

// Side is the side that this is.
func (c *Call) Side() Side { return c.side }

// Method describes the method that is called. It is not to be changed. In a client it is what generated
// code knows of it; for a call that was made by Client.Call itself there is the ID, and nothing else.
func (c *Call) Method() *Method { return c.method }

// Service is the name of the method's service, "SmfStorage", or empty where Method has an ID only.
func (c *Call) Service() string { return c.service }

// Name is the method's name for people: "SmfStorage.Get", or "method 1792279101". Cost: it allocates.
func (c *Call) Name() string {
	if c.method.Name == "" {
		return fmt.Sprintf("method %d", c.method.ID)
	}
	return c.service + "." + c.method.Name
}

// Payload is the request's payload, as it came or as it will be sent: compressed, where Compression says
// so. It is only to be read. Payloads are verified behind the last filter.
func (c *Call) Payload() []byte { return c.payload }

// Compression is how Payload is compressed. A request that is still compressed when it gets to the handler is
// answered with 501.
func (c *Call) Compression() Compression { return c.compression }

// SetPayload replaces the request's payload for what is inside of the filter; when the filter has
// returned, Payload is what it was before. payload must not change until the call is over, so it is
// Buffer's, or memory that nobody writes to any more.
func (c *Call) SetPayload(payload []byte, compression Compression) {
	c.payload, c.compression = payload, compression
}

// ReplyPayload is the reply's payload, once next has returned nil, as it came or as it will be sent:
// compressed, where ReplyCompression says so. It is only to be read. nil: there is none (yet), or it
// was promised: see Deferred.
func (c *Call) ReplyPayload() []byte { return c.reply }

// ReplyCompression is how ReplyPayload is compressed. A reply that is still compressed when it gets to
// the caller is an error with code 501.
func (c *Call) ReplyCompression() Compression { return c.replyCompression }

// SetReply replaces the reply's payload, or answers in the place of what is inside: then the filter
// returns nil without calling next. payload must not change until the call is over, so it is Buffer's, or
// memory that nobody writes to any more. With an error, and for a promised reply outside of OnDone, it
// is not used.
func (c *Call) SetReply(payload []byte, compression Compression) {
	c.reply, c.replyCompression = payload, compression
}

// RequestMetadata is what the request says beside its payload. In a client it is what will be sent. Unlike
// the payload it stays as it was set: use Set, not Add, where a call may be tried again.
func (c *Call) RequestMetadata() *Metadata {
	c.dirty = true
	if c.served != nil && !c.read {
		c.read = true
		c.requestMetadata.readBlock(c.served.req.call.Metadata)
	}
	return &c.requestMetadata
}

// ReplyMetadata is what the reply says beside its payload. In a server it is what will be sent; in a
// client what has come, once next has returned.
func (c *Call) ReplyMetadata() *Metadata {
	c.dirty = true
	return &c.replyMetadata
}

// Deferred reports that the handler has promised its reply (Reply.Defer), and next has therefore
// returned nil without one. OnDone tells when it comes. False in a client.
func (c *Call) Deferred() bool { return c.deferred }

// OnDone has f run when the filter that calls it has returned and the reply is known: at once, or for a
// promised reply when it is there, on the goroutine that answers. It runs, too, when the handler or a
// filter has panicked: then err is an *Error with CodeInternal. It runs once for every time that it is
// registered, those of inner filters before those of outer ones; of one filter's, the last comes first.
//
// Like the code behind next it may look at the reply and rewrite it: f is the code behind next for
// filters that need to see every reply. The request's payload is gone in f where the reply was promised.
//
// Cost: none beyond f, when f was made before the call; a function that captures variables of the call is an
// allocation, and so is the Call of a promised reply.
func (c *Call) OnDone(f Done) {
	c.dirty = true
	c.hooks = append(c.hooks, hook{depth: c.depth, run: f})
}

// Repeatable reports whether calling next again makes another attempt. False in a server once the handler was
// called; in a client for a stream that was opened, whose end is all that there is to be had.
func (c *Call) Repeatable() bool {
	return !c.ran && (c.opening == nil || c.opening.stream == nil)
}

// Buffer lends memory for a payload: size bytes, not zeroed, which nobody else uses until the call is over.
// Cost: none in steady state, up to 1 MiB: calls use each other's again.
func (c *Call) Buffer(size int) []byte {
	c.dirty = true
	if c.used == len(c.buffers) {
		c.buffers = append(c.buffers, nil)
	}
	b := &c.buffers[c.used]
	c.used++
	if cap(*b) < size {
		*b = make([]byte, size)
	}
	return (*b)[:size:size]
}

// hook is what OnDone registers.
type hook struct {
	depth int
	run   Done
}

// around puts filters around next, once: what it returns is called for every call.
func around(filters []Filter, next Next) Next {
	for i := len(filters) - 1; i >= 0; i-- {
		next = aroundOne(filters[i], next)
	}
	return next
}

func aroundOne(filter Filter, next Next) Next {
	return func(ctx context.Context, c *Call) error {
		payload, compression, hooks := c.payload, c.compression, len(c.hooks)
		c.depth++
		depth := c.depth
		err := filter(ctx, c, next)
		c.payload, c.compression = payload, compression
		if err != nil {
			c.reply, c.replyCompression = nil, CompressionNone
		}
		if len(c.hooks) > hooks && !c.deferred {
			err = c.finish(hooks, err)
		}
		c.depth = depth - 1 // not --: a filter may have recovered a panic of what is inside of it
		return err
	}
}

// finish runs the hooks but for the first ones, inner ones first, and returns what the last of them does.
func (c *Call) finish(keep int, err error) error {
	for len(c.hooks) > keep {
		at := len(c.hooks) - 1
		for i := at - 1; i >= keep; i-- {
			if c.hooks[i].depth > c.hooks[at].depth {
				at = i
			}
		}
		run := c.hooks[at].run
		c.hooks = append(c.hooks[:at], c.hooks[at+1:]...)
		err = run(c, err) // it is gone already: one that panics does not run again
		if err != nil {
			c.reply, c.replyCompression = nil, CompressionNone
		}
	}
	return err
}

// reset makes a call ready for the next one. Buffers and the room for hooks are kept.
func (c *Call) reset() {
	c.payload, c.reply, c.caller, c.opening = nil, nil, nil, nil
	c.compression, c.replyCompression = CompressionNone, CompressionNone
	c.ran, c.deferred, c.dirty, c.handled, c.read, c.oneWay = false, false, false, false, false, false
	c.depth, c.relied = 0, 0
	clear(c.hooks[:cap(c.hooks)])
	c.hooks = c.hooks[:0]
	for i := range c.buffers[:c.used] {
		if cap(c.buffers[i]) > messageKeepMax {
			c.buffers[i] = nil
		}
	}
	c.used = 0
	c.requestMetadata.Reset()
	c.replyMetadata.Reset()
}
