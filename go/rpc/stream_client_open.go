package rpc

import "context"

// streamCaller is a Caller that has streams: a *Client.
type streamCaller interface {
	// openStream begins a streaming call. payload is its request where it has one only (StreamingServer): it
	// is copied, and the caller's direction ends with it.
	openStream(ctx context.Context, methodID uint32, kind Streaming, payload []byte) (rawStream, error)
}

// openStream begins a streaming call of a generated client.
func (s *Stub) openStream(ctx context.Context, methodID uint32, kind Streaming, payload []byte) (rawStream, error) {
	f := s.filters
	if f == nil {
		c, ok := s.caller.(streamCaller)
		if !ok {
			return nil, noStreams(s.caller)
		}
		return c.openStream(ctx, methodID, kind, payload)
	}
	client, ok := s.caller.(*Client)
	if !ok {
		return nil, noStreams(s.caller)
	}
	if f.wrong != nil {
		return nil, f.wrong
	}
	if m, known := f.methods[methodID]; known {
		return openFiltered(ctx, m.run, client, f.service, m.Method, methodID, kind, payload)
	}
	return openFiltered(ctx, f.rest, client, f.service, nil, methodID, kind, payload)
}

func (c *Client) openStream(ctx context.Context, methodID uint32, kind Streaming, payload []byte) (rawStream, error) {
	if c.run != nil {
		return openFiltered(ctx, c.run, c, "", nil, methodID, kind, payload)
	}
	s, err := c.beginStream(ctx, methodID, kind, payload, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stream is a client's side of a streaming call of payloads, for callers without a schema: Client.OpenStream. One
// goroutine may send while another one receives. A stream that is forgotten goes on until its context ends.
type Stream struct{ raw rawStream }

// OpenStream begins a streaming call, of whatever kind the method is: a handler that wants one request gets
// the first message, and has to be told that there is no other one (CloseSend). ctx is the stream's: its
// deadline travels, and its end cancels the call. Any goroutine.
//
// Filters see the call from its opening to its end, on a goroutine of their own, without its messages.
//
// Errors: as Call's of what could not be sent, and CodeLevel at level 1 of the wire format, which has no
// streams. It returns when the call is on its way: that the server has such a method is not known then. Cost:
// some allocations for each stream, none for its messages.
func (c *Client) OpenStream(ctx context.Context, methodID uint32) (*Stream, error) {
	raw, err := c.openStream(ctx, methodID, StreamingBidi, nil)
	if err != nil {
		return nil, err
	}
	return &Stream{raw}, nil
}

// Send sends a message, which may be used again when it returns. It waits while the server does not take what
// was sent before. Errors: as Sender.Send; CodeBadRequest for an empty message.
func (s *Stream) Send(payload []byte) error { return s.raw.send(payload) }

// CloseSend says that there are no further messages from this side. A second time does nothing. Errors: as Send.
func (s *Stream) CloseSend() error { return s.raw.closeSend() }

// Recv waits for the next message, which is valid until the next Recv. Errors: as Receiver.Recv; nothing is
// verified.
func (s *Stream) Recv() ([]byte, error) { return s.raw.recv() }

// Close gives the call up, unless it has ended. It does not wait. Any goroutine.
func (s *Stream) Close() { s.raw.cancel() }

// Metadata is what the server has said beside its messages: Receiver.Metadata.
func (s *Stream) Metadata() *Metadata { return s.raw.received() }
