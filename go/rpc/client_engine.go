package rpc

import (
	"fmt"
	"runtime"
	"sync"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// compressionDisabled is the highest compression of a payload that is not compressed.
const compressionDisabled = 1

// clientEngine is the poll loop that the process's clients share. It is opened by the first client and
// closed with the last.
type clientEngine struct {
	engine *native.Engine
	loop   *loop.Loop

	// The loop's own.
	conns map[uint64]*clientConn // by user value
	next  uint64
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
	config := native.Config{Cores: 1, FrameBytesMax: frameBytesMax}
	if runtime.GOMAXPROCS(0) <= 2 {
		config.SpinMicros = -1 // spinning would take the CPU from the callers
	}
	engine, err := native.Open(config)
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	e := &clientEngine{engine: engine, conns: map[uint64]*clientConn{}}
	e.loop = loop.New(engine.Cores()[0], e)
	e.loop.Start()
	return e, nil
}

func releaseClientEngine(e *clientEngine) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.users--
	if shared.users > 0 {
		return
	}
	shared.engine = nil
	// What the last client asked for before this (disconnecting) comes first.
	e.loop.Do(func() {
		e.loop.Stop()
		go func() {
			<-e.loop.Gone()
			e.engine.Close()
		}()
	})
}

// NewWorker is never asked for anything: nobody calls a client.
func (e *clientEngine) NewWorker(*loop.Call) loop.Worker { return nil }

// Find finds nothing, for the same reason.
func (e *clientEngine) Find(uint32) *loop.Method { return nil }

// Note takes replies and the news of connections.
func (e *clientEngine) Note(_ *loop.Loop, ev *native.Event) {
	conn := e.conns[ev.User]
	if conn == nil {
		return
	}
	switch ev.Kind {
	case native.EventReply:
		if conn.deliver(ev.Session, Code(ev.Meta), ev.Compression > compressionDisabled, ev.Payload()) {
			e.loop.Woke()
		}
	case native.EventConnected:
		conn.isUp()
	case native.EventClosed:
		delete(e.conns, ev.User)
		conn.isDown(closedError(ev))
	}
}

func closedError(ev *native.Event) *Error {
	reason := native.CloseReason(ev.Meta)
	if reason == native.CloseConnectFailed {
		return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("can't connect to %s: %s", ev.Payload(),
			connectProblem(native.Status(-int(ev.Session))))}
	}
	return &Error{Code: CodeUnavailable, Message: fmt.Sprintf("connection to %s ended: %s", ev.Payload(), reason)}
}

func connectProblem(s native.Status) string {
	switch s {
	case native.StatusRefused:
		return "nobody listens there"
	case native.StatusPermission:
		return "not permitted"
	case native.StatusAddress:
		return "no route to that address"
	}
	return "the network reported an error"
}

// connect opens a connection; news of it reach conn from the loop.
func (e *clientEngine) connect(conn *clientConn, address string) {
	e.loop.Do(func() {
		e.next++
		id, err := e.loop.Core().Connect(address, e.next)
		if err != nil {
			conn.isDown(&Error{Code: CodeUnavailable, Message: "can't connect: " + err.Error(), Cause: err})
			return
		}
		e.conns[e.next] = conn
		conn.opened(e.loop.NewOutbox(id))
	})
}

func (e *clientEngine) disconnect(conn *clientConn) {
	e.loop.Do(func() {
		if id, ok := conn.coreID(); ok {
			e.loop.Core().Disconnect(id)
		}
	})
}
