// Package model is a FlatBuffers schema as the emitters of smfc want it: names resolved to what they
// stand for, sizes and places known, attributes read. It decides nothing about any language.
package model

import "time"

// Schema is a schema file with everything that it includes. Slices are sorted by full name, but
// Services and what is in them, which are in the order of the file.
type Schema struct {
	Source   string  // the file's base name: "smf_demo.fbs"
	Main     *File   // the file itself
	Files    []*File // all, Main too
	Tables   []*Table
	Structs  []*Struct
	Enums    []*Enum // unions are enums, too
	Services []*Service
	Root     *Table // of root_type, or nil
	// Identifier is the file_identifier: four bytes, or empty.
	Identifier string
	Misplaced  []*Error // attributes of methods at types and fields of Main
}

// File is one schema file.
type File struct {
	Name     string // relative to Main's folder, with slashes: "common/units.fbs", "../x.fbs"
	Includes []*File
}

// Declaration is what all named things have.
type Declaration struct {
	Namespace  string // "smf_gen.demo"; may be empty
	Name       string // "Request"
	File       *File
	Doc        []string // the lines behind "///"
	Attributes map[string]string
}

// FullName is the name with its namespace: "smf_gen.demo.Request".
func (d *Declaration) FullName() string {
	if d.Namespace == "" {
		return d.Name
	}
	return d.Namespace + "." + d.Name
}

// Table is a table.
type Table struct {
	Declaration
	Fields []*Field // by id; deprecated ones, too
}

// Struct is a struct: fields at fixed places.
type Struct struct {
	Declaration
	Fields []*Field
	Size   int // in bytes, padding included
	Align  int
}

// Enum is an enum or, with IsUnion, a union.
type Enum struct {
	Declaration
	Scalar   Scalar // the type of the values; UByte for a union
	Values   []*Value
	IsUnion  bool
	BitFlags bool // the values are bits
}

// Value is one value of an enum, or one member of a union.
type Value struct {
	Name   string
	Number int64 // bits of an unsigned one
	Doc    []string
	Member Type // of a union: a table, a struct or a string; of NONE and of enums: Kind None
}

// Field is a field of a table or a struct.
type Field struct {
	Name       string
	Doc        []string
	Type       Type
	Slot       int // of a table's: the byte offset of its entry in the vtable: 4, 6, …
	Offset     int // of a struct's: where it begins
	Default    Default
	Optional   bool // a scalar that may be null
	Required   bool
	Deprecated bool // has no accessors
	Key        bool
	Nested     *Table // a vector of bytes that is a payload with this root, or nil
	Tag        *Field // of a union or a vector of unions: the field with what they are
	TagOf      *Field // the other way round; nil: no tag
}

// Index is the field's place in the vtable.
func (f *Field) Index() int { return (f.Slot - 4) / 2 }

// Default is the value of a scalar that is not stored.
type Default struct {
	Integer int64 // of integers, bools and enums; bits of an unsigned one
	Real    float64
}

// Kind says what a type is.
type Kind int

// Kinds.
const (
	None      Kind = iota
	Plain          // a scalar or an enum
	Text           // a string
	TableKind      // a table
	StructOf       // a struct
	Union          // a union
	Vector         // a vector of Elem
	Array          // Length times Elem, in structs only
)

// Type is the type of a field, of an element, or of a union's member.
type Type struct {
	Kind   Kind
	Scalar Scalar  // of Plain
	Enum   *Enum   // of Plain, or nil; of Union
	Table  *Table  // of TableKind
	Struct *Struct // of StructOf
	Elem   *Type   // of Vector and Array
	Length int     // of Array
}

// Size is how many bytes a field of the type takes in its table or struct, or an element in its vector.
func (t *Type) Size() int {
	switch t.Kind {
	case Plain:
		return t.Scalar.Size()
	case StructOf:
		return t.Struct.Size
	case Array:
		return t.Length * t.Elem.Size()
	default:
		return 4 // an offset
	}
}

// Align is what the place of such a field or element is a multiple of.
func (t *Type) Align() int {
	switch t.Kind {
	case Plain:
		return t.Scalar.Size()
	case StructOf:
		return t.Struct.Align
	case Array:
		return t.Elem.Align()
	default:
		return 4
	}
}

// Inline says whether the value itself is in the table, and not an offset to it.
func (t *Type) Inline() bool { return t.Kind == Plain || t.Kind == StructOf || t.Kind == Array }

// Scalar is a number or a bool.
type Scalar int

// Scalars.
const (
	Bool Scalar = iota + 1
	Byte
	UByte
	Short
	UShort
	Int
	UInt
	Long
	ULong
	Float
	Double
)

// Size is the scalar's size in bytes, and its alignment.
func (s Scalar) Size() int {
	return [...]int{0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8}[s]
}

// IsFloat says whether the scalar is a Float or a Double.
func (s Scalar) IsFloat() bool { return s >= Float }

// IsUnsigned says whether the scalar is an integer without a sign.
func (s Scalar) IsUnsigned() bool {
	return s == UByte || s == UShort || s == UInt || s == ULong
}

// Service is an rpc_service.
type Service struct {
	Declaration
	CRC     uint32
	Methods []*Method
}

// Method is one method of a service.
type Method struct {
	Name       string
	Doc        []string
	In, Out    *Table
	Signature  string // what CRC is computed of: "Get:smf_gen::demo::Request:smf_gen::demo::Response"
	CRC, ID    uint32
	Slow       bool
	Idempotent bool
	Timeout    time.Duration // 0: none
	Streaming  Streaming
}

// Streaming says which side of a call sends a stream.
type Streaming int

// What the attribute (streaming: "…") may say.
const (
	NoStreaming Streaming = iota
	ClientStreaming
	ServerStreaming
	BidiStreaming
)

// streamings are the values of the attribute, in the order of the constants.
var streamings = []string{"none", "client", "server", "bidi"}

func (s Streaming) String() string { return streamings[s] }
