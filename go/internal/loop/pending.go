package loop

// WhyDisconnected is the reason of Canceller.Cancel that is no status: the caller's connection has ended.
const WhyDisconnected = 0

// Canceller is told that nobody waits for a call any more.
type Canceller interface {
	// Cancel ends the call's contexts; why is the status that its caller gave it up with, or
	// WhyDisconnected. Called by the driver, at any time until the call's reply was dealt with, also while
	// its handler runs and when it has just returned. It must not block. At most once.
	Cancel(why uint32)
}

// pending is a call that outlives the turn of its request: its handler is late, or runs as a goroutine, or
// has promised the reply. Calls that are quick have none. The driver's, all of it.
type pending struct {
	conn      uint64
	session   uint16
	keyed     bool // it can be cancelled by its caller: in bySession
	listed    bool // in the list of its connection
	cancelled bool
	oneWay    bool // nobody waits for it: it goes on when its connection has ended
	who       Canceller
	stream    *Stream  // nil: it is none
	next      *pending // of the same connection
	previous  *pending
}

// sessionKey is how a cancel names its call.
type sessionKey struct {
	conn    uint64
	session uint16
}

// pendings finds calls for those who end them. The driver's.
type pendings struct {
	byConn    []*pending // by a connection's index: the newest of its list
	bySession map[sessionKey]*pending
	spare     *pending // to be used again, by next
	count     int      // of calls, with those whose connection has ended and whose handler has not
	left      int      // of these: whose connection has ended
}

// indexOf is a connection's place among those of the core; smf_event.conn.
func indexOf(conn uint64) int { return int(uint32(conn)) }

// add notes a call. Calls without keyed (of level 1, and one-way) end with their connection only.
func (t *pendings) add(conn uint64, session uint16, keyed bool, who Canceller) *pending {
	p := t.spare
	if p == nil {
		p = new(pending)
	} else {
		t.spare = p.next
	}
	t.count++
	*p = pending{conn: conn, session: session, keyed: keyed, listed: true, who: who}
	i := indexOf(conn)
	if i >= len(t.byConn) {
		t.byConn = append(t.byConn, make([]*pending, i+1-len(t.byConn))...)
	}
	if p.next = t.byConn[i]; p.next != nil {
		p.next.previous = p
	}
	t.byConn[i] = p
	if keyed {
		if t.bySession == nil {
			t.bySession = map[sessionKey]*pending{}
		}
		t.bySession[sessionKey{conn, session}] = p
	}
	return p
}

// remove forgets a call that was answered. Nobody may use p any more.
func (t *pendings) remove(p *pending) {
	if p.listed {
		t.unlist(p)
	} else {
		t.left--
	}
	t.count--
	*p = pending{next: t.spare}
	t.spare = p
}

func (t *pendings) unlist(p *pending) {
	p.listed = false
	if p.next != nil {
		p.next.previous = p.previous
	}
	if p.previous != nil {
		p.previous.next = p.next
	} else {
		t.byConn[indexOf(p.conn)] = p.next
	}
	p.next, p.previous = nil, nil
	if key := (sessionKey{p.conn, p.session}); p.keyed && t.bySession[key] == p {
		delete(t.bySession, key)
	}
}

// streamOf is the stream of a session, or nil.
func (t *pendings) streamOf(conn uint64, session uint16) *Stream {
	if p := t.bySession[sessionKey{conn, session}]; p != nil {
		return p.stream
	}
	return nil
}

// cancel ends the call that its caller has given up. False: it does not run any more, or was cancelled.
func (t *pendings) cancel(conn uint64, session uint16, why uint32) bool {
	p := t.bySession[sessionKey{conn, session}]
	return p != nil && p.cancel(why)
}

func (p *pending) cancel(why uint32) bool {
	if p.cancelled {
		return false
	}
	p.cancelled = true
	p.who.Cancel(why)
	return true
}

// disconnected ends the calls of a connection that has ended, and returns how many there were.
func (t *pendings) disconnected(conn uint64) (count int) {
	i := indexOf(conn)
	if i >= len(t.byConn) {
		return 0
	}
	for p := t.byConn[i]; p != nil; {
		next := p.next
		if p.conn == conn { // and not of another that had its index
			t.unlist(p)
			t.left++
			if !p.oneWay && p.cancel(WhyDisconnected) {
				count++
			}
		}
		p = next
	}
	return count
}

// Promise is a reply that was promised, on its way to the loop. Its owner is who answers; what is in it is
// the driver's.
type Promise struct {
	Who      Canceller // who is told that nobody waits for it; constant
	pending  *pending
	answered bool // before the handler's return was noticed
}

// promised hands a call that was noted over from its handler to whoever answers it.
//
// A call that was cancelled before has told whoever answers: Canceller.Cancel is called once.
func (l *Loop) promised(p *pending, promise *Promise) {
	if promise.answered {
		l.pendings.remove(p)
		return
	}
	p.who = promise.Who
	promise.pending = p
}

// kept is a promise's call, answered.
func (l *Loop) kept(promise *Promise) {
	promise.answered = true
	if promise.pending != nil {
		l.pendings.remove(promise.pending)
		promise.pending = nil
	}
}

// Promised tells the loop by what the call's handler has promised its reply, before the handler returns; nil: it
// has taken the promise back.
func (c *Call) Promised(promise *Promise) { c.promise.Store(promise) }

// cancel ends the contexts of a call that a worker has: its handler's, and that of its promise. A promise
// that is made meanwhile takes over from the handler's context that this is so.
func (c *Call) cancel(worker Worker, why uint32) {
	worker.Cancel(why)
	if promise := c.promise.Load(); promise != nil {
		promise.Who.Cancel(why)
	}
}

// Cancel tells a handler that is late.
func (d *driver) Cancel(why uint32) { d.call.cancel(d.worker, why) }

// returned is told of a handler's return that has reached the loop: with its reply, or a promise. It
// reports whether the call was cancelled.
func (l *Loop) returned(p *pending, replied bool, c *Call) (cancelled bool) {
	cancelled = p.cancelled
	promise := c.promise.Swap(nil) // the next call of the same worker has none
	if replied {
		l.pendings.remove(p)
	} else {
		l.promised(p, promise)
	}
	return cancelled
}
