package native

/*
#cgo noescape smf_core_cancel
#cgo nocallback smf_core_cancel
#cgo noescape smf_core_taken
#cgo nocallback smf_core_taken
#cgo noescape smf_core_level
#cgo nocallback smf_core_level
#cgo noescape smf_core_writable
#cgo nocallback smf_core_writable
#cgo noescape smf_core_queued_bytes
#cgo nocallback smf_core_queued_bytes
#include <smf/level2.h>
*/
import "C"

// Level is what a connection may do. False: it is gone.
func (c *Core) Level(conn uint64) (Level, bool) {
	var l C.struct_smf_level
	if C.smf_core_level(c.c, C.uint64_t(conn), &l) != C.SMF_OK {
		return Level{}, false
	}
	return Level{
		Level: int(l.level), Compressions: uint32(l.compressions), Features: uint64(l.features),
		FrameBytesMax: int64(l.frame_size_bytes_max), CallsMax: int(l.calls_max),
		CreditBytes: int64(l.credit_bytes), MessageBytesMax: int64(l.message_size_bytes_max),
	}, true
}

// Cancel gives a call up that was sent; its EventReply comes all the same. StatusOK, StatusClosed,
// StatusUnsupported (level 1), or StatusLimit and StatusNoMemory: poll, and try again.
func (c *Core) Cancel(conn uint64, session uint16, status uint32) Status {
	return Status(C.smf_core_cancel(c.c, C.uint64_t(conn), C.uint16_t(session), C.uint32_t(status)))
}

// Taken says that size bytes of a stream's message, or of one that came in slices, are used up: their
// sender may send as many more. StatusOK or StatusClosed.
func (c *Core) Taken(conn uint64, session uint16, size int) Status {
	return Status(C.smf_core_taken(c.c, C.uint64_t(conn), C.uint16_t(session), C.uint32_t(size)))
}

// Writable reports whether nothing of what was sent on a stream waits here, as far as polls have dealt with
// it. False: EventWritable follows, unless the stream ends.
func (c *Core) Writable(conn uint64, session uint16) bool {
	return C.smf_core_writable(c.c, C.uint64_t(conn), C.uint16_t(session)) != 0
}

// QueuedBytes is the part of UnsentBytes that waits in streams and messages in slices: it does not hold up
// what else is sent on the connection.
func (c *Core) QueuedBytes(conn uint64) int64 {
	return int64(C.smf_core_queued_bytes(c.c, C.uint64_t(conn)))
}

// PingsMax is how many pings of a connection may wait for their answers.
const PingsMax = C.SMF_PINGS_MAX

// Ping asks the peer for a sign of life: EventPong brings the token. StatusOK, StatusClosed,
// StatusUnsupported (level 1) or StatusLimit (PingsMax of them are not answered).
func (c *Core) Ping(conn, token uint64) Status {
	return Status(C.smf_core_ping(c.c, C.uint64_t(conn), C.uint64_t(token)))
}

// Goaway tells the peer to call nothing more on this connection. Results are those of Ping.
func (c *Core) Goaway(conn uint64, why uint32) Status {
	return Status(C.smf_core_goaway(c.c, C.uint64_t(conn), C.uint32_t(why)))
}
