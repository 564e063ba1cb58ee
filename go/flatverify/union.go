package flatverify

import (
	"encoding/binary"
	"errors"
)

// frame is a table whose vtable is known to be inside the payload.
type frame struct {
	vtable []byte
	at     int
}

// position finds the field of a slot, which has width bytes and is aligned to them; 0: it is not there.
func (v *verifier) position(f frame, slot, width int) (position int, ok bool) {
	if slot < vtableHead || slot+slotSize > len(f.vtable) {
		return 0, true
	}
	offset := int(binary.LittleEndian.Uint16(f.vtable[slot:]))
	if offset == 0 {
		return 0, true
	}
	position = f.at + offset
	return position, offset >= offsetSize && position+width <= len(v.bytes) && position&(width-1) == 0
}

// union checks the union, or the vector of unions, whose offset is at position at of a table.
func (v *verifier) union(t *Table, f *Field, in frame, at, depth int) error {
	if f.Kind == UnionVector {
		return v.unions(t, f, in, at, depth)
	}
	position, ok := v.position(in, int(f.Slot)-slotSize, 1)
	if !ok {
		return newError(t, f, in.at, "the union's type is outside the payload")
	}
	kind := byte(0)
	if position != 0 {
		kind = v.bytes[position]
	}
	m := v.memberOf(f, kind)
	if m == nil {
		// Nobody can read what there is, but accessors find out where it is before they look at the type.
		offset := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
		if offset == 0 || int64(at)+offset >= int64(len(v.bytes)) {
			return newError(t, f, at, "offset is out of range or not aligned")
		}
		return nil
	}
	return v.member(t, f, m, at, depth)
}

// absent checks the type, or the vector of types, of a union or a vector of them that is not there.
// A union of a table or a string may have its type alone: builders write that for a nil one.
func (v *verifier) absent(t *Table, f *Field, in frame) error {
	width := 1
	if f.Kind == UnionVector {
		width = offsetSize
	}
	position, ok := v.position(in, int(f.Slot)-slotSize, width)
	switch {
	case !ok:
		return newError(t, f, in.at, "the union's type is outside the payload")
	case position == 0:
		return nil
	case f.Kind == UnionVector:
		return newError(t, f, position, "there are types, but no unions")
	}
	if m := v.memberOf(f, v.bytes[position]); m != nil && m.Kind == Inline {
		return newError(t, f, position, "the union's struct is missing")
	}
	return nil
}

func (v *verifier) unions(t *Table, f *Field, in frame, at, depth int) error {
	const outside = "the unions' types are outside the payload"
	position, ok := v.position(in, int(f.Slot)-slotSize, offsetSize)
	if !ok {
		return newError(t, f, in.at, outside)
	}
	if position == 0 {
		return newError(t, f, in.at, "there are unions, but no types")
	}
	target, ok := v.follow(position)
	if !ok {
		return newError(t, f, position, outside)
	}
	count := int64(binary.LittleEndian.Uint32(v.bytes[target:]))
	types := v.bytes[target+offsetSize:]
	if count > int64(len(types)) {
		return newError(t, f, target, outside)
	}
	types = types[:count]
	if target, ok = v.follow(at); !ok {
		return newError(t, f, at, "offset is out of range or not aligned")
	}
	count = int64(binary.LittleEndian.Uint32(v.bytes[target:]))
	if count != int64(len(types)) {
		return newError(t, f, target, "there are not as many unions as types")
	}
	first := target + offsetSize
	if count > int64(len(v.bytes)-first)/offsetSize {
		return newError(t, f, target, "vector runs past the payload's end")
	}
	if v.reach -= count * offsetSize; v.reach < 0 {
		return newError(t, f, target, reachProblem)
	}
	for i, kind := range types {
		m := v.memberOf(f, kind)
		if m == nil {
			continue // where there is no value, builders write a zero
		}
		if err := v.member(t, f, m, first+i*offsetSize, depth); err != nil {
			return err
		}
	}
	return nil
}

// memberOf is what a union of that type holds; nil: nothing, or something that is not known here.
func (v *verifier) memberOf(f *Field, kind byte) *Field {
	members := v.schema[f.Table].Fields
	for i := range members {
		if members[i].Slot == uint16(kind) {
			return &members[i]
		}
	}
	return nil
}

// member checks what the offset at position at leads to, which has to be the member m.
func (v *verifier) member(t *Table, f, m *Field, at, depth int) error {
	if m.Kind == Inline {
		// A struct may be smaller than an offset, and less aligned.
		offset := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
		to := int64(at) + offset
		if offset == 0 || to > int64(len(v.bytes))-int64(m.Size) || to&int64(m.Align-1) != 0 {
			return newError(t, f, at, "offset is out of range or not aligned")
		}
		if v.reach -= int64(m.Size); v.reach < 0 {
			return newError(t, f, at, reachProblem)
		}
		return nil
	}
	target, ok := v.follow(at)
	if !ok {
		return newError(t, f, at, "offset is out of range or not aligned")
	}
	if m.Kind == String {
		return v.string(t, f, target)
	}
	return v.table(&v.schema[m.Table], target, depth+1)
}

// nested checks the vector of bytes at position at, which is a payload of its own.
func (v *verifier) nested(t *Table, f *Field, at, depth int) error {
	first := at + offsetSize
	count := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
	if count > int64(len(v.bytes)-first) {
		return newError(t, f, at, "vector runs past the payload's end")
	}
	if v.reach -= count; v.reach < 0 {
		return newError(t, f, at, reachProblem)
	}
	if count < offsetSize {
		return newError(t, f, at, "nested payload is too small")
	}
	inner := *v
	inner.bytes = v.bytes[first : int64(first)+count]
	root, ok := inner.follow(0)
	if !ok {
		return newError(t, f, first, "root offset is out of range")
	}
	err := inner.table(&v.schema[f.Table], root, depth+1)
	v.tables, v.reach = inner.tables, inner.reach
	var problem *Error
	if errors.As(err, &problem) {
		problem.Position += first
	}
	return err
}
