package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	flatbuffers "github.com/google/flatbuffers/go"
)

// rawStream is one side of a streaming call, of payloads. What reads (recv, malformed) and what writes (send,
// closeSend) may run at once, each on one goroutine; the rest may be called from anywhere.
type rawStream interface {
	// recv waits for the next message, which is valid until the next recv. io.EOF: there is none any more,
	// and in a client the call has succeeded. Any other error is an *Error, and stays. Asking for the next
	// one is what lets the peer send on.
	recv() ([]byte, error)
	// send copies payload, which is not empty, and waits while the peer takes nothing.
	send(payload []byte) error
	// closeSend ends the direction of a client. A second time does nothing.
	closeSend() error
	// cancel gives the call up, in a client, if it goes on; it does not wait. In a server it does nothing.
	cancel()
	// malformed ends the call because what recv returned is not what it should be. It returns what recv
	// returns from then on.
	malformed(why error) error
	// received is what the other side has said beside its messages, until now.
	received() *Metadata
	// reply is, in a server, what goes along with its first message. nil in a client.
	reply() *Metadata
}

// Receiver reads the messages of one direction of a stream. T is the type of their table, as in View. For
// one goroutine at a time; another one may use the stream's Sender meanwhile.
type Receiver[T any] struct {
	raw    rawStream
	verify func([]byte) error // nil: they are verified already, or trusted
	view   flatbuffers.Table
}

// Recv waits for the next message. It is valid until the next Recv; asking for the next one is what lets
// the other side send on: a receiver that does not ask stops its sender when Limits.CreditBytes (256 KiB)
// are on the way, and nobody else.
//
// Errors: io.EOF behind the last message: in a client the call has succeeded then. Everything else is an
// *Error and means the end: in a client the status that the handler has returned; the stream was cancelled
// or its deadline has passed (context.Cause of the handler's context says why, in a server); a message was
// malformed, which ends the call with CodeBadRequest.
//
// Cost: it allocates for errors only.
func (r *Receiver[T]) Recv() (*T, error) {
	payload, err := r.raw.recv()
	if err != nil {
		return nil, err
	}
	if r.verify != nil {
		if err := r.verify(payload); err != nil {
			return nil, r.raw.malformed(err)
		}
	}
	root(&r.view, payload)
	return View[T](r), nil
}

func (r *Receiver[T]) table() *flatbuffers.Table { return &r.view }

// All gives every message, and ends behind the last one. An error comes last, with a nil message. Each message
// is valid until the loop's next round. In a client, leaving the loop early cancels the call.
//
//	for part, err := range in.All() {
//		if err != nil {
//			return err
//		}
//		size += part.DataLength()
//	}
func (r *Receiver[T]) All() iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			m, err := r.Recv()
			if err == io.EOF { //nolint:errorlint // it is never wrapped here
				return
			}
			if !yield(m, err) {
				r.raw.cancel()
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// Metadata is what the other side has said beside its messages: in a server the request's; in a client the
// reply's, which is empty until the first message or the end has come. It is only to be read, by the goroutine
// that calls Recv.
func (r *Receiver[T]) Metadata() *Metadata { return r.raw.received() }

// Sender writes the messages of one direction of a stream. T is the type of their table. For one goroutine
// at a time; another one may use the stream's Receiver meanwhile.
type Sender[T any] struct {
	raw rawStream
}

var errNoMessage = errors.New("rpc: the message is nil; give a finished builder")

// Send sends what a builder has built and finished, which may be used again when it returns. It waits while
// the other side does not take what was sent before, beyond its credit and what is queued here (64 KiB, or
// one message that is larger).
//
// That it returns nil does not say that the message has arrived. Errors: an *Error when nothing can be
// sent any more: the call was cancelled, its deadline has passed, its connection has ended, or (in a client)
// it was answered: then Recv or CloseAndRecv tells how. CodeTooLarge: the message is larger than a message may
// be; the stream goes on.
//
// Cost: two copies of the message; it allocates for errors only.
func (s *Sender[T]) Send(b *flatbuffers.Builder) error {
	if b == nil {
		return errNoMessage
	}
	return s.raw.send(b.FinishedBytes())
}

// SendObject is Send for an object of the object API.
func (s *Sender[T]) SendObject(o Packer) error {
	b := GetBuilder()
	b.Finish(o.Pack(b))
	err := s.raw.send(b.FinishedBytes())
	PutBuilder(b)
	return err
}

// SendBytes is Send for a payload that is there already: what the function that smfc generates for a table
// (TBytes) has written, for example. It may be used again when SendBytes returns. An empty one is an error.
func (s *Sender[T]) SendBytes(payload []byte) error {
	if len(payload) == 0 {
		return errors.New("rpc: the message is empty; a stream's messages have a byte at least")
	}
	return s.raw.send(payload)
}

// Metadata is, in a server, what the reply says beside its messages: it goes with the first of them, or with
// the end where there are none, and is to be set before. In a client it is nil: see WithMetadata.
func (s *Sender[T]) Metadata() *Metadata { return s.raw.reply() }

// ClientStream is a client's side of a call with many requests and one reply. Send what there is to send,
// then CloseAndRecv; or Cancel, or end the context: a stream that is forgotten goes on until its context ends.
type ClientStream[In, Out any] struct {
	Sender[In] // Send, SendObject, SendBytes
	methodID   uint32
	verify     func([]byte) error
}

// CloseAndRecv ends the requests and waits for the reply. The result is valid until its Release. Once.
//
// Errors: as Caller.Call.
func (s *ClientStream[In, Out]) CloseAndRecv() (Result[Out], error) {
	if err := s.raw.closeSend(); err != nil {
		return Result[Out]{}, err
	}
	payload, err := s.raw.recv()
	if err == io.EOF { //nolint:errorlint // it is never wrapped here
		return Result[Out]{}, s.raw.malformed(errors.New("there is none"))
	}
	if err != nil {
		return Result[Out]{}, err
	}
	m := newMessage(s.methodID)
	m.payload, m.code, m.compression = append(m.payload[:0], payload...), CodeOK, CompressionNone
	m.read = true
	m.metadata.Reset()
	m.metadata.append(s.raw.received())
	if s.verify != nil {
		if err := s.verify(m.payload); err != nil {
			m.Release()
			return Result[Out]{}, s.raw.malformed(err)
		}
	}
	if _, err = s.raw.recv(); err != io.EOF { //nolint:errorlint // likewise
		m.Release()
		if err == nil {
			err = s.raw.malformed(errors.New("there are several"))
		}
		return Result[Out]{}, err
	}
	return Result[Out]{message: m, view: View[Out](m)}, nil
}

// Cancel gives the call up. The server's handler is told. It does not wait; after the end it does nothing.
func (s *ClientStream[In, Out]) Cancel() { s.raw.cancel() }

// ServerStream is a client's side of a call with one request and many replies. Read it to its end, or Close
// it, or end its context: a stream that is forgotten goes on until its context ends.
type ServerStream[Out any] struct {
	Receiver[Out] // Recv, All, Metadata
}

// Close gives the call up, unless it has ended. It does not wait.
func (s *ServerStream[Out]) Close() { s.raw.cancel() }

// BidiStream is a client's side of a call with many requests and many replies. Sending and receiving are
// independent of each other. Read it to its end, or Close it, or end its context: a stream that is forgotten
// goes on until its context ends.
type BidiStream[In, Out any] struct {
	Sender[In]    // Send, SendObject, SendBytes
	Receiver[Out] // Recv, All
}

// CloseSend ends the requests; replies go on. A second time does nothing. Errors: as Sender.Send.
func (s *BidiStream[In, Out]) CloseSend() error { return s.Sender.raw.closeSend() }

// Close gives the call up, unless it has ended. It does not wait.
func (s *BidiStream[In, Out]) Close() { s.Sender.raw.cancel() }

// Metadata is Receiver.Metadata: what the server says of the reply.
func (s *BidiStream[In, Out]) Metadata() *Metadata { return s.Receiver.Metadata() }

// What follows is for the code that smfc generates.

// OpenClientStream begins a call with many requests and one reply. Errors: an *Error; CodeLevel where the
// other side, or what is called through, has no streams.
func OpenClientStream[In, Out any](ctx context.Context, s *Stub, methodID uint32, verify func([]byte) error) (*ClientStream[In, Out], error) {
	raw, err := s.openStream(ctx, methodID, StreamingClient, nil)
	if err != nil {
		return nil, err
	}
	if s.unverified {
		verify = nil
	}
	return &ClientStream[In, Out]{Sender: Sender[In]{raw}, methodID: methodID, verify: verify}, nil
}

// OpenServerStream begins a call with one request, which a finished builder has, and many replies. Errors:
// as OpenClientStream, and for a nil builder.
func OpenServerStream[Out any](ctx context.Context, s *Stub, methodID uint32, req *flatbuffers.Builder, verify func([]byte) error) (*ServerStream[Out], error) {
	if req == nil {
		return nil, errors.New("rpc: the request is nil; give a finished builder")
	}
	raw, err := s.openStream(ctx, methodID, StreamingServer, req.FinishedBytes())
	if err != nil {
		return nil, err
	}
	if s.unverified {
		verify = nil
	}
	return &ServerStream[Out]{Receiver[Out]{raw: raw, verify: verify}}, nil
}

// OpenBidiStream begins a call with many requests and many replies. Errors: as OpenClientStream.
func OpenBidiStream[In, Out any](ctx context.Context, s *Stub, methodID uint32, verify func([]byte) error) (*BidiStream[In, Out], error) {
	raw, err := s.openStream(ctx, methodID, StreamingBidi, nil)
	if err != nil {
		return nil, err
	}
	if s.unverified {
		verify = nil
	}
	return &BidiStream[In, Out]{Sender[In]{raw}, Receiver[Out]{raw: raw, verify: verify}}, nil
}

// noStreams is the error of what is called through something that has none.
func noStreams(c Caller) error {
	return &Error{Code: CodeLevel, Message: fmt.Sprintf("a %T has no streams; call through a *Client", c)}
}
