// Package bfbs reads binary FlatBuffers schemas (.bfbs), as flatc writes them with
// --binary --schema. It reads what code generators and tools need; what it leaves out is added when
// somebody needs it.
package bfbs

import "errors"

// Base is the base type of a field, numbered as in FlatBuffers' own schema of schemas.
type Base int8

// Base types.
const (
	None Base = iota
	UType
	Bool
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
	String
	Vector
	Obj // a table or a struct
	Union
	Array
)

// Schema is a schema file with everything that it includes. Objects and Enums are sorted by name.
type Schema struct {
	Objects  []Object
	Enums    []Enum
	Services []Service
	// Files lists the schema file and its includes; empty if flatc is too old to tell.
	Files []File
	// Root is the name of the root_type, Identifier the file_identifier; empty: none.
	Root, Identifier string
}

// File is one schema file. Names begin with "//", which stands for the schema file's folder.
type File struct {
	Name     string
	Includes []string
}

// Attributes are the attributes in parentheses behind a declaration, by key. flatc writes "0" for
// an attribute without a value.
type Attributes map[string]string

// Object is a table or a struct.
type Object struct {
	Name       string // with its namespace: "smf_gen.demo.Request"
	Fields     []Field
	IsStruct   bool
	Align      int // of a struct, in bytes
	Size       int // of a struct, in bytes
	Attributes Attributes
	Doc        []string
	File       string // where it is declared, as in File.Name; may be empty
}

// Field is a field of a table or a struct. The fields of an object are in the order of their ids.
type Field struct {
	Name       string
	Type       Type
	ID         int
	Offset     int // of a table: of the entry in the vtable; of a struct: in the struct
	Deprecated bool
	Required   bool
	Optional   bool // a scalar that may be null, or what is not a scalar and not required
	Key        bool
	Offset64   bool    // the offsets of its data are of 64 bits
	Integer    int64   // default of an integer, a bool or an enum; bits of an unsigned one
	Real       float64 // default of a float or a double
	Attributes Attributes
	Doc        []string
}

// Type is the type of a field.
type Type struct {
	Base    Base
	Element Base // of a Vector or an Array
	// Index is the object of an Obj (or of a vector of them) in Schema.Objects, or the enum behind
	// a scalar or a union in Schema.Enums; negative: neither.
	Index  int
	Length int // of an Array: how many elements
}

// Enum is an enum or a union.
type Enum struct {
	Name    string
	Values  []EnumValue
	IsUnion bool
	// Underlying is the type of the values.
	Underlying Type
	Attributes Attributes
	Doc        []string
	File       string
}

// EnumValue is one value of an enum.
type EnumValue struct {
	Name  string
	Value int64 // bits of an unsigned one
	Union Type  // of a union's value: what it holds; None for NONE
	Doc   []string
}

// Service is an rpc_service. Calls are in the order in which they are declared.
type Service struct {
	Name       string
	Calls      []Call
	Attributes Attributes
	Doc        []string
	File       string
}

// Call is one method of a service.
type Call struct {
	Name              string
	Request, Response string // names of tables, with their namespaces
	Attributes        Attributes
	Doc               []string
}

// Errors of Parse.
var (
	ErrNotSchema = errors.New("not a binary FlatBuffers schema")
	ErrIndex     = errors.New("binary FlatBuffers schema: type index is out of range")
)
