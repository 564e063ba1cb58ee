package differ

import (
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
	if size, align := m.source.InlineSize(t.Element, t.Index); size != 0 {
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
		if m.source.Member(enum, kind).Base == bfbs.None {
			continue // not looked at
		}
		ok = m.member(enum, kind, m.element(first+4*i), depth, total)
	}
	return ok
}

// member looks at what a union has.
func (m *model) member(enum, kind, at, depth, total int) bool {
	t := m.source.Member(enum, kind)
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
