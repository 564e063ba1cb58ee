package schema

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// kind says how a value looks in a buffer and in JSON.
type kind uint8

const (
	kindScalar kind = iota + 1 // also the type of a union
	kindString
	kindTable
	kindStruct
	kindVector
	kindArray
	kindUnion
	kindNested // a vector of bytes that is a FlatBuffer
)

// shape is the type of a value.
type shape struct {
	kind   kind
	base   bfbs.Base // of a scalar
	enum   *enum     // of a union and its type, and of a scalar that is one; else nil
	object *object   // of a table, a struct and a nested FlatBuffer
	elem   *shape    // of a vector and an array
	length int       // of an array
	size   int       // in bytes, where it lies in a table, a struct or a vector
	align  int
}

// inline says whether values of the shape lie where they belong, and not behind an offset.
func (s *shape) inline() bool {
	return s.kind == kindScalar || s.kind == kindStruct || s.kind == kindArray
}

// object is a table or a struct.
type object struct {
	name     string
	isStruct bool
	size     int // of a struct
	align    int
	fields   []*field // by id
	byName   map[string]*field
	required []*field
	key      *field // what vectors of it are sorted by; nil: nothing
	layout   int    // of a table: index into Schema.layout

	source   *bfbs.Object
	compiled compileState
	depth    int // of a struct: how deep structs nest in it
}

type compileState uint8

const (
	untouched compileState = iota
	underWay
	done
)

// field is a field of a table or a struct.
type field struct {
	*shape
	name     string
	index    int // in object.fields
	offset   int // of the vtable's entry, or in the struct
	required bool
	optional bool // a scalar that may be null
	key      bool
	stale    bool   // deprecated
	initial  uint64 // what a scalar is that is not there, as in scalar.go
	types    *field // of a union, or a vector of them: the field with their types
	holds    *field // the other way round
}

// enum is an enum or a union.
type enum struct {
	name    string
	names   []string // by value
	byName  map[string]int64
	byValue map[int64]string
	values  []int64
	flags   bool             // bit_flags
	members map[uint8]*shape // of a union
	layout  int              // of a union: index into Schema.layout
}

// compiler makes a Schema of what flatc wrote, and trusts none of it.
type compiler struct {
	schema  *Schema
	source  *bfbs.Schema
	objects []object
	enums   []enum
	byName  map[string]*object
	depth   int // of the structs that are being compiled
}

// What flatc takes for names. It keeps what a schema says fit for JSON and for errors.
var (
	shortName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fullName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
)

func compile(source *bfbs.Schema) (*Schema, error) {
	c := &compiler{
		schema: &Schema{align: 8, source: source}, source: source,
		objects: make([]object, len(source.Objects)), enums: make([]enum, len(source.Enums)),
		byName: map[string]*object{},
	}
	for i := range source.Objects {
		o := &source.Objects[i]
		c.objects[i] = object{name: o.Name, isStruct: o.IsStruct, size: o.Size, align: o.Align, source: o}
		if !fullName.MatchString(o.Name) {
			return nil, fmt.Errorf("%s is not a name", quote(o.Name))
		}
		if c.byName[o.Name] != nil {
			return nil, fmt.Errorf("there are two types of the name %s", o.Name)
		}
		c.byName[o.Name] = &c.objects[i]
	}
	for i := range source.Enums {
		if err := c.enum(&c.enums[i], &source.Enums[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.objects {
		if err := c.object(&c.objects[i]); err != nil {
			return nil, err
		}
	}
	for i := range c.enums {
		if err := c.members(&c.enums[i], &source.Enums[i]); err != nil {
			return nil, err
		}
	}
	c.layout()
	s := c.schema
	s.identifier = source.Identifier
	for i := range c.objects {
		if o := &c.objects[i]; !o.isStruct {
			t := &Table{s, o}
			s.tables = append(s.tables, t)
			if o.name == source.Root {
				s.root = t
			}
		}
	}
	slices.SortFunc(s.tables, func(a, b *Table) int { return strings.Compare(a.object.name, b.object.name) })
	return s, s.addServices(source)
}

func (c *compiler) enum(e *enum, source *bfbs.Enum) error {
	if !fullName.MatchString(source.Name) {
		return fmt.Errorf("%s is not a name", quote(source.Name))
	}
	_, flags := source.Attributes["bit_flags"]
	*e = enum{name: source.Name, flags: flags, byName: map[string]int64{}, byValue: map[int64]string{}}
	for _, v := range source.Values {
		if _, taken := e.byName[v.Name]; taken || !shortName.MatchString(v.Name) {
			return fmt.Errorf("enum %s: %s is no name for a value, or is there twice", e.name, quote(v.Name))
		}
		e.byName[v.Name] = v.Value
		e.names, e.values = append(e.names, v.Name), append(e.values, v.Value)
		if _, taken := e.byValue[v.Value]; !taken {
			e.byValue[v.Value] = v.Name
		}
	}
	return nil
}

// members finds what a union may hold.
func (c *compiler) members(e *enum, source *bfbs.Enum) error {
	if !source.IsUnion {
		return nil
	}
	e.members = map[uint8]*shape{}
	for _, v := range source.Values {
		if v.Value == 0 {
			continue // NONE
		}
		member, err := c.member(v.Union)
		if err != nil || v.Value < 0 || v.Value > math.MaxUint8 {
			return fmt.Errorf("union %s: %s cannot be a member", e.name, v.Name)
		}
		e.members[uint8(v.Value)] = member
	}
	return nil
}

func (c *compiler) member(t bfbs.Type) (*shape, error) {
	if t.Base != bfbs.Obj && t.Base != bfbs.String {
		return nil, errors.New("neither a table, a struct nor a string")
	}
	return c.shape(t)
}

// object compiles the fields of an object. Structs are compiled before what they are part of.
func (c *compiler) object(o *object) error {
	switch {
	case o.compiled == done:
		return nil
	case o.compiled == underWay:
		return fmt.Errorf("struct %s contains itself", o.name)
	case o.isStruct && (o.size < 1 || o.size > structSizeMax || o.align < 1 || o.align > alignMax || o.align&(o.align-1) != 0):
		return fmt.Errorf("struct %s has size %d and alignment %d: not supported", o.name, o.size, o.align)
	}
	o.compiled = underWay
	if c.depth++; c.depth > structDepthMax+1 { // one for a table
		return fmt.Errorf("struct %s: structs nest deeper than %d", o.name, structDepthMax)
	}
	o.byName = make(map[string]*field, len(o.source.Fields))
	o.depth = 1
	for i := range o.source.Fields {
		source := &o.source.Fields[i]
		f, err := c.field(o, source)
		if err == nil && (o.byName[f.name] != nil || !shortName.MatchString(f.name)) {
			err = errors.New("not a name, or there are two fields of it")
		}
		if err == nil {
			f.index = i
			err = o.place(f)
		}
		if err != nil {
			return fmt.Errorf("field %s of %s: %w", quote(source.Name), o.name, err)
		}
		o.fields = append(o.fields, f)
		o.byName[f.name] = f
		if f.required {
			o.required = append(o.required, f)
		}
		if f.key && o.key == nil && (f.kind == kindString || f.kind == kindScalar) {
			o.key = f
		}
	}
	if o.depth > structDepthMax {
		return fmt.Errorf("struct %s: structs nest deeper than %d", o.name, structDepthMax)
	}
	if o.isStruct {
		c.schema.align = max(c.schema.align, o.align)
	}
	c.depth--
	o.compiled = done
	return nil
}

// place checks where a field is: in a struct behind the one before, in a table in a slot of its own.
func (o *object) place(f *field) error {
	var before *field
	if n := len(o.fields); n > 0 {
		before = o.fields[n-1]
	}
	if o.isStruct {
		end := 0
		if before != nil {
			end = before.offset + before.size
		}
		if !f.inline() || f.offset < end || f.offset+f.size > o.size {
			return errors.New("does not fit into its struct")
		}
		inner := f.shape
		if inner.kind == kindArray {
			inner = inner.elem
		}
		if inner.kind == kindStruct {
			o.depth = max(o.depth, inner.object.depth+1)
		}
		return nil
	}
	if f.offset < 4 || f.offset&1 != 0 || f.kind == kindArray || before != nil && f.offset <= before.offset {
		return errors.New("has no place in its table")
	}
	if f.element().kind != kindUnion {
		return nil
	}
	want := kindScalar
	if f.kind == kindVector {
		want = kindVector
	}
	if before == nil || before.kind != want || before.offset != f.offset-2 ||
		before.element().base != bfbs.UType || before.element().enum != f.element().enum {
		return errors.New("the type of the union is not where it belongs")
	}
	f.types, before.holds = before, f
	return nil
}

// element is the shape itself, or that of its elements.
func (s *shape) element() *shape {
	if s.elem != nil {
		return s.elem
	}
	return s
}

func (c *compiler) field(o *object, source *bfbs.Field) (*field, error) {
	if source.Offset64 {
		return nil, errors.New("offsets of 64 bits are not supported")
	}
	s, err := c.shape(source.Type)
	if err != nil {
		return nil, err
	}
	f := &field{shape: s, name: source.Name, offset: source.Offset, key: source.Key, stale: source.Deprecated,
		required: source.Required && !o.isStruct && s.kind != kindScalar,
		optional: source.Optional && s.kind == kindScalar}
	switch {
	case s.base == bfbs.Float:
		f.initial = uint64(math.Float32bits(float32(source.Real)))
	case s.base == bfbs.Double:
		f.initial = math.Float64bits(source.Real)
	case s.kind == kindScalar:
		f.initial = truncate(s.base, uint64(source.Integer))
	}
	if name, nested := source.Attributes["nested_flatbuffer"]; nested {
		inner := c.resolve(name, o.name)
		if inner == nil || s.kind != kindVector || s.elem.base != bfbs.UByte {
			return nil, fmt.Errorf("nested_flatbuffer %s: no such table", quote(name))
		}
		f.shape = &shape{kind: kindNested, object: inner, size: offsetSize, align: offsetSize}
	}
	if text, forced := source.Attributes["force_align"]; forced && s.kind == kindVector && f.kind == kindVector {
		align, err := strconv.Atoi(text)
		if err != nil || align < 1 || align > alignMax || align&(align-1) != 0 {
			return nil, fmt.Errorf("force_align %s is not supported", quote(text))
		}
		aligned := *s.elem
		aligned.align = max(aligned.align, align)
		f.elem = &aligned
		c.schema.align = max(c.schema.align, align)
	}
	return f, nil
}

// resolve finds a table by a name that a declaration uses: in its namespace, or in one around it.
func (c *compiler) resolve(name, user string) *object {
	for space, _ := split(user); ; space, _ = split(space) {
		full := name
		if space != "" {
			full = space + "." + name
		}
		if o := c.byName[full]; o != nil && !o.isStruct {
			return o
		}
		if space == "" {
			return nil
		}
	}
}

// shape turns the type of a field into a shape.
func (c *compiler) shape(t bfbs.Type) (*shape, error) {
	if t.Base != bfbs.Vector && t.Base != bfbs.Array {
		return c.single(t, t.Base)
	}
	elem, err := c.single(t, t.Element)
	if err != nil {
		return nil, err
	}
	if t.Base == bfbs.Vector {
		return &shape{kind: kindVector, elem: elem, size: offsetSize, align: offsetSize}, nil
	}
	if t.Length < 1 || !elem.inline() {
		return nil, errors.New("not what an array may be")
	}
	return &shape{kind: kindArray, elem: elem, length: t.Length, size: t.Length * elem.size, align: elem.align}, nil
}

// single is the shape of a type that is neither a vector nor an array, or of the elements of one.
func (c *compiler) single(t bfbs.Type, base bfbs.Base) (*shape, error) {
	var behind *enum
	if base != bfbs.Obj && t.Index >= 0 {
		behind = &c.enums[t.Index]
	}
	switch base {
	case bfbs.String:
		return &shape{kind: kindString, size: offsetSize, align: offsetSize}, nil
	case bfbs.Union:
		if !c.source.Enums[t.Index].IsUnion {
			return nil, errors.New("not a union")
		}
		return &shape{kind: kindUnion, enum: behind, size: offsetSize, align: offsetSize}, nil
	case bfbs.Obj:
		o := &c.objects[t.Index]
		if !o.isStruct {
			return &shape{kind: kindTable, object: o, size: offsetSize, align: offsetSize}, nil
		}
		if err := c.object(o); err != nil {
			return nil, err
		}
		return &shape{kind: kindStruct, object: o, size: o.size, align: o.align}, nil
	}
	size := sizeOf(base)
	if size == 0 {
		return nil, fmt.Errorf("base type %d is not supported", base)
	}
	return &shape{kind: kindScalar, base: base, enum: behind, size: size, align: size}, nil
}
