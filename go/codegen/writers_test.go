package codegen_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
)

// smfGo generates a schema and returns its .smf.go.
func smfGo(t *testing.T, schema string) string {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": schema})
	require.NoError(t, err)
	require.Equal(t, "x.smf.go", result.Files[1].Path)
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

// Conveniences make way for types, whichever schema comes first.
func TestNamesThatAnotherSchemaTakes(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{
		"x.fbs": "namespace a; table T { x: int; } rpc_service S { Go(T): T; }",
		"y.fbs": "namespace a; table ReplyT { y: int; } table XSchema { list: [int]; }",
	}))
	run := func(schemas ...string) map[string]string {
		result, err := codegen.Generate(context.Background(), codegen.Options{Schemas: schemas})
		require.NoError(t, err)
		files := make(map[string]string)
		for _, file := range result.Files {
			files[file.Path] = string(file.Content)
		}
		return files
	}
	files := run("x.fbs", "y.fbs")
	require.Equal(t, files, run("y.fbs", "x.fbs"))
	require.NotContains(t, files["x.smf.go"], "ReplyT")
	require.NotContains(t, files["x.smf.go"], "XSchema")
	require.NotContains(t, files, "x.bfbs.go")
	require.Contains(t, run("x.fbs")["x.smf.go"], "\nfunc ReplyT(")
}
