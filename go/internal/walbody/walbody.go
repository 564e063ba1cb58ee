// Package walbody writes and reads the bodies of the log's batches (docs/wal-format.md, "Records").
// Appends are staged with it, and cross to C as one body; readers walk over records in
// memory that C lends.
//
// Its functions are pure; any goroutine may call them. What is read points into the body. Nothing
// allocates, but a Builder whose memory has to grow.
package walbody

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// Limits, in bytes and microseconds.
const (
	RecordHeaderSize = 16
	RecordSizeMax    = 16 << 20  // of a record, encoded
	HeadersSizeMax   = 65535 * 8 // of a record's headers, encoded
	BodySizeMax      = 32 << 20
	TimeMax          = int64(1) << 61         // before and after 1970
	DeltaMax         = int64(1)<<47 - 1       // between the times of a batch and its first one: 4.4 years
	headerHeaderSize = 8                      // in front of a header's name and value
	sizeOfNone       = uint32(math.MaxUint32) // of a key or a value that is not there
)

// Errors of Builder.Add.
var (
	// ErrRecordTooLarge is for a record that no batch can hold.
	ErrRecordTooLarge = errors.New("record too large")

	// ErrTime is for a time that can't be written, or not into this batch.
	ErrTime = errors.New("time out of range")

	// ErrFull is for a record that fits into the next batch.
	ErrFull = errors.New("batch is full")
)

// ErrDamaged is for bytes that no writer makes.
var ErrDamaged = errors.New("damaged body")

// Header is a name with a value, beside a record's value. A nil value is none.
type Header struct {
	Name  []byte
	Value []byte
}

// Record is what a user appends. A nil key or value is none, which is not the same as an empty one.
type Record struct {
	Key     []byte
	Value   []byte
	Headers []Header
	Time    int64 // µs since 1970
}

// View is a record that was read, in the memory of its body.
type View struct {
	Key     []byte
	Value   []byte // its first byte is aligned to 8 if the body's is
	Headers []byte // encoded: NextHeader reads them
	Time    int64  // µs since 1970
}

func roundUp(size int) int { return (size + 7) &^ 7 }

// size is what a key or a value takes in the header of its record.
func size(b []byte) uint32 {
	if b == nil {
		return sizeOfNone
	}
	return uint32(len(b))
}

// headersSize is what headers take. It is more than HeadersSizeMax when they are too large, whatever
// the lengths add up to.
func headersSize(headers []Header) int {
	total := 0
	for i := range headers {
		h := &headers[i]
		if len(h.Name) > HeadersSizeMax || len(h.Value) > HeadersSizeMax {
			return HeadersSizeMax + 1
		}
		total += headerHeaderSize + roundUp(len(h.Name)+len(h.Value))
		if total > HeadersSizeMax {
			return total
		}
	}
	return total
}

// recordSize is what a record takes in a body, and what its headers do.
func recordSize(r *Record) (total, headers int, err error) {
	headers = headersSize(r.Headers)
	if headers > HeadersSizeMax {
		return 0, 0, fmt.Errorf("%w: its headers take more than %d bytes", ErrRecordTooLarge, HeadersSizeMax)
	}
	if len(r.Key) <= RecordSizeMax && len(r.Value) <= RecordSizeMax {
		total = RecordHeaderSize + roundUp(len(r.Value)+len(r.Key)) + headers
	}
	if total == 0 || total > RecordSizeMax {
		return 0, 0, fmt.Errorf("%w: key, value and headers take more than %d bytes", ErrRecordTooLarge, RecordSizeMax)
	}
	return total, headers, nil
}

// Size is what a record takes in a body. The error is ErrRecordTooLarge.
func Size(r *Record) (int, error) {
	total, _, err := recordSize(r)
	return total, err
}

// Builder builds one body. The zero value is an empty one. A copy of it remembers what it had: assigning
// the copy takes back what was added since.
type Builder struct {
	body  []byte
	base  int64 // the first record's time
	max   int64 // the latest one
	count uint32
}

// Reset begins another body, in memory that the caller lends. It moves to memory of its own when the
// capacity does not suffice. nil is fine.
func (b *Builder) Reset(memory []byte) {
	*b = Builder{body: memory[:0]}
}

// Move goes on in other memory that the caller lends, and that has room for what was built.
func (b *Builder) Move(memory []byte) { b.body = append(memory[:0], b.body...) }

// Body returns what was built. It is the builder's until it is reset.
func (b *Builder) Body() []byte { return b.body }

// Count returns the number of records.
func (b *Builder) Count() uint32 { return b.count }

// Times returns the first record's time, and the latest one of all.
func (b *Builder) Times() (base, latest int64) { return b.base, b.max }

// Add adds a record. It copies everything. After an error nothing has changed: the error is
// ErrRecordTooLarge, ErrTime, or ErrFull, which the next batch cures.
func (b *Builder) Add(r *Record) error {
	total, headers, err := recordSize(r)
	if err != nil {
		return err
	}
	if r.Time < -TimeMax || r.Time > TimeMax {
		return fmt.Errorf("%w: %d µs since 1970", ErrTime, r.Time)
	}
	if len(b.body)+total > BodySizeMax {
		return ErrFull
	}
	if b.count == 0 {
		b.base, b.max = r.Time, r.Time
	}
	delta := r.Time - b.base
	if delta < -DeltaMax || delta > DeltaMax {
		return fmt.Errorf("%w: %d µs away from the first record of the batch, %d are allowed", ErrTime, delta, DeltaMax)
	}
	b.body = appendRecord(b.body, r, delta, headers)
	b.max = max(b.max, r.Time)
	b.count++
	return nil
}

// Cut takes records out again: those from byte start to byte end of the body, count of them. False: the
// times of those behind can't be written without them, and nothing has changed.
func (b *Builder) Cut(start, end int, count uint32) bool {
	rest := b.body[:start]
	if start == 0 && end < len(b.body) && !b.rebase(b.body[end:]) {
		return false
	}
	b.body = append(rest, b.body[end:]...)
	b.count -= count
	b.latest()
	return true
}

// rebase makes the first of these records the one that times are counted from.
func (b *Builder) rebase(body []byte) bool {
	shift := int64(binary.LittleEndian.Uint64(body[8:])) >> 16
	for pass := range 2 {
		var v View
		for rest := body; len(rest) > 0; {
			word := binary.LittleEndian.Uint64(rest[8:])
			delta := int64(word)>>16 - shift
			if delta < -DeltaMax || delta > DeltaMax {
				return false
			}
			if pass == 1 {
				binary.LittleEndian.PutUint64(rest[8:], uint64(delta)<<16|word&0xffff)
			}
			rest, _ = Next(rest, 0, &v) // a builder's body can be read
		}
	}
	b.base += shift
	return true
}

// latest looks for the latest time.
func (b *Builder) latest() {
	var v View
	b.max = b.base
	for rest := b.body; len(rest) > 0; {
		rest, _ = Next(rest, b.base, &v)
		b.max = max(b.max, v.Time)
	}
}

func appendRecord(body []byte, r *Record, delta int64, headers int) []byte {
	body = binary.LittleEndian.AppendUint32(body, size(r.Value))
	body = binary.LittleEndian.AppendUint32(body, size(r.Key))
	body = binary.LittleEndian.AppendUint64(body, uint64(delta)<<16|uint64(headers/8))
	body = appendPadded(body, r.Value, r.Key)
	for i := range r.Headers {
		h := &r.Headers[i]
		body = binary.LittleEndian.AppendUint32(body, uint32(len(h.Name)))
		body = binary.LittleEndian.AppendUint32(body, size(h.Value))
		body = appendPadded(body, h.Name, h.Value)
	}
	return body
}

var zeroes [8]byte

// appendPadded appends both, and zeroes up to a multiple of 8.
func appendPadded(body, first, second []byte) []byte {
	body = append(body, first...)
	body = append(body, second...)
	used := len(first) + len(second)
	return append(body, zeroes[:roundUp(used)-used]...)
}

// plain is the length that a size says.
func plain(size uint32) int {
	if size == sizeOfNone {
		return 0
	}
	return int(size)
}

// lend cuts n bytes out of b, so that appending to them does not reach what is behind.
func lend(b []byte, at int, size uint32) []byte {
	if size == sizeOfNone {
		return nil
	}
	end := at + int(size)
	return b[at:end:end]
}

// Next reads the first record of what is left of a body, and returns what is left then. base is the
// time in the batch's header. The error is nil or ErrDamaged; at the end of a body, which is when
// nothing is left, it is ErrDamaged, too.
func Next(body []byte, base int64, v *View) (rest []byte, err error) {
	if len(body) < RecordHeaderSize {
		return nil, ErrDamaged
	}
	valueSize := binary.LittleEndian.Uint32(body)
	keySize := binary.LittleEndian.Uint32(body[4:])
	word := binary.LittleEndian.Uint64(body[8:])
	headersAt := RecordHeaderSize + roundUp(plain(valueSize)+plain(keySize))
	total := headersAt + int(word&0xffff)*8
	if total > len(body) || total > RecordSizeMax {
		return nil, ErrDamaged
	}
	v.Value = lend(body, RecordHeaderSize, valueSize)
	v.Key = lend(body, RecordHeaderSize+plain(valueSize), keySize)
	v.Headers = body[headersAt:total:total]
	v.Time = base + int64(word)>>16
	return body[total:], nil
}

// NextHeader reads the first of what is left of a record's headers, and returns what is left then. The
// error is nil or ErrDamaged; when nothing is left it is ErrDamaged, too.
func NextHeader(headers []byte, h *Header) (rest []byte, err error) {
	if len(headers) < headerHeaderSize {
		return nil, ErrDamaged
	}
	nameSize := binary.LittleEndian.Uint32(headers)
	valueSize := binary.LittleEndian.Uint32(headers[4:])
	total := headerHeaderSize + roundUp(int(nameSize)+plain(valueSize))
	if nameSize == sizeOfNone || total > len(headers) {
		return nil, ErrDamaged
	}
	h.Name = lend(headers, headerHeaderSize, nameSize)
	h.Value = lend(headers, headerHeaderSize+int(nameSize), valueSize)
	return headers[total:], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the checksum of a body: CRC-32C.
func Checksum(body []byte) uint32 { return crc32.Checksum(body, castagnoli) }
