package golang

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"slices"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// printer collects the text of one file.
type printer struct {
	bytes.Buffer
	marks []mark
}

// mark says what of the schema the text from a place on is made from.
type mark struct {
	at     int
	origin origin
}

// origin is what of the schema something is made from: a declaration or one of its members. The zero value
// is the schema as a whole.
type origin struct {
	kind                string // "table", "field"
	declaration, member string // the first with its namespace
	file                *model.File
}

func (o origin) String() string {
	switch {
	case o.declaration == "":
		return "the schema"
	case o.member == "":
		return o.kind + " " + o.declaration
	}
	return o.kind + " " + o.declaration + "." + o.member
}

func (o origin) place() model.Place {
	return model.Place{
		File: o.file, Declaration: o.declaration, Member: o.member,
		Service: o.kind == "service" || o.kind == "method",
	}
}

// p adds a line.
func (p *printer) p(format string, args ...any) {
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

// from says what the following text is made from: "table", "a.T", "", or "field", "a.T", "x".
func (p *printer) from(kind, declaration, member string) {
	p.marks = append(p.marks, mark{p.Len(), origin{kind: kind, declaration: declaration, member: member}})
}

// doc adds a schema's documentation as a comment. Where there is none, it adds what is said instead, if
// anything.
func (p *printer) doc(lines []string, instead string) {
	if len(lines) == 0 && instead != "" {
		p.p("// %s", instead)
	}
	p.WriteString(commentLines(lines))
}

// commentLines writes a schema's documentation as a comment.
func commentLines(lines []string) string {
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(strings.TrimRight("// "+strings.TrimPrefix(line, " "), " \t\r") + "\n")
	}
	return out.String()
}

// finish makes a file of declarations: it adds what goes before them, notes their names unless names is
// nil, and formats the whole.
func (g *generator) finish(p *printer, names *Names) ([]byte, error) {
	const head = "package p\n"
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, g.Schema.Source, head+p.String(), parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("smfc made Go code that does not compile: %w", err)
	}
	if names != nil {
		err := names.add(file, func(at token.Pos) origin {
			o := p.origin(files.Position(at).Offset - len(head))
			o.file = g.Schema.Main
			return o
		})
		if err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\npackage %s\n\n", g.firstLine(), g.Package.Name)
	out.WriteString(g.importBlock(g.used(file)))
	out.Write(p.Bytes())
	return format.Source(out.Bytes())
}

// origin is what the text at a place is made from.
func (p *printer) origin(at int) origin {
	i, found := slices.BinarySearchFunc(p.marks, at, func(m mark, at int) int { return m.at - at })
	if !found {
		i--
	}
	if i < 0 {
		return origin{}
	}
	// Of marks at one place, the last counts.
	for i+1 < len(p.marks) && p.marks[i+1].at == p.marks[i].at {
		i++
	}
	return p.marks[i].origin
}

// used are the names of the packages that a file's code mentions, sorted.
func (g *generator) used(file *ast.File) []string {
	found := make(map[string]bool)
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && g.importPath(x.Name) != "" {
				found[x.Name] = true
			}
		}
		return true
	})
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
