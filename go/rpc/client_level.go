package rpc

import (
	"context"
	"fmt"
	"sync"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// RequireLevel2, in ClientOptions.Level, makes a server that knows level 1 alone an error with CodeLevel.
// It is for callers who rely on what only level 2 carries: metadata, deadlines, cancelling, the details of
// errors, one-way calls and pings.
const RequireLevel2 = 2

// Bounds of what is remembered of servers that speak level 1.
const (
	level1Kept      = 10 * time.Minute
	level1Addresses = 1024
)

// level1 is which servers speak level 1, by numeric address: every client of the process learns it from
// the first that had to find out.
var level1 = levelMemory{now: time.Now, keep: level1Kept, until: map[string]time.Time{}}

// levelMemory remembers addresses for a while.
type levelMemory struct {
	mu    sync.Mutex
	now   func() time.Time
	keep  time.Duration
	until map[string]time.Time
}

// left is how long an address is still known; 0: it is not.
func (l *levelMemory) left(address string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.until[address]
	if !known {
		return 0
	}
	left := until.Sub(l.now())
	if left <= 0 {
		delete(l.until, address)
		return 0
	}
	return left
}

// remember adds an address; the one that would be forgotten first makes room where there is none.
func (l *levelMemory) remember(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.until[address]; !known && len(l.until) >= level1Addresses {
		oldest := ""
		for a, until := range l.until {
			if oldest == "" || until.Before(l.until[oldest]) {
				oldest = a
			}
		}
		delete(l.until, oldest)
	}
	l.until[address] = l.now().Add(l.keep)
}

func (l *levelMemory) forget(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, address)
}

// Level is the level of the wire format that is spoken with the server: 1 or 2, or 0 while there is no
// connection. Any goroutine. It may change when the client connects again, and when a server that was known
// to speak level 1 is asked again, 10 minutes later, and knows level 2.
func (c *Client) Level() int {
	if conn := c.live.Load(); conn != nil {
		return conn.limits.Level
	}
	return 0
}

// dialAddress connects to one address, at the level that its server knows and the options allow.
func (c *Client) dialAddress(ctx context.Context, address string) (*clientConn, *Error) {
	ask := c.options.Level == RequireLevel2 || c.options.Level == 0 && level1.left(address) == 0
	conn := newClientConn(c, address)
	failure := c.connect(ctx, conn, ask)
	switch {
	case !ask:
		return conn, failure
	case failure == nil:
		level1.forget(address)
		return conn, nil
	case !conn.refusesLevel2():
		return conn, failure
	case c.options.Level == RequireLevel2:
		return conn, &Error{Code: CodeLevel, Message: fmt.Sprintf("%s speaks level 1 of the wire format (%s), and "+
			"ClientOptions.Level is RequireLevel2: upgrade that server, or leave Level 0 to do without what level 1 has not",
			address, conn.reason())}
	}
	conn = newClientConn(c, address)
	if failure = c.connect(ctx, conn, false); failure == nil {
		level1.remember(address) // not before: a server that just went away closes connections, too
	}
	return conn, failure
}

// refusesLevel2 reports that the connection failed because its peer does not know level 2.
func (c *clientConn) refusesLevel2() bool {
	reason := c.reason()
	return reason == native.CloseHelloTimeout || reason == native.CloseNotLevel2
}

func (c *clientConn) reason() native.CloseReason {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closeReason
}

// upgradeLater has the server of a connection of level 1 asked again for level 2, when what is remembered
// of it has grown old. Under the client's lock.
func (c *Client) upgradeLater(conn *clientConn) {
	if c.upgrade != nil {
		c.upgrade.Stop()
		c.upgrade = nil
	}
	if c.options.Level == 0 && conn.limits.Level == 1 {
		wait := max(level1.left(conn.address), time.Millisecond)
		c.upgrade = time.AfterFunc(wait, func() { c.tryUpgrade(conn) })
	}
}

// tryUpgrade has calls go to a connection of level 2, if the server knows it by now. Those in flight end
// where they are.
func (c *Client) tryUpgrade(old *clientConn) {
	if c.live.Load() != old {
		return // whoever connects again asks by himself
	}
	if level1.left(old.address) == 0 { // else another client has asked meanwhile
		conn := newClientConn(c, old.address)
		conn.replaced = true // should it end at once, that is no reason to connect again
		failure := c.connect(c.ctx, conn, true)
		switch {
		case failure == nil:
			level1.forget(old.address)
			c.replace(old, conn)
			return
		case !conn.refusesLevel2():
			return // the server may be gone: its connection will tell
		}
		level1.remember(old.address)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && c.conn == old {
		c.upgradeLater(old)
	}
}

// replace has calls go to another connection, if they go to old.
func (c *Client) replace(old, conn *clientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.conn != old || old.replaced || conn.away || conn.ended() {
		c.engine.disconnect(conn)
		return
	}
	old.replaced, conn.replaced = true, false
	c.leaving = append(c.leaving, old) // from now on: Close may come before it leaves
	c.take(conn)
	c.engine.loop.Do(old.leave)
}
