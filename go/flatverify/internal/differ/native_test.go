package differ

import (
	"bytes"
	"fmt"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// nativeTables is the native.inc that testdata/stock.cc includes: what the verifier in C reads, for all
// tables. Like generated code it leaves deprecated fields out.
func nativeTables(documents []*document) []byte {
	var declared, defined, list bytes.Buffer
	for i, d := range documents {
		n := &native{source: d.source, prefix: fmt.Sprintf("d%d_", i)}
		define := func(name string, fields []string) {
			fmt.Fprintf(&declared, "extern const smf_flat_table %s;\n", name)
			array := "nullptr"
			if len(fields) > 0 {
				array = name + "_fields"
				fmt.Fprintf(&defined, "static const smf_flat_field %s[] = {\n%s};\n", array, bytes.Join(lines(fields), nil))
			}
			fmt.Fprintf(&defined, "const smf_flat_table %s = {%q, %s, %d, 0};\n", name, name, array, len(fields))
		}
		for object := range d.source.Objects {
			if !d.source.Objects[object].IsStruct {
				define(n.table(object), n.fields(object))
			}
		}
		for enum := range d.source.Enums {
			if d.source.Enums[enum].IsUnion {
				define(n.union(enum), n.members(enum))
			}
		}
		for _, t := range d.tables {
			fmt.Fprintf(&list, "    &%s,\n", n.table(t.object))
		}
	}
	return fmt.Appendf(nil, "%s%sstatic const smf_flat_table *const native_tables[] = {\n%s};\n", &declared, &defined, &list)
}

func lines(of []string) [][]byte {
	var out [][]byte
	for _, line := range of {
		out = append(out, []byte("    "+line+",\n"))
	}
	return out
}

// native names and describes the tables of a schema.
type native struct {
	source *bfbs.Schema
	prefix string
}

func (n *native) table(object int) string { return fmt.Sprintf("%stable%d", n.prefix, object) }
func (n *native) union(enum int) string   { return fmt.Sprintf("%sunion%d", n.prefix, enum) }

func (n *native) fields(object int) []string {
	var out []string
	fields := n.source.Objects[object].Fields
	for i := range fields {
		f := &fields[i]
		if f.Deprecated {
			continue
		}
		what := n.describe(f.Type)
		if f.Attributes["nested_flatbuffer"] != "" {
			what = described{kind: "NESTED", table: n.table(n.source.Nested(object, f))}
		}
		out = append(out, what.field(f.Name, f.Offset, f.Required))
	}
	return out
}

func (n *native) members(enum int) []string {
	var out []string
	for _, value := range n.source.Enums[enum].Values {
		if value.Value != 0 {
			out = append(out, n.describe(value.Union).field(value.Name, int(value.Value), false))
		}
	}
	return out
}

// described is what a field holds.
type described struct {
	kind, table string
	size, align int
}

func (d described) field(name string, slot int, required bool) string {
	table, must := "nullptr", 0
	if d.table != "" {
		table = "&" + d.table
	}
	if required {
		must = 1
	}
	return fmt.Sprintf("{%q, %s, %d, %d, SMF_FLAT_%s, %d, %d, {0, 0, 0}}", name, table, d.size, slot, d.kind, d.align, must)
}

func (n *native) describe(t bfbs.Type) described {
	suffix, base := "", t.Base
	if base == bfbs.Vector {
		suffix, base = "_VECTOR", t.Element
	}
	size, align := n.source.InlineSize(base, t.Index)
	switch {
	case size != 0:
		return described{kind: "INLINE" + suffix, size: size, align: align}
	case base == bfbs.String:
		return described{kind: "STRING" + suffix}
	case base == bfbs.Union:
		return described{kind: "UNION" + suffix, table: n.union(t.Index)}
	}
	return described{kind: "TABLE" + suffix, table: n.table(t.Index)}
}
