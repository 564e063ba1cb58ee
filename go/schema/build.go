package schema

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// buffer is a FlatBuffer under way; it grows downwards.
type buffer struct {
	*flatbuffers.Builder
	vtables map[string]flatbuffers.UOffsetT // all that were written
}

func newBuffer() *buffer {
	return &buffer{flatbuffers.NewBuilder(0), map[string]flatbuffers.UOffsetT{}}
}

// built is something that the buffer has now, for others to point to.
type built struct {
	at   flatbuffers.UOffsetT
	text string // of a string, and of the key of a table
	bits uint64 // of the key of a table
}

// entry is the value of a field of a table that is under way.
type entry struct {
	field  *field
	inline []byte // what lies in the table itself; nil: an offset
	built
}

// tableMaker collects what a table will hold.
type tableMaker struct {
	object  *object
	entries map[*field]entry
	later   []union
}

// union is a union, or a vector of them, whose types have not been seen when it is read.
type union struct {
	field *field
	text  []byte
}

// table reads and builds a table whose first token has been read.
func (m *maker) table(o *object, token json.Token) (built, error) {
	if err := m.open(token, '{', o.name); err != nil {
		return built{}, err
	}
	if m.depth++; m.depth > MaxDepth {
		return built{}, m.path.errorf("tables nest deeper than %d", MaxDepth)
	}
	t := &tableMaker{object: o, entries: map[*field]entry{}}
	if err := m.members(o, func(f *field) error { return m.field(t, f) }); err != nil {
		return built{}, err
	}
	if err := m.unions(t); err != nil {
		return built{}, err
	}
	for _, f := range o.required {
		if _, given := t.entries[f]; !given {
			return built{}, m.path.errorf("required field %s of %s is missing", quote(f.name), o.name)
		}
	}
	m.depth--
	out, err := m.place(t)
	if err == nil {
		err = m.room(0)
	}
	return out, err
}

// field reads the value of a field.
func (m *maker) field(t *tableMaker, f *field) error {
	var types []byte
	if f.types != nil {
		entry, known := t.entries[f.types]
		if !known {
			text, err := m.skip()
			t.later = append(t.later, union{f, text})
			return err
		}
		types = entry.inline
	}
	token, err := m.token()
	if err != nil {
		return err
	}
	if token == nil {
		if f.kind == kindScalar && !f.optional {
			return m.path.errorf("null: the field is not optional; leave it out for its default")
		}
		return nil
	}
	e := entry{field: f}
	switch {
	case f.inline():
		e.inline, err = m.inline(nil, f.shape, token)
	case f.holds != nil: // types of unions: kept for the unions, too
		e.built, e.inline, err = m.types(f, token)
	case f.kind == kindUnion:
		e.built, err = m.member(f.enum, types[0], token)
	default:
		e.built, err = m.reference(f.shape, token, types)
	}
	t.entries[f] = e
	return err
}

// unions reads the unions that came before their types, and looks whether types have values.
func (m *maker) unions(t *tableMaker) error {
	depth, outer := len(m.path), m.text
	for _, u := range t.later {
		m.path = append(m.path[:depth], step{name: u.field.name})
		_, known := t.entries[u.field.types]
		switch {
		case known:
			m.text = newDocument(u.text)
			if err := m.field(t, u.field); err != nil {
				return err
			}
		case string(u.text) != "null":
			return m.path.errorf("field %s is missing: it says what this is", quote(u.field.types.name))
		}
	}
	m.path, m.text = m.path[:depth], outer
	for f, e := range t.entries {
		if f.holds == nil || f.kind == kindScalar && e.inline[0] == 0 {
			continue
		}
		if _, given := t.entries[f.holds]; !given {
			what := "says that there is a value"
			if f.kind == kindVector {
				what = "lists types of values"
			}
			return m.path.errorf("field %s %s, but field %s is missing", quote(f.name), what, quote(f.holds.name))
		}
	}
	return nil
}

// types reads a vector of types of unions.
func (m *maker) types(f *field, token json.Token) (out built, types []byte, err error) {
	if err := m.open(token, '[', f.elem.enum.name); err != nil {
		return built{}, nil, err
	}
	_, err = m.elements(func(_ int, token json.Token) (err error) {
		types, err = m.inline(types, f.elem, token)
		return err
	})
	if err != nil {
		return built{}, nil, err
	}
	out, err = m.vectorOf(f.elem, types)
	return out, types, err
}

// member builds what a union holds.
func (m *maker) member(e *enum, kind uint8, token json.Token) (built, error) {
	member := e.members[kind]
	switch {
	case kind == 0:
		return built{}, m.path.errorf("the type is NONE, so there can be no value")
	case member == nil:
		return built{}, m.path.errorf("%s has no member %d", e.name, kind)
	case member.kind != kindStruct:
		return m.reference(member, token, nil)
	}
	value, err := m.inline(nil, member, token)
	if err != nil {
		return built{}, err
	}
	m.put(value, member.align)
	return built{at: m.b.Offset()}, nil
}

// reference builds what an offset leads to.
func (m *maker) reference(s *shape, token json.Token, types []byte) (built, error) {
	switch s.kind {
	case kindTable:
		return m.table(s.object, token)
	case kindNested:
		return m.nested(s.object, token)
	case kindString:
		text, is := token.(string)
		if !is {
			return built{}, m.path.errorf("expected a string, found %s", describe(token))
		}
		if err := m.room(len(text)); err != nil {
			return built{}, err
		}
		return built{at: m.b.CreateString(text), text: text}, nil
	}
	if err := m.open(token, '[', s.elem.object.nameOr("values")); err != nil {
		return built{}, err
	}
	if s.elem.inline() {
		return m.inlineVector(s.elem)
	}
	return m.offsetVector(s.elem, types)
}

func (m *maker) inlineVector(elem *shape) (built, error) {
	var data []byte
	_, err := m.elements(func(_ int, token json.Token) (err error) {
		if data, err = m.inline(data, elem, token); err == nil {
			err = m.room(len(data))
		}
		return err
	})
	if err != nil {
		return built{}, err
	}
	if elem.kind == kindStruct && elem.object.key != nil {
		data = sortStructs(data, elem)
	}
	return m.vectorOf(elem, data)
}

// vectorOf builds a vector of scalars or structs.
func (m *maker) vectorOf(elem *shape, data []byte) (built, error) {
	if err := m.room(len(data)); err != nil {
		return built{}, err
	}
	count := len(data) / elem.size
	m.b.StartVector(elem.size, count, elem.align)
	m.b.Pad(len(data))
	copy(m.b.Bytes[m.b.Head():], data)
	return built{at: m.b.EndVector(count)}, nil
}

func sortStructs(data []byte, elem *shape) []byte {
	key := elem.object.key
	chunks := slices.Collect(slices.Chunk(data, elem.size))
	slices.SortStableFunc(chunks, func(a, b []byte) int {
		return compare(key.base, load(key.base, a[key.offset:]), load(key.base, b[key.offset:]))
	})
	return bytes.Join(chunks, nil)
}

func compare(base bfbs.Base, a, b uint64) int {
	switch {
	case less(base, a, b):
		return -1
	case less(base, b, a):
		return 1
	}
	return 0
}

// offsetVector builds a vector of strings, tables or unions. Types are those of unions.
func (m *maker) offsetVector(elem *shape, types []byte) (built, error) {
	var all []built
	count, err := m.elements(func(i int, token json.Token) (err error) {
		var one built
		switch {
		case elem.kind != kindUnion:
			one, err = m.reference(elem, token, nil)
		case i >= len(types):
			return m.path.errorf("there are more values than types")
		case types[i] != 0 || token != nil: // a union that is NONE is null
			one, err = m.member(elem.enum, types[i], token)
		}
		all = append(all, one)
		return err
	})
	if err != nil {
		return built{}, err
	}
	if elem.kind == kindUnion && count != len(types) {
		return built{}, m.path.errorf("there are %d values and %d types", count, len(types))
	}
	if elem.kind == kindTable && elem.object.key != nil {
		key := elem.object.key
		slices.SortStableFunc(all, func(a, b built) int {
			if key.kind == kindString {
				return strings.Compare(a.text, b.text)
			}
			return compare(key.base, a.bits, b.bits)
		})
	}
	m.b.StartVector(offsetSize, count, offsetSize)
	for _, one := range slices.Backward(all) {
		if one.at == 0 {
			m.b.PlaceUOffsetT(0)
		} else {
			m.b.PrependUOffsetT(one.at)
		}
	}
	return built{at: m.b.EndVector(count)}, nil
}

// nested builds a FlatBuffer and puts it into a vector of bytes.
func (m *maker) nested(o *object, token json.Token) (built, error) {
	outer := m.b
	m.b = newBuffer()
	root, err := m.table(o, token)
	if err != nil {
		return built{}, err
	}
	m.b.Finish(root.at)
	payload := m.b.FinishedBytes()
	m.b = outer
	return m.vectorOf(&shape{size: 1, align: m.schema.align}, payload)
}

// put writes bytes, aligned.
func (m *maker) put(data []byte, align int) {
	m.b.Prep(align, len(data))
	m.b.Pad(len(data))
	copy(m.b.Bytes[m.b.Head():], data)
}

// place writes the table itself: what is large and aligned first, so that there is little padding.
func (m *maker) place(t *tableMaker) (built, error) {
	var out built
	entries := slices.Collect(maps.Values(t.entries))
	slices.SortFunc(entries, func(a, b entry) int {
		if a.field.align != b.field.align {
			return b.field.align - a.field.align
		}
		return b.field.index - a.field.index
	})
	if key := t.object.key; key != nil {
		out.text, out.bits = t.entries[key].text, key.initial
		if given := t.entries[key].inline; given != nil {
			out.bits = load(key.base, given)
		}
	}
	return m.write(entries, out)
}

// write appends a table and its vtable. Not with the builder's own StartObject: that shares vtables
// between tables of different sizes, which strict verifiers refuse, and looks through all of them.
func (m *maker) write(entries []entry, out built) (built, error) {
	end := m.b.Offset()
	places := make(map[int]flatbuffers.UOffsetT, len(entries))
	slots := 0
	for _, e := range entries {
		f := e.field
		switch {
		case !f.inline():
			m.b.PrependUOffsetT(e.at)
		case f.kind == kindScalar && !f.optional && same(f.base, load(f.base, e.inline), f.initial):
			continue
		default:
			m.put(e.inline, f.align)
		}
		places[f.offset] = m.b.Offset()
		slots = max(slots, f.offset/slotSize-1)
	}
	m.b.Prep(offsetSize, 0)
	m.b.Pad(offsetSize)
	out.at = m.b.Offset()
	size := out.at - end
	if size > math.MaxUint16 {
		return built{}, m.path.errorf("the table is larger than %d bytes, not counting what its fields refer to", math.MaxUint16)
	}
	vtable := make([]byte, (2+slots)*slotSize)
	binary.LittleEndian.PutUint16(vtable, uint16(len(vtable)))
	binary.LittleEndian.PutUint16(vtable[slotSize:], uint16(size))
	for offset, place := range places {
		binary.LittleEndian.PutUint16(vtable[offset:], uint16(out.at-place))
	}
	shared, known := m.b.vtables[string(vtable)]
	if !known {
		m.put(vtable, slotSize)
		shared = m.b.Offset()
		m.b.vtables[string(vtable)] = shared
	}
	table := m.b.Bytes[len(m.b.Bytes)-int(out.at):]
	binary.LittleEndian.PutUint32(table, uint32(shared)-uint32(out.at))
	return out, nil
}
