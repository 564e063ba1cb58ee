package golang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// structure writes a struct: its accessors and the function that builds one.
func (g *generator) structure(p *printer, s *model.Struct) {
	name := typeName(s.Name)
	p.from("struct", s.FullName(), "")
	p.doc(s.Doc, name+" is the struct "+s.FullName()+".")
	p.p("type %s struct {\n_tab flatbuffers.Struct\n}\n", name)
	p.p("// Init makes rcv the %s that is at position i of buf.", name)
	p.p("func (rcv *%s) Init(buf []byte, i flatbuffers.UOffsetT) {", name)
	p.p("rcv._tab.Bytes = buf\nrcv._tab.Pos = i\n}\n")
	p.p("// Table is where rcv is.")
	p.p("func (rcv *%s) Table() flatbuffers.Table {\nreturn rcv._tab.Table\n}\n", name)
	for _, f := range s.Fields {
		p.from("field", s.FullName(), f.Name)
		g.structAccessor(p, name, f)
	}
	p.from("struct", s.FullName(), "")
	g.structCreate(p, s)
}

// place is the position of a struct's field.
func place(f *model.Field) string {
	if f.Offset == 0 {
		return "rcv._tab.Pos"
	}
	return fmt.Sprintf("rcv._tab.Pos+%d", f.Offset)
}

func (g *generator) structAccessor(p *printer, owner string, f *model.Field) {
	name := fieldName(f)
	switch t := &f.Type; t.Kind {
	case model.Plain:
		p.doc(f.Doc, "")
		p.p("func (rcv *%s) %s() %s {", owner, name, g.plain(t))
		p.p("return %s\n}\n", g.fromScalar(t, fmt.Sprintf("rcv._tab.Get%s(%s)", runtime(t), place(f))))
		p.p("// Mutate%s changes %s, which is always stored; it returns true.", name, name)
		p.p("func (rcv *%s) Mutate%s(n %s) bool {", owner, name, g.plain(t))
		p.p("return rcv._tab.Mutate%s(%s, %s)\n}\n", runtime(t), place(f), g.toScalar(t, "n"))
	case model.StructOf:
		p.doc(f.Doc, name+" makes obj the struct and returns it; of a nil it makes a new one.")
		p.p("func (rcv *%s) %s(obj *%s) *%s {", owner, name, g.ref(&t.Struct.Declaration), g.ref(&t.Struct.Declaration))
		p.p("if obj == nil {\nobj = new(%s)\n}", g.ref(&t.Struct.Declaration))
		p.p("obj.Init(rcv._tab.Bytes, %s)\nreturn obj\n}\n", place(f))
	case model.Array:
		g.arrayAccessor(p, owner, name, f)
	}
}

func (g *generator) arrayAccessor(p *printer, owner, name string, f *model.Field) {
	elem := f.Type.Elem
	at := fmt.Sprintf("%s+flatbuffers.UOffsetT(j)*%d", place(f), elem.Size())
	check := fmt.Sprintf("if uint(j) >= %d {\npanic(\"%s.%s: index out of range\")\n}", f.Type.Length, owner, name)
	if elem.Kind == model.StructOf {
		p.doc(f.Doc, name+" makes obj, which must not be nil, element j; false: there is no such element.")
		p.p("func (rcv *%s) %s(obj *%s, j int) bool {", owner, name, g.ref(&elem.Struct.Declaration))
		p.p("if uint(j) >= %d {\nreturn false\n}", f.Type.Length)
		p.p("obj.Init(rcv._tab.Bytes, %s)\nreturn true\n}\n", at)
	} else {
		p.doc(f.Doc, name+" is element j; it panics where there is no such element.")
		p.p("func (rcv *%s) %s(j int) %s {\n%s", owner, name, g.plain(elem), check)
		p.p("return %s\n}\n", g.fromScalar(elem, fmt.Sprintf("rcv._tab.Get%s(%s)", runtime(elem), at)))
	}
	p.p("// %sLength is always %d.", name, f.Type.Length)
	p.p("func (rcv *%s) %sLength() int {\nreturn %d\n}\n", owner, name, f.Type.Length)
	if elem.Kind == model.Plain {
		p.p("// Mutate%s changes element j; it panics where there is no such element.", name)
		p.p("func (rcv *%s) Mutate%s(j int, n %s) bool {\n%s", owner, name, g.plain(elem), check)
		p.p("return rcv._tab.Mutate%s(%s, %s)\n}\n", runtime(elem), at, g.toScalar(elem, "n"))
	}
}

// structCreate writes CreateX, whose parameters are the values of all fields; those of structs in it are
// parameters of their own.
func (g *generator) structCreate(p *printer, s *model.Struct) {
	taken := make(map[string]bool)
	var params, body []string
	g.createParameters(s, "", taken, &params, &body)
	name := typeName(s.Name)
	p.p("// Create%s builds %s where the builder is: in a table or a vector that was begun.", name, an(name))
	p.p("func Create%s(builder *flatbuffers.Builder, %s) flatbuffers.UOffsetT {", name, strings.Join(params, ", "))
	p.p("%s\nreturn builder.Offset()\n}\n", strings.Join(body, "\n"))
}

// createParameters collects the parameters in the order of the fields, and the statements that write the
// fields, from the last one to the first.
func (g *generator) createParameters(s *model.Struct, prefix string, taken map[string]bool, params, body *[]string) {
	written := make([][]string, len(s.Fields))
	for i, f := range s.Fields {
		switch t := &f.Type; t.Kind {
		case model.Plain:
			name := g.parameter(prefix+f.Name, taken, builderLocals)
			*params = append(*params, name+" "+g.plain(t))
			written[i] = []string{fmt.Sprintf("builder.Prepend%s(%s)", runtime(t), g.toScalar(t, name))}
		case model.StructOf:
			g.createParameters(t.Struct, prefix+f.Name+"_", taken, params, &written[i])
		case model.Array:
			name := g.parameter(prefix+f.Name, taken, builderLocals)
			*params = append(*params, name+" "+g.arrayType(t))
			written[i] = g.arrayPrepend(t, name)
		}
	}
	*body = append(*body, fmt.Sprintf("builder.Prep(%d, %d)", s.Align, s.Size))
	end := s.Size
	for i, f := range slices.Backward(s.Fields) {
		if gap := end - f.Offset - f.Type.Size(); gap > 0 {
			*body = append(*body, fmt.Sprintf("builder.Pad(%d)", gap))
		}
		*body = append(*body, written[i]...)
		end = f.Offset
	}
}

// arrayType is a fixed-size array in Go: of scalars, or of the plain structs of the object API.
func (g *generator) arrayType(t *model.Type) string {
	if t.Elem.Kind == model.StructOf {
		return fmt.Sprintf("[%d]%s", t.Length, g.qualify(&t.Elem.Struct.Declaration, "", "T"))
	}
	return fmt.Sprintf("[%d]%s", t.Length, g.plain(t.Elem))
}

func (g *generator) arrayPrepend(t *model.Type, name string) []string {
	line := fmt.Sprintf("builder.Prepend%s(%s)", runtimeOrNone(t.Elem), g.toScalar(t.Elem, name+"[j]"))
	if t.Elem.Kind == model.StructOf {
		line = name + "[j].Pack(builder)"
	}
	return []string{fmt.Sprintf("for j := %d; j >= 0; j-- {", t.Length-1), line, "}"}
}

func runtimeOrNone(t *model.Type) string {
	if t.Kind != model.Plain {
		return ""
	}
	return runtime(t)
}
