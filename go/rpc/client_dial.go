package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"
)

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
		var conn *clientConn
		if conn, failure = c.dialAddress(ctx, address); failure == nil {
			return c.use(conn)
		}
		if ctx.Err() != nil {
			return failure
		}
	}
	return failure
}

// connect brings a connection up, asking for level 2 or not.
func (c *Client) connect(ctx context.Context, conn *clientConn, ask bool) *Error {
	c.engine.loop.Expect()
	c.engine.connect(conn, ask)
	if !c.engine.loop.Await(conn.ready, ctx.Done()) {
		c.engine.disconnect(conn)
		failure := contextError(ctx.Err(), false)
		failure.Message = "connecting to " + conn.address + ": " + failure.Message
		return failure
	}
	return conn.failed()
}

// failed tells why the connection never came up. One that did, and has ended since, is over's business.
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

// use makes a new connection the one that calls go to.
func (c *Client) use(conn *clientConn) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		defer c.engine.disconnect(conn)
		return errClientClosed()
	}
	if conn.replaced {
		return nil // the server has sent it away already, and another one is on its way
	}
	if c.conn == nil || !conn.ended() { // else reconnect may have another one by now
		c.take(conn)
	}
	return nil
}

// take is use, under the lock, for a connection that is good.
func (c *Client) take(conn *clientConn) {
	c.conn = conn
	c.failure = nil
	c.live.Store(conn)
	c.moved()
	c.upgradeLater(conn)
}

// moved has those go on who wait for another connection. Under the lock.
func (c *Client) moved() {
	if c.moving != nil {
		close(c.moving)
		c.moving = nil
	}
}

// lost is told by the driver, or by Close, that a connection has ended that was up.
func (c *Client) lost(conn *clientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.leaving, conn); i >= 0 {
		c.leaving = slices.Delete(c.leaving, i, i+1)
	}
	if !c.closed && !conn.replaced {
		conn.replaced = true
		go c.reconnect(conn.good.Load())
	}
}

// sentAway is told by the driver that a connection takes no new calls. Calls wait for another one.
func (c *Client) sentAway(conn *clientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	conn.away = true
	if !slices.Contains(c.leaving, conn) {
		c.leaving = append(c.leaving, conn)
	}
	if conn.replaced {
		return
	}
	conn.replaced = true
	c.live.Store(nil)
	c.failure = nil
	if c.moving == nil {
		c.moving = make(chan struct{})
	}
	go c.reconnect(conn.good.Load())
}

// reconnect tries until it succeeds or the client is closed; calls fail at once meanwhile, but for the
// first attempt after the server has sent the client away. The first attempt comes without a pause, unless
// the connection before was dropped without having been good for anything.
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
		c.moved()
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
	if c.pause > longest/2 {
		c.pause = longest // twice may be more than there is
	} else {
		c.pause = min(max(2*c.pause, shortest), longest)
	}
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
