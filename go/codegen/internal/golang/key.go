package golang

import (
	"fmt"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// keyOf is the field by which vectors of a table are sorted; nil: none.
func keyOf(t *model.Table) *model.Field {
	for _, f := range t.Fields {
		if f.Key && !f.Deprecated {
			return f
		}
	}
	return nil
}

// keyType is the type of a key in Go.
func (g *generator) keyType(f *model.Field) string {
	if f.Type.Kind == model.Text {
		return "string"
	}
	return g.plain(&f.Type)
}

// keys writes what compares and finds tables by their key.
func (g *generator) keys(p *printer, t *model.Table, name string) {
	key := keyOf(t)
	if key == nil {
		return
	}
	field := fieldName(key)
	p.p("// %sKeyCompare says whether the first of two tables of a builder goes before the second, for", name)
	p.p("// CreateVectorOfSortedTables.")
	p.p("func %sKeyCompare(o1, o2 flatbuffers.UOffsetT, buf []byte) bool {", name)
	p.p("var a, b %s", name)
	p.p("a.Init(buf, flatbuffers.UOffsetT(len(buf))-o1)\nb.Init(buf, flatbuffers.UOffsetT(len(buf))-o2)")
	p.p("return %s\n}\n", g.keyLess(key, "a."+field+"()", "b."+field+"()"))

	p.p("// LookupByKey finds the table with a key in a sorted vector, and makes rcv that; false: there is none.")
	p.p("func (rcv *%s) LookupByKey(key %s, vectorLocation flatbuffers.UOffsetT, buf []byte) bool {", name,
		g.keyType(key))
	p.p("span := flatbuffers.GetUOffsetT(buf[vectorLocation-4:])\nstart := flatbuffers.UOffsetT(0)")
	p.p("for span != 0 {\nmiddle := span / 2")
	p.p("table := vectorLocation + 4*(start+middle)\ntable += flatbuffers.GetUOffsetT(buf[table:])")
	p.p("var item %s\nitem.Init(buf, table)", name)
	if key.Type.Kind == model.Text {
		p.p("switch compare := bytes.Compare(item.%s(), []byte(key)); {\ncase compare > 0:", field)
	} else {
		p.p("switch value := item.%s(); {\ncase %s:", field, g.keyLess(key, "key", "value"))
	}
	p.p("span = middle")
	if key.Type.Kind == model.Text {
		p.p("case compare < 0:")
	} else {
		p.p("case %s:", g.keyLess(key, "value", "key"))
	}
	p.p("middle++\nstart += middle\nspan -= middle")
	p.p("default:\nrcv.Init(buf, table)\nreturn true\n}\n}\nreturn false\n}\n")
}

// keyLess compares two expressions.
func (g *generator) keyLess(key *model.Field, a, b string) string {
	switch {
	case key.Type.Kind == model.Text:
		return fmt.Sprintf("bytes.Compare(%s, %s) < 0", a, b)
	case key.Type.Scalar == model.Bool:
		return fmt.Sprintf("!%s && %s", a, b)
	default:
		return fmt.Sprintf("%s < %s", a, b)
	}
}

// byKey writes what finds an element of a vector by its key.
func (g *generator) byKey(p *printer, owner, name string, f *model.Field, find string) {
	key := keyOf(f.Type.Elem.Table)
	if key == nil {
		return
	}
	p.p("// %sByKey finds the element with a key; false: there is none. It needs elements that were sorted by", name)
	p.p("// %s, as CreateVectorOfSortedTables does; Pack leaves them in their order.",
		g.qualify(&f.Type.Elem.Table.Declaration, "", "KeyCompare"))
	p.p("func (rcv *%s) %sByKey(obj *%s, key %s) bool {\n%s", owner, name,
		g.ref(&f.Type.Elem.Table.Declaration), g.keyType(key), find)
	p.p("return obj.LookupByKey(key, rcv._tab.Vector(o), rcv._tab.Bytes)\n}\nreturn false\n}\n")
}
