package differ

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// reader reads every field that a schema knows, as generated accessors do: with the runtime's own
// methods, which check nothing. It panics where they would, and fails where C would read what is not
// aligned, or past a string.
type reader struct {
	source *bfbs.Schema
	err    error
	sum    uint64 // of what was read
}

// read reads a buffer of a table.
func (t *table) read(buffer []byte) error {
	r := &reader{source: t.document.source}
	r.payload(t.object, buffer)
	return r.err
}

func (r *reader) payload(object int, buffer []byte) {
	r.table(object, flatbuffers.Table{Bytes: buffer, Pos: flatbuffers.GetUOffsetT(buffer)})
}

func (r *reader) aligned(at flatbuffers.UOffsetT, align int, what string) {
	if int(at)&(align-1) != 0 && r.err == nil {
		r.err = fmt.Errorf("%s at byte %d is not aligned to %d", what, at, align)
	}
}

func (r *reader) table(object int, t flatbuffers.Table) {
	r.aligned(t.Pos, 4, "table")
	fields := r.source.Objects[object].Fields
	for i := range fields {
		f := &fields[i]
		place := flatbuffers.UOffsetT(t.Offset(flatbuffers.VOffsetT(f.Offset)))
		if f.Deprecated {
			continue
		}
		if place == 0 {
			if f.Required && r.err == nil {
				r.err = fmt.Errorf("required field %s is missing", f.Name)
			}
			continue
		}
		r.field(object, f, t, place)
	}
}

func (r *reader) field(object int, f *bfbs.Field, t flatbuffers.Table, place flatbuffers.UOffsetT) {
	types := flatbuffers.VOffsetT(f.Offset - 2) // of a union
	switch {
	case f.Type.Base == bfbs.String:
		r.text(t, t.Pos+place)
	case f.Type.Base == bfbs.Obj && !r.source.Objects[f.Type.Index].IsStruct:
		r.table(f.Type.Index, flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(t.Pos + place)})
	case f.Type.Base == bfbs.Union:
		var value flatbuffers.Table
		t.Union(&value, place)
		kind := t.GetByteSlot(types, 0)
		r.member(f.Type.Index, int(kind), value, t.Pos+place)
	case f.Attributes["nested_flatbuffer"] != "":
		r.payload(r.source.Nested(object, f), t.ByteVector(t.Pos+place))
	case f.Type.Base == bfbs.Vector:
		r.vector(f, t, place, types)
	default:
		r.inline(f.Type.Base, f.Type.Index, t, t.Pos+place)
	}
}

func (r *reader) vector(f *bfbs.Field, t flatbuffers.Table, place flatbuffers.UOffsetT, types flatbuffers.VOffsetT) {
	first, count := t.Vector(place), t.VectorLen(place)
	r.aligned(first, 4, "vector")
	width, _ := r.source.InlineSize(f.Type.Element, f.Type.Index)
	if width == 1 {
		r.sum += uint64(len(t.ByteVector(t.Pos + place)))
		return
	}
	for i := range count {
		at := first + flatbuffers.UOffsetT(i*max(width, 4))
		switch {
		case width != 0:
			at = first + flatbuffers.UOffsetT(i*width)
			r.inline(f.Type.Element, f.Type.Index, t, at)
		case f.Type.Element == bfbs.String:
			r.text(t, at)
		case f.Type.Element == bfbs.Union:
			kinds := flatbuffers.UOffsetT(t.Offset(types))
			kind := t.GetByte(t.Vector(kinds) + flatbuffers.UOffsetT(i))
			value := flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}
			r.member(f.Type.Index, int(kind), value, at)
		default:
			r.table(f.Type.Index, flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)})
		}
	}
}

// member reads what a union has, whose offset is at a position.
func (r *reader) member(enum, kind int, value flatbuffers.Table, at flatbuffers.UOffsetT) {
	t := r.source.Member(enum, kind)
	switch {
	case t.Base == bfbs.None:
	case t.Base == bfbs.String:
		r.text(value, at)
	case r.source.Objects[t.Index].IsStruct:
		r.inline(t.Base, t.Index, value, value.Pos)
	default:
		r.table(t.Index, value)
	}
}

// text reads the string that the offset at a position leads to, and the zero behind it.
func (r *reader) text(t flatbuffers.Table, at flatbuffers.UOffsetT) {
	text := t.ByteVector(at)
	start := t.Indirect(at)
	r.aligned(start, 4, "string")
	for _, c := range text {
		r.sum += uint64(c)
	}
	if t.GetByte(start+4+flatbuffers.UOffsetT(len(text))) != 0 && r.err == nil {
		r.err = fmt.Errorf("string at byte %d does not end with a zero", start)
	}
}

// inline reads a scalar or a struct.
func (r *reader) inline(base bfbs.Base, index int, t flatbuffers.Table, at flatbuffers.UOffsetT) {
	if base == bfbs.Obj {
		o := &r.source.Objects[index]
		r.aligned(at, o.Align, "struct")
		for i := range o.Fields {
			f := &o.Fields[i]
			at := at + flatbuffers.UOffsetT(f.Offset)
			if f.Type.Base != bfbs.Array {
				r.inline(f.Type.Base, f.Type.Index, t, at)
				continue
			}
			width, _ := r.source.InlineSize(f.Type.Element, f.Type.Index)
			for i := range f.Type.Length {
				r.inline(f.Type.Element, f.Type.Index, t, at+flatbuffers.UOffsetT(i*width))
			}
		}
		return
	}
	width, align := r.source.InlineSize(base, index)
	r.aligned(at, align, "scalar")
	switch width {
	case 1:
		r.sum += uint64(t.GetUint8(at))
	case 2:
		r.sum += uint64(t.GetUint16(at))
	case 4:
		r.sum += uint64(t.GetUint32(at))
	case 8:
		r.sum += t.GetUint64(at)
	}
}
