package codegen

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"io"
	"path/filepath"
	"strings"
	"unicode"
)

// checkFileName refuses schemas whose generated files the go command would pass over: a name like
// events_linux.fbs would make them code for one operating system.
func checkFileName(schema string) error {
	base := filepath.Base(schema)
	if filepath.Ext(base) != schemaSuffix {
		return fmt.Errorf("%s: not a schema: its name does not end with %s", schema, schemaSuffix)
	}
	context := build.Context{
		GOOS: "none", GOARCH: "none", Compiler: "gc",
		OpenFile: func(string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader([]byte("package p\n"))), nil
		},
	}
	match, err := context.MatchFile("", strings.TrimSuffix(base, schemaSuffix)+".fb.go")
	if err != nil || !match {
		return fmt.Errorf("%s: the go command would ignore files of that name; rename the schema",
			schema)
	}
	return nil
}

func checkPackageName(name string) error {
	if !token.IsIdentifier(name) || name == "_" || name == "main" {
		return fmt.Errorf("%q cannot be the name of a Go package; give one with --package", name)
	}
	return nil
}

// camel makes an exported Go name of a schema's name: smf_storage and smfStorage become
// SmfStorage.
func camel(name string) string {
	var out strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			out.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// lowerCamel makes an unexported Go name of a file's name.
func lowerCamel(name string) string {
	out := camel(name)
	if out == "" || !unicode.IsLetter(rune(out[0])) {
		out = "Schema" + out
	}
	return strings.ToLower(out[:1]) + out[1:]
}

// names are the Go names of a package: "Request", and "Request.Name" for fields and methods.
type names map[string]bool

// add notes everything that a file declares. Two things of one name are an error here, so that a
// clash between a schema's names and ours is a sentence instead of code that does not compile.
func (n names) add(file *ast.File) error {
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d) + "." + name
			}
			if err := n.declare(name); err != nil {
				return err
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if err := n.addSpec(spec); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (n names) addSpec(spec ast.Spec) error {
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if err := n.declare(name.Name); err != nil {
				return err
			}
		}
	case *ast.TypeSpec:
		if err := n.declare(s.Name.Name); err != nil {
			return err
		}
		var members []*ast.Field
		switch t := s.Type.(type) {
		case *ast.StructType:
			members = t.Fields.List
		case *ast.InterfaceType:
			members = t.Methods.List
		}
		for _, member := range members {
			for _, name := range member.Names {
				if err := n.declare(s.Name.Name + "." + name.Name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (n names) declare(name string) error {
	if name == "_" {
		return nil
	}
	if n[name] {
		return fmt.Errorf("the generated code would declare %s twice; rename what it is made from",
			name)
	}
	n[name] = true
	return nil
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
