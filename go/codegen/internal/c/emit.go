// Package c turns the model of a schema into C: a header with method ids, readers, builders and call
// stubs, and a file with what has to exist once: the tables' descriptions, the services and their
// dispatch. Both stand on the headers <smf/…> of the native library.
package c

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// Options say how the files are named.
type Options struct {
	Stem string // of the files: "smf_demo" of smf_demo.smf.h and smf_demo.smf.c
	// Include is what stands between the quotes of an #include of another schema's header, by the
	// schema's file.
	Include func(*model.File) string
	Names   Names // of the other schemas of the run, and then of this one, too
}

// generatedVersion is SMF_GENERATED_VERSION of the headers that the code is for.
const generatedVersion = 1

//go:embed header.tmpl source.tmpl parts.tmpl
var templates embed.FS

// Emit makes the header and the source of a schema: the same input gives the same bytes. What it can't
// write in C is an error of one line that names the declaration.
func Emit(schema *model.Schema, options Options) (header, source []byte, err error) {
	v, err := newView(schema, options)
	if err != nil {
		return nil, nil, err
	}
	if header, err = execute("header.tmpl", v); err != nil {
		return nil, nil, err
	}
	source, err = execute("source.tmpl", v)
	return header, source, err
}

func execute(name string, v *view) ([]byte, error) {
	t := template.New(name).Funcs(template.FuncMap{"doc": doc, "quote": quote})
	var part func(name string, data any) (string, error)
	t.Funcs(template.FuncMap{"part": func(name string, data any) (string, error) { return part(name, data) }})
	if _, err := t.ParseFS(templates, "parts.tmpl", name); err != nil {
		return nil, err
	}
	part = func(name string, data any) (string, error) {
		var text strings.Builder
		err := t.ExecuteTemplate(&text, name, data)
		return strings.TrimSpace(text.String()), err
	}
	var text bytes.Buffer
	if err := t.ExecuteTemplate(&text, name, v); err != nil {
		return nil, err
	}
	return layout(text.String()), nil
}

// view is what the templates see: names decided, everything in the order of the file.
type view struct {
	Options
	Source   string // "smf_demo.fbs"
	Guard    string
	Version  int
	Includes []string
	NeedMath bool // <math.h>, for defaults that are no numbers
	Enums    []enumView
	Structs  []structView
	Tables   []tableView
	Unions   []unionView
	Services []serviceView
}

type enumView struct {
	*model.Enum
	C      string // of the type
	Type   string // what it is: "uint8_t"
	Values []valueView
}

type valueView struct {
	*model.Value
	C      string
	Number string // a C constant
	Again  bool   // another value before has the same number
}

type unionView struct {
	*model.Enum
	C       string
	Members []memberView
}

type memberView struct {
	Name, C  string // of the union's member; of its constant
	As, Of   string // of the functions
	Kind     string // string, table or struct
	Target   string // the C name of what it is
	Number   int64
	Field    string // its line in the description
	Constant string
}

type structView struct {
	*model.Struct
	C      string
	Fields []memberOfStruct
}

type memberOfStruct struct {
	Name    string
	Doc     []string
	Offset  int
	C       string // of the type
	Load    string // of the function that reads one
	Store   string // and writes one; a struct is passed by address
	Length  int    // of an array; 0: none
	Size    int    // of one
	IsBlock bool   // a struct
}

type tableView struct {
	*model.Table
	C          string
	SlotsSize  int
	Identifier string // of a file whose root it is, in quotes; NULL
	Required   []requiredView
	Readers    []fieldView
	Lines      []string // of the description
}

type requiredView struct {
	Slot    int
	Problem string // what a builder says when it is missing
}

type fieldView struct {
	*model.Field
	Table   string // C name of the table
	C       string // of the reader
	Present string // of the function that says whether it is there; empty: none
	Add     string // of the writer
	AsRoot  string // of the reader of a nested payload; empty: none
	Part    string // which template writes it: scalar, optional, string, struct, table, vector, union, unions
	Type    string // C type of a scalar; name of a struct, table or union
	Scalar  string // "i32"
	Absent  string // the default, as a C constant
	Vector  string // type of a vector, without "struct"
	Ref     string // type of a reference, without "struct"
	Nested  string // C name of the table that is the root of a nested payload
}

type serviceView struct {
	*model.Service
	C       string
	Methods []methodView
}

type methodView struct {
	*model.Method
	Index     int
	C         string // of the stub
	CRCName   string
	IDName    string
	Member    string // in the struct of handlers
	InC, OutC string
	Flags     string
	Micros    int64
	ManyIn    bool // it takes a stream of requests
	ManyOut   bool // it answers with a stream of replies
}

// Streams says whether the method streams, one way or both.
func (m methodView) Streams() bool { return m.ManyIn || m.ManyOut }

// Streams says whether a method of the service does.
func (s serviceView) Streams() bool {
	return slices.ContainsFunc(s.Methods, func(m methodView) bool { return m.Streams() })
}

// Calls says whether a method of the service has one request and one reply.
func (s serviceView) Calls() bool {
	return slices.ContainsFunc(s.Methods, func(m methodView) bool { return !m.Streams() })
}

// Streams says whether a method of the schema does.
func (v *view) Streams() bool {
	return slices.ContainsFunc(v.Services, func(s serviceView) bool { return s.Streams() })
}

// newView decides on all names.
func newView(s *model.Schema, options Options) (*view, error) {
	n := options.Names
	if n == nil {
		n = make(Names)
	}

	v := &view{Options: options, Source: s.Source, Version: generatedVersion}
	space := ""
	for _, e := range s.Enums {
		if e.File != s.Main {
			continue
		}
		if err := v.addEnum(n, e); err != nil {
			return nil, err
		}
		space = cmp.Or(space, e.Namespace)
	}
	for _, st := range inOrder(s.Structs) {
		if st.File != s.Main {
			continue
		}
		if err := v.addStruct(n, st); err != nil {
			return nil, err
		}
		space = cmp.Or(space, st.Namespace)
	}
	for _, t := range s.Tables {
		if t.File != s.Main {
			continue
		}
		if err := v.addTable(n, s, t); err != nil {
			return nil, err
		}
		space = cmp.Or(space, t.Namespace)
	}
	for _, service := range s.Services {
		if err := v.addService(n, service); err != nil {
			return nil, err
		}
		space = cmp.Or(space, service.Namespace)
	}
	if len(v.Enums)+len(v.Structs)+len(v.Tables)+len(v.Unions)+len(v.Services) == 0 {
		return nil, fmt.Errorf("nothing to generate: the schema declares no type and no service")
	}
	v.Guard = guard(space, options.Stem)
	return v, v.addIncludes(s)
}

// addIncludes finds the headers of the schemas whose types this one uses.
func (v *view) addIncludes(s *model.Schema) error {
	used := usedFiles(s)
	for _, f := range s.Files {
		if f == s.Main || !used[f] {
			continue
		}
		if reaches(f, s.Main, make(map[*model.File]bool)) {
			return fmt.Errorf("%s is included, and includes this file: in C the types of one have to come first", f.Name)
		}
		v.Includes = append(v.Includes, v.Include(f))
	}
	slices.Sort(v.Includes)
	v.Includes = slices.Compact(v.Includes)
	return nil
}

// reaches says whether a file includes another one, by whatever way.
func reaches(from, to *model.File, seen map[*model.File]bool) bool {
	if from == to {
		return true
	}
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(from.Includes, func(f *model.File) bool { return reaches(f, to, seen) })
}

// usedFiles are the files that what is declared in the main one refers to.
func usedFiles(s *model.Schema) map[*model.File]bool {
	used := make(map[*model.File]bool)
	note := func(fields []*model.Field) {
		for _, f := range fields {
			if d := f.Type.Declaration(); d != nil {
				used[d.File] = true
			}
			if f.Nested != nil {
				used[f.Nested.File] = true
			}
		}
	}
	for _, t := range s.Tables {
		if t.File == s.Main {
			note(t.Fields)
		}
	}
	for _, st := range s.Structs {
		if st.File == s.Main {
			note(st.Fields)
		}
	}
	for _, e := range s.Enums {
		for _, value := range e.Values {
			if d := value.Member.Declaration(); e.File == s.Main && d != nil {
				used[d.File] = true
			}
		}
	}
	for _, service := range s.Services {
		for _, m := range service.Methods {
			used[m.In.File], used[m.Out.File] = true, true
		}
	}
	return used
}

// inOrder puts structs behind those that are in them.
func inOrder(structs []*model.Struct) []*model.Struct {
	var out []*model.Struct
	var add func(s *model.Struct)
	add = func(s *model.Struct) {
		if slices.Contains(out, s) {
			return
		}
		for _, f := range s.Fields {
			t := &f.Type
			if t.Kind == model.Array {
				t = t.Elem
			}
			if t.Struct != nil {
				add(t.Struct)
			}
		}
		out = append(out, s)
	}
	for _, s := range structs {
		add(s)
	}
	return out
}
