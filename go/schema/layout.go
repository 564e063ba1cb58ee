package schema

import (
	"slices"

	"github.com/smf-go/smf/go/flatverify"
)

const (
	offsetSize = 4 // of a reference, and of a vector's length
	slotSize   = 2 // of an entry of a vtable
)

// layout describes all tables and unions for the verifier.
func (c *compiler) layout() {
	tables := flatverify.Schema{}
	for i := range c.objects {
		if o := &c.objects[i]; !o.isStruct {
			o.layout = len(tables)
			_, name := split(o.name)
			tables = append(tables, flatverify.Table{Name: name})
		}
	}
	for i := range c.enums {
		if e := &c.enums[i]; e.members != nil {
			e.layout = len(tables)
			tables = append(tables, flatverify.Table{Name: e.name})
		}
	}
	for i := range c.objects {
		if o := &c.objects[i]; !o.isStruct {
			for _, f := range o.fields {
				tables[o.layout].Fields = append(tables[o.layout].Fields, verified(f))
			}
		}
	}
	for i := range c.enums {
		e := &c.enums[i]
		for value, member := range e.members {
			f := verified(&field{shape: member, name: e.byValue[int64(value)], offset: int(value)})
			tables[e.layout].Fields = append(tables[e.layout].Fields, f)
		}
		if e.members != nil {
			slices.SortFunc(tables[e.layout].Fields, func(a, b flatverify.Field) int { return int(a.Slot) - int(b.Slot) })
		}
	}
	c.schema.layout = tables
}

// verified describes a field, or a member of a union, for the verifier.
func verified(f *field) flatverify.Field {
	out := flatverify.Field{Name: f.name, Slot: uint16(f.offset), Required: f.required}
	inline := func(kind flatverify.Kind, s *shape) {
		out.Kind, out.Size, out.Align = kind, uint32(s.size), uint8(s.align)
	}
	switch f.kind {
	case kindScalar, kindStruct:
		inline(flatverify.Inline, f.shape)
	case kindString:
		out.Kind = flatverify.String
	case kindTable:
		out.Kind, out.Table = flatverify.SubTable, f.object.layout
	case kindNested:
		out.Kind, out.Table = flatverify.Nested, f.object.layout
	case kindUnion:
		out.Kind, out.Table = flatverify.Union, f.enum.layout
	case kindVector:
		switch f.elem.kind {
		case kindScalar, kindStruct:
			inline(flatverify.InlineVector, f.elem)
			if f.elem.kind == kindScalar {
				out.Align = uint8(f.elem.size) // not every builder knows of force_align
			} else {
				out.Align = uint8(f.elem.object.align)
			}
		case kindString:
			out.Kind = flatverify.StringVector
		case kindTable:
			out.Kind, out.Table = flatverify.TableVector, f.elem.object.layout
		case kindUnion:
			out.Kind, out.Table = flatverify.UnionVector, f.elem.enum.layout
		}
	}
	return out
}
