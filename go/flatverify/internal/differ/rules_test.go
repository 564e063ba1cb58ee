package differ

import (
	"encoding/binary"
	"math"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/internal/bfbs"
)

// rule is what flatverify asks for and the stock verifier of flatc 2.0.8 does not.
type rule uint

const (
	shortVtable     rule = iota // a vtable has room for its size and the table's
	tableSize                   // a table's size holds at least its offset, and ends in the payload
	fieldInHead                 // a field does not lie in the table's offset to its vtable
	vectorAlignment             // elements are aligned, not only the vector's length
	zeroOffset                  // no offset in a vector leads to itself
	reach                       // offsets do not lead to the same data again and again
	nestedLimits                // depth and number of tables count on in nested payloads
	deprecatedField             // package schema looks at deprecated fields, because JSON shows them
	ruleCount
)

var ruleNames = [ruleCount]string{
	"vtable too short", "table size", "field in a table's head", "vector not aligned", "zero offset in a vector",
	"reach", "limits in nested payloads", "deprecated field",
}

// kind of a place in a buffer, for mutations.
type kind uint8

const (
	offsetPlace kind = iota // 32 bits, forward
	vtablePlace             // 32 bits with a sign, backward: where a table begins
	lengthPlace             // 32 bits, of a vector or a string
	entryPlace              // 16 bits, of a vtable
	typePlace               // 8 bits, of a union
	zeroPlace               // 8 bits, the end of a string
)

// place is a number in a buffer that says where something is, or how large.
type place struct {
	kind kind
	at   int // from the begin of the whole buffer
}

const (
	stockDepth  = 64
	stockTables = 1_000_000
	minBuffer   = 12
)

// model is a plain verifier with the rules of the stock one; its methods say whether that one accepts.
// It goes on behind what only breaks a rule of flatverify, and remembers which.
type model struct {
	source *bfbs.Schema
	bytes  []byte
	begin  int // of bytes, in the whole buffer
	tables int // that the stock verifier counted
	total  *totals
}

// totals are counted over a payload and those that are nested in it.
type totals struct {
	broken [ruleCount]bool
	tables int
	seen   int64
	places []place
	note   bool // whether places are wanted
}

// judge says whether the stock verifier accepts a buffer; broken is what flatverify would refuse all the
// same.
func (t *table) judge(buffer []byte) (stock bool, broken [ruleCount]bool) {
	m := &model{source: t.document.source, bytes: buffer, total: &totals{}}
	stock = m.payload(t.object, 1)
	m.total.limits(len(buffer))
	return stock, m.total.broken
}

// places finds the numbers in a buffer that is well-formed.
func (t *table) places(buffer []byte) []place {
	m := &model{source: t.document.source, bytes: buffer, total: &totals{note: true}}
	m.payload(t.object, 1)
	return m.total.places
}

func (t *totals) limits(size int) {
	if t.seen > 64<<20+8*int64(size) {
		t.broken[reach] = true
	}
	if t.tables > flatverify.MaxTables {
		t.broken[nestedLimits] = true
	}
}

func (m *model) strict(ok bool, r rule) {
	if !ok {
		m.total.broken[r] = true
	}
}

func (m *model) note(k kind, at int) {
	if m.total.note {
		m.total.places = append(m.total.places, place{k, m.begin + at})
	}
}

func (m *model) inside(at, size int) bool {
	return size < len(m.bytes) && at >= 0 && at <= len(m.bytes)-size
}

func (m *model) scalar(at, size, align int) bool { return at&(align-1) == 0 && m.inside(at, size) }

func (m *model) u16(at int) int { return int(binary.LittleEndian.Uint16(m.bytes[at:])) }
func (m *model) u32(at int) int { return int(binary.LittleEndian.Uint32(m.bytes[at:])) }

// offset follows an offset of a table; what it leads to is not looked at.
func (m *model) offset(at int) (target int, ok bool) {
	if !m.scalar(at, 4, 4) {
		return 0, false
	}
	m.note(offsetPlace, at)
	o := m.u32(at)
	return at + o, o != 0 && o <= math.MaxInt32 && m.inside(at+o, 1)
}

func (m *model) payload(object, total int) bool {
	if len(m.bytes) < minBuffer {
		return false
	}
	target, ok := m.offset(0)
	return ok && m.table(object, target, 1, total)
}

// table looks at the table at a position. Depth is counted twice: in this payload, and over all.
func (m *model) table(object, at, depth, total int) bool {
	if !m.scalar(at, 4, 4) {
		return false
	}
	m.tables++
	m.total.tables++
	m.strict(total <= flatverify.MaxDepth, nestedLimits)
	vtable := at - int(int32(m.u32(at)))
	if depth > stockDepth || m.tables > stockTables || !m.scalar(vtable, 2, 2) {
		return false
	}
	size := m.u16(vtable)
	if size&1 != 0 || !m.inside(vtable, size) {
		return false
	}
	m.note(vtablePlace, at)
	m.note(entryPlace, vtable)
	m.strict(size >= 4, shortVtable)
	if size >= 4 {
		length := m.u16(vtable + 2)
		m.note(entryPlace, vtable+2)
		m.strict(length >= 4 && length <= len(m.bytes)-at, tableSize)
		m.total.seen += int64(length)
	}
	in := frame{m, object, at, vtable, size}
	fields := m.source.Objects[object].Fields
	for i := range fields {
		f := &fields[i]
		tables, broken := m.tables, m.total.broken
		ok := in.field(fields, i, depth, total)
		switch {
		case f.Deprecated: // whatever is wrong with it
			broken[deprecatedField] = broken[deprecatedField] || !ok || m.total.broken != broken
			m.tables, m.total.broken = tables, broken
		case !ok:
			return false
		}
	}
	return true
}

// frame is a table with its vtable.
type frame struct {
	*model
	object           int
	at, vtable, size int
}

// place finds a field; 0: it is not there.
func (f frame) place(offset int) int {
	if offset >= f.size {
		return 0
	}
	f.note(entryPlace, f.vtable+offset)
	return f.u16(f.vtable + offset)
}

func (f frame) field(fields []bfbs.Field, i, depth, total int) bool {
	field := &fields[i]
	place := f.place(field.Offset)
	if place == 0 {
		return !field.Required && f.absent(fields, i)
	}
	f.strict(place >= 4, fieldInHead)
	at := f.at + place
	t := field.Type
	if size, align := f.source.InlineSize(t.Base, t.Index); size != 0 {
		if t.Base == bfbs.UType {
			f.note(typePlace, at)
		}
		return f.scalar(at, size, align)
	}
	target, ok := f.offset(at)
	if !ok {
		return false
	}
	switch {
	case t.Base == bfbs.String:
		return f.text(target)
	case t.Base == bfbs.Obj:
		return f.table(t.Index, target, depth+1, total+1)
	case t.Base == bfbs.Union:
		kind := 0
		if types := f.place(fields[i-1].Offset); types != 0 {
			kind = int(f.bytes[f.at+types])
		}
		return f.member(t.Index, kind, target, depth, total)
	case t.Element == bfbs.Union:
		types := f.place(fields[i-1].Offset)
		return types != 0 && f.unions(t.Index, f.at+types, target, depth, total)
	case field.Attributes["nested_flatbuffer"] != "":
		return f.nested(f.source.Nested(f.object, field), target, total)
	}
	return f.vector(t, target, depth, total)
}

// absent says whether a field may be missing, given the one before or behind it.
func (f frame) absent(fields []bfbs.Field, i int) bool {
	t := fields[i].Type
	switch {
	case t.Base == bfbs.Union: // only for a struct the stock verifier wants a value
		if types := f.place(fields[i-1].Offset); types != 0 && f.scalar(f.at+types, 1, 1) {
			member := f.source.Member(t.Index, int(f.bytes[f.at+types]))
			return member.Base != bfbs.Obj || !f.source.Objects[member.Index].IsStruct
		}
	case t.Element == bfbs.Union:
		return f.place(fields[i-1].Offset) == 0
	}
	return true
}
