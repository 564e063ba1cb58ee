package flatverify

import "encoding/binary"

// What follows is for the straight-line checks that smfc generates for tables of scalars, structs and
// strings. They answer yes or no, exactly as Schema.Verify does for the same table; that one then says
// what is wrong. They know no limits of depth and reach: one table of MaxFlatFields fields stays below
// both.

// MaxFlatFields is how many fields a table may have to be checked with a Flat.
const MaxFlatFields = reachFactor

// Flat is a payload whose root table and vtable are known to be inside it.
type Flat struct {
	bytes  []byte
	vtable []byte
	root   int // position of the table
}

// Root finds a payload's root table. It allocates nothing and keeps nothing but payload.
func Root(payload []byte) (f Flat, ok bool) {
	n := len(payload)
	if n < 2*offsetSize || int64(n) > MaxPayload {
		return Flat{}, false
	}
	root := uint64(binary.LittleEndian.Uint32(payload))
	if root == 0 || root&(offsetSize-1) != 0 || root > uint64(n-offsetSize) {
		return Flat{}, false
	}
	start := int64(root) - int64(int32(binary.LittleEndian.Uint32(payload[root:])))
	if uint64(start) > uint64(n-vtableHead) { // a negative one is huge
		return Flat{}, false
	}
	vtable := payload[start:]
	head := binary.LittleEndian.Uint32(vtable)
	length, size := int(head&0xffff), int(head>>16)
	if (int(start)|length)&(slotSize-1) != 0 || length < vtableHead || length > len(vtable) ||
		size < offsetSize || size > n-int(root) {
		return Flat{}, false
	}
	return Flat{bytes: payload, vtable: vtable[:length], root: int(root)}, true
}

// offset is where the field of a slot begins in the table; 0: it is not there.
func (f *Flat) offset(slot int) int {
	if slot+slotSize > len(f.vtable) {
		return 0
	}
	return int(binary.LittleEndian.Uint16(f.vtable[slot:]))
}

// Inline checks a scalar, an enum or a struct, if it is there.
func (f *Flat) Inline(slot, size, align int) bool {
	offset := f.offset(slot)
	return offset == 0 ||
		offset >= offsetSize && f.root+offset+size <= len(f.bytes) && (f.root+offset)&(align-1) == 0
}

// Has says whether a field is there at all: required fields must be.
func (f *Flat) Has(slot int) bool { return f.offset(slot) != 0 }

// String checks a string, if it is there.
func (f *Flat) String(slot int) bool {
	offset := f.offset(slot)
	return offset == 0 || f.Inline(slot, offsetSize, offsetSize) && StringAt(f.bytes, f.root+offset)
}

// StringAt checks the string that the offset at position at leads to. At is aligned, and the offset
// inside the payload.
func StringAt(payload []byte, at int) bool {
	n := uint64(len(payload))
	offset := uint64(binary.LittleEndian.Uint32(payload[at:]))
	to := uint64(at) + offset
	if offset == 0 || to&(offsetSize-1) != 0 || to+offsetSize > n {
		return false
	}
	end := to + offsetSize + uint64(binary.LittleEndian.Uint32(payload[to:]))
	return end < n && payload[end] == 0
}

// BytesAt returns the bytes of the string that the offset at position at leads to, in a payload that
// was found to be well-formed. In one that was not it may panic.
func BytesAt(payload []byte, at int) []byte {
	return Text(payload, at+int(binary.LittleEndian.Uint32(payload[at:])))
}

// Text returns the bytes of the string that begins at position at, in a payload that was found to be
// well-formed. In one that was not it may panic.
func Text(payload []byte, at int) []byte {
	payload = payload[at:]
	return payload[offsetSize : offsetSize+int(binary.LittleEndian.Uint32(payload))]
}
