package native

/*
#include <smf/wal.h>
*/
import "C"

import "unsafe"

// WalReader reads one partition forward. Its methods are for the driver, but those that say otherwise.
type WalReader struct {
	c      *C.struct_smf_wal_reader
	run    C.struct_smf_wal_run
	record C.struct_smf_wal_record
}

// WalView is a record in a copy of a run's bytes.
type WalView struct {
	Key, Value, Headers []byte // nil: none
	Offset              uint64
	Micros              int64 // since 1970
}

// OpenReader begins to read at an offset.
func (w *Wal) OpenReader(partition, from uint64, view WalAck, user uint64) (*WalReader, error) {
	r := new(WalReader)
	var cerr C.struct_smf_error
	status := C.smf_wal_reader_open(w.c, C.uint64_t(partition), C.uint64_t(from), C.uint32_t(view), 0, C.uint64_t(user), &r.c, &cerr)
	if status < 0 {
		return nil, walError(status, &cerr)
	}
	return r, nil
}

// Close ends it. What it has lent is gone.
func (r *WalReader) Close() {
	C.smf_wal_reader_close(r.c)
	r.c = nil
}

// Next has the next run of records read. False: there is none now; atEnd says whether there is none at
// all. The run is lent until the next call.
func (r *WalReader) Next() (ok, atEnd bool, err error) {
	var cerr C.struct_smf_error
	switch status := C.smf_wal_reader_next(r.c, &r.run, &cerr); {
	case status < 0:
		return false, false, walError(status, &cerr)
	case status == 0:
		return false, C.smf_wal_reader_at_end(r.c) != 0, nil
	}
	return true, false, nil
}

// CopyRun appends the bytes of the run. Any goroutine, while the run is lent.
func (r *WalReader) CopyRun(to []byte) []byte {
	return append(to, unsafe.Slice((*byte)(r.run.bytes), int(r.run.size_bytes))...)
}

// Record takes the next record out of the run: in bytes, a copy of it. Any goroutine, while the run is
// lent. damaged: a batch has other records than its header says. One crossing.
func (r *WalReader) Record(bytes []byte, v *WalView) (ok, damaged bool) {
	if status := C.smf_wal_run_next(&r.run, &r.record); status != 1 {
		return false, status != 0
	}
	c := &r.record
	v.Key = r.within(bytes, c.key, c.key_size)
	v.Value = r.within(bytes, c.value, c.value_size)
	v.Headers = r.within(bytes, c.headers, c.headers_size)
	v.Offset, v.Micros = uint64(c.offset), int64(c.time_us)
	return true, false
}

// Rest is what Record left of its batch: the bytes of records, at most count of which are of the run, and
// the time that theirs are counted from. Whoever takes some of them says so with Took. Any goroutine,
// while the run is lent. No crossing.
func (r *WalReader) Rest(bytes []byte) (rest []byte, base int64, count uint64) {
	at := uint32(r.run.place)
	end := uintptr(unsafe.Pointer(r.run.batch_end)) - uintptr(unsafe.Pointer(r.run.bytes))
	behind := min(r.run.end_offset, r.run.batch_end_offset)
	return bytes[at:end], int64(r.run.base_us), uint64(behind - r.run.next_offset)
}

// Took has Record go on behind count records of Rest, size bytes of it: the position in the run is in the
// low half of its place.
func (r *WalReader) Took(count uint64, size int) {
	r.run.place += C.uint64_t(size)
	r.run.next_offset += C.uint64_t(count)
}

// within finds what lies in the run in a copy of it.
func (r *WalReader) within(bytes []byte, p unsafe.Pointer, size C.uint32_t) []byte {
	if p == nil {
		return nil
	}
	at := int(uintptr(p) - uintptr(unsafe.Pointer(r.run.bytes)))
	end := at + int(size)
	return bytes[at:end:end]
}
