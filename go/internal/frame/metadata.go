package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

// Limits of a metadata block in bytes.
const (
	MetadataSizeMin    = 8         // a block without entries
	MetadataSizeMax    = 16 * 1024 // a whole block
	MetadataKeySizeMax = 255       // a key, which has at least 1

	entryHeadSize = 4 // the sizes of key and value
)

// MetadataFault says what is wrong with a metadata block.
type MetadataFault uint8

// Faults of a metadata block.
const (
	MetadataGood       MetadataFault = iota
	MetadataTruncated                // the payload ends before the block does
	MetadataBadSize                  // no multiple of 8, too small, or over the limit
	MetadataBadEntry                 // an entry runs past the block's end
	MetadataBadKey                   // an empty key, one over the limit, or with other characters
	MetadataBadPadding               // more than 7 bytes behind the last entry, or not zeros
)

var metadataFaultNames = [...]string{
	MetadataGood:       "good",
	MetadataTruncated:  "truncated",
	MetadataBadSize:    "bad size",
	MetadataBadEntry:   "bad entry",
	MetadataBadKey:     "bad key",
	MetadataBadPadding: "bad padding",
}

// String names the fault, for people.
func (f MetadataFault) String() string {
	if int(f) < len(metadataFaultNames) {
		return metadataFaultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

// Metadata is a block that was read: a view of the payload that it was read from. The zero value is no
// block: without deadline and entries.
type Metadata struct {
	block []byte // with its padding
	end   int    // where the last entry ends
}

// ReadMetadata reads the block that a payload begins with, and checks all of it. It keeps the payload and
// allocates nothing.
func ReadMetadata(payload []byte) (Metadata, MetadataFault) {
	if len(payload) < MetadataSizeMin {
		return Metadata{}, MetadataTruncated
	}
	size := binary.LittleEndian.Uint32(payload)
	if size%8 != 0 || size < MetadataSizeMin || size > MetadataSizeMax {
		return Metadata{}, MetadataBadSize
	}
	if uint64(size) > uint64(len(payload)) {
		return Metadata{}, MetadataTruncated
	}
	block := payload[:size]
	end, fault := checkEntries(block)
	if fault != MetadataGood {
		return Metadata{}, fault
	}
	return Metadata{block: block, end: end}, MetadataGood
}

// checkEntries checks entry after entry, and what is behind them. What begins with an empty key, or is too
// short for an entry, is padding.
func checkEntries(block []byte) (end int, fault MetadataFault) {
	rest := block[MetadataSizeMin:]
	for len(rest) > entryHeadSize && binary.LittleEndian.Uint16(rest) != 0 {
		keySize := int(binary.LittleEndian.Uint16(rest))
		size := entryHeadSize + keySize + int(binary.LittleEndian.Uint16(rest[2:]))
		switch {
		case keySize > MetadataKeySizeMax:
			return 0, MetadataBadKey
		case size > len(rest):
			return 0, MetadataBadEntry
		case !isKey(rest[entryHeadSize : entryHeadSize+keySize]):
			return 0, MetadataBadKey
		}
		rest = rest[size:]
	}
	// An entry with a value and without a key is not padding gone wrong.
	if len(rest) > entryHeadSize && binary.LittleEndian.Uint16(rest[2:]) != 0 {
		return 0, MetadataBadKey
	}
	if len(rest) >= 8 {
		return 0, MetadataBadPadding
	}
	for _, b := range rest {
		if b != 0 {
			return 0, MetadataBadPadding
		}
	}
	return len(block) - len(rest), MetadataGood
}

// isKey says whether a key may be so: 1 to 255 lower-case ASCII letters, digits, '-', '_' and '.'.
func isKey[T string | []byte](key T) bool {
	if len(key) == 0 || len(key) > MetadataKeySizeMax {
		return false
	}
	for i := range len(key) {
		c := key[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// IsMetadataKey says whether a text may be the key of an entry: 1 to 255 lower-case ASCII letters,
// digits, '-', '_' and '.'.
func IsMetadataKey(key string) bool { return isKey(key) }

// Size is the size of the block in bytes: the message begins behind it. 0 where there is no block.
func (m Metadata) Size() int { return len(m.block) }

// DeadlineUS is the time in µs that was left when the block was sent; 0: no deadline.
func (m Metadata) DeadlineUS() uint32 {
	if len(m.block) == 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(m.block[4:])
}

// All yields key and value of each entry, in order. Both are views of the payload.
func (m Metadata) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for at := MetadataSizeMin; at < m.end; {
			key, value := entryAt(m.block[at:])
			if !yield(key, value) {
				return
			}
			at += entryHeadSize + len(key) + len(value)
		}
	}
}

// entryAt is key and value of the entry that these bytes of a checked block begin with.
func entryAt(b []byte) (key, value []byte) {
	keyEnd := entryHeadSize + int(binary.LittleEndian.Uint16(b))
	end := keyEnd + int(binary.LittleEndian.Uint16(b[2:]))
	return b[entryHeadSize:keyEnd:keyEnd], b[keyEnd:end:end]
}

// Find is the value of the first entry with a key; ok is false when there is none.
func (m Metadata) Find(key string) (value []byte, ok bool) {
	for k, v := range m.All() {
		if string(k) == key {
			return v, true
		}
	}
	return nil, false
}

// Errors of writing a block.
var (
	// ErrMetadataKey is of a key that is none.
	ErrMetadataKey = errors.New("metadata: a key is 1 to 255 lower-case letters, digits, '-', '_' and '.'")
	// ErrMetadataSize is of a block that would be over its limit.
	ErrMetadataSize = fmt.Errorf("metadata: a block has at most %d bytes: send less, or send it in the message",
		MetadataSizeMax)
)

// MetadataWriter appends a block to bytes. It is used by one goroutine at a time.
type MetadataWriter struct {
	bytes []byte
	begin int // where the block begins
	err   error
}

// BeginMetadata begins a block behind b. deadlineUS is the time that is left in µs, 0 for no deadline; more
// than a u32 holds (71 minutes) is sent as none, since less would end the call before its time. Only
// growing b allocates.
func BeginMetadata(b []byte, deadlineUS uint64) MetadataWriter {
	if deadlineUS > math.MaxUint32 {
		deadlineUS = 0
	}
	return MetadataWriter{bytes: binary.LittleEndian.AppendUint64(b, deadlineUS<<32), begin: len(b)}
}

// Add adds an entry. After an error nothing more is added, and End repeats it: it wraps ErrMetadataKey or
// is ErrMetadataSize.
func (w *MetadataWriter) Add(key, value string) error {
	switch size := len(w.bytes) - w.begin; {
	case w.err != nil:
	case !isKey(key):
		w.err = fmt.Errorf("%w: not %.260q", ErrMetadataKey, key)
	case len(value) > MetadataSizeMax || size+entryHeadSize+len(key)+len(value) > MetadataSizeMax:
		w.err = ErrMetadataSize
	default:
		w.bytes = binary.LittleEndian.AppendUint16(w.bytes, uint16(len(key)))
		w.bytes = binary.LittleEndian.AppendUint16(w.bytes, uint16(len(value)))
		w.bytes = append(append(w.bytes, key...), value...)
	}
	return w.err
}

// End ends the block and returns the bytes with it, or, with the first error of Add, those before it.
func (w *MetadataWriter) End() ([]byte, error) {
	if w.err != nil {
		return w.bytes[:w.begin], w.err
	}
	for (len(w.bytes)-w.begin)%8 != 0 {
		w.bytes = append(w.bytes, 0)
	}
	binary.LittleEndian.PutUint32(w.bytes[w.begin:], uint32(len(w.bytes)-w.begin))
	return w.bytes, nil
}
