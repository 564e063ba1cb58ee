package golang

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/flatverify"
)

// Tables of a few scalars and strings are the common case of a call: they get a verifier in straight
// lines and, unless they have fields that may be null, functions that write them without a Builder.

// Straight says whether the table gets a straight-line verifier.
func (t *tableView) Straight() bool {
	for i := range t.Fields {
		if kind := t.Fields[i].Kind; kind != "Inline" && kind != "String" {
			return false
		}
	}
	return len(t.Fields) <= flatverify.MaxFlatFields
}

// usualLayout is where fields lie in a payload that has them all, as our writers lay it out (and every
// builder, where there is one field); nil where that is not always the same.
func (t *tableView) usualLayout() *layout {
	if !t.writable() {
		return nil
	}
	l := newLayout(t.Fields)
	if l.padded {
		return nil
	}
	return &l
}

// Usual is the condition that a payload begins as usualLayout says; empty where there is none.
func (t *tableView) Usual() string {
	l := t.usualLayout()
	if l == nil {
		return ""
	}
	// Nothing up to the table's first field depends on values.
	head := l.template(t.Fields)[:l.root+offsetSize]
	text := fmt.Sprintf("len(payload) >= %d", l.head)
	for at := 0; at < len(head); at += wordSize {
		from := "payload"
		if at > 0 {
			from = fmt.Sprintf("payload[%d:]", at)
		}
		if len(head)-at >= wordSize {
			text += fmt.Sprintf(" &&\nbinary.LittleEndian.Uint64(%s) == %#x", from,
				binary.LittleEndian.Uint64(head[at:]))
		} else {
			text += fmt.Sprintf(" &&\nbinary.LittleEndian.Uint32(%s) == %#x", from,
				binary.LittleEndian.Uint32(head[at:]))
		}
	}
	return text
}

// usualName is the function that says whether a payload is a usual one of the table.
func usualName(stem string, t *tableView) string { return stem + "Usual" + t.GoName }

// UsualCheck is what is left to check of a payload for which Usual is true.
func (t *tableView) UsualCheck() string {
	l := newLayout(t.Fields)
	var terms []string
	for i := range t.Fields {
		if t.Fields[i].Kind == "String" {
			terms = append(terms, fmt.Sprintf("flatverify.StringAt(payload, %d)", l.at[i]))
		}
	}
	return conjunction("true", terms)
}

// Check is what there is to check of any payload's root.
func (t *tableView) Check() string {
	var terms []string
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Required {
			terms = append(terms, fmt.Sprintf("root.Has(%d)", f.Slot))
		}
		if f.Kind == "String" {
			terms = append(terms, fmt.Sprintf("root.String(%d)", f.Slot))
		} else {
			terms = append(terms, fmt.Sprintf("root.Inline(%d, %d, %d)", f.Slot, f.Size, f.Align))
		}
	}
	return conjunction("ok", append([]string{"ok"}, terms...))
}

func conjunction(none string, terms []string) string {
	if len(terms) == 0 {
		return none
	}
	return strings.Join(terms, " &&\n")
}

// shortcut is what goes before the body of an accessor of a scalar or a string, so that it need not walk
// through the vtable of a usual payload: the walk's loads wait for each other. Empty where there is no short
// way.
func (g *generator) shortcut(t *model.Table, f *model.Field) string {
	view := g.views[t]
	l := view.usualLayout()
	if l == nil {
		return ""
	}
	for i := range view.Fields {
		if view.Fields[i].Slot != f.Slot {
			continue
		}
		value := fmt.Sprintf("flatverify.BytesAt(rcv._tab.Bytes, %d)", l.at[i])
		if f.Type.Kind == model.Plain {
			value = g.fromScalar(&f.Type, fmt.Sprintf("rcv._tab.Get%s(%d)", runtime(&f.Type), l.at[i]))
		}
		return fmt.Sprintf("if rcv._tab.Pos == %d && %s(rcv._tab.Bytes) {\nreturn %s\n}\n", l.root,
			usualName(g.stem, view), value)
	}
	return ""
}
