package golang_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/golang"
	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/internal/bfbs"
)

// read makes the model of a schema with flatc.
func read(t *testing.T, path string) *model.Schema {
	folder, name := t.TempDir(), filepath.Base(path)
	output, err := exec.Command("flatc", "--binary", "--schema", "--bfbs-comments", "--bfbs-builtins",
		"--bfbs-filenames", filepath.Dir(path), "-o", folder, path).CombinedOutput()
	require.NoError(t, err, "%s", output)
	binary, err := os.ReadFile(filepath.Join(folder, strings.TrimSuffix(name, ".fbs")+".bfbs"))
	require.NoError(t, err)
	parsed, err := bfbs.Parse(binary)
	require.NoError(t, err)
	s, err := model.Read(parsed, name)
	require.NoError(t, err)
	return s
}

// Whoever has code that uses flatc's tables can change over to ours: everything that flatc's have, ours
// have, with the same types.
func TestTheSameAsFlatc(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
	schemas, err := filepath.Glob("../../testdata/*/*.fbs")
	require.NoError(t, err)
	schemas = append(schemas, "../../../flatverify/internal/sample/sample.fbs")
	var refused []string
	for _, path := range schemas {
		if strings.Contains(path, "includes") {
			continue // several packages
		}
		folder := t.TempDir()
		if exec.Command("flatc", "--go", "--gen-object-api", "-o", folder, path).Run() != nil {
			refused = append(refused, filepath.Base(path))
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			flatcs := make(map[string]string)
			err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
				if err == nil && filepath.Ext(path) == ".go" {
					text, _ := os.ReadFile(path)
					// Without a namespace, flatc forgets the package's name.
					declarations(t, bytes.Replace(text, []byte("package \n"), []byte("package p\n"), 1), flatcs)
				}
				return err
			})
			require.NoError(t, err)
			require.NotEmpty(t, flatcs)
			ours := make(map[string]string)
			for _, file := range generate(t, read(t, path)) {
				declarations(t, file.Content, ours)
			}
			for name, want := range flatcs {
				assert.Equal(t, want, ours[name], name)
			}
		})
	}
	require.Subset(t, []string{"arrays.fbs", "mixed_unions.fbs", "nested.fbs", "union_vectors.fbs"}, refused,
		"flatc can't, and did")
}

func generate(t *testing.T, s *model.Schema) []golang.File {
	here := golang.Package{Name: "p", Path: "example.com/p"}
	var namespace string
	for _, t := range s.Tables {
		namespace = t.Namespace
	}
	for _, e := range s.Enums {
		namespace = e.Namespace
	}
	unit, err := golang.Prepare(&golang.Unit{
		Schema: s, Namespace: namespace, Package: here, Names: &golang.Names{},
		PackageOf: func(*model.Declaration) golang.Package { return here },
	})
	require.NoError(t, err)
	files, err := unit.Files()
	require.NoError(t, err)
	return files
}

// declarations collects what a file exports: types as they are written, functions as their types without
// the names of parameters.
func declarations(t *testing.T, source []byte, into map[string]string) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, 0)
	require.NoError(t, err)
	text := func(node any) string {
		var out bytes.Buffer
		require.NoError(t, printer.Fprint(&out, files, node))
		return strings.ReplaceAll(strings.Join(strings.Fields(out.String()), " "), "interface{}", "any")
	}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = text(d.Recv.List[0].Type) + "." + name
			}
			into[name] = signature(d.Type, text)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					into[s.Name.Name] = text(s.Type)
				case *ast.ValueSpec:
					if len(s.Values) > 0 {
						into[s.Names[0].Name] = text(s.Values[0])
					}
				}
			}
		}
	}
}

func signature(f *ast.FuncType, text func(any) string) string {
	var out []string
	for _, list := range []*ast.FieldList{f.Params, f.Results} {
		if list != nil {
			for _, field := range list.List {
				for range max(1, len(field.Names)) {
					out = append(out, text(field.Type))
				}
			}
		}
		out = append(out, "->")
	}
	return strings.Join(out, " ")
}

// A method's name is its id, so one that stands in the way gets another name in Go instead of a refusal.
func TestMethodsInTheWay(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
	path := filepath.Join(t.TempDir(), "x.fbs")
	const text = "namespace a; table T {} rpc_service F { Service(T): T; Get(T): T; GetInto(T): T; }"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	ours := make(map[string]string)
	for _, file := range generate(t, read(t, path)) {
		declarations(t, file.Content, ours)
		if bytes.Contains(file.Content, []byte("FServiceCRC")) {
			require.Contains(t, string(file.Content), `"Service",`, "on the wire, it stays")
		}
	}
	for _, name := range []string{"Service_", "Service_Into", "Get", "GetInto", "GetInto_", "GetInto_Into"} {
		require.Contains(t, ours, "*FClient."+name)
	}
}
