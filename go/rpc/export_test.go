package rpc

import (
	"context"
	"sync/atomic"
	"time"
)

// Level1Memory replaces what is remembered of servers that speak level 1, until it is put back: with
// nothing in it, a clock of the test's own, and another time to keep it.
func Level1Memory(now func() time.Time, keep time.Duration) (putBack func()) {
	level1.mu.Lock()
	defer level1.mu.Unlock()
	wasNow, wasKeep := level1.now, level1.keep
	level1.now, level1.keep = now, keep
	clear(level1.until)
	return func() {
		level1.mu.Lock()
		defer level1.mu.Unlock()
		level1.now, level1.keep = wasNow, wasKeep
		clear(level1.until)
	}
}

// Level1Known is how many servers are remembered to speak level 1.
func Level1Known() int {
	level1.mu.Lock()
	defer level1.mu.Unlock()
	return len(level1.until)
}

// Level1Remember remembers an address.
func Level1Remember(address string) { level1.remember(address) }

// Level1Left is how long an address is remembered.
func Level1Left(address string) time.Duration { return level1.left(address) }

// SessionsInUse is how many sessions of a client's connections are taken.
func SessionsInUse(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, conn := range append(c.leaving[:len(c.leaving):len(c.leaving)], c.conn) {
		if conn != nil {
			conn.eachCall(func(uint16, *atomic.Pointer[Message]) { n++ })
		}
	}
	return n
}

// Expected is how many goroutines wait for the loop that a client shares with others.
func Expected(c *Client) int64 { return c.engine.loop.Waiting() }

// NextSession makes the next call of a client try a session first.
func NextSession(c *Client, session uint16) {
	conn := c.live.Load()
	conn.mu.Lock()
	conn.next = session
	conn.mu.Unlock()
}

// ReplaceThenClose has calls go to another connection, and closes the client before the old one has left.
// Another client has to be open.
func ReplaceThenClose(c *Client) error {
	old := c.live.Load()
	conn := newClientConn(c, old.address)
	conn.replaced = true
	if failure := c.connect(context.Background(), conn, true); failure != nil {
		return failure
	}
	shut := make(chan []*clientConn)
	c.engine.loop.Do(func() { // the driver is busy: leaving comes next
		c.replace(old, conn)
		conns, _ := c.shut()
		shut <- conns
	})
	c.finish(<-shut)
	return nil
}

// WaitingIsLost is what is left of queued frames when their calls go elsewhere.
func WaitingIsLost(frames []byte) (left []byte, count int) {
	return resetsOf(frames, sessionsOf(frames))
}

// LastWords is what is left of queued frames when their client is closed.
func LastWords(frames []byte) (left []byte, count int) {
	return lastWords(frames, sessionsOf(frames))
}

// Fetched is how many large replies callers of c's loop have copied by themselves; it is for all clients.
func Fetched(c *Client) uint64 { return c.engine.fetched.Load() }

// CarriedRequests is how many large requests callers of c's loop have copied by themselves; it is for all clients.
func CarriedRequests(c *Client) uint64 { return c.engine.carried.Load() }

// Carried is how many large replies goroutines have copied for a server's loops.
func Carried(s *Server) (n uint64) {
	for _, l := range s.loops {
		n += l.Stats().Carried
	}
	return n
}
