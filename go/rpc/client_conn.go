package rpc

import (
	"sync"

	"github.com/smf-go/smf/go/internal/loop"
)

// sessionPage is how many sessions a page of a connection's table holds; pages come when needed.
const sessionPage = 256

// sessionTable is who waits for which of a page's sessions; nil: nobody.
type sessionTable [sessionPage]*pending

// statusMax is the highest number that is a status.
const statusMax = 999

// pending is a call that waits for its reply.
type pending struct {
	done    chan struct{} // one element: the reply is in
	method  uint32        // what was called
	message *Message
	code    Code
	failure *Error // instead of a reply
}

var pendings = sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }}

// abandoned stands for a call that nobody waits for any more; its session stays taken until the reply
// comes or the connection ends.
var abandoned = new(pending)

// clientConn is one connection of a client, from the attempt to its end.
type clientConn struct {
	ready  chan struct{} // closed when it is up, or has failed
	onDown func(wasUp, wasGood bool)

	mu     sync.Mutex
	outbox *loop.Outbox
	up     bool
	wasUp  bool
	good   bool   // a reply came
	down   *Error // why it ended
	pages  [65536 / sessionPage]*sessionTable
	next   uint16 // session to try first
	calls  int    // sessions taken
}

func newClientConn(onDown func(wasUp, wasGood bool)) *clientConn {
	return &clientConn{ready: make(chan struct{}), next: 1, onDown: onDown}
}

// opened, isUp, isDown and deliver are called by the loop; isDown by Client.Close, too.

func (c *clientConn) opened(outbox *loop.Outbox) {
	c.mu.Lock()
	c.outbox = outbox
	c.mu.Unlock()
}

func (c *clientConn) coreID() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outbox == nil {
		return 0, false
	}
	return c.outbox.Conn(), true
}

func (c *clientConn) isUp() {
	c.mu.Lock()
	c.up, c.wasUp = true, true
	c.mu.Unlock()
	close(c.ready)
}

// isDown fails every call that waits. Only the first time counts.
func (c *clientConn) isDown(why *Error) {
	c.mu.Lock()
	if c.down != nil {
		c.mu.Unlock()
		return
	}
	wasUp, wasGood := c.up, c.good
	c.up = false
	c.down = why
	var failed []*pending
	for i, page := range c.pages {
		for _, p := range page.all() {
			if p != nil && p != abandoned {
				failed = append(failed, p)
			}
		}
		c.pages[i] = nil
	}
	c.calls = 0
	c.mu.Unlock()
	for _, p := range failed {
		p.failure = &Error{Code: CodeUnavailable, Message: why.Message + " before the reply came", MayHaveRun: true,
			Cause: why.Cause}
		p.done <- struct{}{}
	}
	if !wasUp {
		close(c.ready)
	}
	c.onDown(wasUp, wasGood)
}

func (p *sessionTable) all() []*pending {
	if p == nil {
		return nil
	}
	return p[:]
}

// deliver hands a reply to its caller. It reports whether somebody was woken.
//
// Servers of the Java port put the method's id where the status belongs: that is a 200, unless the id
// could be a status.
func (c *clientConn) deliver(session uint16, code Code, compressed bool, payload []byte) bool {
	c.mu.Lock()
	p := c.take(session)
	c.good = true
	c.mu.Unlock()
	if p == nil || p == abandoned {
		return false
	}
	if code > statusMax && uint32(code) == p.method {
		code = CodeOK
	}
	if code == CodeOK && compressed {
		code = CodeNotImplemented // not asked for
	}
	p.code = code
	if code == CodeOK {
		p.message = newMessage(payload)
	}
	p.done <- struct{}{}
	return true
}

// take frees a session and returns who had it.
func (c *clientConn) take(session uint16) *pending {
	page := c.pages[session/sessionPage]
	if page == nil {
		return nil
	}
	slot := &page[session%sessionPage]
	p := *slot
	if p != nil {
		*slot = nil
		c.calls--
	}
	return p
}

// register finds a session for a call.
func (c *clientConn) register(p *pending) (session uint16, outbox *loop.Outbox, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return 0, nil, c.down
	}
	if c.calls == 65536 {
		return 0, nil, &Error{Code: CodeLimit, Message: "65536 calls are in flight on this connection"}
	}
	for {
		session = c.next
		c.next++
		page := c.pages[session/sessionPage]
		if page == nil {
			page = new(sessionTable)
			c.pages[session/sessionPage] = page
		}
		if page[session%sessionPage] == nil {
			page[session%sessionPage] = p
			c.calls++
			return session, c.outbox, nil
		}
	}
}

// abandon gives up waiting. False: the reply is in, or on its way to p.done.
func (c *clientConn) abandon(session uint16, p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := c.pages[session/sessionPage]
	if page == nil || page[session%sessionPage] != p {
		return false
	}
	page[session%sessionPage] = abandoned
	return true
}

// withdraw frees the session of a call that was never sent. False as in abandon.
func (c *clientConn) withdraw(session uint16, p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	page := c.pages[session/sessionPage]
	if page == nil || page[session%sessionPage] != p {
		return false
	}
	c.take(session)
	return true
}
