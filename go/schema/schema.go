// Package schema turns FlatBuffers into JSON and JSON into FlatBuffers by a binary schema (.bfbs), as
// flatc writes it:
//
//	flatc --binary --schema --bfbs-builtins greet.fbs
//
// Without --bfbs-builtins a binary schema does not say which enums are bit_flags and which vectors are
// a nested_flatbuffer. smfc puts the binary schema of every package that it generates into that package.
//
// The JSON is that of flatc --strict-json, both ways; docs/json.md has the mapping. Everything that is
// read is checked first: neither schema, JSON nor FlatBuffer can make this package panic, recurse
// without bound or allocate without bound.
package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/internal/bfbs"
	"github.com/smf-go/smf/go/internal/frame"
)

// Limits. What exceeds them is an error.
const (
	MaxJSON    = 256 << 20 // bytes of a JSON document, read or written
	MaxPayload = 256 << 20 // bytes of a FlatBuffer that FromJSON makes
	MaxDepth   = flatverify.MaxDepth

	structDepthMax = 32        // structs in structs
	structSizeMax  = 1<<16 - 1 // in bytes
	alignMax       = 128
	namesShown     = 16 // in an error that lists what there is
)

// Schema is what a binary schema declares.
//
// Threads: any; nothing changes after Read.
type Schema struct {
	tables     []*Table // by name
	methods    []*Method
	root       *Table
	identifier string
	align      int // the largest of anything
	layout     flatverify.Schema
	source     *bfbs.Schema
}

// Table is a table of a schema.
type Table struct {
	schema *Schema
	object *object
}

// Method is a method of a service.
type Method struct {
	Package   string // namespace of the service: "smf_gen.demo", or ""
	Service   string // "SmfStorage"
	Name      string // "Get"
	In, Out   *Table
	ID        uint32   // as on the wire; 0: the wire format has no id for it
	Streaming string   // "": a request and a reply; else as in the schema: "client", "server" or "bidi"
	Doc       []string // lines of the schema's comment
}

// Read reads a binary schema. Errors say which declaration is wrong, on one line.
//
// Threads: any. Ownership: nothing of p is kept. Cost: a few times the size of p.
func Read(p []byte) (*Schema, error) {
	source, err := bfbs.Parse(p)
	if err != nil {
		return nil, err
	}
	s, err := compile(source)
	if err != nil {
		return nil, fmt.Errorf("binary schema: %w", err)
	}
	return s, nil
}

// Root is the table that the schema names as root_type; nil: none.
func (s *Schema) Root() *Table { return s.root }

// Tables lists the tables by name.
func (s *Schema) Tables() []*Table { return slices.Clone(s.tables) }

// Methods lists the methods of all services, in the order in which a service declares them.
func (s *Schema) Methods() []*Method { return slices.Clone(s.methods) }

// Table finds a table by its full name ("smf_gen.demo.Request") or the end of it ("Request"). The error
// lists what there is.
func (s *Schema) Table(name string) (*Table, error) {
	return find("table", name, s.tables, (*Table).Name)
}

// Method finds a method by its full name ("smf_gen.demo.SmfStorage.Get") or the end of it
// ("SmfStorage.Get"). The error lists what there is.
func (s *Schema) Method(name string) (*Method, error) {
	return find("method", name, s.methods, (*Method).FullName)
}

// Name is the table's name with its namespace.
func (t *Table) Name() string { return t.object.name }

// FullName is the method's name with service and namespace: "smf_gen.demo.SmfStorage.Get".
func (m *Method) FullName() string {
	if m.Package == "" {
		return m.ShortName()
	}
	return m.Package + "." + m.ShortName()
}

// ShortName is the method's name with its service: "SmfStorage.Get".
func (m *Method) ShortName() string { return m.Service + "." + m.Name }

// Verify checks that a buffer is a well-formed FlatBuffer of this table. Errors are those of flatverify.
func (t *Table) Verify(buffer []byte) error {
	return t.schema.layout.Verify(t.object.layout, buffer)
}

// find looks a name up among things with full names.
func find[T any](kind, name string, all []*T, nameOf func(*T) string) (*T, error) {
	var found []*T
	for _, thing := range all {
		full := nameOf(thing)
		if full == name {
			return thing, nil
		}
		if name != "" && strings.HasSuffix(full, "."+name) {
			found = append(found, thing)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	problem, among := "unknown", all
	if len(found) > 1 {
		problem, among = "ambiguous", found
	}
	var names []string
	for _, thing := range among {
		names = append(names, nameOf(thing))
	}
	return nil, fmt.Errorf("%s %s %s: there %s", problem, kind, quote(name), list(names))
}

// list is "is A" or "are A, B, …".
func list(names []string) string {
	switch {
	case len(names) == 0:
		return "is none"
	case len(names) == 1:
		return "is " + names[0]
	}
	return "are " + enumerate(names)
}

// enumerate lists names, or as many as one wants to read.
func enumerate(names []string) string {
	if len(names) > namesShown {
		return strings.Join(names[:namesShown], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// split takes a full name apart.
func split(full string) (namespace, name string) {
	if dot := strings.LastIndexByte(full, '.'); dot >= 0 {
		return full[:dot], full[dot+1:]
	}
	return "", full
}

// addServices fills methods in.
func (s *Schema) addServices(source *bfbs.Schema) error {
	for i := range source.Services {
		service := &source.Services[i]
		namespace, short := split(service.Name)
		for j := range service.Calls {
			call := &service.Calls[j]
			if !fullName.MatchString(service.Name) || !shortName.MatchString(call.Name) {
				return fmt.Errorf("%s is not the name of a method", quote(service.Name+"."+call.Name))
			}
			m := &Method{Package: namespace, Service: short, Name: call.Name, Doc: call.Doc}
			if mode := call.Attributes["streaming"]; mode != "none" {
				m.Streaming = mode
			}
			for _, side := range []struct {
				table **Table
				name  string
			}{{&m.In, call.Request}, {&m.Out, call.Response}} {
				table, known := slices.BinarySearchFunc(s.tables, side.name, func(t *Table, name string) int {
					return strings.Compare(t.object.name, name)
				})
				if !known {
					return fmt.Errorf("method %s: no table %s", m.FullName(), quote(side.name))
				}
				*side.table = s.tables[table]
			}
			colons := func(t *Table) string { return strings.ReplaceAll(t.object.name, ".", "::") }
			m.ID = frame.MethodID(short, call.Name, colons(m.In), colons(m.Out))
			s.methods = append(s.methods, m)
		}
	}
	return nil
}
