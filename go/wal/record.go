package wal

import (
	"fmt"
	"time"

	"github.com/smf-go/smf/go/internal/walbody"
)

// Header is a name with a value, beside a record's value. A nil value is none.
type Header = walbody.Header

// Record is one record. A nil key or value is none, which is not the same as an empty one.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
	Time    time.Time // the zero value, when appended: now; microseconds are kept
	Offset  uint64    // when read
}

// Batch is some records: what one append takes, or what a reader was given at once.
type Batch []Record

// encoded is the record for the builder of bodies.
func (r *Record) encoded(now int64) walbody.Record {
	if !r.Time.IsZero() {
		now = r.Time.UnixMicro()
	}
	return walbody.Record{Key: r.Key, Value: r.Value, Headers: r.Headers, Time: now}
}

// size is what the batch takes in a body.
func (b Batch) size(recordMax, batchMax int) (int, error) {
	if len(b) == 0 {
		return 0, errorf(ErrInvalid, "an append needs a record")
	}
	total := 0
	for i := range b {
		r := b[i].encoded(0)
		size, err := walbody.Size(&r)
		if err != nil || size > recordMax {
			return 0, b.tooLarge(i, recordMax)
		}
		total += size
	}
	if total > batchMax {
		return 0, &LimitError{What: "the batch", Bytes: int64(total), Limit: int64(batchMax)}
	}
	return total, nil
}

// tooLarge tells about a record that is over its limit, or whose headers are over theirs.
func (b Batch) tooLarge(i, recordMax int) error {
	r := &b[i]
	headers := 0
	for _, h := range r.Headers {
		headers += 8 + (len(h.Name)+len(h.Value)+7)&^7
	}
	if headers > walbody.HeadersSizeMax {
		return &LimitError{What: fmt.Sprintf("the headers of record %d", i),
			Bytes: int64(headers), Limit: walbody.HeadersSizeMax}
	}
	size := walbody.RecordHeaderSize + (len(r.Key)+len(r.Value)+7)&^7 + headers
	return &LimitError{What: fmt.Sprintf("record %d of the batch", i), Bytes: int64(size), Limit: int64(recordMax)}
}
