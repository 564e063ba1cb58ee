package golang

import (
	"slices"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// typesFile writes the unit's enums, structs and tables; nil: it has none.
func (g *generator) typesFile() (*File, error) {
	type declaration struct {
		name  string
		write func(p *printer)
	}
	var all []declaration
	for _, e := range g.enums {
		all = append(all, declaration{e.Name, func(p *printer) {
			g.enum(p, e)
			if e.IsUnion {
				g.unionObject(p, e)
			}
		}})
	}
	for _, s := range g.structs {
		all = append(all, declaration{s.Name, func(p *printer) { g.structure(p, s); g.structObject(p, s) }})
	}
	for _, t := range g.tables {
		all = append(all, declaration{t.Name, func(p *printer) { g.table(p, t); g.tableObject(p, t) }})
	}
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b declaration) int { return strings.Compare(a.name, b.name) })
	p := &printer{}
	for _, d := range all {
		d.write(p)
	}
	content, err := g.finish(p, g.Names)
	return &File{".fb.go", content}, err
}

// table writes a table's accessors and the functions that build one.
func (g *generator) table(p *printer, t *model.Table) {
	name := typeName(t.Name)
	p.from("table", t.FullName(), "")
	p.doc(t.Doc, name+" is the table "+t.FullName()+".")
	p.p("type %s struct {\n_tab flatbuffers.Table\n}\n", name)
	p.p("// GetRootAs%s is the %s that the payload at offset of buf holds. It checks nothing: see Verify%s.", name,
		name, name)
	p.p("func GetRootAs%s(buf []byte, offset flatbuffers.UOffsetT) *%s {", name, name)
	p.p("n := flatbuffers.GetUOffsetT(buf[offset:])\nx := &%s{}\nx.Init(buf, n+offset)\nreturn x\n}\n", name)
	p.p("// GetSizePrefixedRootAs%s is GetRootAs%s for a payload behind its size.", name, name)
	p.p("func GetSizePrefixedRootAs%s(buf []byte, offset flatbuffers.UOffsetT) *%s {", name, name)
	p.p("n := flatbuffers.GetUOffsetT(buf[offset+flatbuffers.SizeUint32:])")
	p.p("x := &%s{}\nx.Init(buf, n+offset+flatbuffers.SizeUint32)\nreturn x\n}\n", name)
	g.finishers(p, t, name)
	p.p("// Init makes rcv the %s that is at position i of buf.", name)
	p.p("func (rcv *%s) Init(buf []byte, i flatbuffers.UOffsetT) {", name)
	p.p("rcv._tab.Bytes = buf\nrcv._tab.Pos = i\n}\n")
	p.p("// Table is where rcv is.")
	p.p("func (rcv *%s) Table() flatbuffers.Table {\nreturn rcv._tab\n}\n", name)
	for _, f := range t.Fields {
		if !f.Deprecated {
			p.from("field", t.FullName(), f.Name)
			g.tableAccessor(p, t, name, f)
		}
	}
	p.from("table", t.FullName(), "")
	g.keys(p, t, name)
	g.builders(p, t, name)
}

// finishers writes the functions that end a payload.
func (g *generator) finishers(p *printer, t *model.Table, name string) {
	finish := "Finish%s(offset)"
	if t == g.Schema.Root && g.Schema.Identifier != "" {
		p.p("// %sIdentifier is at bytes 4 to 7 of payloads that Finish%sBuffer ended.", name, name)
		p.p("const %sIdentifier = %q\n", name, g.Schema.Identifier)
		p.p("// %sBufferHasIdentifier says whether a payload has the identifier.", name)
		p.p("func %sBufferHasIdentifier(buf []byte) bool {", name)
		p.p("return len(buf) >= 8 && flatbuffers.BufferHasIdentifier(buf, %sIdentifier)\n}\n", name)
		finish = "Finish%sWithFileIdentifier(offset, []byte(" + name + "Identifier))"
	}
	p.p("// Finish%sBuffer ends a payload whose root is the %s at offset.", name, name)
	p.p("func Finish%sBuffer(builder *flatbuffers.Builder, offset flatbuffers.UOffsetT) {", name)
	p.p("builder."+finish+"\n}\n", "")
	p.p("// FinishSizePrefixed%sBuffer is Finish%sBuffer for a payload behind its size.", name, name)
	p.p("func FinishSizePrefixed%sBuffer(builder *flatbuffers.Builder, offset flatbuffers.UOffsetT) {", name)
	p.p("builder."+finish+"\n}\n", "SizePrefixed")
}

// builders writes the functions that build a table.
func (g *generator) builders(p *printer, t *model.Table, name string) {
	slots := 0
	for _, f := range t.Fields {
		slots = max(slots, f.Index()+1)
	}
	p.p("// %sStart begins %s; what it refers to is built before.", name, an(name))
	p.p("func %sStart(builder *flatbuffers.Builder) {\nbuilder.StartObject(%d)\n}\n", name, slots)
	for _, f := range t.Fields {
		if f.Deprecated {
			continue
		}
		p.from("field", t.FullName(), f.Name)
		g.add(p, name, f)
		if f.Type.Kind == model.Vector {
			elem := f.Type.Elem
			p.p("// %sStart%sVector begins a vector of numElems, whose last element is prepended first.", name, fieldName(f))
			p.p("func %sStart%sVector(builder *flatbuffers.Builder, numElems int) flatbuffers.UOffsetT {", name, fieldName(f))
			p.p("return builder.StartVector(%d, numElems, %d)\n}\n", elem.Size(), elem.Align())
		}
	}
	p.from("table", t.FullName(), "")
	p.p("// %sEnd ends what %sStart began.", name, name)
	p.p("func %sEnd(builder *flatbuffers.Builder) flatbuffers.UOffsetT {", name)
	p.p("return builder.EndObject()\n}\n")
}

func (g *generator) add(p *printer, owner string, f *model.Field) {
	name, index := fieldName(f), f.Index()
	param := g.parameter(f.Name, make(map[string]bool), builderLocals)
	switch t := &f.Type; t.Kind {
	case model.Plain:
		p.p("func %sAdd%s(builder *flatbuffers.Builder, %s %s) {", owner, name, param, g.plain(t))
		if f.Optional {
			p.p("builder.Prepend%s(%s)\nbuilder.Slot(%d)\n}\n", runtime(t), g.toScalar(t, param), index)
		} else {
			p.p("builder.Prepend%sSlot(%d, %s, %s)\n}\n", runtime(t), index, g.toScalar(t, param), g.literal(f))
		}
	case model.StructOf:
		p.p("func %sAdd%s(builder *flatbuffers.Builder, %s flatbuffers.UOffsetT) {", owner, name, param)
		p.p("builder.PrependStructSlot(%d, %s, 0)\n}\n", index, param)
	default:
		p.p("func %sAdd%s(builder *flatbuffers.Builder, %s flatbuffers.UOffsetT) {", owner, name, param)
		p.p("builder.PrependUOffsetTSlot(%d, %s, 0)\n}\n", index, param)
	}
}
