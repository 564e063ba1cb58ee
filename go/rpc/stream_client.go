package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/internal/turns"
)

// streamOutMax is how many bytes of a stream wait here for the core, and how many the core gets before it has
// sent what it got earlier. A message that is larger goes alone.
const streamOutMax = 64 << 10

// clientStream is a client's side of a stream. What waits for the application is within the credit that the
// server has, and what waits for the core within streamOutMax.
//
// Who waits drives the loop, as for replies: recv as soon as it has nothing left, send when there is too much.
// Messages come in as many as a turn of the core finds, and are taken over in one piece; frames go the same
// way.
type clientStream struct {
	ctx    context.Context
	client *Client
	conn   *clientConn
	loop   *turns.Loop
	limits native.Level
	method uint32
	place  Message // in the connection's table; what the last frame says

	session uint16        // constant once it is open
	watched func() bool   // ends looking for ctx's end; nil: it has none
	over    chan struct{} // closed at its end, for filters; nil: there are none

	// recv's.
	reading inbox
	lent    int      // bytes of the message that the application has
	used    int      // bytes that were used up, and not told yet
	said    Metadata // what the server has said
	arrived turns.Waiter

	room turns.Waiter // send's, and open's

	stopped atomic.Bool // failure is set

	mu        sync.Mutex
	in        inbox  // messages that came
	blocks    []byte // metadata blocks that came
	out       []byte // frames
	outCount  int
	taken     int    // bytes that were used up, for the core
	queued    bool   // the connection knows that there is something for the core
	blocked   bool   // the core has enough of it
	opened    bool   // the core has its first frame
	finished  bool   // the application sends nothing more
	heard     bool   // a message came
	recvWaits bool   // for arrived
	sendWaits bool   // for room
	ended     bool   // its session is another's
	held      bool   // filters have not returned yet
	end       error  // what is behind the last message: io.EOF, or an *Error
	failure   *Error // what counts now, whatever has come

	// The driver's.
	spare  []byte // memory for the next frames
	inCore int    // bytes that the core may still have
}

// beginStream opens a stream, without its client's filters; call is what they have made of it, or nil.
func (c *Client) beginStream(ctx context.Context, methodID uint32, kind Streaming, payload []byte, call *Call) (*clientStream, error) {
	if methodID == 0 {
		return nil, &Error{Code: CodeBadRequest, Message: "the wire format does not allow method id 0"}
	}
	if kind == StreamingServer && len(payload) == 0 {
		return nil, errEmptyMessage()
	}
	if err := ctx.Err(); err != nil {
		return nil, contextError(err, false)
	}
	giveWay(ctx)
	for moves := 0; ; moves++ {
		conn, err := c.current(ctx)
		if err != nil {
			return nil, err
		}
		if conn.limits.Level < 2 {
			return nil, noStreamsAtLevel1(conn)
		}
		s := &clientStream{ctx: ctx, client: c, conn: conn, loop: c.engine.loop, limits: conn.limits, method: methodID,
			arrived: turns.NewWaiter(), room: turns.NewWaiter()}
		s.place.stream, s.place.method = s, methodID
		if call != nil {
			s.over, s.held = make(chan struct{}), true
		}
		if err = s.open(kind, payload, call); err == nil {
			return s, nil
		}
		if err != errMoved || moves == movesMax {
			return nil, err
		}
	}
}

func noStreamsAtLevel1(c *clientConn) *Error {
	return &Error{Code: CodeLevel, Message: fmt.Sprintf("streams need level 2 of the wire format on both sides, and with %s it is level 1 "+
		"that is spoken: upgrade that server, or leave ClientOptions.Level 0; RequireLevel2 tells it when dialling", c.address)}
}

func errEmptyMessage() *Error {
	return &Error{Code: CodeBadRequest, Message: "the message is empty; a stream's messages have a byte at least"}
}

// open has the first frame sent, and waits until the core has it.
func (s *clientStream) open(kind Streaming, payload []byte, call *Call) error {
	if err := s.checkSize(len(payload)); err != nil {
		return err
	}
	for {
		if err := s.place.prepare(s.ctx, call); err != nil {
			return err
		}
		s.out, s.outCount = s.out[:0], 0
		flags := native.FlagStream
		if s.finished = kind == StreamingServer; s.finished {
			flags |= native.FlagFin
		}
		s.put(flags, s.method, s.place.block, payload)
		s.place.block = nil
		wait, failure := s.enqueue()
		switch {
		case failure != nil:
			return failure
		case wait != nil:
			if err := s.conn.wait(s.ctx, wait); err != nil {
				return err
			}
			continue
		}
		s.loop.Await(s.room, nil)
		s.mu.Lock()
		failure = s.failure
		s.mu.Unlock()
		if failure != nil {
			return failure
		}
		return nil
	}
}

// enqueue finds a session for the stream, as clientConn.enqueue does for calls.
func (s *clientStream) enqueue() (wait <-chan struct{}, err *Error) {
	s.mu.Lock() // nobody is to see it before watched is set
	defer s.mu.Unlock()
	if wait, err = s.conn.enqueueStream(s); err != nil || wait != nil {
		return wait, err
	}
	s.sendWaits, s.queued = true, true
	if s.ctx.Done() != nil {
		s.watched = context.AfterFunc(s.ctx, func() {
			failure := contextError(s.ctx.Err(), true)
			s.fail(failure, failure.Code, false)
		})
	}
	return nil, nil
}

// checkSize refuses a message that can't be sent.
func (s *clientStream) checkSize(size int) *Error {
	if limit := min(int64(s.client.options.FrameBytes), s.limits.MessageBytesMax); int64(size) > limit {
		return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("a message of %d bytes; at most %d (ClientOptions.FrameBytes, "+
			"and what %s takes)", size, limit, s.conn.address)}
	}
	return nil
}

// put appends a frame. Under the lock.
func (s *clientStream) put(flags uint8, meta uint32, block, payload []byte) {
	if len(block) != 0 {
		flags |= native.FlagMetadata
	}
	h := frame.Header{Flags: flags, Session: s.session, Size: uint32(len(block) + len(payload)), Meta: meta}
	s.out = append(append(h.Append(s.out), block...), payload...)
	s.outCount++
}

// setSession gives the first frame its session.
func (s *clientStream) setSession(session uint16) {
	s.session = session
	binary.LittleEndian.PutUint16(s.out[2:], session)
}

// unlock unlocks the stream, and has the driver look at it if need be.
func (s *clientStream) unlock(need bool) {
	need = need && !s.queued && !s.ended
	s.queued = s.queued || need
	s.mu.Unlock()
	if need {
		s.conn.queueStream(s)
	}
}

func (s *clientStream) send(payload []byte) error {
	if len(payload) == 0 {
		return errEmptyMessage()
	}
	if err := s.checkSize(len(payload)); err != nil {
		return err
	}
	s.mu.Lock()
	for {
		s.awaitFilters()
		if err := s.noSending(); err != nil {
			s.mu.Unlock()
			return err
		}
		if len(s.out) == 0 || len(s.out)+native.HeaderSize+len(payload) <= streamOutMax {
			break
		}
		s.sendWaits = true
		s.loop.Expect()
		s.mu.Unlock()
		s.loop.Await(s.room, nil)
		s.mu.Lock()
	}
	s.put(native.FlagStream, s.method, nil, payload)
	run := !s.queued && !s.blocked
	s.unlock(!s.blocked)
	if run {
		s.loop.Run()
	}
	return nil
}

// awaitFilters waits for what filters make of the end, if it is there. Under the lock.
func (s *clientStream) awaitFilters() {
	for s.held && s.ended && s.failure == nil {
		s.sendWaits = true
		s.loop.Expect()
		s.mu.Unlock()
		s.loop.Await(s.room, nil)
		s.mu.Lock()
	}
}

// noSending says why nothing can be sent any more. Under the lock.
func (s *clientStream) noSending() error {
	switch {
	case s.failure != nil:
		return s.failure
	case s.finished:
		return &Error{Code: CodeBadRequest, Message: "the stream's sending side was closed before"}
	case !s.ended:
		return nil
	case s.end != nil && s.end != io.EOF: //nolint:errorlint // it is never wrapped here
		return s.end
	}
	return &Error{Code: CodeCancelled, Message: "the server has ended the stream, and takes nothing more: receiving tells how", MayHaveRun: true}
}

func (s *clientStream) closeSend() error {
	s.mu.Lock()
	s.awaitFilters()
	if s.failure != nil {
		defer s.mu.Unlock()
		return s.failure
	}
	if s.finished || s.ended {
		defer s.mu.Unlock()
		if s.end == io.EOF || s.end == nil { //nolint:errorlint // likewise
			return nil
		}
		return s.end
	}
	s.finished = true
	s.put(native.FlagStream|native.FlagFin, s.method, nil, nil)
	s.unlock(!s.blocked)
	s.loop.Run()
	return nil
}

func (s *clientStream) cancel() {
	s.fail(&Error{Code: CodeCancelled, Message: "the stream was closed by its caller before its end", MayHaveRun: true,
		Cause: context.Canceled}, CodeCancelled, false)
}

func (s *clientStream) malformed(why error) error {
	s.fail(&Error{Code: CodeBadRequest, Message: "a message of the reply is malformed: " + why.Error(), MayHaveRun: true, Cause: why}, CodeCancelled, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// fail ends the stream at once, and has the server told with a status. late: also when all of it has come.
func (s *clientStream) fail(why *Error, status Code, late bool) {
	s.mu.Lock()
	if s.failure != nil || s.end != nil && s.in.isEmpty() && !late {
		s.mu.Unlock()
		return
	}
	why.MayHaveRun = s.opened
	s.stop(why)
	if !s.ended {
		s.put(native.FlagReset, uint32(status), nil, nil)
	}
	s.blocked = false
	s.unlock(!s.ended)
	s.loop.Run()
}

// stop makes a failure what counts from now on. Under the lock.
func (s *clientStream) stop(why *Error) {
	s.failure = why
	s.stopped.Store(true)
	s.in.reset()
	s.out, s.outCount = nil, 0
	s.wakeReceiver()
	s.wakeSender()
	s.tellFilters()
}

// tellFilters lets those go on that wait for the end. Under the lock.
func (s *clientStream) tellFilters() {
	if s.over != nil {
		select {
		case <-s.over:
		default:
			close(s.over)
		}
	}
}

// wakeReceiver reports whether somebody was woken. Under the lock, as wakeSender.
func (s *clientStream) wakeReceiver() bool {
	woken := s.recvWaits
	if woken {
		s.recvWaits = false
		s.loop.Answer(s.arrived)
	}
	return woken
}

func (s *clientStream) wakeSender() bool {
	woken := s.sendWaits
	if woken {
		s.sendWaits = false
		s.loop.Answer(s.room)
	}
	return woken
}

func (s *clientStream) reply() *Metadata { return nil }
