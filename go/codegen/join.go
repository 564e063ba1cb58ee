package codegen

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"sort"
	"strings"
)

// flatbuffersImport is what flatc's Go code imports; the only other package it needs is strconv.
// Shortcuts need verifyImport, too.
const (
	flatbuffersImport = `flatbuffers "github.com/google/flatbuffers/go"`
	verifyImport      = `"github.com/smf-go/smf/go/flatverify"`
)

// edit replaces the bytes from start to end by text.
type edit struct {
	start, end int
	text       string
}

// joinTables makes one file of the many that flatc writes for one schema.
func joinTables(m *model, files map[string][]byte, declared names) ([]byte, error) {
	paths := make([]string, 0, len(files))
	for path := range files {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	var body bytes.Buffer
	imports := make(map[string]bool)
	for _, path := range paths {
		text, err := tableBody(m, path, files[path], imports, declared)
		if err != nil {
			return nil, err
		}
		body.WriteString("\n")
		body.Write(text)
	}
	for _, t := range m.Tables {
		if t.Declared && !declared[t.GoName] {
			return nil, fmt.Errorf("flatc made no Go type for table %s", t.Name)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\npackage %s\n\n", m.FirstLine(), m.Package)
	out.WriteString(importBlock(imports))
	out.Write(body.Bytes())
	return format.Source(out.Bytes())
}

// importBlock writes the standard library's packages first, as gofmt's users expect.
func importBlock(imports map[string]bool) string {
	if len(imports) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString("import (\n")
	for _, path := range []string{`"bytes"`, `"strconv"`} {
		if imports[path] {
			out.WriteString(path + "\n")
		}
	}
	if imports[flatbuffersImport] {
		out.WriteString("\n" + flatbuffersImport + "\n")
	}
	if imports[verifyImport] {
		out.WriteString("\n" + verifyImport + "\n")
	}
	out.WriteString(")\n")
	return out.String()
}

// tableBody returns the declarations of one of flatc's files, mended where flatc's code is not what
// it should be, and notes imports and names.
func tableBody(m *model, path string, source []byte, imports map[string]bool, declared names,
) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, source, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("flatc's Go code does not compile: %w", err)
	}
	offset := func(p token.Pos) int { return files.Position(p).Offset }
	begin := offset(file.Name.End())
	for _, declaration := range file.Decls {
		if d, ok := declaration.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			begin = offset(d.End())
		}
	}
	for _, spec := range file.Imports {
		text := spec.Path.Value
		if spec.Name != nil {
			text = spec.Name.Name + " " + text
		}
		if text != flatbuffersImport && text != `"strconv"` {
			return nil, fmt.Errorf("types of other namespaces are not supported (import of %s)",
				spec.Path.Value)
		}
		imports[text] = true
	}
	if err := declared.add(file); err != nil {
		return nil, err
	}
	var edits []edit
	bodies := func(d *ast.FuncDecl) string { return string(source[offset(d.Body.Pos()):offset(d.Body.End())]) }
	for _, mend := range append(mends(m, file), shortcuts(m, file, bodies)...) {
		edits = append(edits, edit{offset(mend.from), offset(mend.to), mend.text})
		if mend.text == cloneCall {
			imports[`"bytes"`] = true
		}
		if strings.Contains(mend.text, bytesAtCall) {
			imports[verifyImport] = true
		}
	}
	return apply(source, edits, begin), nil
}

// cloneCall opens a call that is closed behind its argument.
const cloneCall = "bytes.Clone("

// mend replaces the source from one position to another.
type mend struct {
	from, to token.Pos
	text     string
}

// mends lists what is changed in flatc's code.
func mends(m *model, file *ast.File) []mend {
	var out []mend
	replaced := make(map[*ast.CommentGroup]bool)
	for _, declaration := range file.Decls {
		d, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		// flatc leaves the comment of a field that has no mutator above whatever comes next.
		if d.Doc != nil {
			replaced[d.Doc] = true
			out = append(out, mend{d.Doc.Pos(), d.Pos(), m.accessorDoc(d)})
		}
		if d.Recv != nil && d.Name.Name == "UnPackTo" {
			out = append(out, mendUnPack(d.Body)...)
		}
	}
	out = append(out, mendTypeDocs(file)...)
	for _, group := range file.Comments {
		for _, comment := range group.List {
			// "///" is how schemas write documentation; Go's has two strokes.
			if !replaced[group] && strings.HasPrefix(comment.Text, "///") {
				out = append(out, mend{comment.Pos(), comment.Pos() + 1, ""})
			}
		}
	}
	return out
}

// shortcuts lists what makes accessors of flatc's faster.
func shortcuts(m *model, file *ast.File, body func(*ast.FuncDecl) string) []mend {
	var out []mend
	for _, declaration := range file.Decls {
		d, ok := declaration.(*ast.FuncDecl)
		if !ok || d.Recv == nil || d.Type.Params.NumFields() != 0 || d.Type.Results.NumFields() != 1 {
			continue
		}
		for i := range m.Tables {
			t := &m.Tables[i]
			if t.GoName != receiver(d) {
				continue
			}
			if text := t.shortcut(m.Stem, body(d)); text != "" {
				out = append(out, mend{d.Body.Lbrace + 1, d.Body.Lbrace + 1, text})
			}
		}
	}
	return out
}

// accessorDoc is the comment of the field that a method reads or changes; empty for other methods.
func (m *model) accessorDoc(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	doc, ok := m.fieldDocs[fieldKey(receiver(d), d.Name.Name)]
	if !ok {
		doc = m.fieldDocs[fieldKey(receiver(d), strings.TrimPrefix(d.Name.Name, "Mutate"))]
	}
	return commentLines(doc)
}

// fieldKey is the same for a field's name in the schema (some_name) and in Go (SomeName).
func fieldKey(object, field string) string {
	return object + "." + strings.ToLower(strings.ReplaceAll(field, "_", ""))
}

// mendTypeDocs gives a table's type the comment that flatc puts on its object type (RequestT) only.
func mendTypeDocs(file *ast.File) []mend {
	docs := make(map[string]*ast.CommentGroup)
	types := make(map[string]*ast.GenDecl)
	for _, declaration := range file.Decls {
		if d, ok := declaration.(*ast.GenDecl); ok && d.Tok == token.TYPE && len(d.Specs) == 1 {
			name := d.Specs[0].(*ast.TypeSpec).Name.Name
			docs[name], types[name] = d.Doc, d
		}
	}
	var out []mend
	for name, d := range types {
		doc := docs[name+"T"]
		if d.Doc != nil || doc == nil {
			continue
		}
		var text strings.Builder
		for _, comment := range doc.List {
			text.WriteString("//" + strings.TrimLeft(comment.Text, "/") + "\n")
		}
		out = append(out, mend{d.Pos(), d.Pos(), text.String()})
	}
	return out
}

// mendUnPack makes the object API copy byte vectors like everything else. flatc's code lets them
// point into the payload, which is gone when the message is released.
func mendUnPack(body *ast.BlockStmt) []mend {
	var out []mend
	ast.Inspect(body, func(node ast.Node) bool {
		assign, ok := node.(*ast.AssignStmt)
		if !ok || len(assign.Lhs) != 1 || len(assign.Rhs) != 1 {
			return true
		}
		field, ok := assign.Lhs[0].(*ast.SelectorExpr)
		if !ok {
			return true
		}
		call, ok := assign.Rhs[0].(*ast.CallExpr)
		if !ok || len(call.Args) != 0 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if ok && method.Sel.Name == field.Sel.Name+"Bytes" {
			out = append(out, mend{call.Pos(), call.Pos(), cloneCall}, mend{call.End(), call.End(), ")"})
		}
		return true
	})
	return out
}

// apply returns source from begin on, with the edits made. Edits do not overlap.
func apply(source []byte, edits []edit, begin int) []byte {
	sort.Slice(edits, func(i, j int) bool { return edits[i].start < edits[j].start })
	var out bytes.Buffer
	at := begin
	for _, e := range edits {
		if e.start < begin {
			continue
		}
		out.Write(source[at:e.start])
		out.WriteString(e.text)
		at = e.end
	}
	out.Write(source[at:])
	return out.Bytes()
}
