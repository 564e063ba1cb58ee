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
	metadata Metadata // those of before come first
	before   *said    // what the context said that this one was made from; nil: nothing
	wrong    error    // what every call fails with
}

// WithMetadata says something of the calls that are made with the context, beside their payloads: entries
// of Metadata, which the server's filters and handler see (Request.Metadata). Each value is an entry,
// behind those that ctx has already. A key that is none, or more than fits, fails the calls, with
// CodeBadRequest.
//
// Level 1 of the wire format has no place for it: there it is not sent. ClientOptions.Level: RequireLevel2
// is for who needs it. Cost: allocates; calls with it cost a copy.
func WithMetadata(ctx context.Context, key string, values ...string) context.Context {
	s := &said{before: saidIn(ctx)}
	if s.before != nil {
		s.wrong = s.before.wrong
		for k, v := range s.before.metadata.All() {
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
	if call != nil {
		for i := range call.requestMetadata.entries {
			e := &call.requestMetadata.entries[i]
			_ = w.Add(e.key, e.value) // End tells
		}
	}
	for _, e := range call.untold(s) {
		_ = w.Add(e.key, e.value)
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
	if left.Microseconds() > math.MaxUint32 {
		return 0, nil
	}
	return uint64(max(left.Microseconds(), 1)), nil
}

// tell gives a client's filters what the context says of the call.
func (c *Call) tell(ctx context.Context) {
	c.told = saidIn(ctx)
	if c.told == nil {
		return
	}
	for k, v := range c.told.metadata.All() {
		c.RequestMetadata().add(k, v)
	}
}

// untold is what a context says that filters have not been given: they may have made it themselves.
func (c *Call) untold(s *said) []metadataEntry {
	if s == nil {
		return nil
	}
	if c != nil && c.told != nil {
		for before := s; before != nil; before = before.before {
			if before == c.told {
				return s.metadata.entries[before.metadata.Len():]
			}
		}
	}
	return s.metadata.entries
}

// passOn is the context for a caller that is no Client of ours: it says what filters have left to be said.
func (c *Call) passOn(ctx context.Context) context.Context {
	if c.requestMetadata.Len() == 0 && c.told == nil {
		return ctx
	}
	s := new(said)
	for key, value := range c.requestMetadata.All() {
		s.metadata.add(key, value)
	}
	if own := saidIn(ctx); own != nil {
		s.wrong = own.wrong
		for _, e := range c.untold(own) {
			s.metadata.add(e.key, e.value)
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
