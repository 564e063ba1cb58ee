package tidy

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
)

const borderPackage = "github.com/smf-go/smf/cgo"

// Who may import the border. Everybody else uses what these export.
var borderImporters = []string{"cgo", "go/internal/loop", "go/internal/turns", "go/rpc", "go/wal"}

// imports parses a Go file's imports. The comments above an import are the preamble of import "C".
func imports(f file) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), f.path, f.text, parser.ImportsOnly|parser.ParseComments)
}

// doesImport says whether a Go file imports a package. A file that can't be parsed imports nothing:
// the compiler has more to say about it.
func doesImport(f file, name string) bool {
	if !f.isGo() {
		return false
	}
	parsed, err := imports(f)
	if err != nil {
		return false
	}
	for _, spec := range parsed.Imports {
		if spec.Path.Value == `"`+name+`"` {
			return true
		}
	}
	return false
}

// within says whether a file is in a folder or below it.
func within(f file, folder string) bool { return strings.HasPrefix(f.path, folder+"/") }

func checkImportC(f file) []string {
	if within(f, "cgo") || !doesImport(f, "C") {
		return nil
	}
	return []string{`only cgo/ may import "C"`}
}

func checkImportUnsafe(f file) []string {
	if !doesImport(f, "unsafe") || f.isGenerated() {
		return nil
	}
	name := strings.TrimSuffix(strings.TrimSuffix(path.Base(f.path), ".go"), "_test")
	if strings.HasSuffix(name, "_unsafe") {
		return nil
	}
	return []string{`only files named *_unsafe.go may import "unsafe"`}
}

func checkBorder(f file) []string {
	if !doesImport(f, borderPackage) {
		return nil
	}
	for _, folder := range borderImporters {
		if within(f, folder) {
			return nil
		}
	}
	return []string{"may not import " + borderPackage + ": use go/rpc"}
}

var cgoLine = regexp.MustCompile(`(?m)^\s*#cgo .*$`)

// checkPreamble keeps C out of Go files: above import "C" stand comments, #cgo lines and includes of
// public headers.
func checkPreamble(f file) []string {
	if !within(f, "cgo") || !f.isGo() {
		return nil
	}
	parsed, err := imports(f)
	if err != nil {
		return nil
	}
	var problems []string
	for _, declaration := range parsed.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || len(general.Specs) != 1 || general.Doc == nil {
			continue
		}
		if spec, ok := general.Specs[0].(*ast.ImportSpec); !ok || spec.Path.Value != `"C"` {
			continue
		}
		for _, inc := range includes(general.Doc.Text()) {
			if !inc.system || !strings.HasPrefix(inc.name, "smf/") {
				problems = append(problems, fmt.Sprintf("the preamble may include <smf/…>, not %s", inc.name))
			}
		}
		if strings.ContainsAny(cgoLine.ReplaceAllString(general.Doc.Text(), ""), "{;") {
			problems = append(problems, "the preamble holds C code: put it into native/")
		}
	}
	return problems
}
