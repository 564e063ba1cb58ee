// Package flatmake makes random payloads that are well-formed, for tests and loads: of any table of a binary
// schema, with the stock builder for Go.
package flatmake

import (
	"math"
	"math/rand/v2"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// maker makes random buffers that are well-formed, with the stock builder for Go.
type maker struct {
	*rand.Rand
	source *bfbs.Schema
	b      *flatbuffers.Builder
	made   map[int][]flatbuffers.UOffsetT // tables by object, to be used again
	texts  []flatbuffers.UOffsetT
	full   int // how many of 8 fields are there
	spine  int // how deep one field of each table goes on; the others end soon
	nested int // payloads around this one
	room   int // how many tables more there may be, with more than what is required
}

const (
	depthMax  = 4  // where only what is required goes on
	tablesMax = 40 // after that, too
	spineMax  = 80
	lengthMax = 5
)

// Make makes a payload whose root is an object of the schema: a table. The same random numbers make the same
// payload. With deep, it may be deeper than verifiers take.
func Make(r *rand.Rand, schema *bfbs.Schema, object int, deep bool) []byte {
	m := &maker{Rand: r, source: schema, full: 8 - min(r.IntN(8), r.IntN(8)), room: tablesMax}
	if deep {
		m.spine = r.IntN(spineMax)
	}
	return m.payload(object, 0)
}

func (m *maker) payload(object, depth int) []byte {
	outer := *m
	m.b, m.made, m.texts = flatbuffers.NewBuilder(256), map[int][]flatbuffers.UOffsetT{}, nil
	m.b.Finish(m.table(object, depth, 0))
	out := m.b.FinishedBytes()
	m.b, m.made, m.texts = outer.b, outer.made, outer.texts
	return out
}

func (m *maker) chance(of int) bool { return m.IntN(of) == 0 }

// put writes bytes without an offset.
func (m *maker) put(data []byte, align int) flatbuffers.UOffsetT {
	m.b.Prep(align, len(data))
	m.b.Pad(len(data))
	copy(m.b.Bytes[m.b.Head():], data)
	return m.b.Offset()
}

func (m *maker) random(size int) []byte {
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(m.Uint32())
	}
	return out
}

// value is what a table gets for a field.
type value struct {
	slot   int
	offset flatbuffers.UOffsetT
	inline []byte
	align  int
}

// table makes a table. Those that are alike have the same fields in the same order, and mostly share
// a vtable; 0: it is like no other.
func (m *maker) table(object, depth int, alike uint64) flatbuffers.UOffsetT {
	if known := m.made[object]; len(known) > 0 && m.chance(8) {
		return known[m.IntN(len(known))]
	}
	if m.room--; m.room < 0 {
		depth = max(depth, depthMax)
	}
	choose := m.Rand
	if alike != 0 {
		choose = rand.New(rand.NewPCG(alike, 0))
	}
	fields := m.source.Objects[object].Fields
	spine := -1 // the field that goes deep
	for i, f := range fields {
		if depth < m.spine && (f.Type.Base == bfbs.Obj || f.Type.Base == bfbs.Union || f.Attributes["nested_flatbuffer"] != "") &&
			(spine < 0 || m.chance(2)) {
			spine = i
		}
	}
	var values []value
	for i := range fields {
		f := &fields[i]
		if f.Type.Base == bfbs.UType || f.Type.Element == bfbs.UType {
			continue // comes with the union
		}
		if there := choose.IntN(8) < m.full && (depth < depthMax || m.leaf(f)); there || f.Required || i == spine {
			values = append(values, m.field(object, fields, i, depth)...)
		}
	}
	choose.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	m.b.StartObject(len(fields))
	for _, v := range values {
		if v.inline != nil {
			m.put(v.inline, v.align)
		} else {
			m.b.PrependUOffsetT(v.offset)
		}
		m.b.Slot(v.slot)
	}
	out := m.b.EndObject()
	m.made[object] = append(m.made[object], out)
	return out
}

// leaf says whether a field holds no tables.
func (m *maker) leaf(f *bfbs.Field) bool {
	size, _ := m.source.InlineSize(f.Type.Base, f.Type.Index)
	element, _ := m.source.InlineSize(f.Type.Element, f.Type.Index)
	return size != 0 || f.Type.Base == bfbs.String || f.Type.Base == bfbs.Vector &&
		(f.Type.Element == bfbs.String || element != 0) && f.Attributes["nested_flatbuffer"] == ""
}

// field makes the value of a field; a union has its type, too.
func (m *maker) field(object int, fields []bfbs.Field, i, depth int) []value {
	f := &fields[i]
	slot := f.Offset/2 - 2
	t := f.Type
	offset := func(at flatbuffers.UOffsetT) []value { return []value{{slot: slot, offset: at}} }
	size, align := m.source.InlineSize(t.Base, t.Index)
	switch {
	case size != 0:
		return []value{{slot: slot, inline: m.random(size), align: align}}
	case t.Base == bfbs.String:
		return offset(m.text())
	case t.Base == bfbs.Obj:
		return offset(m.table(t.Index, depth+1, 0))
	case t.Base == bfbs.Union:
		kind := m.kind(t.Index, depth)
		types := value{slot: slot - 1, inline: []byte{byte(kind)}, align: 1}
		return []value{types, {slot: slot, offset: m.member(t.Index, kind, depth)}}
	case t.Element == bfbs.Union:
		types, values := m.unions(t.Index, depth)
		return []value{{slot: slot - 1, offset: types}, {slot: slot, offset: values}}
	case f.Attributes["nested_flatbuffer"] != "":
		if m.nested++; m.nested > 3 && m.spine == 0 {
			m.nested--
			return nil
		}
		inner := m.payload(m.source.Nested(object, f), depth+1)
		m.nested--
		return offset(m.bytes(1, 8, inner))
	}
	return offset(m.vector(t, depth))
}

func (m *maker) text() flatbuffers.UOffsetT {
	if len(m.texts) > 0 && m.chance(8) {
		return m.texts[m.IntN(len(m.texts))]
	}
	text := m.random(m.IntN(12))
	for i := range text {
		text[i] &= 0x7f
	}
	m.texts = append(m.texts, m.b.CreateByteString(text))
	return m.texts[len(m.texts)-1]
}

func (m *maker) length() int {
	if m.chance(16) {
		return m.IntN(10 * lengthMax)
	}
	return m.IntN(lengthMax)
}

// bytes makes a vector of scalars or structs.
func (m *maker) bytes(width, align int, data []byte) flatbuffers.UOffsetT {
	count := len(data) / width
	m.b.StartVector(width, count, align)
	m.b.Pad(len(data))
	copy(m.b.Bytes[m.b.Head():], data)
	return m.b.EndVector(count)
}

func (m *maker) vector(t bfbs.Type, depth int) flatbuffers.UOffsetT {
	if size, align := m.source.InlineSize(t.Element, t.Index); size != 0 {
		return m.bytes(size, align, m.random(m.length()*size))
	}
	count, alike := m.IntN(lengthMax), uint64(0)
	if m.chance(2) {
		count, alike = m.IntN(2*lengthMax), 1+m.Uint64N(math.MaxInt64)
	}
	offsets := make([]flatbuffers.UOffsetT, count)
	for i := range offsets {
		if t.Element == bfbs.String {
			offsets[i] = m.text()
		} else {
			offsets[i] = m.table(t.Index, depth+1, alike)
		}
	}
	return m.offsets(offsets)
}

// offsets makes a vector of offsets; one that is 0 stays it.
func (m *maker) offsets(offsets []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	m.b.StartVector(4, len(offsets), 4)
	for i := len(offsets) - 1; i >= 0; i-- {
		if offsets[i] == 0 {
			m.b.PlaceUOffsetT(0)
		} else {
			m.b.PrependUOffsetT(offsets[i])
		}
	}
	return m.b.EndVector(len(offsets))
}

// kind chooses what a union holds; deep down the first, which in these schemas leads nowhere else.
func (m *maker) kind(enum, depth int) int {
	values := m.source.Enums[enum].Values // the first one is NONE
	if depth >= depthMax && depth >= m.spine {
		return int(values[1].Value)
	}
	return int(values[1+m.IntN(len(values)-1)].Value)
}

func (m *maker) member(enum, kind, depth int) flatbuffers.UOffsetT {
	t := m.source.Member(enum, kind)
	switch {
	case t.Base == bfbs.String:
		return m.text()
	case m.source.Objects[t.Index].IsStruct:
		o := &m.source.Objects[t.Index]
		return m.put(m.random(o.Size), o.Align)
	}
	return m.table(t.Index, depth+1, 0)
}

func (m *maker) unions(enum, depth int) (types, values flatbuffers.UOffsetT) {
	kinds := make([]byte, m.IntN(lengthMax))
	offsets := make([]flatbuffers.UOffsetT, len(kinds))
	for i := range kinds {
		if !m.chance(8) { // else NONE
			kind := m.kind(enum, depth)
			kinds[i], offsets[i] = byte(kind), m.member(enum, kind, depth)
		}
	}
	return m.bytes(1, 1, kinds), m.offsets(offsets)
}
