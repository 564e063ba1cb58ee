package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Caller makes calls; generated clients are built on it. *Client is one.
type Caller interface {
	// Call sends a request and waits for its reply. The payload may be used again when Call returns,
	// also when it returns early. A status other than 200 is an *Error.
	Call(ctx context.Context, methodID uint32, payload []byte) (*Message, error)
}

// ClientOptions are a client's settings. The zero value is a good client.
type ClientOptions struct {
	// BackoffMin and BackoffMax bound the pause before a connection is tried again; it doubles from
	// attempt to attempt, half of it at random. 0: 20 ms and 5 s.
	BackoffMin, BackoffMax time.Duration
	// Resolver looks host names up. nil: net.DefaultResolver.
	Resolver *net.Resolver
	// FrameBytes is the largest request that is sent; a larger one fails by itself, where a server would
	// close the connection and fail every other call with it. 0: 16 MiB, what servers take unless they
	// are told otherwise. At most 64 MiB, which is also the largest reply that a client takes.
	FrameBytes int
	// Filters run around every call, the first one outermost; those of a generated client's options are
	// outside of them. A reply that comes compressed is their business, too.
	Filters []Filter
}

const (
	backoffMinDefault = 20 * time.Millisecond
	backoffMaxDefault = 5 * time.Second
)

const (
	requestBytesDefault = 16 << 20
	frameBytesMax       = 64 << 20 // the shared loop has memory for that in one piece
)

// Client calls one server over one connection, which any number of goroutines share: their calls are
// pipelined, and replies find their caller in any order. A connection that ends is opened again; calls
// that waited for a reply on it fail with CodeUnavailable and MayHaveRun.
type Client struct {
	address string
	options ClientOptions
	engine  *clientEngine
	run     Next            // its filters, around exchange; nil: there are none
	ctx     context.Context // ends with the client
	cancel  context.CancelFunc

	live atomic.Pointer[clientConn] // conn, while calls may be tried on it

	mu      sync.Mutex
	conn    *clientConn
	failure *Error // of the last attempt, while the next one waits
	closed  bool

	pause time.Duration // reconnect's
}

// Dial connects to "host:port", "127.0.0.1:11225", "[::1]:11225", "unix:/path" or "unix:@name". It
// returns when the connection is up, or with the reason why it is not. An address that can't be is
// CodeBadRequest, and ErrAddress.
//
// Cost: the first client of a process opens a poll loop, which all share.
func Dial(ctx context.Context, address string, options ClientOptions) (*Client, error) {
	if options.FrameBytes == 0 {
		options.FrameBytes = requestBytesDefault
	}
	if options.FrameBytes < 0 || options.FrameBytes > frameBytesMax {
		return nil, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("ClientOptions.FrameBytes is %d; it may be 1 to %d, or 0 for %d",
			options.FrameBytes, frameBytesMax, requestBytesDefault)}
	}
	engine, err := acquireClientEngine()
	if err != nil {
		return nil, err
	}
	c := &Client{address: address, options: options, engine: engine}
	if len(options.Filters) > 0 {
		c.run = around(options.Filters, exchange)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	giveWay(ctx)
	if failure := c.dialOnce(ctx); failure != nil {
		c.Close()
		return nil, failure
	}
	return c, nil
}

// Close ends the connection and fails the calls that wait. It returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.live.Store(nil)
	conn := c.conn
	c.mu.Unlock()
	if was {
		return nil
	}
	c.cancel()
	if conn != nil {
		// At once, not when the loop says so: it may end before, or wait for the peer to take what is left.
		conn.isDown(&Error{Code: CodeUnavailable, Message: "the client was closed", Cause: ErrClosed})
		c.engine.disconnect(conn)
	}
	releaseClientEngine(c.engine)
	return nil
}

// resolve turns the address into numeric ones.
func (c *Client) resolve(ctx context.Context) ([]string, error) {
	if strings.HasPrefix(c.address, "unix:") {
		return []string{c.address}, nil
	}
	host, port, err := splitAddress(c.address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "localhost"
	}
	resolver := c.options.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	number, err := resolver.LookupPort(ctx, "tcp", port)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		return nil, noAddress(c.address, "the port is no number from 0 to 65535, nor the name of a service")
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	numeric := make([]string, 0, len(addresses))
	for _, a := range addresses {
		numeric = append(numeric, net.JoinHostPort(a.Unmap().String(), fmt.Sprint(number)))
	}
	return numeric, nil
}

// splitAddress splits "host:port". Errors: those of noAddress.
func splitAddress(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	switch {
	case strings.Contains(address, "://"):
		return "", "", noAddress(address, "an address is no URL")
	case err == nil && port != "":
		return host, port, nil
	case err == nil, strings.HasPrefix(address, "["), strings.Count(address, ":") == 0:
		return "", "", noAddress(address, "the port is missing")
	}
	return "", "", noAddress(address, "an IPv6 address belongs in brackets")
}

// noAddress is the error of a text that can't be an address.
func noAddress(address, why string) *Error {
	return &Error{Code: CodeBadRequest, Cause: ErrAddress,
		Message: fmt.Sprintf("address %q: %s (use host:port, [::1]:port, unix:/path or unix:@name)", address, why)}
}

// dialOnce tries the addresses one after the other.
func (c *Client) dialOnce(ctx context.Context) *Error {
	addresses, err := c.resolve(ctx)
	var failure *Error
	if errors.As(err, &failure) {
		return failure
	}
	if err != nil {
		return &Error{Code: CodeUnavailable, Message: err.Error(), Cause: err}
	}
	failure = &Error{Code: CodeUnavailable, Message: fmt.Sprintf("%q has no address", c.address)}
	for _, address := range addresses {
		conn := newClientConn(c.engine, c.lost)
		c.engine.loop.Expect()
		c.engine.connect(conn, address)
		if !c.engine.loop.Await(conn.ready, ctx.Done()) {
			c.engine.disconnect(conn)
			failure := contextError(ctx.Err(), false)
			failure.Message = "connecting to " + address + ": " + failure.Message
			return failure
		}
		if failure = conn.failed(); failure == nil {
			return c.use(conn)
		}
	}
	return failure
}

// failed tells why the connection never came up. One that did, and has ended since, is lost's business.
func (c *clientConn) failed() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wasUp {
		return nil
	}
	return c.down
}

func (c *clientConn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down != nil
}

func (c *Client) use(conn *clientConn) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		defer c.engine.disconnect(conn)
		return &Error{Code: CodeUnavailable, Message: "the client is closed", Cause: ErrClosed}
	}
	if c.conn == nil || !conn.ended() { // else reconnect may have another one by now
		c.conn = conn
		c.failure = nil
		c.live.Store(conn)
	}
	return nil
}

// lost is told by the loop that a connection has ended.
func (c *Client) lost(wasUp, wasGood bool) {
	if wasUp && c.ctx.Err() == nil {
		go c.reconnect(wasGood)
	}
}

// reconnect tries until it succeeds or the client is closed; calls fail at once meanwhile. The first
// attempt comes without a pause, unless the connection before was dropped without having been good for
// anything.
func (c *Client) reconnect(wasGood bool) {
	if wasGood {
		c.pause = 0
	} else if !c.backOff() {
		return
	}
	for {
		failure := c.dialOnce(c.ctx)
		if failure == nil || c.ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.failure = failure
		c.live.Store(nil)
		c.mu.Unlock()
		if !c.backOff() {
			return
		}
	}
}

// backOff waits, longer each time. False: the client was closed.
func (c *Client) backOff() bool {
	shortest, longest := c.options.BackoffMin, c.options.BackoffMax
	if shortest <= 0 {
		shortest = backoffMinDefault
	}
	if longest <= 0 {
		longest = backoffMaxDefault
	}
	c.pause = min(max(2*c.pause, shortest), longest)
	half := c.pause / 2
	timer := time.NewTimer(half + rand.N(half+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// current is the connection to call on.
func (c *Client) current() (*clientConn, error) {
	if conn := c.live.Load(); conn != nil {
		return conn, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, &Error{Code: CodeUnavailable, Message: "the client is closed", Cause: ErrClosed}
	case c.failure != nil:
		return nil, c.failure
	}
	return c.conn, nil
}

// Call sends a request and waits for its reply, ctx's end, or the connection's. Any goroutine; a
// handler that calls gives its loop away while it waits.
//
// Errors: *Error, unless a filter returns another. A status other than 200 has that code; a ctx that ends gives CodeDeadline or
// CodeCancelled (and errors.Is finds ctx's error); a lost connection CodeUnavailable. MayHaveRun says
// whether the server may have seen the request.
//
// Cost: no allocation in steady state; a request is copied twice, its reply once.
func (c *Client) Call(ctx context.Context, methodID uint32, payload []byte) (*Message, error) {
	if c.run != nil {
		return callFiltered(ctx, c.run, c, "", nil, methodID, payload)
	}
	return c.exchange(ctx, methodID, payload, nil)
}

// exchange is Call without its filters; call is what they have made of it, or nil.
func (c *Client) exchange(ctx context.Context, methodID uint32, payload []byte, call *Call) (*Message, error) {
	if methodID == 0 || len(payload) == 0 {
		return nil, &Error{Code: CodeBadRequest, Message: "the wire format allows neither method id 0 nor an empty payload"}
	}
	if limit := c.options.FrameBytes; len(payload) > limit {
		return nil, &Error{Code: CodeTooLarge, Message: fmt.Sprintf(
			"a request of %d bytes; at most %d (ClientOptions.FrameBytes)", len(payload), limit)}
	}
	if err := ctx.Err(); err != nil {
		return nil, contextError(err, false)
	}
	giveWay(ctx)
	conn, err := c.current()
	if err != nil {
		return nil, err
	}
	m := newMessage(methodID)
	m.request, m.compression, m.filtered = CompressionNone, CompressionNone, call != nil
	if call != nil {
		m.request = call.compression
	}
	session, err := conn.send(ctx, m, payload)
	if err != nil {
		m.Release()
		return nil, err
	}
	if !c.engine.loop.Await(m.waiter, ctx.Done()) {
		if conn.abandon(session, m) {
			m.Release()
			return nil, contextError(ctx.Err(), true)
		}
		c.engine.loop.Await(m.waiter, nil) // the reply was faster
	}
	return m.result()
}

// send queues a call's frame; it waits while too much is queued already.
func (c *clientConn) send(ctx context.Context, m *Message, payload []byte) (uint16, error) {
	for {
		session, room, failure := c.enqueue(m, payload)
		switch {
		case failure != nil:
			return 0, failure
		case room == nil:
			return session, nil
		}
		c.engine.loop.Run() // those who queued before may be on their way to it only
		select {
		case <-room:
		case <-ctx.Done():
			return 0, contextError(ctx.Err(), false)
		case <-time.After(100 * time.Millisecond): // the connection may have ended
		}
	}
}

func contextError(err error, sent bool) *Error {
	code := CodeCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		code = CodeDeadline
	}
	return &Error{Code: code, Message: err.Error(), MayHaveRun: sent, Cause: err}
}
