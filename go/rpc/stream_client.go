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
	c, ok := s.caller.(streamCaller)
	if !ok {
		return nil, noStreams(s.caller)
	}
	return c.openStream(ctx, methodID, kind, payload)
}
