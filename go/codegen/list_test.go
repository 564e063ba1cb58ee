package codegen_test

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"go/format"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
	"github.com/smf-go/smf/go/internal/bfbs"
)

//go:embed testdata/list.go.tmpl
var listText string

// lister collects what ../internal/goldens/list.go says of the golden schemas' generated code.
type lister struct {
	Packages []*listPackage

	folders map[string]*listPackage
	goNames map[string]string // of tables, with their packages: "p3.Circle"
}

type listPackage struct {
	Alias, Path string
	Tables      []listTable
	Services    []listService
}

type listTable struct{ Name, GoName, Schema string }

type listService struct {
	GoName, Schema string
	Methods        []listMethod
}

type listMethod struct{ Name, GoName, In, Out string }

// TestList writes the list, or says that it is not what the golden schemas make it.
func TestList(t *testing.T) {
	needFlatc(t)
	l := &lister{folders: make(map[string]*listPackage), goNames: make(map[string]string)}
	paths, err := filepath.Glob("testdata/*/*.fbs")
	require.NoError(t, err)
	paths = append(paths, "../../schema/demo/smf_demo.fbs")
	schemas := make([]*bfbs.Schema, len(paths))
	for i, file := range paths {
		binary, err := codegen.BinarySchema(context.Background(), file)
		require.NoError(t, err)
		schemas[i], err = bfbs.Parse(binary)
		require.NoError(t, err)
		l.tables(t, file, schemas[i])
	}
	for i, file := range paths {
		l.services(t, file, schemas[i])
	}
	var out bytes.Buffer
	require.NoError(t, template.Must(template.New("list").Parse(listText)).Execute(&out, l))
	text, err := format.Source(out.Bytes())
	require.NoError(t, err, "%s", out.String())
	const list = "../internal/goldens/list.go"
	if *update {
		require.NoError(t, os.WriteFile(list, text, 0o666))
	}
	have, err := os.ReadFile(list)
	require.NoError(t, err)
	require.Equal(t, string(text), string(have), "it is written by go test ./go/codegen -update")
}

// tables notes the tables that a schema file declares.
func (l *lister) tables(t *testing.T, file string, s *bfbs.Schema) {
	for i := range s.Objects {
		o := &s.Objects[i]
		if o.IsStruct || o.File != "//"+filepath.Base(file) {
			continue
		}
		namespace, name := cut(o.Name)
		name = exported(name)
		p := l.find(t, file, namespace, "type "+name+" struct")
		p.Tables = append(p.Tables, listTable{o.Name, name, l.schema(t, file)})
		l.goNames[file+o.Name], l.goNames[o.Name] = p.Alias+"."+name, p.Alias+"."+name
	}
}

func (l *lister) services(t *testing.T, file string, s *bfbs.Schema) {
	for i := range s.Services {
		service := &s.Services[i]
		if service.File != "//"+filepath.Base(file) || slices.ContainsFunc(service.Calls, streams) {
			continue
		}
		namespace, name := cut(service.Name)
		name = camel(name)
		p := l.find(t, file, namespace, "type "+name+"Server interface")
		out := listService{GoName: name, Schema: l.schema(t, file)}
		for _, c := range service.Calls {
			out.Methods = append(out.Methods, listMethod{c.Name, camel(c.Name), l.goName(file, c.Request), l.goName(file, c.Response)})
		}
		p.Services = append(p.Services, out)
	}
}

// streams says whether a method is more than a request and a reply.
func streams(c bfbs.Call) bool {
	mode := c.Attributes["streaming"]
	return mode != "" && mode != "none"
}

// goName is the Go name of a table. Schemas that have nothing to do with each other may have tables of one
// name.
func (l *lister) goName(file, table string) string {
	if name := l.goNames[file+table]; name != "" {
		return name
	}
	return l.goNames[table]
}

// cut splits a full name.
func cut(full string) (namespace, name string) {
	at := strings.LastIndexByte(full, '.')
	return full[:max(at, 0)], full[at+1:]
}

// exported is a name with a capital letter.
func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// camel is a name with capital letters instead of lines.
func camel(name string) string {
	parts := strings.Split(name, "_")
	for i := range parts {
		parts[i] = exported(parts[i])
	}
	return strings.Join(parts, "")
}

// find is the package of a schema's code that has a declaration.
func (l *lister) find(t *testing.T, file, namespace, declaration string) *listPackage {
	stem := strings.TrimSuffix(filepath.Base(file), ".fbs")
	var found []string
	err := filepath.WalkDir(filepath.Dir(file), func(file string, _ os.DirEntry, err error) error {
		if name := filepath.Base(file); err == nil && (name == stem+".fb.go" || name == stem+".smf.go") {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			last := namespace[strings.LastIndexByte(namespace, '.')+1:]
			if bytes.Contains(text, []byte(declaration)) && (namespace == "" ||
				bytes.Contains(text, []byte("\npackage "+last+"\n"))) {
				found = append(found, filepath.Dir(file))
			}
		}
		return err
	})
	require.NoError(t, err)
	found = slices.Compact(found)
	require.Len(t, found, 1, "%s: %s in %s", file, declaration, namespace)
	return l.at(found[0])
}

// at is the package in a folder.
func (l *lister) at(folder string) *listPackage {
	p := l.folders[folder]
	if p == nil {
		p = &listPackage{
			Alias: fmt.Sprintf("p%d", len(l.Packages)),
			Path:  path.Join("github.com/smf-go/smf/go/codegen", filepath.ToSlash(folder)),
		}
		l.folders[folder] = p
		l.Packages = append(l.Packages, p)
	}
	return p
}

// schema is the Go constant with a schema file's binary schema.
func (l *lister) schema(t *testing.T, file string) string {
	stem := strings.TrimSuffix(filepath.Base(file), ".fbs")
	out := ""
	err := filepath.WalkDir(filepath.Dir(file), func(file string, _ os.DirEntry, err error) error {
		if filepath.Base(file) == stem+".bfbs.go" {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			name := regexp.MustCompile(`(?m)^const (\w+) = `).FindSubmatch(text)
			require.NotNil(t, name, file)
			out = l.at(filepath.Dir(file)).Alias + "." + string(name[1])
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, out, file)
	return out
}
