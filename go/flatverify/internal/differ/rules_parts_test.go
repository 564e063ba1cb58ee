package differ

import (
	"strings"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// The parts of a table: what its offsets lead to.

// sequence looks at a vector or the bytes of a string, and returns where its elements begin.
func (m *model) sequence(at, width int) (first, count int, ok bool) {
	if !m.scalar(at, 4, 4) {
		return 0, 0, false
	}
	m.note(lengthPlace, at)
	count = m.u32(at)
	ok = count < (1<<31-1)/width && m.inside(at, 4+width*count)
	if ok {
		m.total.seen += int64(count) * int64(width)
	}
	return at + 4, count, ok
}

func (m *model) text(at int) bool {
	first, count, ok := m.sequence(at, 1)
	if !ok || !m.inside(first+count, 1) {
		return false
	}
	m.note(zeroPlace, first+count)
	return m.bytes[first+count] == 0
}

func (m *model) vector(t bfbs.Type, at, depth, total int) bool {
	if size, align := inlineSize(m.source, t.Element, t.Index); size != 0 {
		first, count, ok := m.sequence(at, size)
		m.strict(!ok || count == 0 || first&(align-1) == 0, vectorAlignment)
		if ok && t.Element == bfbs.UType {
			for i := range count {
				m.note(typePlace, first+i)
			}
		}
		return ok
	}
	first, count, ok := m.sequence(at, 4)
	for i := 0; ok && i < count; i++ {
		target := m.element(first + 4*i)
		if t.Element == bfbs.String {
			ok = m.text(target)
		} else {
			ok = m.table(t.Index, target, depth+1, total+1)
		}
	}
	return ok
}

// element follows an offset in a vector: the stock verifier only looks at what is there.
func (m *model) element(at int) (target int) {
	m.note(offsetPlace, at)
	o := m.u32(at)
	m.strict(o != 0, zeroOffset)
	return at + o
}

func (m *model) unions(enum, types, target, depth, total int) bool {
	types, ok := m.offset(types)
	if !ok {
		return false
	}
	kinds, count, ok := m.sequence(types, 1)
	if !ok {
		return false
	}
	m.total.seen -= int64(count) // the types are a field, too
	first, same, ok := m.sequence(target, 4)
	if !ok || same != count {
		return false
	}
	for i := 0; ok && i < count; i++ {
		kind := int(m.bytes[kinds+i])
		if memberOf(m.source, enum, kind).Base == bfbs.None {
			continue // not looked at
		}
		ok = m.member(enum, kind, m.element(first+4*i), depth, total)
	}
	return ok
}

// member looks at what a union has.
func (m *model) member(enum, kind, at, depth, total int) bool {
	t := memberOf(m.source, enum, kind)
	switch {
	case t.Base == bfbs.None:
		return true
	case t.Base == bfbs.String:
		return m.text(at)
	case !m.source.Objects[t.Index].IsStruct:
		return m.table(t.Index, at, depth+1, total+1)
	}
	o := &m.source.Objects[t.Index]
	m.total.seen += int64(o.Size)
	return m.scalar(at, o.Size, o.Align)
}

func (m *model) nested(object, at, total int) bool {
	first, count, ok := m.sequence(at, 1)
	if !ok {
		return false
	}
	inner := &model{source: m.source, bytes: m.bytes[first : first+count], begin: m.begin + first, total: m.total}
	return inner.payload(object, total+1)
}

// inlineSize is that of scalars and structs; 0: of anything else.
func inlineSize(source *bfbs.Schema, base bfbs.Base, index int) (size, align int) {
	switch base {
	case bfbs.UType, bfbs.Bool, bfbs.Byte, bfbs.UByte:
		return 1, 1
	case bfbs.Short, bfbs.UShort:
		return 2, 2
	case bfbs.Int, bfbs.UInt, bfbs.Float:
		return 4, 4
	case bfbs.Long, bfbs.ULong, bfbs.Double:
		return 8, 8
	case bfbs.Obj:
		if o := &source.Objects[index]; o.IsStruct {
			return o.Size, o.Align
		}
	}
	return 0, 0
}

// memberOf is what a union holds if its type is kind; None: nothing that is known.
func memberOf(source *bfbs.Schema, enum, kind int) bfbs.Type {
	for _, value := range source.Enums[enum].Values {
		if value.Value == int64(kind) && kind != 0 {
			return value.Union
		}
	}
	return bfbs.Type{}
}

// nestedTable is the table that the bytes of a field are, by its full name or from the field's namespace.
func nestedTable(source *bfbs.Schema, object int, f *bfbs.Field) int {
	name, user := f.Attributes["nested_flatbuffer"], source.Objects[object].Name
	space := user[:strings.LastIndexByte(user, '.')+1]
	for i := range source.Objects {
		if full := source.Objects[i].Name; full == space+name || full == name {
			return i
		}
	}
	panic("no table " + name)
}
