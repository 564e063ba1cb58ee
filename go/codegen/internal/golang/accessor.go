package golang

import (
	"fmt"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// tableAccessor writes the methods that read and change a field of a table.
func (g *generator) tableAccessor(p *printer, t *model.Table, owner string, f *model.Field) {
	name := fieldName(f)
	switch f.Type.Kind {
	case model.Plain:
		g.plainAccessor(p, t, owner, name, f)
	case model.Text:
		p.doc(f.Doc, name+" is the string where it is in the payload; nil: it is not stored.")
		p.p("func (rcv *%s) %s() []byte {", owner, name)
		p.p("%so := flatbuffers.UOffsetT(rcv._tab.Offset(%d))", g.shortcut(t, f), f.Slot)
		p.p("if o != 0 {\nreturn rcv._tab.ByteVector(o + rcv._tab.Pos)\n}\nreturn nil\n}\n")
	case model.TableKind, model.StructOf:
		g.objectAccessor(p, owner, name, f)
	case model.Union:
		p.doc(f.Doc, fmt.Sprintf("%s makes obj, which must not be nil, the value, which is what %s says;\n// false: there is none.",
			name, fieldName(f.Tag)))
		p.p("func (rcv *%s) %s(obj *flatbuffers.Table) bool {", owner, name)
		p.p("o := flatbuffers.UOffsetT(rcv._tab.Offset(%d))", f.Slot)
		p.p("if o != 0 {\nrcv._tab.Union(obj, o)\nreturn true\n}\nreturn false\n}\n")
		g.members(p, owner, name, f, f.Type.Enum)
	case model.Vector:
		g.vectorAccessor(p, owner, name, f)
	}
}

func (g *generator) plainAccessor(p *printer, t *model.Table, owner, name string, f *model.Field) {
	typ, kind := g.plain(&f.Type), runtime(&f.Type)
	if f.Optional {
		p.doc(f.Doc, name+" is a copy of the value; nil: it is not stored.")
		p.p("func (rcv *%s) %s() *%s {", owner, name, typ)
		p.p("o := flatbuffers.UOffsetT(rcv._tab.Offset(%d))\nif o != 0 {", f.Slot)
		p.p("v := %s", g.fromScalar(&f.Type, "rcv._tab.Get"+kind+"(o + rcv._tab.Pos)"))
		p.p("return &v\n}\nreturn nil\n}\n")
	} else {
		p.doc(f.Doc, "")
		p.p("func (rcv *%s) %s() %s {", owner, name, typ)
		p.p("%sreturn %s\n}\n", g.shortcut(t, f),
			g.fromScalar(&f.Type, fmt.Sprintf("rcv._tab.Get%sSlot(%d, %s)", kind, f.Slot, g.literal(f))))
	}
	p.p("// Mutate%s changes a stored %s; false: it is not stored.", name, name)
	p.p("func (rcv *%s) Mutate%s(n %s) bool {", owner, name, typ)
	p.p("return rcv._tab.Mutate%sSlot(%d, %s)\n}\n", kind, f.Slot, g.toScalar(&f.Type, "n"))
}

// objectAccessor is for fields that hold a struct or lead to a table.
func (g *generator) objectAccessor(p *printer, owner, name string, f *model.Field) {
	typ, at := "", "rcv._tab.Indirect(o + rcv._tab.Pos)"
	if f.Type.Kind == model.StructOf {
		typ, at = g.ref(&f.Type.Struct.Declaration), "o + rcv._tab.Pos"
	} else {
		typ = g.ref(&f.Type.Table.Declaration)
	}
	p.doc(f.Doc, name+" makes obj, or a new one where it is nil, what is stored, and returns it; nil: nothing is stored.")
	p.p("func (rcv *%s) %s(obj *%s) *%s {", owner, name, typ, typ)
	p.p("o := flatbuffers.UOffsetT(rcv._tab.Offset(%d))\nif o != 0 {", f.Slot)
	p.p("if obj == nil {\nobj = new(%s)\n}", typ)
	p.p("obj.Init(rcv._tab.Bytes, %s)\nreturn obj\n}\nreturn nil\n}\n", at)
}

// vectorAccessor writes what reads a vector's elements, its length and, for bytes, all of it.
func (g *generator) vectorAccessor(p *printer, owner, name string, f *model.Field) {
	elem := f.Type.Elem
	find := fmt.Sprintf("o := flatbuffers.UOffsetT(rcv._tab.Offset(%d))\nif o != 0 {", f.Slot)
	at := fmt.Sprintf("rcv._tab.Vector(o) + flatbuffers.UOffsetT(j)*%d", elem.Size())
	p.doc(f.Doc, elementDoc(name, elem))
	switch elem.Kind {
	case model.Plain:
		p.p("func (rcv *%s) %s(j int) %s {\n%s", owner, name, g.plain(elem), find)
		p.p("return %s", g.fromScalar(elem, "rcv._tab.Get"+runtime(elem)+"("+at+")"))
		p.p("}\nreturn %s\n}\n", zero(elem))
	case model.Text:
		p.p("func (rcv *%s) %s(j int) []byte {\n%s", owner, name, find)
		p.p("return rcv._tab.ByteVector(%s)\n}\nreturn nil\n}\n", at)
	case model.TableKind:
		p.p("func (rcv *%s) %s(obj *%s, j int) bool {\n%s", owner, name, g.ref(&elem.Table.Declaration), find)
		p.p("obj.Init(rcv._tab.Bytes, rcv._tab.Indirect(%s))\nreturn true\n}\nreturn false\n}\n", at)
	case model.StructOf:
		p.p("func (rcv *%s) %s(obj *%s, j int) bool {\n%s", owner, name, g.ref(&elem.Struct.Declaration), find)
		p.p("obj.Init(rcv._tab.Bytes, %s)\nreturn true\n}\nreturn false\n}\n", at)
	case model.Union:
		p.p("func (rcv *%s) %s(obj *flatbuffers.Table, j int) bool {\n%s", owner, name, find)
		p.p("obj.Bytes, obj.Pos = rcv._tab.Bytes, rcv._tab.Indirect(%s)\nreturn true\n}\nreturn false\n}\n", at)
	}
	p.p("// %sLength is how many there are.", name)
	p.p("func (rcv *%s) %sLength() int {\n%s\nreturn rcv._tab.VectorLen(o)\n}\nreturn 0\n}\n", owner, name, find)
	switch elem.Kind {
	case model.Plain:
		g.plainVector(p, owner, name, f, find, at)
	case model.TableKind:
		g.byKey(p, owner, name, f, find)
	case model.Union:
		g.members(p, owner, name, f, elem.Enum)
	}
}

// elementDoc says what an accessor of elements does, where the schema does not.
func elementDoc(name string, elem *model.Type) string {
	const index = " An index beyond the end is not checked."
	switch elem.Kind {
	case model.Plain:
		return name + " is element j; " + zero(elem) + " where there is no vector." + index
	case model.Text:
		return name + " is element j, where it is in the payload; nil: there is no vector." + index
	default:
		return name + " makes obj, which must not be nil, element j; false: there is no vector.\n//" + index
	}
}

// plainVector writes the methods that only vectors of scalars have.
func (g *generator) plainVector(p *printer, owner, name string, f *model.Field, find, at string) {
	elem := f.Type.Elem
	if elem.Scalar == model.UByte {
		p.p("// %sBytes are all of them, where they are.", name)
		p.p("func (rcv *%s) %sBytes() []byte {\n%s", owner, name, find)
		p.p("return rcv._tab.ByteVector(o + rcv._tab.Pos)\n}\nreturn nil\n}\n")
	}
	p.p("// Mutate%s changes an element; false: there is no vector.", name)
	p.p("func (rcv *%s) Mutate%s(j int, n %s) bool {\n%s", owner, name, g.plain(elem), find)
	p.p("return rcv._tab.Mutate%s(%s, %s)\n}\nreturn false\n}\n", runtime(elem), at, g.toScalar(elem, "n"))
	if f.Nested == nil {
		return
	}
	nested := typeName(f.Nested.Name)
	p.p("// %sAs%s reads the payload that the bytes are; false: there are none.", name, nested)
	p.p("func (rcv *%s) %sAs%s(obj *%s) bool {", owner, name, nested, g.ref(&f.Nested.Declaration))
	p.p("buf := rcv.%sBytes()\nif len(buf) == 0 {\nreturn false\n}", name)
	p.p("obj.Init(buf, flatbuffers.GetUOffsetT(buf))\nreturn true\n}\n")
}

func zero(t *model.Type) string {
	if t.Scalar == model.Bool {
		return "false"
	}
	return "0"
}

// members writes for each member of a union, or of a vector of unions, what reads one that is that.
func (g *generator) members(p *printer, owner, name string, f *model.Field, union *model.Enum) {
	j, comma, of := "", "", "()"
	if f.Type.Kind == model.Vector {
		j, comma, of = "j int", ", j", "(j)"
	}
	for _, v := range union.Values {
		check := fmt.Sprintf("var table flatbuffers.Table\nif rcv.%s%s != %s || !rcv.%s(&table%s) {", fieldName(f.Tag),
			of, g.qualify(&union.Declaration, "", valueName(v)), name, comma)
		as := name + "As" + camel(v.Name)
		switch v.Member.Kind {
		case model.Text:
			p.p("// %s reads one that is %s; false: it is something else.", as, an(v.Name))
			p.p("func (rcv *%s) %s(%s) ([]byte, bool) {\n%s\nreturn nil, false\n}", owner, as, j, check)
			p.p("return flatverify.Text(table.Bytes, int(table.Pos)), true\n}\n")
		case model.TableKind, model.StructOf:
			p.p("// %s reads one that is %s; false: it is something else.", as, an(v.Name))
			p.p("func (rcv *%s) %s(obj *%s%s) bool {\n%s\nreturn false\n}", owner, as, g.memberType(&v.Member),
				commaBefore(j), check)
			p.p("obj.Init(table.Bytes, table.Pos)\nreturn true\n}\n")
		}
	}
}

// memberType is the accessor type of a union's member: a table or a struct.
func (g *generator) memberType(t *model.Type) string {
	if t.Kind == model.StructOf {
		return g.ref(&t.Struct.Declaration)
	}
	return g.ref(&t.Table.Declaration)
}

func commaBefore(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}
