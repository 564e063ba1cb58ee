package rpc

import (
	"context"
	"fmt"
	"io"
)

// streamOpening is a stream on its way through filters. They run on a goroutine of their own, as long as the
// stream goes on: what is inside of them returns at its end.
type streamOpening struct {
	kind    Streaming
	payload []byte
	stream  *clientStream // as soon as there is one
	outcome error         // of the stream
	done    chan *clientStream
	failure error // why there is none
}

// openFiltered opens a stream through filters. m is nil for a method of which only the id is known.
func openFiltered(ctx context.Context, run Next, client *Client, service string, m *Method, methodID uint32,
	kind Streaming, payload []byte) (rawStream, error) {
	giveWay(ctx)
	o := &streamOpening{kind: kind, payload: payload, done: make(chan *clientStream, 1)}
	go o.run(ctx, run, client, service, m, methodID)
	if s := <-o.done; s != nil {
		return s, nil
	}
	return nil, o.failure
}

// run runs the filters.
func (o *streamOpening) run(ctx context.Context, run Next, client *Client, service string, m *Method, methodID uint32) {
	c := calls.Get().(*Call)
	returned := false
	err := error(&Error{Code: CodeInternal, Message: "a filter ended its goroutine", MayHaveRun: true})
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Code: CodeInternal, Message: fmt.Sprintf("a filter panicked: %v", p), MayHaveRun: true}
		}
		c.giveBack(returned)
		o.end(c, err)
	}()
	if m == nil {
		c.plain.ID, c.plain.Streaming = methodID, o.kind
		m = &c.plain
	}
	c.method, c.service, c.caller, c.opening = m, service, client, o
	c.tell(ctx)
	err = run(ctx, c)
	returned = true
}

// end tells what filters have made of the stream's end, or why there is no stream.
func (o *streamOpening) end(c *Call, err error) {
	if o.stream != nil {
		o.stream.conclude(err)
		return
	}
	if o.failure = err; err == nil {
		o.failure = &Error{Code: CodeInternal, Message: "a filter ended a stream's opening without an error; call next"}
	}
	o.done <- nil
}

// exchange is what is inside of the filters: a stream, until its end. Once there is one, it is that stream's
// outcome that every further attempt gets.
func (o *streamOpening) exchange(ctx context.Context, c *Call) error {
	if o.stream != nil {
		return o.outcome
	}
	if c.compression != CompressionNone {
		return &Error{Code: CodeNotImplemented, Message: fmt.Sprintf(
			"a filter has set a payload for the stream %s (%s); a stream's messages are not seen by filters", c.Name(), c.compression)}
	}
	s, err := c.caller.(*Client).beginStream(ctx, c.method.ID, o.kind, o.payload, c)
	if err != nil {
		return err
	}
	o.stream = s
	o.payload = nil
	o.done <- s
	<-s.over
	s.mu.Lock()
	if o.outcome = s.end; s.failure != nil {
		o.outcome = s.failure
	}
	s.mu.Unlock()
	if o.outcome == io.EOF { //nolint:errorlint // it is never wrapped here
		o.outcome = nil
	}
	return o.outcome
}

// conclude is the end of a stream as filters have left it.
func (s *clientStream) conclude(err error) {
	s.mu.Lock()
	switch {
	case s.failure != nil || s.end == nil: // it counts already; or a filter did not wait for next
	case err == nil:
		s.end = io.EOF
	default:
		s.end = err
	}
	running := s.end == nil && s.failure == nil
	s.held = false
	s.wakeReceiver()
	s.wakeSender()
	s.mu.Unlock()
	if running {
		s.cancel()
	}
}
