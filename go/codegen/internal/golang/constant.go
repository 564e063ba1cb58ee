package golang

import "strings"

const constantColumns = 96

// schemaName is the name of the constant with the binary schema; empty: the unit does not get one, or its
// name is taken.
func (g *generator) schemaName() string {
	name := camel(strings.TrimSuffix(g.Schema.Source, ".fbs")) + "Schema"
	if g.Binary == nil || g.Names.taken(name) || g.Names.taken(g.bytesName()) {
		return ""
	}
	return name
}

// bytesName is the name of the constant that has the bytes. It is another one than what programs name, and
// not exported, because documentation shows the value of exported constants.
func (g *generator) bytesName() string { return g.stem + "BinarySchema" }

// constantFile holds the binary schema as a constant: one that is not used takes no room in a program. Nil:
// see schemaName.
func (g *generator) constantFile() (*File, error) {
	name := g.schemaName()
	if name == "" {
		return nil, nil
	}
	p := &printer{}
	p.p("// %s is the binary schema of %s, with everything that it includes: what", name, g.Schema.Source)
	p.p("// schema.Read (github.com/smf-go/smf/go/schema) reads.")
	p.p("const %s = %s\n", name, g.bytesName())
	p.WriteString("const " + g.bytesName() + " = \"\" +\n\t\"")
	column := 0
	for _, c := range g.Binary {
		text := string(rune(c))
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			text = hexEscape(c)
		}
		if column+len(text) > constantColumns {
			p.WriteString("\" +\n\t\"")
			column = 0
		}
		p.WriteString(text)
		column += len(text)
	}
	p.WriteString("\"\n")
	content, err := g.finish(p, g.Names)
	return &File{".bfbs.go", content}, err
}

func hexEscape(c byte) string {
	const digits = "0123456789abcdef"
	return `\x` + string([]byte{digits[c>>4], digits[c&15]})
}
