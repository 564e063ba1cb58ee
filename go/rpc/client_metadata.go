package rpc

import (
	"context"
	"math"
	"time"

	"github.com/smf-go/smf/go/internal/frame"
)

type metadataKey struct{}

// said is what a context says of calls.
type said struct {
	metadata Metadata
	wrong    error // what every call fails with
}

// WithMetadata says something of the calls that are made with the context, beside their payloads: entries
// of Metadata, which the server's filters and handler see (Request.Metadata). Each value is an entry,
// behind those that ctx has already. A key that is none, or more than fits, fails the calls, with
// CodeBadRequest.
//
// Level 1 of the wire format has no place for it: there it is not sent. ClientOptions.Level: RequireLevel2
// is for who needs it. Cost: allocates; calls with it cost a copy.
func WithMetadata(ctx context.Context, key string, values ...string) context.Context {
	s := new(said)
	if before := saidIn(ctx); before != nil {
		s.wrong = before.wrong
		for k, v := range before.metadata.All() {
			s.metadata.add(k, v)
		}
	}
	for _, v := range values {
		if err := s.metadata.Add(key, v); err != nil && s.wrong == nil {
			s.wrong = &Error{Code: CodeBadRequest, Message: err.Error(), Cause: err}
		}
	}
	return context.WithValue(ctx, metadataKey{}, s)
}

func saidIn(ctx context.Context) *said {
	s, _ := ctx.Value(metadataKey{}).(*said)
	return s
}

// prepare makes the block that goes in front of a request: what the context and filters say, and the time
// that is left. There is none where nothing is said.
func (m *Message) prepare(ctx context.Context, call *Call) error {
	s := saidIn(ctx)
	if s != nil && s.wrong != nil {
		return s.wrong
	}
	left, err := timeLeft(ctx)
	if err != nil {
		return err
	}
	if s == nil && left == 0 && (call == nil || call.requestMetadata.Len() == 0) {
		return nil
	}
	w := frame.BeginMetadata(m.block, left)
	from := 0
	if call != nil {
		from = call.told
		for i := range call.requestMetadata.entries {
			e := &call.requestMetadata.entries[i]
			_ = w.Add(e.key, e.value) // End tells
		}
	}
	if s != nil {
		for i := from; i < s.metadata.Len(); i++ {
			e := &s.metadata.entries[i]
			_ = w.Add(e.key, e.value)
		}
	}
	block, err := w.End()
	if err != nil {
		return &Error{Code: CodeBadRequest, Message: err.Error(), Cause: err}
	}
	m.block = block
	return nil
}

// timeLeft is the time that a call has, in µs; 0: no deadline, or one that is too far away to be told.
func timeLeft(ctx context.Context) (uint64, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, contextError(context.DeadlineExceeded, false)
	}
	return uint64(min(max(left.Microseconds(), 1), math.MaxUint32+1)), nil
}

// tell gives a client's filters what the context says of the call.
func (c *Call) tell(ctx context.Context) {
	c.told = 0
	s := saidIn(ctx)
	if s == nil {
		return
	}
	for k, v := range s.metadata.All() {
		c.RequestMetadata().add(k, v)
	}
	c.told = s.metadata.Len()
}

// passOn is the context for a caller that is no Client of ours: it says what filters have left to be said.
func (c *Call) passOn(ctx context.Context) context.Context {
	if c.requestMetadata.Len() == 0 && c.told == 0 {
		return ctx
	}
	s := new(said)
	for key, value := range c.requestMetadata.All() {
		s.metadata.add(key, value)
	}
	if own := saidIn(ctx); own != nil {
		s.wrong = own.wrong
		for i := c.told; i < own.metadata.Len(); i++ {
			s.metadata.add(own.metadata.entries[i].key, own.metadata.entries[i].value)
		}
	}
	return context.WithValue(ctx, metadataKey{}, s)
}

// Metadata is what the server says of the reply beside its payload. It is the message's: valid until
// Release. Level 1 of the wire format has none. Not for several goroutines at once. Cost: it is read when
// it is first asked for; nothing else pays for it.
func (m *Message) Metadata() *Metadata {
	if !m.read {
		m.read = true
		m.metadata.readBlock(m.block)
	}
	return &m.metadata
}

// asError is the error that a reply is, to a call that was made with ctx.
func (m *Message) asError(ctx context.Context) *Error {
	e := &Error{Code: m.code, MayHaveRun: !m.refused}
	if _, limited := ctx.Deadline(); limited && m.code == CodeDeadline {
		e.Cause = context.DeadlineExceeded // the server was faster to notice it
	}
	if len(m.payload) == 0 || m.compression != CompressionNone {
		return e
	}
	said, err := frame.ReadError(m.payload)
	if err != nil {
		e.Message = "what the server says of it is malformed: " + err.Error()
		return e
	}
	e.Message, e.DetailsType = said.Message, said.DetailsType
	e.Details = append([]byte(nil), said.Details...)
	e.RetryAfter = time.Duration(said.RetryAfterMS) * time.Millisecond
	e.MayHaveRun = said.MayHaveRun && !m.refused
	return e
}
