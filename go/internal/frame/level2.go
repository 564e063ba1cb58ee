package frame

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Flags of a frame at level 2. Which of them may stand together CheckLevel2 says.
const (
	FlagMetadata = 0x01 // the payload begins with a metadata block
	FlagStream   = 0x02 // of a streaming call
	FlagFin      = 0x04 // the sender sends nothing more in this stream
	FlagReset    = 0x08 // request: cancelled; reply: refused, no handler saw it
	FlagCredit   = 0x10 // the payload is a u32: so many bytes more may be sent
	FlagMore     = 0x20 // the message goes on in the session's next frame
	FlagOneWay   = 0x40 // nobody waits for an answer, and none is sent
	FlagControl  = 0x80 // of the connection; meta is one of Control…
)

// What a control frame says.
const (
	ControlPing   = 1 // 8 bytes that a pong is to repeat
	ControlPong   = 2 // those 8 bytes
	ControlGoaway = 3 // u32 why (a status), u32 the last session that will be answered
)

// Sizes of payloads that level 2 fixes, in bytes.
const (
	CreditSize      = 4 // of a frame with FlagCredit
	ControlSize     = 8 // of a control frame, whichever it is
	MessageSizeSize = 4 // in front of the first slice of a message: the message's size
)

// SessionAnyLast is the last session of a goaway that means: all that were sent are answered.
const SessionAnyLast = 0xffffffff

// seedMeta spreads meta over the seed of a checksum: headers that differ in one field have different seeds.
const seedMeta = 0x9e3779b97f4a7c15

// ChecksumLevel2 is the checksum of a frame at level 2, which covers the header, too: the low 32 bits of
// XXH64 of the payload, seeded with the header's first 8 bytes (as a little-endian u64) XOR Meta *
// 0x9E3779B97F4A7C15. h.Checksum plays no part.
func (h Header) ChecksumLevel2(payload []byte) uint32 {
	head := uint64(h.Compression) | uint64(h.Flags)<<8 | uint64(h.Session)<<16 | uint64(h.Size)<<32
	var digest xxhash.Digest
	digest.ResetWithSeed(head ^ uint64(h.Meta)*seedMeta)
	digest.Write(payload)
	return uint32(digest.Sum64())
}

// CheckLevel2 says what is wrong with a header that arrived at level 2: the first fault in the order of
// the fields. What depends on the frames before (a session that is not open, a slice out of place) and
// the size limit are the connection's business.
func (h Header) CheckLevel2() Fault {
	compressionMax := uint8(CompressionMax)
	if h.Flags&(FlagControl|FlagCredit) != 0 {
		compressionMax = CompressionNone
	}
	unanswered := h.Flags&(FlagControl|FlagOneWay) != 0
	switch {
	case h.Compression > compressionMax:
		return BadCompression
	case !flagsMayStand(h.Flags):
		return BadFlags
	case (h.Session == 0) != unanswered:
		return BadSession
	case !sizeFits(h.Flags, h.Size):
		return BadSize
	case h.Meta == 0:
		return MetaZero
	case h.Flags&FlagControl != 0 && h.Meta > ControlGoaway:
		return BadControl
	}
	return Good
}

// flagsMayStand says whether these flags may stand together. Each case is one kind of frame.
func flagsMayStand(flags uint8) bool {
	switch {
	case flags&FlagControl != 0:
		return flags == FlagControl
	case flags&FlagCredit != 0:
		return flags == FlagCredit
	case flags&FlagOneWay != 0:
		return flags&^(FlagOneWay|FlagMetadata) == 0
	case flags&FlagReset != 0:
		return flags&^(FlagReset|FlagMetadata|FlagStream) == 0
	case flags&FlagFin != 0: // a stream's last frame, and of a message the last slice
		return flags&FlagStream != 0 && flags&FlagMore == 0
	}
	return true
}

// sizeFits says whether a frame with such flags can be so large.
func sizeFits(flags uint8, size uint32) bool {
	switch flags & (FlagControl | FlagCredit | FlagMore | FlagMetadata) {
	case FlagControl:
		return size == ControlSize
	case FlagCredit:
		return size == CreditSize
	case FlagMore: // a slice has at least a byte of its message
		return size > 0
	case FlagMetadata:
		return size >= MetadataSizeMin
	case FlagMore | FlagMetadata: // the first slice of a message
		return size > MetadataSizeMin+MessageSizeSize
	}
	return true
}

// Goaway is the payload of a control frame with ControlGoaway.
type Goaway struct {
	Why  uint32 // a status
	Last uint32 // the last session that will be answered, or SessionAnyLast
}

// Append appends the payload to b and returns the longer slice.
func (g Goaway) Append(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, g.Why), g.Last)
}

// ReadGoaway reads the payload of a goaway, of which CheckLevel2 has seen the size. It panics when there
// are fewer than ControlSize bytes.
func ReadGoaway(payload []byte) Goaway {
	_ = payload[ControlSize-1]
	return Goaway{Why: binary.LittleEndian.Uint32(payload), Last: binary.LittleEndian.Uint32(payload[4:])}
}
