package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/smf-go/smf/go/internal/loop"
)

// StreamHandler serves one method that streams. It runs on a goroutine of its own. Several handlers run at once.
//
// ctx ends when the caller gives up, or its connection ends, at the deadline, when the handler has returned, and
// when the server is closed; whoever waits in s then is told. The error decides the status of the call's end,
// as for a Handler. What has come and was not received by then is dropped, and what the caller still sends.
type StreamHandler func(ctx context.Context, s *ServerStreamRaw) error

// ServerStreamRaw is a server's side of a streaming call, of payloads: what generated code makes a
// Receiver and a Sender of. It is valid until the handler returns; used later, it returns errors.
type ServerStreamRaw struct {
	stream  *loop.Stream
	ctx     context.Context
	done    <-chan struct{}
	worker  *worker
	served  *served
	failure *Error // what every further recv returns
	broken  bool   // and what the call is answered with, whatever the handler returns
	ended   bool   // the caller's messages have
	told    bool   // the reply's metadata have gone
	block   []byte

	request, answer *Metadata
}

var (
	errStreamCompressed = &Error{Code: CodeNotImplemented, Message: "a message of the stream is compressed; send it as it is"}
	errStreamOver       = &Error{Code: CodeCancelled, Message: "the stream's handler has returned"}
	errClosedServer     = &Error{Code: CodeUnavailable, Message: "the server is closed", Cause: ErrClosed}
	errCallersEnd       = &Error{Code: CodeCancelled, Message: "the caller's connection has ended", Cause: ErrDisconnected}
)

// handleStream is what is inside of the filters around a method that streams.
func handleStream(ctx context.Context, c *Call) error {
	w := c.served
	lc := w.req.call
	m := lc.Method.Owner.(*served)
	if c.ran {
		return Errorf(CodeInternal, "a filter of %s called next twice; in a server it may do so once", c.Name())
	}
	c.ran, c.handled = true, true
	s := &ServerStreamRaw{stream: lc.Stream(), ctx: ctx, done: ctx.Done(), worker: w, served: m,
		request: c.RequestMetadata(), answer: c.ReplyMetadata()}
	if own := w.ctx.Load(); ctx != context.Context(own) {
		defer s.endWith(own)()
	}
	w.stream = s
	err := w.runStream(ctx, c, s)
	if s.broken {
		err = s.failure
	}
	if err == nil && w.reply.deferred == nil {
		return nil
	}
	return w.unanswered(c, m, err)
}

// endWith has what waits in the stream end with the call's own context, too: the one that filters have passed
// on may know nothing of the caller.
func (s *ServerStreamRaw) endWith(own context.Context) (stop func()) {
	ctx, end := context.WithCancelCause(s.ctx)
	s.ctx, s.done = ctx, ctx.Done()
	unhook := context.AfterFunc(own, func() { end(context.Cause(own)) })
	return func() {
		unhook()
		end(nil)
	}
}

// runStream calls the handler: see worker.run.
func (w *worker) runStream(ctx context.Context, c *Call, s *ServerStreamRaw) error {
	returned := false
	defer func() {
		if !returned && !w.takesBack() {
			c.deferred = true
		}
	}()
	err := s.served.HandleStream(ctx, s)
	returned = true
	return err
}

// answerStream makes out the last frame of a stream. Filters have no say in its payload.
func (w *worker) answerStream(lc *loop.Call, m *served, err error) {
	out := &lc.Out
	out.Compression = 0
	if err == nil && m.Streaming != StreamingClient {
		out.Payload, out.Flags, out.InLoan = nil, 0, false
	} else if err != nil || len(out.Payload) == 0 || len(out.Payload) > w.reply.payloadMax() {
		w.reply.outcome(err, out)
	}
	w.sayMetadata()
}

// Method describes the method that was called.
func (s *ServerStreamRaw) Method() *Method { return &s.served.Method }

// Reply is for the one reply of a method with StreamingClient. What it is given is sent when the handler
// returns.
func (s *ServerStreamRaw) Reply() *Reply { return &s.worker.reply }

// Recv waits for the caller's next message, verified by Method.Verify. It is valid until the next Recv.
// Errors and cost: as Receiver.Recv.
func (s *ServerStreamRaw) Recv() ([]byte, error) { return s.recv() }

// Send sends a copy of payload, a message. Errors and cost: as Sender.SendBytes.
func (s *ServerStreamRaw) Send(payload []byte) error {
	if len(payload) == 0 {
		return errors.New("rpc: the message is empty; a stream's messages have a byte at least")
	}
	return s.send(payload)
}

// Metadata is what the request says beside its messages.
func (s *ServerStreamRaw) Metadata() *Metadata { return s.received() }

func (s *ServerStreamRaw) recv() ([]byte, error) {
	if s.failure != nil {
		return nil, s.failure
	}
	if s.ended {
		return nil, io.EOF
	}
	payload, what := s.stream.Receive(s.done)
	switch what {
	case loop.ReceivedMessage:
		if s.served.Verify != nil {
			if err := s.served.Verify(payload); err != nil {
				return nil, s.malformed(err)
			}
		}
		return payload, nil
	case loop.ReceivedEnd:
		s.ended = true
		return nil, io.EOF
	case loop.ReceivedCompressed:
		s.failure, s.broken = errStreamCompressed, true
	case loop.ReceivedAfterHandler:
		s.failure = errStreamOver
	default:
		s.failure = interrupted(s.ctx)
	}
	return nil, s.failure
}

func (s *ServerStreamRaw) send(payload []byte) error {
	if sizeMax := s.worker.server.messageMax; len(payload) > sizeMax {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("a message of %d bytes; at most %d", len(payload), sizeMax)}
	}
	var block []byte
	if !s.told {
		if m := s.answer; m.Len() > 0 {
			s.block = m.appendBlock(s.block[:0], 0)
			block = s.block
		}
	}
	switch s.stream.Send(s.done, uint32(CodeOK), block, payload) {
	case loop.SentGood:
		s.told = true
		return nil
	case loop.SentAfterHandler:
		return errStreamOver
	}
	return interrupted(s.ctx)
}

func (s *ServerStreamRaw) closeSend() error { return nil }

func (s *ServerStreamRaw) cancel() {}

func (s *ServerStreamRaw) malformed(why error) error {
	s.worker.server.logs.malformed(s.served, why)
	s.broken = true
	s.failure = &Error{Code: CodeBadRequest, Message: "a message of the stream is malformed: " + why.Error(), Cause: why}
	return s.failure
}

func (s *ServerStreamRaw) received() *Metadata { return s.request }

func (s *ServerStreamRaw) reply() *Metadata { return s.answer }

// interrupted is the error of a stream whose context has ended.
func interrupted(ctx context.Context) *Error {
	cause := context.Cause(ctx)
	var e *Error
	switch {
	case errors.As(cause, &e):
		return e
	case errors.Is(cause, ErrDisconnected):
		return errCallersEnd
	case errors.Is(cause, ErrClosed):
		return errClosedServer
	case errors.Is(cause, context.DeadlineExceeded):
		return &Error{Code: CodeDeadline, Message: "the stream's deadline has passed", Cause: cause}
	}
	return &Error{Code: CodeCancelled, Message: "the stream was cancelled", Cause: cause}
}

// What follows is for the code that smfc generates.

// StreamReceiver reads a stream's requests as tables.
func StreamReceiver[T any](s *ServerStreamRaw) *Receiver[T] { return &Receiver[T]{raw: s} }

// StreamSender writes a stream's replies.
func StreamSender[T any](s *ServerStreamRaw) *Sender[T] { return &Sender[T]{raw: s} }

// StreamRequest waits for the one request of a method with StreamingServer. It is valid until the handler returns.
// A caller that sends none gets CodeBadRequest.
func StreamRequest[T any](s *ServerStreamRaw) (*T, error) {
	r := &Receiver[T]{raw: s}
	m, err := r.Recv()
	if err == io.EOF { //nolint:errorlint // it is never wrapped here
		return nil, &Error{Code: CodeBadRequest, Message: "the stream has no request; send one with its opening"}
	}
	return m, err
}

// MethodHandler serves one method: one of its fields is set.
type MethodHandler struct {
	Handle       Handler       // of a method with one request and one reply
	HandleStream StreamHandler // of one that streams
}
