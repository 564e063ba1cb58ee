package golang

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// The object API: beside each table and struct X a plain Go struct XT, which packs itself and is what an X
// unpacks itself to.

// objectType is the type of a field, or of a vector's element, in a plain struct.
func (g *generator) objectType(t *model.Type) string {
	switch t.Kind {
	case model.Plain:
		return g.plain(t)
	case model.Text:
		return "string"
	case model.TableKind:
		return "*" + g.qualify(&t.Table.Declaration, "", "T")
	case model.StructOf:
		return "*" + g.qualify(&t.Struct.Declaration, "", "T")
	case model.Union:
		return "*" + g.qualify(&t.Enum.Declaration, "", "T")
	case model.Array:
		return g.arrayType(t)
	default:
		return "[]" + g.objectType(t.Elem)
	}
}

// inObject says whether a plain struct has the field: what a union is stands in the union.
func inObject(f *model.Field) bool { return !f.Deprecated && f.TagOf == nil }

func (g *generator) objectStruct(p *printer, d *model.Declaration, fields []*model.Field) {
	name := typeName(d.Name)
	p.doc(d.Doc, fmt.Sprintf("%sT is %s as a plain struct.", name, name))
	p.p("type %sT struct {", name)
	for _, f := range fields {
		if !inObject(f) {
			continue
		}
		p.from("field", d.FullName(), f.Name)
		p.doc(f.Doc, "")
		if value := g.hiddenDefault(f); value != "" {
			p.p("// Default %s: a plain struct begins with %s, and Pack sends that.", value, zero(&f.Type))
		}
		typ := g.objectType(&f.Type)
		if f.Optional {
			typ = "*" + typ
		}
		p.p("%s %s `json:%q`", fieldName(f), typ, f.Name)
	}
	p.p("}\n")
}

// hiddenDefault is the default of a field that a new plain struct does not have; empty: it has it.
func (g *generator) hiddenDefault(f *model.Field) string {
	if f.Type.Kind != model.Plain || f.Optional || f.Default == (model.Default{}) {
		return ""
	}
	if f.Type.Enum != nil {
		for _, v := range f.Type.Enum.Values {
			if v.Number == f.Default.Integer {
				return g.qualify(&f.Type.Enum.Declaration, "", valueName(v))
			}
		}
	}
	if f.Type.Scalar.IsFloat() {
		return strconv.FormatFloat(f.Default.Real, 'g', -1, 64)
	}
	return g.literal(f)
}

func (g *generator) unPack(p *printer, name string) {
	p.p("// UnPack copies rcv into a plain struct.")
	p.p("func (rcv *%s) UnPack() *%sT {\nif rcv == nil {\nreturn nil\n}", name, name)
	p.p("t := &%sT{}\nrcv.UnPackTo(t)\nreturn t\n}\n", name)
}

// structObject writes a struct's plain struct.
func (g *generator) structObject(p *printer, s *model.Struct) {
	name := typeName(s.Name)
	g.objectStruct(p, &s.Declaration, s.Fields)
	p.from("struct", s.FullName(), "")
	p.p("// Pack builds t where the builder is: in a table or a vector that was begun. Of a nil it builds nothing.")
	p.p("func (t *%sT) Pack(builder *flatbuffers.Builder) flatbuffers.UOffsetT {\nif t == nil {\nreturn 0\n}", name)
	p.p("builder.Prep(%d, %d)", s.Align, s.Size)
	end := s.Size
	for i := len(s.Fields) - 1; i >= 0; i-- {
		f := s.Fields[i]
		if gap := end - f.Offset - f.Type.Size(); gap > 0 {
			p.p("builder.Pad(%d)", gap)
		}
		end = f.Offset
		switch field := "t." + fieldName(f); f.Type.Kind {
		case model.Plain:
			p.p("builder.Prepend%s(%s)", runtime(&f.Type), g.toScalar(&f.Type, field))
		case model.StructOf:
			p.p("if %s == nil {\nbuilder.Pad(%d)\n} else {\n%s.Pack(builder)\n}", field, f.Type.Size(), field)
		case model.Array:
			for _, line := range g.arrayPrepend(&f.Type, field) {
				p.p("%s", line)
			}
		}
	}
	p.p("return builder.Offset()\n}\n")
	p.p("// UnPackTo copies rcv into t.")
	p.p("func (rcv *%s) UnPackTo(t *%sT) {", name, name)
	for _, f := range s.Fields {
		g.structUnPackField(p, f)
	}
	p.p("}\n")
	g.unPack(p, name)
}

func (g *generator) structUnPackField(p *printer, f *model.Field) {
	field := fieldName(f)
	switch t := &f.Type; {
	case t.Kind == model.Plain:
		p.p("t.%s = rcv.%s()", field, field)
	case t.Kind == model.StructOf:
		p.p("t.%s = rcv.%s(nil).UnPack()", field, field)
	case t.Elem.Kind == model.StructOf:
		p.p("for j := range t.%s {\nvar x %s\nrcv.%s(&x, j)\nx.UnPackTo(&t.%s[j])\n}", field,
			g.ref(&t.Elem.Struct.Declaration), field, field)
	default:
		p.p("for j := range t.%s {\nt.%s[j] = rcv.%s(j)\n}", field, field, field)
	}
}

// unionObject writes a union's plain struct.
func (g *generator) unionObject(p *printer, e *model.Enum) {
	name := typeName(e.Name)
	p.from("union", e.FullName(), "")
	p.p("// %sT is %s as a plain struct. Value is what Type says, as a pointer or a string.", name, name)
	p.p("type %sT struct {\nType %s\nValue any\n}\n", name, name)

	p.p("// Pack builds t's value; what it is the table says that t is in. Of a nil, and of a nil Value, it builds")
	p.p("// nothing. It panics where Value is not what Type says.")
	p.p("func (t *%sT) Pack(builder *flatbuffers.Builder) flatbuffers.UOffsetT {", name)
	p.p("if t == nil || t.Value == nil {\nreturn 0\n}")
	p.p("switch t.Type {")
	for _, v := range e.Values {
		switch v.Member.Kind {
		case model.Text:
			p.p("case %s%s:\nreturn builder.CreateString(t.Value.(string))", name, valueName(v))
		case model.TableKind, model.StructOf:
			p.p("case %s%s:\nreturn t.Value.(%s).Pack(builder)", name, valueName(v), g.objectType(&v.Member))
		}
	}
	p.p("}\nreturn 0\n}\n")

	p.p("// UnPack copies a union's value, which is v; of a value that the schema does not know it returns nil.")
	p.p("func (v %s) UnPack(table flatbuffers.Table) *%sT {\nswitch v {", name, name)
	for _, v := range e.Values {
		switch v.Member.Kind {
		case model.Text:
			p.p("case %s%s:\nreturn &%sT{Type: v, Value: string(flatverify.Text(table.Bytes, int(table.Pos)))}",
				name, valueName(v), name)
		case model.TableKind, model.StructOf:
			p.p("case %s%s:\nvar x %s\nx.Init(table.Bytes, table.Pos)", name, valueName(v), g.memberType(&v.Member))
			p.p("return &%sT{Type: v, Value: x.UnPack()}", name)
		}
	}
	p.p("}\nreturn nil\n}\n")
}

// tableObject writes a table's plain struct.
func (g *generator) tableObject(p *printer, t *model.Table) {
	name := typeName(t.Name)
	p.from("table", t.FullName(), "")
	g.objectStruct(p, &t.Declaration, t.Fields)
	p.from("table", t.FullName(), "")
	p.p("// Pack builds t with everything that it refers to. Of a nil it builds nothing.")
	if hasTables(t) {
		p.p("// A nil in a vector of tables becomes a table of zeros, so that the others keep their places.")
	}
	p.p("func (t *%sT) Pack(builder *flatbuffers.Builder) flatbuffers.UOffsetT {\nif t == nil {\nreturn 0\n}", name)
	for _, f := range t.Fields {
		if inObject(f) {
			g.packBefore(p, name, f)
		}
	}
	p.p("%sStart(builder)", name)
	for _, f := range t.Fields {
		if inObject(f) {
			g.packField(p, name, f)
		}
	}
	p.p("return %sEnd(builder)\n}\n", name)
	p.p("// UnPackTo copies rcv into t, which shares no memory with it.")
	p.p("func (rcv *%s) UnPackTo(t *%sT) {", name, name)
	for _, f := range t.Fields {
		if inObject(f) {
			g.unPackField(p, f)
		}
	}
	p.p("}\n")
	g.unPack(p, name)
}

// hasTables says whether a plain struct has a vector of tables.
func hasTables(t *model.Table) bool {
	return slices.ContainsFunc(t.Fields, func(f *model.Field) bool {
		return inObject(f) && f.Type.Kind == model.Vector && f.Type.Elem.Kind == model.TableKind
	})
}

// packBefore builds what a field refers to.
func (g *generator) packBefore(p *printer, owner string, f *model.Field) {
	field, offset := "t."+fieldName(f), local(f)+"Offset"
	switch t := &f.Type; t.Kind {
	case model.Text:
		if f.Required {
			p.p("%s := builder.CreateString(%s)", offset, field)
		} else {
			p.p("%s := flatbuffers.UOffsetT(0)\nif %s != \"\" {", offset, field)
			p.p("%s = builder.CreateString(%s)\n}", offset, field)
		}
	case model.TableKind, model.Union:
		p.p("%s := %s.Pack(builder)", offset, field)
	case model.Vector:
		if t.Elem.Kind == model.Union {
			p.p("%sTags := flatbuffers.UOffsetT(0)", local(f))
		}
		if f.Required {
			p.p("var %s flatbuffers.UOffsetT\n{", offset)
		} else if f.Nested != nil { // no bytes are no payload
			p.p("%s := flatbuffers.UOffsetT(0)\nif len(%s) > 0 {", offset, field)
		} else {
			p.p("%s := flatbuffers.UOffsetT(0)\nif %s != nil {", offset, field)
		}
		g.packVector(p, owner, f, field, offset)
		p.p("}")
	}
}

// local is the beginning of the names of a field's variables.
func local(f *model.Field) string { return lowerCamel(f.Name) }

func (g *generator) packVector(p *printer, owner string, f *model.Field, field, offset string) {
	elem, start := f.Type.Elem, fmt.Sprintf("%sStart%sVector(builder, len(%s))", owner, fieldName(f), field)
	backwards := fmt.Sprintf("for j := len(%s) - 1; j >= 0; j-- {", field)
	end := fmt.Sprintf("%s = builder.EndVector(len(%s))", offset, field)
	switch {
	case elem.Kind == model.Plain && elem.Scalar == model.UByte && elem.Enum == nil:
		p.p("%s = builder.CreateByteVector(%s)", offset, field)
	case elem.Kind == model.Plain:
		p.p("%s\n%s\nbuilder.Prepend%s(%s)\n}\n%s", start, backwards, runtime(elem), g.toScalar(elem, field+"[j]"), end)
	case elem.Kind == model.StructOf:
		p.p("%s\n%s\nif %s[j] == nil {\nbuilder.Prep(%d, %d)\nbuilder.Pad(%d)\n} else {\n%s[j].Pack(builder)\n}\n}\n%s",
			start, backwards, field, elem.Align(), elem.Size(), elem.Size(), field, end)
	case elem.Kind == model.Union:
		g.packUnions(p, owner, f, field, offset)
	default:
		offsets := local(f) + "Offsets"
		p.p("%s := make([]flatbuffers.UOffsetT, len(%s))\nfor j := range %s {", offsets, field, offsets)
		if elem.Kind == model.Text {
			p.p("%s[j] = builder.CreateString(%s[j])\n}", offsets, field)
		} else {
			p.p("x := %s[j]\nif x == nil {\nx = new(%s)\n}", field, g.qualify(&elem.Table.Declaration, "", "T"))
			p.p("%s[j] = x.Pack(builder)\n}", offsets)
		}
		p.p("%s\n%s\nbuilder.PrependUOffsetT(%s[j])\n}\n%s", start, backwards, offsets, end)
	}
}

// packUnions builds two vectors: of what the unions are, and of offsets to them, zero where one is nothing.
func (g *generator) packUnions(p *printer, owner string, f *model.Field, field, offset string) {
	offsets, tags := local(f)+"Offsets", local(f)+"Tags"
	p.p("%s := make([]flatbuffers.UOffsetT, len(%s))", offsets, field)
	p.p("for j := range %s {\n%s[j] = %s[j].Pack(builder)\n}", offsets, offsets, field)
	p.p("%sStart%sVector(builder, len(%s))\nfor j := len(%s) - 1; j >= 0; j-- {", owner, fieldName(f.Tag), field, field)
	p.p("if %s[j] == 0 {\nbuilder.PrependByte(0)\n} else {\nbuilder.PrependByte(byte(%s[j].Type))\n}\n}", offsets, field)
	p.p("%s = builder.EndVector(len(%s))", tags, field)
	p.p("%sStart%sVector(builder, len(%s))\nfor j := len(%s) - 1; j >= 0; j-- {", owner, fieldName(f), field, field)
	p.p("if %s[j] == 0 {\nbuilder.PrependUint32(0)\n} else {\nbuilder.PrependUOffsetT(%s[j])\n}\n}", offsets, offsets)
	p.p("%s = builder.EndVector(len(%s))", offset, field)
}

func (g *generator) packField(p *printer, owner string, f *model.Field) {
	name := fieldName(f)
	switch t := &f.Type; t.Kind {
	case model.Plain:
		if f.Optional {
			p.p("if t.%s != nil {\n%sAdd%s(builder, *t.%s)\n}", name, owner, name, name)
		} else {
			p.p("%sAdd%s(builder, t.%s)", owner, name, name)
		}
	case model.StructOf:
		p.p("%sOffset := t.%s.Pack(builder)\n%sAdd%s(builder, %sOffset)", local(f), name, owner, name, local(f))
	case model.Union:
		p.p("if %sOffset != 0 {\n%sAdd%s(builder, t.%s.Type)\n}", local(f), owner, fieldName(f.Tag), name)
		p.p("%sAdd%s(builder, %sOffset)", owner, name, local(f))
	default:
		if t.Kind == model.Vector && t.Elem.Kind == model.Union {
			p.p("%sAdd%s(builder, %sTags)", owner, fieldName(f.Tag), local(f))
		}
		p.p("%sAdd%s(builder, %sOffset)", owner, name, local(f))
	}
}

func (g *generator) unPackField(p *printer, f *model.Field) {
	name := fieldName(f)
	switch t := &f.Type; t.Kind {
	case model.Plain:
		p.p("t.%s = rcv.%s()", name, name)
	case model.Text:
		p.p("t.%s = string(rcv.%s())", name, name)
	case model.TableKind, model.StructOf:
		p.p("t.%s = rcv.%s(nil).UnPack()", name, name)
	case model.Union:
		p.p("t.%s = nil\nvar %sTable flatbuffers.Table\nif rcv.%s(&%sTable) {", name, local(f), name, local(f))
		p.p("t.%s = rcv.%s().UnPack(%sTable)\n}", name, fieldName(f.Tag), local(f))
	case model.Vector:
		g.unPackVector(p, f)
	}
}

func (g *generator) unPackVector(p *printer, f *model.Field) {
	name, elem := fieldName(f), f.Type.Elem
	if elem.Kind == model.Plain && elem.Scalar == model.UByte && elem.Enum == nil {
		p.p("t.%s = bytes.Clone(rcv.%sBytes())", name, name)
		return
	}
	p.p("t.%s = nil\nif rcv._tab.Offset(%d) != 0 {", name, f.Slot)
	p.p("t.%s = make([]%s, rcv.%sLength())\nfor j := range t.%s {", name, g.objectType(elem), name, name)
	switch elem.Kind {
	case model.Plain:
		p.p("t.%s[j] = rcv.%s(j)", name, name)
	case model.Text:
		p.p("t.%s[j] = string(rcv.%s(j))", name, name)
	case model.TableKind, model.StructOf:
		p.p("var x %s\nrcv.%s(&x, j)\nt.%s[j] = x.UnPack()", g.memberType(elem), name, name)
	case model.Union:
		p.p("var x flatbuffers.Table\nrcv.%s(&x, j)\nt.%s[j] = rcv.%s(j).UnPack(x)", name, name, fieldName(f.Tag))
	}
	p.p("}\n}")
}
