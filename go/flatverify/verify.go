// Package flatverify checks that bytes from the network are a well-formed FlatBuffer of a given
// schema, so that the generated accessors, which check nothing, can read them without a panic.
//
// smfc writes a [Schema] and one Verify function per table into every generated package; nobody
// needs to write one by hand.
//
// What a successful check promises: every offset that the accessors follow stays inside the
// payload, every string and vector fits into it, strings end with a zero byte, required fields
// are there, everything is aligned relative to the payload's first byte, and both the depth and
// the amount of data that a walk over all fields sees are bounded. What it does not look at:
// whether a string is UTF-8, whether an enum has a known value, whether a sorted vector is
// sorted, deprecated fields, and bytes that no known field leads to.
package flatverify

import "encoding/binary"

// Limits of one payload. The first two are those of the stock verifiers.
const (
	// MaxDepth is how deep tables may nest; the root is at depth 1.
	MaxDepth = 64
	// MaxTables is how many tables a walk may visit. A table that two fields point to counts twice: ten
	// kilobytes may well be a million empty tables to who copies each, as UnPack does. Servers that take
	// payloads from strangers read in place what may be many.
	MaxTables = 1_000_000
	// MaxPayload is the largest payload in bytes: FlatBuffers' offsets are 31 bits.
	MaxPayload = 1<<31 - 1

	// Offsets may point at the same data again and again. Legitimate builders share strings; a
	// hostile one makes megabytes stand for terabytes, which whoever copies the data out would
	// have to allocate. So a walk may see reachFactor times the payload and reachFloor bytes.
	reachFactor = 8
	reachFloor  = 64 << 20
)

// Generated1 is named by code that smfc generated. Where the compiler says that it is undefined,
// the generated code is from another version of smfc: run smfc again.
const Generated1 = 1

// Kind says what a field holds.
type Kind uint8

const (
	// Inline is a scalar, an enum or a struct: Size bytes in the table itself.
	Inline Kind = iota + 1
	// String is an offset to a zero-terminated string.
	String
	// SubTable is an offset to the table Field.Table.
	SubTable
	// InlineVector is an offset to a vector of scalars, enums or structs of Size bytes each.
	InlineVector
	// StringVector is an offset to a vector of strings.
	StringVector
	// TableVector is an offset to a vector of the table Field.Table.
	TableVector
	// Nested is an offset to a vector of bytes that are a FlatBuffer of their own, whose root is the
	// table Field.Table. An empty vector is not one.
	Nested
	// Union is an offset to what the byte in the slot before says. Field.Table lists what that may be:
	// a Table whose fields have the byte's value as Slot, and are of Kind SubTable, String or Inline.
	// What a byte that is not listed says is not looked at, as long as the offset leads into the payload:
	// no accessor can read it.
	Union
	// UnionVector is an offset to a vector of such offsets; the slot before has a vector of bytes.
	UnionVector
)

// Field describes one field of a table.
type Field struct {
	Name     string
	Slot     uint16 // byte offset of the field's entry in the vtable: 4, 6, 8, …
	Kind     Kind
	Align    uint8 // of Inline and InlineVector elements: a power of two
	Required bool
	Size     uint32 // of Inline and InlineVector elements, at least 1
	Table    int    // of the kinds that name it: index into the Schema
}

// Table describes one table.
type Table struct {
	Name   string
	Fields []Field
}

// Schema is a set of tables that refer to each other by index; as plain data it costs nothing
// when a program starts, and tables may contain themselves.
type Schema []Table

const (
	offsetSize = 4 // a reference to a string, vector or table; also a vector's length
	slotSize   = 2 // an entry of a vtable
	vtableHead = 4 // vtable size and table size
)

// Verify checks that payload is a FlatBuffer whose root is the schema's table with that index.
//
// Threads: any; Schema and payload are only read. Ownership: payload is not kept.
// Errors: *[Error]. Cost: proportional to what the payload holds; allocates only for an error.
func (s Schema) Verify(table int, payload []byte) error {
	if len(payload) < offsetSize || int64(len(payload)) > MaxPayload {
		return newError(&s[table], nil, 0, "payload size is out of range")
	}
	v := verifier{
		schema: s,
		bytes:  payload,
		tables: MaxTables,
		reach:  reachFloor + reachFactor*int64(len(payload)),
	}
	root, ok := v.follow(0)
	if !ok {
		return newError(&s[table], nil, 0, "root offset is out of range")
	}
	return v.table(&s[table], root, 1)
}

// verifier is one walk over a payload. All positions are relative to the payload's first byte.
type verifier struct {
	schema Schema
	bytes  []byte
	tables int   // how many more tables may be visited
	reach  int64 // how many more bytes may be seen
}

// table checks the table at position at and everything that its fields lead to.
func (v *verifier) table(t *Table, at, depth int) error {
	if depth > MaxDepth {
		return newError(t, nil, at, "tables nest too deep")
	}
	if v.tables--; v.tables < 0 {
		return newError(t, nil, at, "too many tables")
	}
	vtable, size, problem := v.frame(at)
	if problem != "" {
		return newError(t, nil, at, problem)
	}
	if v.reach -= int64(size); v.reach < 0 {
		return newError(t, nil, at, reachProblem)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		offset := 0
		if end := int(f.Slot) + slotSize; end <= len(vtable) {
			offset = int(binary.LittleEndian.Uint16(vtable[f.Slot:]))
		}
		if offset == 0 {
			if f.Required {
				return newError(t, f, at, "required field is missing")
			}
			if f.Kind == Union || f.Kind == UnionVector {
				if err := v.absent(t, f, frame{vtable, at}); err != nil {
					return err
				}
			}
			continue
		}
		width, align := offsetSize, offsetSize
		if f.Kind == Inline {
			width, align = int(f.Size), int(f.Align)
		}
		// Not against the table's size: Go's and Python's builders let a table share the vtable, and
		// with it the size, of a smaller one whose fields begin at the same places.
		position := at + offset
		if offset < offsetSize || position+width > len(v.bytes) {
			return newError(t, f, at, "field is outside the payload")
		}
		if position&(align-1) != 0 {
			return newError(t, f, position, "field is not aligned")
		}
		var err error
		switch f.Kind {
		case Inline:
		case Union, UnionVector:
			err = v.union(t, f, frame{vtable, at}, position, depth)
		default:
			err = v.reference(t, f, position, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame finds the vtable and the inline size of the table at position at, which comes from follow.
// A problem that is not empty says what is wrong with them.
func (v *verifier) frame(at int) (vtable []byte, size int, problem string) {
	n := len(v.bytes)
	// In 64 bits: the difference of the two does not fit into 32.
	start64 := int64(at) - int64(int32(binary.LittleEndian.Uint32(v.bytes[at:])))
	if start64 < 0 || start64 > int64(n-vtableHead) {
		return nil, 0, "vtable is outside the payload"
	}
	start := int(start64)
	head := binary.LittleEndian.Uint32(v.bytes[start:])
	length := int(head & 0xffff)
	size = int(head >> 16)
	if (start|length)&(slotSize-1) != 0 {
		return nil, 0, "vtable is not aligned"
	}
	if length < vtableHead || length > n-start {
		return nil, 0, "vtable size is out of range"
	}
	if size < offsetSize || size > n-at {
		return nil, 0, "table size is out of range"
	}
	return v.bytes[start : start+length], size, ""
}

// follow reads the offset at position at, which must be inside the payload, and returns where it
// leads. Every target begins with four aligned bytes; ok says that they are inside the payload.
func (v *verifier) follow(at int) (target int, ok bool) {
	offset := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
	to := int64(at) + offset
	if offset == 0 || to > int64(len(v.bytes)-offsetSize) || to&(offsetSize-1) != 0 {
		return 0, false
	}
	return int(to), true
}

// reference checks what the offset field f at position at leads to.
func (v *verifier) reference(t *Table, f *Field, at, depth int) error {
	target, ok := v.follow(at)
	if !ok {
		return newError(t, f, at, "offset is out of range or not aligned")
	}
	switch f.Kind {
	case String:
		return v.string(t, f, target)
	case SubTable:
		return v.table(&v.schema[f.Table], target, depth+1)
	case Nested:
		return v.nested(t, f, target, depth)
	default:
		return v.vector(t, f, target, depth)
	}
}

func (v *verifier) string(t *Table, f *Field, at int) error {
	length := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
	end := int64(at) + offsetSize + length
	if end >= int64(len(v.bytes)) {
		return newError(t, f, at, "string runs past the payload's end")
	}
	if v.bytes[end] != 0 {
		return newError(t, f, int(end), "string does not end with a zero byte")
	}
	if v.reach -= length; v.reach < 0 {
		return newError(t, f, at, reachProblem)
	}
	return nil
}

func (v *verifier) vector(t *Table, f *Field, at, depth int) error {
	width := int64(offsetSize)
	if f.Kind == InlineVector {
		width = int64(f.Size)
	}
	count := int64(binary.LittleEndian.Uint32(v.bytes[at:]))
	first := at + offsetSize
	// Divided, because the product may overflow.
	if count > int64(len(v.bytes)-first)/width {
		return newError(t, f, at, "vector runs past the payload's end")
	}
	if v.reach -= count * width; v.reach < 0 {
		return newError(t, f, at, reachProblem)
	}
	if f.Kind == InlineVector {
		// No element, nothing to align: builders differ in what they do for an empty vector.
		if count > 0 && first&(int(f.Align)-1) != 0 {
			return newError(t, f, first, "vector is not aligned")
		}
		return nil
	}
	if f.Kind == TableVector {
		return v.tableVector(t, f, first, int(count), depth)
	}
	for at, end := first, first+int(count)*offsetSize; at < end; at += offsetSize {
		target, ok := v.follow(at)
		if !ok {
			return newError(t, f, at, "offset in a vector is out of range or not aligned")
		}
		if err := v.string(t, f, target); err != nil {
			return err
		}
	}
	return nil
}
