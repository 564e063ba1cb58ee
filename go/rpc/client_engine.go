package rpc

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

// neverSleeps is the spin time of a core that polls as long as it is told to.
const neverSleeps = -2

// stalledRetry and stalledRetryMax bound when frames are tried again that a connection, or the core's
// memory, had no room for; it doubles as long as nothing changes.
const (
	stalledRetry    = time.Millisecond
	stalledRetryMax = 32 * time.Millisecond
)

// clientEngine is the core that the process's clients share. It is opened by the first client and closed
// with the last. Those who wait for replies drive it: package turns.
type clientEngine struct {
	engine *native.Engine
	loop   *turns.Loop

	kept    sync.WaitGroup // payloads that goroutines copy out of the core's memory
	fetched atomic.Uint64  // of them were copied
	carried atomic.Uint64  // large requests that callers have copied

	mu      sync.Mutex
	freed   []native.Buffer // of them, for the driver
	wants   []*want         // large requests that wait for memory, in turn
	lent    int             // large requests that have memory and were not sent yet
	queue   []*clientConn   // with frames
	retries bool            // a timer will ask for another flush

	// The driver's.
	pause    time.Duration          // before the last retry; 0: none since a flush that left nothing
	conns    map[uint64]*clientConn // by user value
	next     uint64
	sent     []native.Buffer // memory of large requests
	sentTurn uint64          // in which they were sent
	last     *clientConn     // of the last event,
	lastUser uint64          // its user value; 0: none
	flushing []*clientConn
}

var shared struct {
	mu     sync.Mutex
	engine *clientEngine
	users  int
}

func acquireClientEngine() (*clientEngine, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine == nil {
		e, err := openClientEngine()
		if err != nil {
			return nil, err
		}
		shared.engine = e
	}
	shared.users++
	return shared.engine, nil
}

func openClientEngine() (*clientEngine, error) {
	// As many calls in flight as there are sessions: how many it takes is the server's to say.
	engine, err := native.Open(native.Config{Cores: 1, FrameBytesMax: frameBytesMax, SpinMicros: neverSleeps, InFlightMax: 65535})
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	e := &clientEngine{engine: engine, conns: map[uint64]*clientConn{}}
	if e.loop, err = turns.Open(engine.Cores()[0], e); err != nil {
		engine.Close()
		return nil, fmt.Errorf("rpc: a loop for clients: %w", err)
	}
	return e, nil
}

func releaseClientEngine(e *clientEngine) {
	shared.mu.Lock()
	shared.users--
	last := shared.users == 0
	if last {
		shared.engine = nil
	}
	shared.mu.Unlock()
	if last {
		// What the last client asked for before this (disconnecting) comes first.
		e.loop.Stop()
		e.grantNobody()
		e.kept.Wait()
		e.release(e.freed) // nobody drives any more
		e.engine.Close()
	}
}

// enqueue has a connection's frames sent. The caller waits for the reply, or runs the loop.
func (e *clientEngine) enqueue(c *clientConn) {
	e.mu.Lock()
	e.queue = append(e.queue, c)
	e.mu.Unlock()
	e.loop.Ask()
}

// Flush hands the frames of all connections to the core.
func (e *clientEngine) Flush() {
	e.mu.Lock()
	e.flushing, e.queue = e.queue, e.flushing[:0]
	freed, wanted := e.freed, len(e.wants) > 0
	e.freed = nil
	e.mu.Unlock()
	e.release(freed)
	stalled := wanted && !e.grant()
	if stalled {
		e.retry(nil)
	}
	for i, c := range e.flushing {
		if !c.flush(e.loop.Core()) {
			stalled = true
			e.retry(c)
		}
		e.flushing[i] = nil
	}
	e.mindSent()
	if !stalled {
		e.pause = 0
	}
}

// retry has another flush asked for later: with c's frames, or nil.
func (e *clientEngine) retry(c *clientConn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c != nil {
		e.queue = append(e.queue, c)
	}
	if !e.retries {
		e.retries = true
		e.pause = min(max(2*e.pause, stalledRetry), stalledRetryMax)
		time.AfterFunc(e.pause, func() {
			e.mu.Lock()
			e.retries = false
			e.mu.Unlock()
			e.loop.Do(func() {}) // a flush follows
		})
	}
}

// Note takes replies and the news of connections.
func (e *clientEngine) Note(ev *native.Event) {
	conn := e.last
	if ev.User != e.lastUser {
		if conn = e.conns[ev.User]; conn == nil {
			return
		}
		e.last, e.lastUser = conn, ev.User
	}
	conn.alive.heard++
	switch ev.Kind {
	case native.EventReply:
		if conn.deliver(ev) {
			e.loop.Woke()
		}
	case native.EventMessage:
		if s := conn.streamOf(ev.Session); s != nil && s.message(ev) {
			e.loop.Woke()
		}
	case native.EventWritable:
		if s := conn.streamOf(ev.Session); s != nil {
			s.writable()
		}
	case native.EventConnected:
		limits, _ := e.loop.Core().Level(ev.Conn)
		limits.Level = int(ev.Level)
		conn.isUp(limits)
	case native.EventPong:
		if conn.ponged(ev) {
			e.loop.Woke()
		}
	case native.EventGoaway:
		conn.leave()
	case native.EventClosed:
		delete(e.conns, ev.User)
		e.last, e.lastUser = nil, 0
		conn.closed(native.CloseReason(ev.Meta))
		conn.isDown(closedError(ev, conn.good.Load()))
	}
}

// closedError says why a connection ended. good: a reply has come on it.
func closedError(ev *native.Event, good bool) *Error {
	reason := native.CloseReason(ev.Meta)
	if reason == native.CloseConnectFailed {
		return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("can't connect to %s: %s", ev.Payload(),
			connectProblem(native.Status(-int(ev.Session))))}
	}
	text := fmt.Sprintf("connection to %s ended: %s", ev.Payload(), reason)
	if !good && reason >= native.CloseBadCompression && reason <= native.CloseMetaZero {
		// The first thing that came is no header: a letter, as HTTP begins with, is bad compression.
		text += " (it does not speak smf; an admin address speaks HTTP)"
	}
	return &Error{Code: CodeUnavailable, Message: text}
}

func connectProblem(s native.Status) string {
	switch s {
	case native.StatusRefused:
		return "nobody listens there"
	case native.StatusPermission:
		return "not permitted"
	case native.StatusAddress:
		return "no route to that address"
	case native.StatusTimeout:
		return "no answer"
	}
	return "the network reported an error"
}

// connect opens a connection, asking for level 2 or not; news of it reach conn from the driver.
func (e *clientEngine) connect(conn *clientConn, ask bool) {
	flags := uint32(0)
	if ask {
		flags = native.ConnectHello | conn.client.offers
	}
	e.loop.Do(func() {
		e.next++
		id, err := e.loop.Core().ConnectWith(conn.address, e.next, flags)
		if err != nil {
			conn.isDown(connectError(err))
			return
		}
		e.conns[e.next] = conn
		conn.opened(id)
	})
}

// connectError is of an attempt that did not even begin.
func connectError(err error) *Error {
	var problem *native.Error
	if errors.As(err, &problem) && problem.NoAddress() {
		return &Error{Code: CodeBadRequest, Message: problem.Text, Cause: ErrAddress}
	}
	return &Error{Code: CodeUnavailable, Message: "can't connect: " + err.Error(), Cause: err}
}

func (e *clientEngine) disconnect(conn *clientConn) {
	e.loop.Do(func() {
		if id, ok := conn.coreID(); ok {
			e.loop.Core().Disconnect(id)
		}
	})
}
