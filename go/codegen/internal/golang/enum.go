package golang

import "github.com/smf-go/smf/go/codegen/internal/model"

// enum writes an enum's or a union's constants, and its names.
func (g *generator) enum(p *printer, e *model.Enum) {
	name := typeName(e.Name)
	kind := "enum"
	if e.IsUnion {
		kind = "type of the union"
	}
	p.from(kindOf(e), e.FullName(), "")
	p.doc(e.Doc, name+" is the "+kind+" "+e.FullName()+".")
	p.p("type %s %s\n", name, scalarNames[e.Scalar].goType)
	p.p("const (")
	for _, v := range e.Values {
		p.from("value", e.FullName(), v.Name)
		p.doc(v.Doc, "")
		p.p("%s%s %s = %s", name, valueName(v), name, integer(e.Scalar, v.Number))
	}
	p.p(")\n")
	p.from(kindOf(e), e.FullName(), "")

	p.p("// EnumNames%s are the names of the values.", name)
	p.p("var EnumNames%s = map[%s]string{", name, name)
	for _, v := range firstOfEach(e.Values) {
		p.p("%s%s: %q,", name, valueName(v), v.Name)
	}
	p.p("}\n")
	p.p("// EnumValues%s are the values, by their names.", name)
	p.p("var EnumValues%s = map[string]%s{", name, name)
	for _, v := range e.Values {
		p.p("%q: %s%s,", v.Name, name, valueName(v))
	}
	p.p("}\n")
	if e.BitFlags {
		flagsString(p, e, name)
		return
	}
	p.p("// String is the value's name; of one that has none, its number in parentheses.")
	p.p("func (v %s) String() string {", name)
	p.p("if s, ok := EnumNames%s[v]; ok {\nreturn s\n}", name)
	p.p("return \"%s(\" + %s + \")\"\n}\n", name, decimal(e, "v"))
}

// flagsString writes the String of an enum whose values are bits.
func flagsString(p *printer, e *model.Enum, name string) {
	p.p("// String is the names of the bits, with | between them; of bits that have none, their number in parentheses.")
	p.p("func (v %s) String() string {", name)
	p.p("if s, ok := EnumNames%s[v]; ok {\nreturn s\n}", name)
	p.p("s, rest := \"\", v\nfor _, bit := range [...]%s{", name)
	for _, v := range firstOfEach(e.Values) {
		p.p("%s%s,", name, valueName(v))
	}
	p.p("} {\nif v&bit != 0 {\ns += EnumNames%s[bit] + \"|\"\nrest &^= bit\n}\n}", name)
	p.p("if rest == 0 && s != \"\" {\nreturn s[:len(s)-1]\n}")
	p.p("return s + \"%s(\" + %s + \")\"\n}\n", name, decimal(e, "rest"))
}

// decimal is an expression for the digits of an enum's value.
func decimal(e *model.Enum, value string) string {
	if e.Scalar.IsUnsigned() {
		return "strconv.FormatUint(uint64(" + value + "), 10)"
	}
	return "strconv.FormatInt(int64(" + value + "), 10)"
}

func kindOf(e *model.Enum) string {
	if e.IsUnion {
		return "union"
	}
	return "enum"
}

// firstOfEach drops values that have the number of an earlier one.
func firstOfEach(values []*model.Value) []*model.Value {
	var out []*model.Value
	seen := make(map[int64]bool)
	for _, v := range values {
		if !seen[v.Number] {
			out = append(out, v)
		}
		seen[v.Number] = true
	}
	return out
}
