package schema

import (
	"encoding/binary"
	"unicode/utf8"
)

// JSONOptions say how JSON is written. The zero value is the shortest.
type JSONOptions struct {
	// Indent is what each level of nesting is indented by, on lines of their own; empty: one line.
	Indent string
	// Defaults writes scalars that are not in the buffer: their defaults, or null for optional ones.
	Defaults bool
}

// ToJSON writes a FlatBuffer of this table as JSON, after it has verified it.
//
// Threads: any. Ownership: the result shares no memory with buffer. Errors: *flatverify.Error for a
// buffer that is not well-formed; *Error for one that JSON cannot hold: a string that is not UTF-8, a
// union of an unknown type, more than MaxJSON bytes. Cost: proportional to the result.
func (t *Table) ToJSON(buffer []byte, options JSONOptions) ([]byte, error) {
	if err := t.Verify(buffer); err != nil {
		return nil, err
	}
	p := &printer{buffer: buffer, options: options}
	if err := p.object(t.object, p.follow(0)); err != nil {
		return nil, err
	}
	return p.out, nil
}

// printer writes what lies in a buffer that was verified.
type printer struct {
	buffer  []byte
	options JSONOptions
	out     []byte
	path    path
	level   int // of indentation
}

// follow is where the offset at a position leads to.
func (p *printer) follow(at int) int {
	return at + int(binary.LittleEndian.Uint32(p.buffer[at:]))
}

// position is where a table's field lies; 0: it is not there.
func (p *printer) position(table int, f *field) int {
	vtable := table - int(int32(binary.LittleEndian.Uint32(p.buffer[table:])))
	if f.offset >= int(binary.LittleEndian.Uint16(p.buffer[vtable:])) {
		return 0
	}
	offset := int(binary.LittleEndian.Uint16(p.buffer[vtable+f.offset:]))
	if offset == 0 {
		return 0
	}
	return table + offset
}

// newline begins a line, where there are lines.
func (p *printer) newline() {
	if p.options.Indent == "" {
		return
	}
	p.out = append(p.out, '\n')
	for range p.level {
		p.out = append(p.out, p.options.Indent...)
	}
}

func (p *printer) begin(delimiter byte) {
	p.out = append(p.out, delimiter)
	p.level++
}

// next begins a member or an element.
func (p *printer) next(first bool) {
	if !first {
		p.out = append(p.out, ',')
	}
	p.newline()
}

func (p *printer) end(delimiter byte, empty bool) {
	p.level--
	if !empty {
		p.newline()
	}
	p.out = append(p.out, delimiter)
}

// check ends what has become too long.
func (p *printer) check() error {
	if len(p.out) > MaxJSON {
		return p.path.errorf("the JSON would be longer than %d bytes", MaxJSON)
	}
	return nil
}

// object writes the table or struct at a position.
func (p *printer) object(o *object, at int) error {
	empty := true
	p.begin('{')
	for _, f := range o.fields {
		position := at + f.offset
		if !o.isStruct {
			if position = p.position(at, f); position == 0 && !p.anyway(f) {
				continue
			}
		}
		p.path = append(p.path, step{name: f.name})
		p.next(empty)
		empty = false
		p.out = append(appendString(p.out, f.name), ':')
		if p.options.Indent != "" {
			p.out = append(p.out, ' ')
		}
		var err error
		switch {
		case position == 0 && f.optional:
			p.out = append(p.out, "null"...)
		case position == 0:
			p.out = appendJSON(p.out, f.shape, f.initial)
		default:
			err = p.value(f.shape, position, p.types(f, at))
		}
		if err == nil {
			err = p.check()
		}
		if err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
	}
	p.end('}', empty)
	return nil
}

// anyway says whether a field is written that is not there.
func (p *printer) anyway(f *field) bool {
	return f.kind == kindScalar && !f.stale && (f.key || p.options.Defaults)
}

// types are those of a union, or of a vector of them; nil for other fields.
func (p *printer) types(f *field, table int) []byte {
	if f.types == nil {
		return nil
	}
	position := p.position(table, f.types)
	switch {
	case position == 0 && f.kind == kindUnion:
		return []byte{0}
	case position == 0:
		return nil
	case f.kind == kindUnion:
		return p.buffer[position : position+1]
	}
	return p.bytes(position)
}

// bytes is the string or vector of bytes that the offset at a position leads to.
func (p *printer) bytes(at int) []byte {
	at = p.follow(at)
	begin := at + offsetSize
	return p.buffer[begin : begin+int(binary.LittleEndian.Uint32(p.buffer[at:]))]
}

// value writes the value at a position. Types are those of unions.
func (p *printer) value(s *shape, at int, types []byte) error {
	switch s.kind {
	case kindScalar:
		p.out = appendJSON(p.out, s, load(s.base, p.buffer[at:]))
	case kindString:
		text := p.bytes(at)
		if !utf8.Valid(text) {
			return p.path.errorf("the string is not UTF-8")
		}
		p.out = appendString(p.out, text)
	case kindTable:
		return p.object(s.object, p.follow(at))
	case kindStruct:
		return p.object(s.object, at)
	case kindNested:
		return p.nested(s.object, p.bytes(at))
	case kindUnion:
		return p.union(s.enum, types[0], at)
	case kindArray:
		return p.array(s.elem, at, s.length, nil)
	case kindVector:
		at = p.follow(at)
		return p.array(s.elem, at+offsetSize, int(binary.LittleEndian.Uint32(p.buffer[at:])), types)
	}
	return nil
}

// array writes elements that lie one behind the other.
func (p *printer) array(elem *shape, at, count int, types []byte) error {
	p.begin('[')
	for i := range count {
		p.path = append(p.path, step{index: i, element: true})
		p.next(i == 0)
		var of []byte
		if elem.kind == kindUnion {
			of = types[i : i+1]
		}
		err := p.value(elem, at+i*elem.size, of)
		if err == nil {
			err = p.check()
		}
		if err != nil {
			return err
		}
		p.path = p.path[:len(p.path)-1]
	}
	p.end(']', count == 0)
	return nil
}

// union writes what the offset at a position leads to.
func (p *printer) union(e *enum, kind uint8, at int) error {
	member := e.members[kind]
	switch {
	case kind == 0:
		p.out = append(p.out, "null"...)
		return nil
	case member == nil:
		return p.path.errorf("%s has no member %d: the buffer is of a newer schema", e.name, kind)
	case member.kind == kindStruct:
		at = p.follow(at)
	}
	return p.value(member, at, nil)
}

// nested writes a FlatBuffer that is inside another one.
func (p *printer) nested(o *object, buffer []byte) error {
	outer := p.buffer
	p.buffer = buffer
	err := p.object(o, p.follow(0))
	p.buffer = outer
	return err
}
