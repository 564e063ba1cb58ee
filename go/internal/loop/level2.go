package loop

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
)

// What calls have at level 2 of the wire format and not at level 1. Calls that use none of it do not come
// here.

// keyed reports whether a call can be cancelled by its caller: level 1 has no cancel, and one-way messages
// have no session of their own.
func keyed(level uint8, session uint16) bool { return level >= 2 && session != 0 }

func (c *Call) keyed() bool { return keyed(c.Level, c.Out.Session) }

// describe sets what a request says beside its payload.
func (l *Loop) describe(c *Call, e *native.Event) {
	c.Flags, c.Metadata, c.Deadline = e.Flags, e.Metadata(), l.deadline(e)
}

// timeLeftOffset is where a metadata block has the time left: u32, in microseconds; 0: no deadline.
const timeLeftOffset = 4

// deadline is the caller's, or zero. It is counted from when the request was read, however long the calls
// before it in the turn have taken.
func (l *Loop) deadline(e *native.Event) (t time.Time) {
	block := e.Metadata()
	if len(block) < timeLeftOffset+4 {
		return t
	}
	left := binary.LittleEndian.Uint32(block[timeLeftOffset:])
	if left == 0 {
		return t
	}
	return l.epoch.at(l.core.Now()).Add(time.Duration(left) * time.Microsecond)
}

// outOfDate reports whether a request's deadline has passed: nobody waits for the reply any more.
func (l *Loop) outOfDate(e *native.Event) bool {
	deadline := l.deadline(e)
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// epoch is a moment by the core's clock and by Go's. Both are the system's monotonic clock.
type epoch struct {
	ns   int64
	time time.Time
}

func newEpoch() epoch {
	var best epoch
	shortest := time.Duration(1<<63 - 1)
	for range 3 { // the two are read one after the other, and a thread may be held up in between
		before := time.Now()
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			panic("loop: no monotonic clock: " + err.Error()) // Linux has always had it
		}
		if took := time.Since(before); took < shortest {
			shortest, best = took, epoch{ns: now.Nano(), time: before}
		}
	}
	return best
}

// at is a time of the core's clock.
func (e epoch) at(ns uint64) time.Time { return e.time.Add(time.Duration(int64(ns) - e.ns)) }

// note deals with an event that is no request.
func (l *Loop) note(e *native.Event) {
	switch e.Kind {
	case native.EventCancel:
		if l.pendings.cancel(e.Conn, e.Session, e.Meta) {
			l.cancelled.Add(1)
		}
	case native.EventMessage:
		if s := l.pendings.streamOf(e.Conn, e.Session); s != nil {
			l.put(s, e)
		} else {
			l.core.Taken(e.Conn, e.Session, int(e.Size))
		}
	case native.EventWritable:
		if s := l.pendings.streamOf(e.Conn, e.Session); s != nil {
			l.writable(s)
		}
	case native.EventClosed:
		if n := l.pendings.disconnected(e.Conn); n > 0 {
			l.disconnected.Add(uint64(n))
		}
		l.service.Note(l, e)
	}
}

// refuse answers a request that no handler will see.
func (l *Loop) refuse(e *native.Event, status uint32) {
	r := native.Reply{Conn: e.Conn, Session: e.Session}
	refusal(&r, e.Level, status)
	if !l.core.Send(&r) {
		l.keep(Due{}, &r)
	}
}

// refuseKind answers a request that is a stream and must not be, or the other way round.
func (l *Loop) refuseKind(e *native.Event) {
	r := native.Reply{Conn: e.Conn, Session: e.Session}
	switch {
	case e.Level < 2:
		refusal(&r, e.Level, statusLevel)
	case e.Flags&native.FlagStream != 0:
		refusal(&r, e.Level, statusBadRequest)
		r.Payload = noStream
	default:
		refusal(&r, e.Level, statusBadRequest)
		r.Payload = onlyStreams
	}
	if !l.core.Send(&r) {
		l.keep(Due{}, &r)
	}
}

var (
	noStream    = refusalTable("the method has one request and one reply; call it without a stream")
	onlyStreams = refusalTable("the method streams; open a stream")
)

// refused makes a call's answer that of a request that no handler has seen.
func (c *Call) refused(status uint32) { refusal(&c.Out, c.Level, status) }

func refusal(r *native.Reply, level uint8, status uint32) {
	r.Status, r.Flags, r.Payload = status, native.MayPad, EmptyTable
	r.InLoan, r.Deferred, r.Compression, r.Metadata = false, false, 0, nil
	if level >= 2 {
		r.Flags, r.Payload = native.FlagReset, refusals[status]
	}
}

// silence leaves of the answer to a one-way message what says that it is over. It is not sent.
func silence(r *native.Reply) {
	r.Payload, r.Flags, r.InLoan, r.Compression, r.Metadata = EmptyTable, native.MayPad, false, 0, nil
}

// outOfDate is the status for a call that is not worth beginning any more, or 0.
func (t *task) outOfDate(now time.Time) uint32 {
	l := t.call.Loop
	switch {
	case t.stopped.Load():
		l.abandoned.Add(1)
		return statusCancelled
	case !t.call.Deadline.IsZero() && !now.Before(t.call.Deadline):
		l.expired.Add(1)
		return statusDeadline
	}
	return 0
}

// Cancel stops a handler that has not begun, and tells one that has.
func (t *task) Cancel(why uint32) {
	t.stopped.Store(true)
	t.call.cancel(t.worker, why)
}

// refusals are what the loop's own answers say at level 2, by status.
var refusals = map[uint32][]byte{
	statusNotFound:       refusalTable("no such method"),
	statusDeadline:       refusalTable("the deadline had passed before it was the call's turn"),
	statusLimit:          refusalTable("as many handlers run as may"),
	statusCancelled:      refusalTable("the caller gave up before it was the call's turn"),
	statusNotImplemented: refusalTable("not in this form: the method takes no compressed requests"),
	statusUnavailable:    refusalTable("the server is draining"),
}

func refusalTable(message string) []byte {
	table := frame.Error{Message: message} // and no handler has begun
	return table.Append(nil)
}
