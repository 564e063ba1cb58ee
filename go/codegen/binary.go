package codegen

import (
	"bytes"
	"fmt"
)

const constantColumns = 96

// constantFile is a Go file that holds a binary schema as a constant: one that is not used takes no room in
// a program.
func constantFile(m *model, name string, binary []byte) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\npackage %s\n\n", m.FirstLine(), m.Package)
	fmt.Fprintf(&out, "// %s is the binary schema of %s, with everything that it includes: what\n", name, m.Source)
	fmt.Fprintf(&out, "// schema.Read (github.com/smf-go/smf/go/schema) reads.\n")
	fmt.Fprintf(&out, "const %s = \"\" +\n\t\"", name)
	column := 0
	for _, c := range binary {
		text := string(rune(c))
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			text = fmt.Sprintf("\\x%02x", c)
		}
		if column+len(text) > constantColumns {
			out.WriteString("\" +\n\t\"")
			column = 0
		}
		out.WriteString(text)
		column += len(text)
	}
	out.WriteString("\"\n")
	return out.Bytes()
}
