package rpc

import native "github.com/smf-go/smf/cgo"

// enqueueStream gives a session to a stream and has its first frame sent. Results are those of enqueue. The
// stream's lock is held.
func (c *clientConn) enqueueStream(s *clientStream) (wait <-chan struct{}, err *Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait, err = c.refuse(); err != nil || wait != nil {
		return wait, err
	}
	if !c.hasPlace() {
		c.full.Store(true)
		c.ask() // the driver may know better
		return channel(&c.places), nil
	}
	session, free := c.register(&s.place)
	if !free {
		return nil, &Error{Code: CodeLimit, Message: "65535 calls are in flight on this connection"}
	}
	s.setSession(session)
	c.streams = append(c.streams, s)
	c.ask()
	return nil, nil
}

// queueStream has a stream flushed soon. The caller waits, or runs the loop.
func (c *clientConn) queueStream(s *clientStream) {
	c.mu.Lock()
	if c.down == nil { // else nobody asks the loop any more
		c.streams = append(c.streams, s)
		c.ask()
	}
	c.mu.Unlock()
}

// What follows is the driver's.

// streamOf is the stream that has a session, or nil.
func (c *clientConn) streamOf(session uint16) *clientStream {
	page := c.pages[session/sessionPage].Load()
	if page == nil {
		return nil
	}
	if m := page[session%sessionPage].Load(); m != nil {
		return m.stream
	}
	return nil
}

// unregister takes the session back from a stream that was never opened.
func (c *clientConn) unregister(s *clientStream) {
	c.pages[s.session/sessionPage].Load()[s.session%sessionPage].CompareAndSwap(&s.place, nil)
	c.answered++
	if c.full.Load() {
		c.free()
	}
}

// flushStreams hands to the core what the streams in flushing have for it. False: not now.
func (c *clientConn) flushStreams(core *native.Core) bool {
	all := true
	for i, s := range c.flushing {
		if all = all && s.flush(core); !all {
			c.mu.Lock()
			c.streams = append(c.streams, s)
			c.mu.Unlock()
		}
		c.flushing[i] = nil
	}
	return all
}
