package differ

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/bfbs"
	"github.com/smf-go/smf/go/schema"
)

// root of the repository, from here.
const root = "../../../.."

// document is one schema file with its includes.
type document struct {
	name   string // "scalars"
	source *bfbs.Schema
	tables []*table
}

// table is a table that buffers are made for, and judged by.
type table struct {
	document *document
	object   int // index into document.source.Objects
	layout   *schema.Table
	stock    uint32 // index into the tables of the C++ program
}

func (t *table) name() string { return t.document.source.Objects[t.object].Name }

// need skips a test where there is no such program. CI has all of them.
func need(t testing.TB, there bool, what string) {
	t.Helper()
	if !there {
		require.Empty(t, os.Getenv("CI"), "CI has %s", what)
		t.Skipf("%s is missing: ./build.sh deps --check", what)
	}
}

func run(t testing.TB, folder, name string, args ...string) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), output)
}

// schemaFiles are the schemas with a folder of their own among the generator's tests, and some others.
func schemaFiles(t testing.TB) []string {
	files := []string{
		"schema/demo/smf_demo.fbs", "go/flatverify/internal/sample/sample.fbs", "go/schema/testdata/zoo.fbs",
		"go/flatverify/internal/differ/testdata/repeat.fbs",
	}
	folders, err := os.ReadDir(filepath.Join(root, "go/codegen/testdata"))
	require.NoError(t, err)
	for _, folder := range folders {
		name := filepath.Join("go/codegen/testdata", folder.Name(), folder.Name()+".fbs")
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			files = append(files, name)
		}
	}
	require.Greater(t, len(files), 20)
	return files
}

// compileSchemas lets flatc make binary schemas and C++ headers in a folder.
func compileSchemas(t testing.TB, folder string) []*document {
	_, err := exec.LookPath("flatc")
	need(t, err == nil, "flatc")
	var out []*document
	stock := uint32(0)
	for _, file := range schemaFiles(t) {
		path, err := filepath.Abs(filepath.Join(root, file))
		require.NoError(t, err)
		run(t, folder, "flatc", "--binary", "--schema", "--bfbs-builtins", path)
		run(t, folder, "flatc", "--cpp", "--gen-all", path)
		d := &document{name: strings.TrimSuffix(filepath.Base(file), ".fbs")}
		mendHeader(t, filepath.Join(folder, d.name+"_generated.h"))
		p, err := os.ReadFile(filepath.Join(folder, d.name+".bfbs"))
		require.NoError(t, err)
		d.source, err = bfbs.Parse(p)
		require.NoError(t, err)
		s, err := schema.Read(p)
		require.NoError(t, err)
		for i, o := range d.source.Objects {
			if o.IsStruct {
				continue
			}
			layout, err := s.Table(o.Name)
			require.NoError(t, err)
			d.tables = append(d.tables, &table{document: d, object: i, layout: layout, stock: stock})
			stock++
		}
		if len(d.tables) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// mendHeader gives the type of a field named union, which is a word of C++, the one name that flatc
// 2.0.8 declares it by.
func mendHeader(t testing.TB, path string) {
	header, err := os.ReadFile(path)
	require.NoError(t, err)
	header = bytes.ReplaceAll(header, []byte("union__type()"), []byte("union_type()"))
	require.NoError(t, os.WriteFile(path, header, 0o600))
}

// tableList is the tables.inc that testdata/stock.cc includes.
func tableList(documents []*document) []byte {
	var out, list bytes.Buffer
	for _, d := range documents {
		out.WriteString("#include \"" + d.name + "_generated.h\"\n")
		for _, t := range d.tables {
			list.WriteString("    verify<" + strings.ReplaceAll(t.name(), ".", "::") + ">,\n")
		}
	}
	out.WriteString("static const verify_function tables[] = {\n" + list.String() + "};\n")
	return out.Bytes()
}
