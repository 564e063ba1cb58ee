package native

/*
#cgo noescape smf_wal_append
#cgo nocallback smf_wal_append
#cgo noescape smf_wal_partition_info
#cgo nocallback smf_wal_partition_info
#cgo noescape smf_wal_reader_next
#cgo nocallback smf_wal_reader_next
#cgo noescape smf_wal_run_next
#cgo nocallback smf_wal_run_next
#include <smf/wal.h>
*/
import "C"

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Wal is an open log; see smf/wal.h. Its methods are for the driver of its core.
type Wal struct {
	c      *C.struct_smf_wal
	pinner runtime.Pinner // of the body that is handed over
	batch  C.struct_smf_wal_batch
	first  C.uint64_t
}

// WalDone mirrors struct smf_wal_done. It lives in C memory.
type WalDone struct {
	User        uint64
	Partition   uint64
	FirstOffset uint64
	Status      int32
	Kind        uint32
}

// Both have the same size, or this does not compile.
var _ = [1]struct{}{}[unsafe.Sizeof(WalDone{})-C.sizeof_struct_smf_wal_done]

// And so do the kinds.
var _ = [1]struct{}{}[WalAppended-C.SMF_WAL_APPENDED+WalReadable-C.SMF_WAL_READABLE+WalRetry-C.SMF_WAL_RETRY]

// WalDone is the payload of an EventWal, lent until the next poll.
func (e *Event) WalDone() []WalDone {
	return unsafe.Slice((*WalDone)(e.payload), e.Meta)
}

var walDisks = map[string]C.uint32_t{"": C.SMF_WAL_DISK_AUTO, "auto": C.SMF_WAL_DISK_AUTO,
	"uring": C.SMF_WAL_DISK_URING, "posix": C.SMF_WAL_DISK_POSIX}

// OpenWal opens a log on the core. Blocks.
func (c *Core) OpenWal(config WalConfig) (*Wal, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	folder := cText(config.Folder)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&folder[0])
	var cc C.struct_smf_wal_config
	cc.size = C.sizeof_struct_smf_wal_config
	cc.folder = &folder[0]
	cc.memory_bytes = C.uint64_t(config.MemoryBytes)
	cc.linger_us = C.uint32_t(config.LingerMicros)
	cc.disk = walDisks[config.Disk]
	cc.flush_delay_us, cc.write_delay_us = C.uint32_t(config.FlushDelayMicros), C.uint32_t(config.WriteDelayMicros)
	cc.cores = C.uint32_t(config.Cores)
	cc.flags = boolToC(config.ReadOnly)*C.SMF_WAL_READ_ONLY | boolToC(config.Create)*C.SMF_WAL_CREATE |
		boolToC(config.PageCache)*C.SMF_WAL_PAGE_CACHE
	w := new(Wal)
	var cerr C.struct_smf_error
	if status := C.smf_wal_open(c.c, &cc, &w.c, &cerr); status != C.SMF_OK {
		return nil, walError(status, &cerr)
	}
	return w, nil
}

// JoinWal opens this core's share of a log that OpenWal has opened with Cores. Blocks.
func (c *Core) JoinWal(first *Wal) (*Wal, error) {
	w := new(Wal)
	var cerr C.struct_smf_error
	if status := C.smf_wal_join(c.c, first.c, &w.c, &cerr); status != C.SMF_OK {
		return nil, walError(status, &cerr)
	}
	return w, nil
}

// WalCoreOf is the core that a partition is on in a log of so many; 0 for what is no partition. Any
// goroutine.
func WalCoreOf(topic string, partition, cores int) int {
	if cores < 2 || partition < 0 || partition > maxUint32 || checkText("topic", topic) != nil {
		return 0
	}
	text := cText(topic)
	return int(C.smf_wal_core_of(&text[0], C.uint32_t(partition), C.uint32_t(cores)))
}

// walError is the error of a function that may have filled cerr.
func walError(status C.int, cerr *C.struct_smf_error) *Error {
	e := goError(cerr)
	e.Status = Status(status)
	if e.Text == "" {
		e.Text = C.GoString(C.smf_status_name(status))
	}
	return e
}

// failed is nil for a status that is none.
func walFailed(status C.int, cerr *C.struct_smf_error) error {
	if status >= 0 {
		return nil
	}
	return walError(status, cerr)
}

// Close writes what is buffered, and closes. Blocks.
func (w *Wal) Close() error {
	var cerr C.struct_smf_error
	status := C.smf_wal_close(w.c, &cerr)
	w.c = nil
	return walFailed(status, &cerr)
}

// Describe says in one line how the log gets to its disk.
func (w *Wal) Describe() string { return C.GoString(C.smf_wal_describe(w.c)) }

// CreateTopic makes a topic. Blocks.
func (w *Wal) CreateTopic(name string, topic WalTopic) error {
	if err := checkText("topic", name); err != nil {
		return err
	}
	if err := topic.check(); err != nil {
		return err
	}
	text := cText(name)
	var ct C.struct_smf_wal_topic
	ct.size = C.sizeof_struct_smf_wal_topic
	ct.partitions = C.uint32_t(topic.Partitions)
	ct.segment_bytes = C.uint64_t(topic.SegmentBytes)
	ct.record_bytes_max = C.uint32_t(topic.RecordBytesMax)
	var cerr C.struct_smf_error
	return walFailed(C.smf_wal_topic_create(w.c, &text[0], &ct, &cerr), &cerr)
}

// TopicAt is the index-th topic. False: there are not so many.
func (w *Wal) TopicAt(index int) (name string, topic WalTopic, ok bool) {
	var ct C.struct_smf_wal_topic
	ct.size = C.sizeof_struct_smf_wal_topic
	text := C.smf_wal_topic_at(w.c, C.uint32_t(index), &ct)
	if text == nil {
		return "", WalTopic{}, false
	}
	return C.GoString(text), WalTopic{Partitions: int(ct.partitions), SegmentBytes: int64(ct.segment_bytes),
		RecordBytesMax: int(ct.record_bytes_max)}, true
}

// Partition is the handle of a topic's partition.
func (w *Wal) Partition(topic string, number int) (uint64, error) {
	if err := checkText("topic", topic); err != nil {
		return 0, err
	}
	if number < 0 || number > maxUint32 {
		return 0, &Error{Status: StatusNotFound, Text: fmt.Sprintf("partition %d: there is none; they are counted from 0", number)}
	}
	text := cText(topic)
	var handle C.uint64_t
	var cerr C.struct_smf_error
	status := C.smf_wal_partition(w.c, &text[0], C.uint32_t(number), &handle, &cerr)
	return uint64(handle), walFailed(status, &cerr)
}

// Info is a partition's state.
func (w *Wal) Info(partition uint64) (WalInfo, error) {
	var ci C.struct_smf_wal_info
	ci.size = C.sizeof_struct_smf_wal_info
	if status := C.smf_wal_partition_info(w.c, C.uint64_t(partition), &ci); status != C.SMF_OK {
		return WalInfo{}, walError(status, &C.struct_smf_error{})
	}
	return WalInfo{
		Status: Status(ci.status), Text: C.GoString(&ci.text[0]),
		Head: uint64(ci.head), Next: uint64(ci.next), Written: uint64(ci.written), Durable: uint64(ci.durable),
		Segments: uint64(ci.segments), Bytes: uint64(ci.bytes),
		AppendedRecords: uint64(ci.appended_records), AppendedBytes: uint64(ci.appended_bytes),
		WrittenBytes: uint64(ci.written_bytes), CutBytes: uint64(ci.cut_bytes),
	}, nil
}

// WalBody is a body of records, as package walbody builds it.
type WalBody struct {
	Bytes        []byte // not empty; aligned to 8
	Count        uint32
	Base, Latest int64 // times: of the first record, and the latest one
}

// Append hands a body over. It is copied. One crossing. The error is a status, and no Error: whoever
// wants a sentence asks Info.
func (w *Wal) Append(partition uint64, body WalBody, ack WalAck, user uint64) (first uint64, status Status) {
	memory := unsafe.SliceData(body.Bytes)
	w.pinner.Pin(memory)
	w.batch.memory = (*C.uint8_t)(memory)
	w.batch.capacity, w.batch.used = C.uint32_t(len(body.Bytes)), C.uint32_t(len(body.Bytes))
	w.batch.count = C.uint32_t(body.Count)
	w.batch.base_us, w.batch.max_us = C.int64_t(body.Base), C.int64_t(body.Latest)
	status = Status(C.smf_wal_append(w.c, C.uint64_t(partition), &w.batch, C.uint32_t(ack), C.uint64_t(user), &w.first))
	w.batch.memory = nil
	w.pinner.Unpin()
	return uint64(w.first), status
}

// Sync makes everything durable that was appended. Blocks.
func (w *Wal) Sync(partition uint64) error {
	var cerr C.struct_smf_error
	return walFailed(C.smf_wal_sync(w.c, C.uint64_t(partition), &cerr), &cerr)
}

// TruncateHead gives up the records before an offset. Blocks.
func (w *Wal) TruncateHead(partition, offset uint64) error {
	var cerr C.struct_smf_error
	return walFailed(C.smf_wal_truncate_head(w.c, C.uint64_t(partition), C.uint64_t(offset), &cerr), &cerr)
}

// TruncateTail gives up the records from an offset on. Blocks.
func (w *Wal) TruncateTail(partition, offset uint64) error {
	var cerr C.struct_smf_error
	return walFailed(C.smf_wal_truncate_tail(w.c, C.uint64_t(partition), C.uint64_t(offset), &cerr), &cerr)
}

// OffsetForTime is the first offset of a record with that time (µs since 1970) or a later one. Blocks.
func (w *Wal) OffsetForTime(partition uint64, micros int64) (uint64, error) {
	var offset C.uint64_t
	var cerr C.struct_smf_error
	status := C.smf_wal_offset_for_time(w.c, C.uint64_t(partition), C.int64_t(micros), &offset, &cerr)
	return uint64(offset), walFailed(status, &cerr)
}
