package rpc

import (
	"context"
	"errors"
	"fmt"

	native "github.com/smf-go/smf/cgo"
)

// movesMax is how often a call follows a server that sends its clients away, before it fails.
const movesMax = 8

// request is what a call sends.
type request struct {
	method      uint32
	payload     []byte
	compression uint8
	call        *Call // what filters have made of it, or nil
}

// Call sends a request and waits for its reply, ctx's end, or the connection's. Any goroutine; a
// handler that calls gives its loop away while it waits.
//
// At level 2 of the wire format ctx's deadline travels as the time that is left, and so does what
// WithMetadata says; ctx's end cancels the call in the server, too.
//
// Errors: *Error, unless a filter returns another. A status other than 200 has that code, and what the
// server says of it; a ctx that ends gives CodeDeadline or CodeCancelled (and errors.Is finds ctx's error); a
// lost connection CodeUnavailable. MayHaveRun says whether a handler may have seen the request.
//
// Cost: no allocation in steady state; a request is copied twice, its reply once. Of more than 256 KiB each is
// copied once, by the caller and not by whoever drives the connection, and costs small allocations; memory for a
// large reply is used again for another of about its size, until the garbage collector takes it.
func (c *Client) Call(ctx context.Context, methodID uint32, payload []byte) (*Message, error) {
	if c.run != nil {
		return callFiltered(ctx, c.run, c, "", nil, methodID, payload)
	}
	return c.exchange(ctx, methodID, payload, nil)
}

// exchange is Call without its filters; call is what they have made of it, or nil.
func (c *Client) exchange(ctx context.Context, methodID uint32, payload []byte, call *Call) (*Message, error) {
	r := request{method: methodID, payload: payload, call: call}
	if call != nil {
		r.compression = uint8(call.compression)
	}
	if err := c.check(ctx, &r); err != nil {
		return nil, err
	}
	giveWay(ctx)
	for moves := 0; ; moves++ {
		conn, err := c.current(ctx)
		if err != nil {
			return nil, err
		}
		m := newMessage(methodID)
		m.compression, m.filtered = CompressionNone, call != nil
		session, err := conn.send(ctx, m, &r)
		if err == nil {
			err = c.await(ctx, conn, session, m)
		}
		if err == errMoved && moves < movesMax {
			m.Release()
			continue
		}
		if err != nil {
			m.Release()
			return nil, err
		}
		if call != nil && m.failure == nil {
			call.replyMetadata.readBlock(m.block)
		}
		return m.result(ctx)
	}
}

// check refuses what can't be sent.
func (c *Client) check(ctx context.Context, r *request) error {
	if r.method == 0 || len(r.payload) == 0 {
		return &Error{Code: CodeBadRequest, Message: "the wire format allows neither method id 0 nor an empty payload"}
	}
	if limit := c.options.FrameBytes; len(r.payload) > limit {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf(
			"a request of %d bytes; at most %d (ClientOptions.FrameBytes)", len(r.payload), limit)}
	}
	if err := ctx.Err(); err != nil {
		return contextError(err, false)
	}
	return nil
}

// await waits for the reply to what was sent. Errors: ctx's end, and errMoved for a call that no handler saw
// because the server takes no new calls on that connection.
func (c *Client) await(ctx context.Context, conn *clientConn, session uint16, m *Message) error {
	if !c.engine.loop.Await(m.waiter, ctx.Done()) {
		if conn.abandon(session, m) {
			failure := contextError(ctx.Err(), true)
			conn.cancel(session, failure.Code)
			return failure
		}
		c.engine.loop.Await(m.waiter, nil) // the reply was faster
	}
	if !m.native.IsZero() {
		c.engine.fetch(m)
	}
	if m.moved || m.refused && m.failure == nil && m.code == CodeUnavailable && conn.isLeaving() {
		return errMoved
	}
	return nil
}

// current is the connection to call on.
func (c *Client) current(ctx context.Context) (*clientConn, error) {
	for {
		if conn := c.live.Load(); conn != nil {
			return conn, nil
		}
		c.mu.Lock()
		conn, failure, closed, moving := c.conn, c.failure, c.closed, c.moving
		c.mu.Unlock()
		switch {
		case closed:
			return nil, errClientClosed()
		case failure != nil:
			return nil, failure
		case moving == nil:
			return conn, nil
		}
		select {
		case <-moving:
		case <-ctx.Done():
			return nil, contextError(ctx.Err(), false)
		}
	}
}

// send queues a call's frame; it waits while too much is queued already, or in flight.
func (c *clientConn) send(ctx context.Context, m *Message, r *request) (uint16, error) {
	for {
		if err := c.prepare(ctx, m, r); err != nil {
			return 0, err
		}
		if len(r.payload) > largeRequest {
			if err := c.carry(ctx, m, r); err != nil {
				return 0, err
			}
		}
		session, wait, failure := c.enqueue(m, r)
		if !m.lent.IsZero() { // it was not taken
			c.engine.discard(&m.lent)
		}
		switch {
		case failure != nil:
			return 0, failure
		case wait == nil:
			return session, nil
		}
		if err := c.wait(ctx, wait); err != nil {
			return 0, err
		}
	}
}

// wait waits for what enqueue says.
func (c *clientConn) wait(ctx context.Context, what <-chan struct{}) error {
	// Somebody has to look for input meanwhile, also when nobody else waits: all before may be one-way or given up.
	c.engine.loop.Expect()
	defer c.engine.loop.Forget()
	c.engine.loop.Run() // those who queued before may be on their way to it only
	select {
	case <-what:
		return nil
	case <-ctx.Done():
		return contextError(ctx.Err(), false)
	}
}

// prepare builds what goes in front of a request: nothing at level 1.
func (c *clientConn) prepare(ctx context.Context, m *Message, r *request) error {
	m.block = m.block[:0]
	if c.limits.Level < 2 {
		return nil
	}
	if limit := c.limits.MessageBytesMax; int64(len(r.payload)) > limit {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("a request of %d bytes; %s takes at most %d", len(r.payload), c.address, limit)}
	}
	if err := c.refuseCompression(r); err != nil {
		return err
	}
	return m.prepare(ctx, r.call)
}

// OneWay sends a request that is not answered, and returns when it is handed to the connection. Whether it
// was received, and what came of it, is never known: it may be lost with the connection, or with a server
// that is drained. It has to fit into one frame, and runs in no order with other calls. Any goroutine.
//
// Errors: as Call's of what could not be sent, and CodeLevel at level 1 of the wire format, which has no
// such calls. Cost: no allocation in steady state.
func (c *Client) OneWay(ctx context.Context, methodID uint32, payload []byte) error {
	if c.run != nil {
		return oneWayFiltered(ctx, c.run, c, methodID, payload)
	}
	return c.sendOneWay(ctx, methodID, payload, nil)
}

// sendOneWay is OneWay without its filters.
func (c *Client) sendOneWay(ctx context.Context, methodID uint32, payload []byte, call *Call) error {
	r := request{method: methodID, payload: payload, call: call}
	if call != nil {
		r.compression = uint8(call.compression)
	}
	if err := c.check(ctx, &r); err != nil {
		return err
	}
	giveWay(ctx)
	m := newMessage(methodID)
	defer m.Release()
	for moves := 0; ; moves++ {
		conn, err := c.current(ctx)
		if err != nil {
			return err
		}
		if err = conn.sendOneWay(ctx, m, &r); err != errMoved || moves == movesMax {
			return err
		}
	}
}

func (c *clientConn) sendOneWay(ctx context.Context, m *Message, r *request) error {
	if err := c.needsLevel2("a one-way call"); err != nil {
		return err
	}
	for {
		if err := c.prepare(ctx, m, r); err != nil {
			return err
		}
		if size, limit := int64(len(m.block)+len(r.payload)), c.limits.FrameBytesMax; size > limit {
			return &Error{Code: CodeTooLarge, Message: fmt.Sprintf(
				"a one-way call of %d bytes, with its metadata; %s takes %d in one frame: use Call", size, c.address, limit)}
		}
		c.mu.Lock()
		wait, failure := c.refuse()
		if failure == nil && wait == nil {
			c.put(0, r.method, r.flags()|native.FlagOneWay, r.compression, m.block, r.payload)
		}
		c.mu.Unlock()
		switch {
		case failure != nil:
			return failure
		case wait == nil:
			c.engine.loop.Run()
			return nil
		}
		if err := c.wait(ctx, wait); err != nil {
			return err
		}
	}
}

// flags of a request's frame, whatever else it is.
func (r *request) flags() uint8 {
	if r.compression != uint8(CompressionNone) {
		return 0 // who decompresses it would stumble over what is behind its end
	}
	return native.MayPad
}

// needsLevel2 is the error of what level 1 has not.
func (c *clientConn) needsLevel2(what string) error {
	if c.limits.Level >= 2 {
		return nil
	}
	return &Error{Code: CodeLevel, Message: fmt.Sprintf("%s needs level 2 of the wire format, and with %s it is level 1 that is spoken; "+
		"ClientOptions.Level: RequireLevel2 tells it when dialling", what, c.address)}
}

func contextError(err error, sent bool) *Error {
	code := CodeCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		code = CodeDeadline
	}
	return &Error{Code: code, Message: err.Error(), MayHaveRun: sent, Cause: err}
}
