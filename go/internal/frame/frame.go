// Package frame reads and writes the 16-byte header of the smf wire format (docs/wire.md), and makes
// checksums and method ids. Its functions are pure: no state and no I/O; any goroutine may call them.
// Nothing on the path of a frame allocates.
package frame

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cespare/xxhash/v2"
)

// HeaderSize is the size of a header in bytes.
const HeaderSize = 16

// Compressions.
const (
	CompressionNone     = 0
	CompressionDisabled = 1 // "filters, leave this alone"; read as none
	CompressionZstd     = 2
	CompressionLZ4      = 3

	// CompressionMax is the largest that level 1 allows.
	CompressionMax = CompressionLZ4
)

// Header is a frame's header.
type Header struct {
	Compression uint8
	Flags       uint8 // level 1: 0; level 2: of Flag…
	Session     uint16
	Size        uint32 // payload bytes that follow the header
	Checksum    uint32 // Checksum(payload), or ChecksumLevel2(payload)
	Meta        uint32 // request: method id; reply: status; control: Control…
}

// Decode reads a header from the first HeaderSize bytes of b. It panics when there are fewer.
func Decode(b []byte) Header {
	_ = b[HeaderSize-1]
	return Header{
		Compression: b[0],
		Flags:       b[1],
		Session:     binary.LittleEndian.Uint16(b[2:]),
		Size:        binary.LittleEndian.Uint32(b[4:]),
		Checksum:    binary.LittleEndian.Uint32(b[8:]),
		Meta:        binary.LittleEndian.Uint32(b[12:]),
	}
}

// Put writes the header to the first HeaderSize bytes of b. It panics when there are fewer.
func (h Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	b[0] = h.Compression
	b[1] = h.Flags
	binary.LittleEndian.PutUint16(b[2:], h.Session)
	binary.LittleEndian.PutUint32(b[4:], h.Size)
	binary.LittleEndian.PutUint32(b[8:], h.Checksum)
	binary.LittleEndian.PutUint32(b[12:], h.Meta)
}

// Append appends the header to b and returns the longer slice.
func (h Header) Append(b []byte) []byte {
	var bytes [HeaderSize]byte
	h.Put(bytes[:])
	return append(b, bytes[:]...)
}

// Fault says what is wrong with a header.
type Fault uint8

// Faults of a header. Those up to MetaZero are level 1's; level 2 knows neither SizeZero nor ChecksumZero.
const (
	Good Fault = iota
	BadCompression
	BadFlags
	SizeZero
	ChecksumZero
	MetaZero
	BadSession // level 2: 0 of a call, or not 0 where nothing is answered
	BadSize    // level 2: not what the flags ask for
	BadControl // level 2: meta of a control frame is none of Control…
)

var faultNames = [...]string{
	Good:           "good",
	BadCompression: "bad compression",
	BadFlags:       "bad flags",
	SizeZero:       "size zero",
	ChecksumZero:   "checksum zero",
	MetaZero:       "meta zero",
	BadSession:     "bad session",
	BadSize:        "bad size",
	BadControl:     "bad control",
}

// String names the fault, for people.
func (f Fault) String() string {
	if int(f) < len(faultNames) {
		return faultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

// CheckLevel1 says what is wrong with a header that arrived at level 1: the first fault in the order
// of the fields. The size limit is the connection's business and not checked here.
func (h Header) CheckLevel1() Fault {
	switch {
	case h.Compression > CompressionMax:
		return BadCompression
	case h.Flags != 0:
		return BadFlags
	case h.Size == 0:
		return SizeZero
	case h.Checksum == 0:
		return ChecksumZero
	case h.Meta == 0:
		return MetaZero
	}
	return Good
}

// Checksum is the checksum of a payload at level 1: the low 32 bits of XXH64 with seed 0.
func Checksum(payload []byte) uint32 {
	return uint32(xxhash.Sum64(payload))
}

// NameSizeMax is the longest name that MethodID takes, in bytes.
const NameSizeMax = 1000

// MethodID is the id of a method: CRC32(service) XOR CRC32(method ":" in ":" out). The service has no
// namespace; in and out are full type names joined by "::". It is 0 for an id that may not be used,
// and for a name longer than NameSizeMax.
func MethodID(service, method, in, out string) uint32 {
	if max(len(service), len(method), len(in), len(out)) > NameSizeMax {
		return 0
	}
	return crc32.ChecksumIEEE([]byte(service)) ^ crc32.ChecksumIEEE([]byte(method+":"+in+":"+out))
}
