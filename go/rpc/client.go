package rpc

import (
	"context"
	"fmt"
	"net"
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
	// Level is what is spoken. 0: level 2 of the wire format with a server that knows it, level 1 with
	// others; which one it is takes such a server's answer, and at most 250 ms where there is none, once in
	// 10 minutes for each address. 1: level 1, without asking. RequireLevel2: level 2, or an error with
	// CodeLevel. Client.Level tells which it is.
	Level int
	// KeepAlive is how long a connection may be silent before the server is asked for a sign of life
	// (Client.Ping); one that gives none for as long again is ended: its calls fail with CodeUnavailable
	// and MayHaveRun, and the client connects again. 0: silence is fine. Nothing happens at level 1.
	KeepAlive time.Duration
	// FrameBytes is the largest request that is sent; a larger one fails by itself, where a server would
	// close the connection and fail every other call with it. 0: 16 MiB, what servers take unless they
	// are told otherwise. At most 64 MiB, which is also the largest reply that a client takes.
	FrameBytes int
	// Filters run around every call, the first one outermost; those of a generated client's options are
	// outside of them. A reply that comes compressed is their business, too.
	Filters []Filter
	// Compressions are what Filters, and those of every generated client, decompress: a server of level 2 is told
	// (Hello in docs/wire.md), and sends no other replies compressed. What both sides list is what either may
	// send; see Call.PeerAccepts. For package compress it is Options.Compressions.
	Compressions []Compression
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
// that waited for a reply on it fail with CodeUnavailable, and MayHaveRun if they were sent. A server of
// level 2 that is drained says so before: then calls in flight end on the old connection, others wait for
// the new one, and none fails if another server listens at the address.
type Client struct {
	address string
	options ClientOptions
	engine  *clientEngine
	run     Next            // its filters, around exchange; nil: there are none
	offers  uint32          // its compressions, as flags of a connection
	ctx     context.Context // ends with the client
	cancel  context.CancelFunc

	live atomic.Pointer[clientConn] // conn, while calls may be tried on it

	mu      sync.Mutex
	conn    *clientConn
	leaving []*clientConn // take no new calls, and wait for their last replies
	moving  chan struct{} // closed when it is known where calls go next; nil: it is
	failure *Error        // of the last attempt, while the next one waits
	closed  bool
	upgrade *time.Timer // asks again for level 2; nil: there is no need

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
	if options.Level < 0 || options.Level > RequireLevel2 {
		return nil, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("ClientOptions.Level is %d; it may be 0 (2, or 1 "+
			"with servers that know no other), 1 or RequireLevel2", options.Level)}
	}
	if options.KeepAlive < 0 {
		return nil, &Error{Code: CodeBadRequest, Message: fmt.Sprintf("ClientOptions.KeepAlive is %v; 0 is for none", options.KeepAlive)}
	}
	offers, err := offered("ClientOptions.Compressions", options.Compressions)
	if err != nil {
		return nil, &Error{Code: CodeBadRequest, Message: err.Error()}
	}
	engine, err := acquireClientEngine()
	if err != nil {
		return nil, err
	}
	c := &Client{address: address, options: options, engine: engine, offers: offers}
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

// Close ends the connection and fails the calls that wait. What was handed over before is sent first, for as long
// as the server takes it, and for a second at most: one-way messages, and that calls and streams were given up. It
// returns nil.
func (c *Client) Close() error {
	if conns, first := c.shut(); first {
		c.finish(conns)
	}
	return nil
}

// shut fails the calls that wait. False: that was done before.
func (c *Client) shut() (conns []*clientConn, first bool) {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	c.live.Store(nil)
	conns = append(conns, c.leaving...)
	if c.conn != nil {
		conns = append(conns, c.conn)
	}
	if c.upgrade != nil {
		c.upgrade.Stop()
	}
	c.moved()
	c.mu.Unlock()
	if was {
		return nil, false
	}
	c.cancel()
	for _, conn := range conns {
		conn.part(&Error{Code: CodeUnavailable, Message: "the client was closed", Cause: ErrClosed})
	}
	return conns, true
}

// finish waits until connections have ended, for a while, and lets the loop go. Not for the driver.
func (c *Client) finish(conns []*clientConn) {
	late := make(chan struct{})
	timer := time.AfterFunc(partWait, func() { close(late) })
	defer timer.Stop()
	for _, conn := range conns {
		conn.awaitEnd(late)
	}
	releaseClientEngine(c.engine)
}

func errClientClosed() *Error {
	return &Error{Code: CodeUnavailable, Message: "the client is closed", Cause: ErrClosed}
}
