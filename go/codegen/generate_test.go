package codegen_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
)

// writeSchemas writes files by name into a new folder and returns it.
func writeSchemas(t *testing.T, files map[string]string) string {
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return folder
}

// generate runs the generator on x.fbs of a new folder with these files. The error has no folder.
func generate(t *testing.T, files map[string]string) (*codegen.Result, error) {
	folder := writeSchemas(t, files)
	return codegen.Generate(context.Background(), codegen.Options{
		Schemas:  []string{filepath.Join(folder, "x.fbs")},
		Includes: []string{filepath.Join(folder, "include")},
	})
}

func TestRefused(t *testing.T) {
	needFlatc(t)
	for name, test := range map[string]struct{ schema, want string }{
		"union": {
			"namespace a; table T {} union U { T }",
			"x.fbs: union a.U: unions are not supported",
		},
		"two namespaces": {
			"namespace a; table T {} namespace b; table S {}",
			"x.fbs: several namespaces in one schema are not supported (a and b)",
		},
		"no namespace": {
			"table T {}",
			"x.fbs: the schema has no namespace",
		},
		"nothing": {
			"namespace a;",
			"x.fbs: nothing to generate: the schema declares no type and no service",
		},
		"streaming": {
			`namespace a; table T {} rpc_service S { Go(T): T (streaming: "bidi"); }`,
			`x.fbs: method S.Go: streaming ("bidi") is not supported`,
		},
		"timeout": {
			`namespace a; attribute "timeout"; table T {} rpc_service S { Go(T): T (timeout: "soon"); }`,
			`x.fbs: method S.Go: timeout "soon" is not a duration like "250ms"`,
		},
		"nested FlatBuffer": {
			`namespace a; table T { inner: [ubyte] (nested_flatbuffer: "T"); }`,
			"x.fbs: field a.T.inner: nested FlatBuffers are not supported",
		},
		"reserved service": {
			"namespace a; table T {} rpc_service smf { Hello(T): T; }",
			"x.fbs: service a.smf: the name is reserved for the protocol itself",
		},
		"small letter": {
			"namespace a; table thing {}",
			"x.fbs: table a.thing: its name must begin with a capital letter, or Go packages cannot use it",
		},
		"small enum": {
			"namespace a; enum error : byte { Bad }",
			"x.fbs: enum a.error: its name must begin with a capital letter, or Go packages cannot use it",
		},
		"keyword as package": {
			"namespace a.type; table T {}",
			`x.fbs: "type" cannot be the name of a Go package; give one with --package`,
		},
		"field named like flatc's method": {
			"namespace a; table T { table: int; }",
			"x.fbs: the generated code would declare T.Table twice; rename what it is made from",
		},
		"field named like flatc's parameter": {
			"namespace a; table T { builder: int; }",
			"x.fbs: field a.T.builder: flatc's Go code needs that name; rename the field",
		},
		"table named like our interface": {
			"namespace a; table T {} table SServer {} rpc_service S { Go(T): T; }",
			"x.fbs: the generated code would declare SServer twice; rename what it is made from",
		},
		"methods of one Go name": {
			"namespace a; table T {} rpc_service S { go_on(T): T; GoOn(T): T; }",
			"x.fbs: the generated code would declare SGoOnCRC twice; rename what it is made from",
		},
		"method named like the copying call": {
			"namespace a; table T {} rpc_service S { Go(T): T; GoInto(T): T; }",
			"x.fbs: the generated code would declare SClient.GoInto twice; rename what it is made from",
		},
		"flatc's error with its line": {
			"namespace a;\ntable T {\n  name: string;\n  name: int;\n}\n",
			"x.fbs:4: field already exists: name",
		},
		"flatc's error at the end with the line of its origin": {
			"namespace a;\ntable T {\n  other: Other;\n}\n\n",
			"x.fbs:3: type referenced but not defined (check namespace): Other",
		},
		"two of one id in one service": {
			"namespace a; table T {} rpc_service S { Go(T): T; Go(T): T; }",
			"x.fbs:1: rpc already exists: Go",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := generate(t, map[string]string{"x.fbs": test.schema})
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\n", "one line")
			_, message, _ := strings.Cut(err.Error(), string(filepath.Separator)+"x.fbs")
			require.Equal(t, test.want, "x.fbs"+message)
		})
	}
}

func TestIncludes(t *testing.T) {
	needFlatc(t)
	for name, test := range map[string]struct {
		files map[string]string
		want  string // empty: works
	}{
		"attributes only": {map[string]string{
			"include/attributes.fbs": `attribute "slow";`,
			"x.fbs": `include "attributes.fbs"; namespace a; table T {}
				rpc_service S { Go(T): T (slow); }`,
		}, ""},
		"types of the same folder and namespace": {map[string]string{
			"y.fbs": "namespace a; table Y {}",
			"x.fbs": `include "y.fbs"; namespace a; table T { y: Y; }`,
		}, ""},
		"types of another folder": {map[string]string{
			"include/y.fbs": "namespace a; table Y {}",
			"x.fbs":         `include "y.fbs"; namespace a; table T { y: Y; }`,
		}, "table a.Y comes from include/y.fbs, in another folder: generate both schemas into one" +
			" folder with --out"},
		"types of another namespace": {map[string]string{
			"y.fbs": "namespace b; table Y {}",
			"x.fbs": `include "y.fbs"; namespace a; table T { y: b.Y; }`,
		}, "table b.Y of the included y.fbs is in another namespace than a: not supported"},
		"nested": {map[string]string{
			"z.fbs": "namespace a; table Z {}",
			"y.fbs": `include "z.fbs"; namespace a; table Y {}`,
			"x.fbs": `include "y.fbs"; namespace a; table T { y: Y; }`,
		}, "nested includes are not supported: y.fbs includes z.fbs"},
		"missing": {map[string]string{
			"x.fbs": `include "y.fbs"; namespace a; table T {}`,
		}, "x.fbs:1: unable to load include file: y.fbs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := generate(t, test.files)
			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestBadPaths(t *testing.T) {
	needFlatc(t)
	folder := writeSchemas(t, map[string]string{
		"x_linux.fbs": "namespace a; table T {}",
		"x.txt":       "namespace a; table T {}",
		"one/x.fbs":   "namespace a; table T {}",
		"two/x.fbs":   "namespace a; table S {}",
	})
	try := func(out string, names ...string) error {
		for i := range names {
			names[i] = filepath.Join(folder, names[i])
		}
		_, err := codegen.Generate(context.Background(), codegen.Options{Schemas: names, Out: out})
		return err
	}
	require.ErrorIs(t, try("", "nowhere.fbs"), os.ErrNotExist)
	require.ErrorContains(t, try("", "x.txt"), "x.txt: not a schema: its name does not end with .fbs")
	require.ErrorContains(t, try("", "x_linux.fbs"), "the go command would ignore files of that name")
	require.ErrorContains(t, try(folder, "one/x.fbs", "two/x.fbs"), "would overwrite the files generated from")
	require.NoError(t, try("", "one/x.fbs", "two/x.fbs"))
}

// Two schemas of one run may well be served by one server.
func TestOneIDInTwoSchemas(t *testing.T) {
	needFlatc(t)
	text := "namespace a; table T {} rpc_service S { Go(T): T; }"
	folder := writeSchemas(t, map[string]string{"one.fbs": text, "two.fbs": text})
	_, err := codegen.Generate(context.Background(), codegen.Options{Schemas: []string{
		filepath.Join(folder, "one.fbs"), filepath.Join(folder, "two.fbs"),
	}})
	require.ErrorContains(t, err, "two.fbs: method S.Go: its id 1878161120 is that of S.Go too; rename one of them")
}

func TestWriteAndStale(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": "namespace a; table T { Loud: int; }"})
	require.NoError(t, err)
	require.Len(t, result.Warnings, 1)
	require.Contains(t, result.Warnings[0], "x.fbs:1: field names should be lowercase snake_case")

	paths := []string{result.Files[0].Path, result.Files[1].Path, result.Files[2].Path}
	stale, err := result.Stale()
	require.NoError(t, err)
	require.Equal(t, paths, stale, "missing")

	require.NoError(t, result.Write())
	stale, err = result.Stale()
	require.NoError(t, err)
	require.Empty(t, stale)

	require.NoError(t, os.WriteFile(paths[1], []byte("package a\n"), 0o666))
	stale, err = result.Stale()
	require.NoError(t, err)
	require.Equal(t, paths[1:2], stale, "changed")
}

// smfGo generates a schema and returns its .smf.go.
func smfGo(t *testing.T, schema string) string {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": schema})
	require.NoError(t, err)
	return string(result.Files[1].Content)
}

func TestWhichTablesHaveWriters(t *testing.T) {
	const service = " rpc_service S { Go(T): T; }"
	for name, test := range map[string]struct {
		schema string
		want   bool
	}{
		"nothing":           {"table T {}", true},
		"strings":           {"table T { a: string; b: string (required); }", true},
		"eight fields":      {"table T { a: int; b: int; c: int; d: int; e: int; f: int; g: int; h: string; }", true},
		"one deprecated":    {"table T { a: int; b: int; c: int; d: int; e: int (deprecated); f: int; g: int; h: int; i: int; }", true},
		"nine fields":       {"table T { a: int; b: int; c: int; d: int; e: int; f: int; g: int; h: int; i: int; }", false},
		"may be null":       {"table T { a: int = null; }", false},
		"a struct":          {"struct P { x: int; } table T { p: P; }", false},
		"a vector":          {"table T { p: [ubyte]; }", false},
		"a table":           {"table P {} table T { p: P; }", false},
		"reply's name gone": {"table T {} table ReplyT { a: [int]; }", false},
		"bytes' name gone":  {"table T {} table TBytes { a: [int]; }", false},
	} {
		t.Run(name, func(t *testing.T) {
			text := smfGo(t, "namespace a; "+test.schema+service)
			require.Equal(t, test.want, strings.Contains(text, "\nfunc ReplyT"))
			require.Equal(t, test.want, strings.Contains(text, "\nfunc TBytes"))
		})
	}
}

// Who only describes data does not link the RPC library.
func TestNoRPCWithoutServices(t *testing.T) {
	text := smfGo(t, "namespace a; table T { a: string; } table ReplyT { a: int; }")
	require.NotContains(t, text, "/rpc\"")
	require.Contains(t, text, "\nfunc TBytes[S ~string | ~[]byte](dst []byte, a S) []byte {")
	require.Contains(t, text, "\nfunc ReplyTBytes(dst []byte, a int32) []byte {")
}

// Parameters have names that Go can have, and type parameters none that a type of the schema has.
func TestNamesOfParameters(t *testing.T) {
	text := smfGo(t, `namespace a; enum S : byte { A }
		table T { type: string; some_name: S; reply: string; len: bool; } rpc_service Go { On(T): T; }`)
	require.Contains(t, text, "\nfunc ReplyT[SS1, SS2 ~string | ~[]byte](reply *rpc.Reply, "+
		"type_ SS1, someName S, reply_ SS2, len_ bool) error {")
}

func TestTwoClaimsOfOneName(t *testing.T) {
	text := smfGo(t, "namespace a; table ReplyA {} table ABytes {} rpc_service S { Go(ABytes): ReplyA; }")
	require.Equal(t, 1, strings.Count(text, "\nfunc ReplyABytes("))
}
