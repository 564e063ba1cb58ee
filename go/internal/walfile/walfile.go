// Package walfile reads the files of a log, byte by byte, as docs/wal-format.md tells them: block 0, the
// headers of batches, items, which batches belong together, which files do, and where a partition ends. It
// was written from that page and shares no code with the engine, so that what the engine writes is read by
// two programs that do not know each other. It also cuts a partition that is damaged (Cut).
//
// What parses bytes is pure. What opens files is read-only beside a process that writes, but for Cut, which
// wants LOCK. Nothing here is fast; everything is total: any bytes give a status.
package walfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// Limits of the format, in bytes unless they say otherwise.
const (
	Version            = 1
	FileHeaderSize     = 512 // at the beginning of block 0
	BatchHeaderSize    = 96  // as written
	BatchHeaderSizeMax = 512
	BodySizeMax        = 32 << 20
	FileSizeMax        = 1 << 31
	OffsetMax          = 1<<63 - 1
	TimeMax            = 1 << 61 // µs before and after 1970
	PartitionsMax      = 1 << 16 // of a topic
	TopicNameSizeMax   = 200
	ItemSizeMax        = 1 << 20
	recordSizeMax      = 16 << 20
	blockSizeMin       = 512
	blockSizeMax       = 64 << 10
	flagsMust          = 0xffff // those that a reader has to understand
	alignment          = 8
)

// Names in a log's folder.
const (
	LockName = "LOCK"
	MetaName = "META"
)

// Status is what parsing says.
type Status int

// The statuses of docs/wal-format.md.
const (
	Good Status = iota
	Truncated
	NotOurs
	Misplaced
	TooNew
	Unsupported
	DamagedHeader
	DamagedBody
	OutOfRange
	Unreadable // the disk does not give the bytes; not of that page
)

var statusNames = [...]string{"good", "truncated", "not ours", "misplaced", "too new", "unsupported",
	"damaged header", "damaged body", "out of range", "unreadable"}

// String is the status as the page calls it.
func (s Status) String() string { return statusNames[s] }

// Place is where something is in the life of a partition: number of the file, and byte in it. 0: nowhere.
type Place uint64

// At is the place of a byte in a file.
func At(number uint32, position int64) Place { return Place(number)<<32 | Place(position) }

// Number is the file's number.
func (p Place) Number() uint32 { return uint32(p >> 32) }

// Position is the byte in the file.
func (p Place) Position() int64 { return int64(uint32(p)) }

// String is "7:1048".
func (p Place) String() string { return fmt.Sprintf("%d:%d", p.Number(), p.Position()) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

func timeOK(micros int64) bool { return micros >= -TimeMax && micros <= TimeMax }

// bytes reads and writes little-endian numbers at places in a header.
type bytes []byte

func (b bytes) u16(at int) uint16        { return binary.LittleEndian.Uint16(b[at:]) }
func (b bytes) u32(at int) uint32        { return binary.LittleEndian.Uint32(b[at:]) }
func (b bytes) u64(at int) uint64        { return binary.LittleEndian.Uint64(b[at:]) }
func (b bytes) put16(at int, v uint16)   { binary.LittleEndian.PutUint16(b[at:], v) }
func (b bytes) put32(at int, v uint32)   { binary.LittleEndian.PutUint32(b[at:], v) }
func (b bytes) put64(at int, v uint64)   { binary.LittleEndian.PutUint64(b[at:], v) }
func (b bytes) isZero(from, to int) bool { return isZero(b[from:to]) }

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// TopicNameOK says whether a topic can have a name.
func TopicNameOK(name string) bool {
	if len(name) < 1 || len(name) > TopicNameSizeMax {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	stem, _, _ := strings.Cut(name, ".")
	return stem != MetaName && stem != LockName
}

// SegmentName is the name of a segment's file.
func SegmentName(number uint32, firstOffset uint64) string {
	return fmt.Sprintf("%010d-%020d.seg", number, firstOffset)
}

// ParseSegmentName reads what SegmentName wrote, and nothing else.
func ParseSegmentName(name string) (number uint32, firstOffset uint64, ok bool) {
	if _, err := fmt.Sscanf(name, "%10d-%20d.seg", &number, &firstOffset); err != nil {
		return 0, 0, false
	}
	return number, firstOffset, number > 0 && firstOffset <= OffsetMax && name == SegmentName(number, firstOffset)
}
