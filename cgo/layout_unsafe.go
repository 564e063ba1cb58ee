package native

/*
#include <smf/layout.h>
*/
import "C"

import "unsafe"

// event mirrors struct smf_event. It lives in C memory.
type Event struct {
	Kind        EventKind
	Compression uint8
	Flags       uint8
	Level       uint8 // of the connection
	Session     uint16
	metaSize    uint16
	Meta        uint32
	Size        uint32
	Conn        uint64
	payload     unsafe.Pointer
	buffer      unsafe.Pointer
	User        uint64
}

// Payload is the event's payload, lent until the next poll.
func (e *Event) Payload() []byte {
	return unsafe.Slice((*byte)(e.payload), e.Size)
}

// Metadata is the event's metadata block, which the engine has checked; lent until the next poll. Nil:
// there is none.
func (e *Event) Metadata() []byte {
	if e.metaSize == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(e.payload, -int(e.metaSize))), int(e.metaSize))
}

// Buffer is what holds the payload.
func (e *Event) Buffer() Buffer { return Buffer{e.buffer} }

// Buffer is a piece of a core's memory that is held; the zero value is none.
type Buffer struct{ p unsafe.Pointer }

// IsZero reports whether there is nothing to release.
func (b Buffer) IsZero() bool { return b.p == nil }

// send mirrors struct smf_send.
type send struct {
	conn   uint64
	frames unsafe.Pointer
	size   uint32
	count  uint32
	buffer unsafe.Pointer
}

// turn mirrors struct smf_turn.
type turn struct {
	events        unsafe.Pointer
	eventCount    uint32
	eventCapacity uint32
	sends         unsafe.Pointer
	sendCount     uint32
	sendCapacity  uint32
	loan          unsafe.Pointer
	loanTop       unsafe.Pointer
	loanBuffer    unsafe.Pointer
	nowNs         uint64
	inFlight      uint32
	connections   uint32
	unsent        uint32
	listeners     uint32
	pending       uint32
	sleeping      uint32
	tallied       unsafe.Pointer
	talliedCount  uint32
	_             uint32
}

// baton mirrors struct smf_baton.
type baton struct {
	state          uint64
	cursor         uint32
	fences         uint32
	_              [12]uint32
	watchersAsleep uint64
	_              [14]uint32
}

const (
	batonInHandler = 1
	batonKind      = 3
	batonSeqOne    = 4
)

// checkLayout compares what Go mirrors with what the linked library has.
func checkLayout() error {
	if got := uint32(C.smf_abi_version()); got != C.SMF_ABI_VERSION {
		return &LayoutError{What: "ABI version", Want: C.SMF_ABI_VERSION, Got: got}
	}
	var values [64]C.uint32_t
	count := min(int(C.smf_layout(&values[0], C.uint32_t(len(values)))), len(values))
	library := make([]uint32, count)
	for i := range library {
		library[i] = uint32(values[i])
	}
	return compareLayout(library)
}

// compareLayout finds the first value of the library's that is not Go's.
func compareLayout(library []uint32) error {
	want := layoutOfGo()
	if len(library) != len(want) {
		return &LayoutError{What: "number of layout values", Want: uint32(len(want)), Got: uint32(len(library))}
	}
	for i, w := range want {
		if library[i] != w.value {
			return &LayoutError{What: w.what, Want: w.value, Got: library[i]}
		}
	}
	return nil
}

type layoutValue struct {
	what  string
	value uint32
}

// layoutOfGo lists Go's sizes and offsets in the order of smf/layout.h.
func layoutOfGo() []layoutValue {
	var e Event
	var s send
	var t turn
	var b baton
	var y Tally
	var d tallied
	v := func(what string, value uintptr) layoutValue { return layoutValue{what, uint32(value)} }
	return []layoutValue{
		v("size of smf_event", unsafe.Sizeof(e)),
		v("smf_event.flags", unsafe.Offsetof(e.Flags)),
		v("smf_event.level", unsafe.Offsetof(e.Level)),
		v("smf_event.session", unsafe.Offsetof(e.Session)),
		v("smf_event.metadata_size_bytes", unsafe.Offsetof(e.metaSize)),
		v("smf_event.meta", unsafe.Offsetof(e.Meta)),
		v("smf_event.size_bytes", unsafe.Offsetof(e.Size)),
		v("smf_event.conn", unsafe.Offsetof(e.Conn)),
		v("smf_event.payload", unsafe.Offsetof(e.payload)),
		v("smf_event.buffer", unsafe.Offsetof(e.buffer)),
		v("smf_event.user", unsafe.Offsetof(e.User)),
		v("size of smf_send", unsafe.Sizeof(s)),
		v("smf_send.frames", unsafe.Offsetof(s.frames)),
		v("smf_send.size_bytes", unsafe.Offsetof(s.size)),
		v("smf_send.frame_count", unsafe.Offsetof(s.count)),
		v("smf_send.buffer", unsafe.Offsetof(s.buffer)),
		v("size of smf_turn", unsafe.Sizeof(t)),
		v("smf_turn.event_count", unsafe.Offsetof(t.eventCount)),
		v("smf_turn.sends", unsafe.Offsetof(t.sends)),
		v("smf_turn.send_count", unsafe.Offsetof(t.sendCount)),
		v("smf_turn.send_capacity", unsafe.Offsetof(t.sendCapacity)),
		v("smf_turn.loan", unsafe.Offsetof(t.loan)),
		v("smf_turn.loan_top", unsafe.Offsetof(t.loanTop)),
		v("smf_turn.loan_buffer", unsafe.Offsetof(t.loanBuffer)),
		v("smf_turn.now_ns", unsafe.Offsetof(t.nowNs)),
		v("smf_turn.in_flight", unsafe.Offsetof(t.inFlight)),
		v("smf_turn.unsent", unsafe.Offsetof(t.unsent)),
		v("smf_turn.pending", unsafe.Offsetof(t.pending)),
		v("smf_turn.sleeping", unsafe.Offsetof(t.sleeping)),
		v("smf_turn.tallied", unsafe.Offsetof(t.tallied)),
		v("smf_turn.tallied_count", unsafe.Offsetof(t.talliedCount)),
		v("size of smf_tally", unsafe.Sizeof(y)),
		v("smf_tally.turn_failed", unsafe.Offsetof(y.turnFailed)),
		v("smf_tally.succeeded", unsafe.Offsetof(y.succeeded)),
		v("smf_tally.latency_ns", unsafe.Offsetof(y.latencyNs)),
		v("smf_tally.buckets", unsafe.Offsetof(y.buckets)),
		v("size of smf_tallied", unsafe.Sizeof(d)),
		v("smf_tallied.since_ns", unsafe.Offsetof(d.sinceNs)),
		v("smf_tallied.failed", unsafe.Offsetof(d.failed)),
		v("size of smf_baton", unsafe.Sizeof(b)),
		v("smf_baton.cursor", unsafe.Offsetof(b.cursor)),
		v("smf_baton.fences", unsafe.Offsetof(b.fences)),
		v("smf_baton.watchers_asleep", unsafe.Offsetof(b.watchersAsleep)),
		v("size of smf_engine_config", C.sizeof_struct_smf_engine_config),
		v("size of smf_core_stats", C.sizeof_struct_smf_core_stats),
		v("size of smf_level", C.sizeof_struct_smf_level),
		v("size of smf_wal_config", C.sizeof_struct_smf_wal_config),
		v("size of smf_wal_topic", C.sizeof_struct_smf_wal_topic),
		v("size of smf_wal_record", C.sizeof_struct_smf_wal_record),
		v("size of smf_wal_batch", C.sizeof_struct_smf_wal_batch),
		v("size of smf_wal_done", C.sizeof_struct_smf_wal_done),
		v("smf_wal_done.partition", unsafe.Offsetof(C.struct_smf_wal_done{}.partition)),
		v("smf_wal_done.first_offset", unsafe.Offsetof(C.struct_smf_wal_done{}.first_offset)),
		v("smf_wal_done.status", unsafe.Offsetof(C.struct_smf_wal_done{}.status)),
		v("smf_wal_done.kind", unsafe.Offsetof(C.struct_smf_wal_done{}.kind)),
		v("size of smf_wal_info", C.sizeof_struct_smf_wal_info),
		v("size of smf_wal_run", C.sizeof_struct_smf_wal_run),
		v("size of smf_error", C.sizeof_struct_smf_error),
	}
}
