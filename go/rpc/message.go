package rpc

import (
	"context"
	"sync"

	flatbuffers "github.com/google/flatbuffers/go"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

// messageKeepMax is the largest payload whose memory is kept for the next message.
const messageKeepMax = 1 << 20

// Message is a reply's payload. It is valid until Release; a message that is never released is left to
// the garbage collector.
type Message struct {
	payload []byte
	view    flatbuffers.Table

	// While its call waits for the reply. One object for both saves a call two visits to a pool.
	waiter  turns.Waiter
	method  uint32 // what was called
	code    Code
	failure *Error // instead of a reply
	refused bool   // no handler saw the request
	moved   bool   // the call belongs on another connection
	sliced  bool   // the request goes in slices

	stream *clientStream // whose place this is; nil: a call's

	block    []byte   // metadata on the wire: the request's, then the reply's
	metadata Metadata // the reply's, when it was asked for
	read     bool     // metadata is

	native native.Buffer // that the core keeps until payload was copied out of it, or none
	lent   native.Lent   // where a large request lies on its way into the connection's queue
	large  *[]byte       // where payload is, if it is large; goes back to largeBuffers

	compression Compression // of payload
	filtered    bool        // filters may take a compressed reply
}

var messages = sync.Pool{New: func() any { return &Message{waiter: turns.NewWaiter()} }}

func newMessage(methodID uint32) *Message {
	m := messages.Get().(*Message)
	m.method = methodID
	return m
}

// statusMax is the highest number that is a status.
const statusMax = 999

// take takes a reply in, from the driver. A large payload stays where it is: its caller copies it (fetch).
//
// Servers of the Java port put the method's id where the status belongs: that is a 200, unless the id
// could be a status.
func (m *Message) take(e *native.Event) {
	code := Code(e.Meta)
	if code > statusMax && e.Meta == m.method && e.Level < 2 {
		code = CodeOK
	}
	m.compression = compressionOf(e.Compression)
	if m.compression != CompressionNone && code == CodeOK && !m.filtered {
		code = CodeNotImplemented // not asked for
	}
	m.code = code
	if e.Size > largeReply {
		m.native, m.payload = e.Buffer(), e.Payload()
	} else if e.Level >= 2 || code == CodeOK {
		m.payload = append(m.payload[:0], e.Payload()...)
	} else {
		m.payload = m.payload[:0]
	}
	if e.Level < 2 {
		m.block = m.block[:0]
		return
	}
	m.refused = e.Flags&native.FlagReset != 0
	m.block = append(m.block[:0], e.Metadata()...)
}

// result is what the call returns when it was answered. The message is the caller's, or given back.
func (m *Message) result(ctx context.Context) (*Message, error) {
	if m.code == CodeOK && m.failure == nil {
		return m, nil
	}
	failure := m.failure
	if failure == nil {
		failure = m.asError(ctx)
	}
	m.failure = nil
	m.Release()
	return nil, failure
}

// Payload is the reply's payload, valid until Release.
func (m *Message) Payload() []byte { return m.payload }

// Release gives the memory back; the payload and every view of it are invalid then. Once.
func (m *Message) Release() {
	m.view = flatbuffers.Table{}
	m.moved, m.refused = false, false
	m.block = m.block[:0]
	if m.read {
		m.read = false
		m.metadata.Reset()
	}
	if m.large != nil {
		m.payload = nil
		putLarge(m.large)
		m.large = nil
	}
	if cap(m.payload) > messageKeepMax {
		m.payload = nil
	}
	messages.Put(m)
}

func (m *Message) table() *flatbuffers.Table { return root(&m.view, m.payload) }

// Result is a reply as a table.
type Result[T any] struct {
	message *Message
	view    *T
}

// NewResult verifies a reply and looks at it as a table. A reply that is not what it should be is
// released, and the error's code is 400. For clients that are written by hand; generated ones use CallTable.
func NewResult[T any](m *Message, verify func([]byte) error) (Result[T], error) {
	if verify != nil {
		if err := verify(m.payload); err != nil {
			return Result[T]{}, m.malformed(err)
		}
	}
	return Result[T]{message: m, view: View[T](m)}, nil
}

// malformed releases a reply that is not what it should be.
func (m *Message) malformed(why error) *Error {
	m.Release()
	return &Error{Code: CodeBadRequest, Message: "the reply is malformed: " + why.Error(), MayHaveRun: true, Cause: why}
}

// Metadata is what the server says of the reply beside it: Message.Metadata. A zero Result has none.
func (r Result[T]) Metadata() *Metadata {
	if r.message == nil {
		return new(Metadata)
	}
	return r.message.Metadata()
}

// Table is the reply, valid until Release.
func (r Result[T]) Table() *T { return r.view }

// Release gives the reply's memory back. Once; a zero Result may be released, too.
func (r Result[T]) Release() {
	if r.message != nil {
		r.message.Release()
	}
}

var builders = sync.Pool{New: func() any { return flatbuffers.NewBuilder(512) }}

// GetBuilder lends a builder, reset, to build a request with.
func GetBuilder() *flatbuffers.Builder {
	b := builders.Get().(*flatbuffers.Builder)
	b.Reset()
	return b
}

// PutBuilder gives a builder back. Nothing that was built with it may be used any more.
func PutBuilder(b *flatbuffers.Builder) {
	if cap(b.Bytes) <= messageKeepMax {
		builders.Put(b)
	}
}
