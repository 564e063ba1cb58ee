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
func writeSchemas(t testing.TB, files map[string]string) string {
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	return folder
}

// generate runs the generator on x.fbs of a new folder with these files, which is the working folder then.
func generate(t *testing.T, files map[string]string) (*codegen.Result, error) {
	t.Chdir(writeSchemas(t, files))
	return codegen.Generate(context.Background(), codegen.Options{
		Schemas: []string{"x.fbs"}, Includes: []string{"include"},
	})
}

func TestRefused(t *testing.T) {
	needFlatc(t)
	for name, test := range map[string]struct{ schema, want string }{
		"no namespace": {
			"table T {}",
			"x.fbs:1: a Go package needs a name: declare a namespace, or give the name with --package",
		},
		"a service called like a table": {
			"namespace a;\ntable Shop {}\n\ntable ShopServer {}\n\nrpc_service Shop { Get(Shop): Shop; }",
			"x.fbs:6: service a.Shop: its Go code would declare ShopServer, as does that of table a.ShopServer in" +
				" x.fbs:4: rename one of them",
		},
		"nothing": {
			"namespace a;",
			"x.fbs: nothing to generate: the schema declares no type and no service",
		},
		"streaming of an unknown kind": {
			"namespace a; table T {}\nrpc_service S { Go(T): T (streaming: \"up\"); }",
			`x.fbs:2: method S.Go: streaming "up" is none of "none", "client", "server" and "bidi"`,
		},
		"timeout": {
			"namespace a;\nattribute \"timeout\"; table T {}\n\nrpc_service S {\n  Go(T): T (timeout: \"soon\"); }",
			`x.fbs:5: method S.Go: timeout "soon" is not a duration like "250ms"`,
		},
		"nested FlatBuffer of no table": {
			"namespace a; struct P { x: int; }\ntable T { n: int;\n  inner: [ubyte] (nested_flatbuffer: \"P\"); }",
			"x.fbs:3: field a.T.inner: nested_flatbuffer: there is no table P",
		},
		"reserved service": {
			"namespace a; table T {}\nrpc_service smf { Hello(T): T; }",
			"x.fbs:2: service a.smf: the name is reserved for the protocol itself",
		},
		"attribute of methods at a service": {
			"namespace a; attribute \"slow\"; table T {}\nrpc_service S (slow) { Go(T): T; }",
			"x.fbs:2: service a.S: (slow) is an attribute of methods; write it behind each that it is for",
		},
		"service named like a table in front of it": {
			"namespace a;\ntable S {\n  Go: int; }\n\nrpc_service S {\n  On(S): S;\n  Go(S): S (streaming: \"up\"); }",
			`x.fbs:7: method S.Go: streaming "up" is none of "none", "client", "server" and "bidi"`,
		},
		"bad service named like a table in front of it": {
			"namespace a;\ntable S { n: int; }\n\nattribute \"slow\";\nrpc_service S (slow) { Go(S): S; }",
			"x.fbs:5: service a.S: (slow) is an attribute of methods; write it behind each that it is for",
		},
		"keyword as package": {
			"namespace a.type;\n\ntable T {}",
			`x.fbs:1: "type" cannot be the name of a Go package; give one with --package`,
		},
		"main as package": {
			"namespace main;\nenum E : byte { A }",
			`x.fbs:1: "main" cannot be the name of a Go package; give one with --package`,
		},
		"table named like our interface": {
			"namespace a; table T {} table SServer {}\nrpc_service S { Go(T): T; }",
			"x.fbs:2: service a.S: its Go code would declare SServer, as does that of table a.SServer in x.fbs:1:" +
				" rename one of them",
		},
		"methods of one Go name": {
			"namespace a; table T {} rpc_service S {\n  go_on(T): T;\n  GoOn(T): T; }",
			"x.fbs:3: method a.S.GoOn: its Go code would declare SGoOnCRC, as does that of method a.S.go_on in x.fbs:2:" +
				" rename one of them",
		},
		"member of a union named like the union's plain struct": {
			"namespace a; table T {}\nunion U {\n  T\n}",
			"x.fbs:2: union a.U: its Go code would declare UT, as does that of value a.U.T in x.fbs:3: give the member another name, like OtherT: T",
		},
		"values of one Go name": {
			"namespace a;\nenum E : byte { break,\n  break_ }",
			"x.fbs:3: value a.E.break_: its Go code would declare Ebreak_, as does that of value a.E.break in x.fbs:2:" +
				" rename one of them",
		},
		"fields of one Go name": {
			"namespace a;\ntable T {\n  some_name: int;\n  someName: int; }",
			"x.fbs:4: field a.T.someName: its Go code would declare T.SomeName, as does that of field a.T.some_name in" +
				" x.fbs:3: rename one of them",
		},
		"attribute without a declaration": {
			"namespace a; table T {}\nrpc_service S { Go(T): T (slow); }",
			`x.fbs:2: user define attributes must be declared before use: slow; add: attribute "slow";`,
		},
		"flatc's error with its line": {
			"namespace a;\ntable T {\n  name: string;\n  name: int;\n}\n",
			"x.fbs:4: field already exists: name",
		},
		"flatc's error at the end with the line of its origin": {
			"namespace a;\ntable T {\n  other: Other;\n}\n\n",
			"x.fbs:3: type referenced but not defined (check namespace): Other",
		},
		"enum below its use": {
			"namespace a;\ntable T {\n  e: E;\n}\nnamespace a.b;\nenum E : byte { B }\nnamespace a;\nenum E : byte { A }",
			"x.fbs:3: type referenced but not defined (check namespace): E; enum E is declared in line 8: move it in front",
		},
		"union below its use": {
			"namespace a;\ntable T {\n  u: U;\n}\nunion U { T }",
			"x.fbs:3: type referenced but not defined (check namespace): U; union U is declared in line 5: move it in front",
		},
		"several bad methods": {
			"namespace a; attribute \"timeout\"; table T {}\nrpc_service S {\n  Go(T): T (timeout: \"soon\");\n" +
				"  On(T): T;\n  Up(T): T (timeout: \"late\");\n}\nrpc_service smf { A(T): T; }",
			"x.fbs:3: method S.Go: timeout \"soon\" is not a duration like \"250ms\"\n" +
				"x.fbs:5: method S.Up: timeout \"late\" is not a duration like \"250ms\"\n" +
				"x.fbs:7: service a.smf: the name is reserved for the protocol itself",
		},
		"service without methods": {
			"namespace a; table T {}\nrpc_service S {\n}",
			"x.fbs:3: expecting: identifier instead got: }",
		},
		"two methods of one name": {
			"namespace a; table T {} rpc_service S { Go(T): T; Go(T): T; }",
			"x.fbs:1: rpc already exists: Go",
		},
		"empty": {"", "x.fbs:1: input file is empty"},
		"not UTF-8": {
			"namespace a;\n/// \xff\ntable T {}",
			"x.fbs:2: not UTF-8; convert the file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := generate(t, map[string]string{"x.fbs": test.schema})
			require.EqualError(t, err, test.want)
			var problems codegen.Problems
			require.ErrorAs(t, err, &problems)
		})
	}
}

// All that is wrong is said at once, and once, in files that are called as the user calls them.
func TestErrorsOfSeveralSchemas(t *testing.T) {
	needFlatc(t)
	folder := writeSchemas(t, map[string]string{
		"here/a.fbs":       "include \"../common/bad.fbs\"; namespace a; table A {}",
		"here/b.fbs":       "include \"bad.fbs\"; namespace b; table B {}",
		"here/c.fbs":       "namespace c;\ntable C { c: Nowhere; }",
		"common/bad.fbs":   "namespace bad;\n\ntable Bad { x int; }",
		"here/missing.fbs": "// A line.\ninclude \"nowhere.fbs\"; table M {}",
		"sub/deep/d.fbs":   "include \"../e.fbs\"; namespace d; table D {}",
		"sub/e.fbs":        "namespace e;\ntable E { y int; }",
	})
	t.Chdir(filepath.Join(folder, "here"))
	_, err := codegen.Generate(context.Background(), codegen.Options{
		Schemas:  []string{"a.fbs", "./b.fbs", filepath.Join(folder, "here", "c.fbs"), "missing.fbs"},
		Includes: []string{"../common"},
	})
	require.EqualError(t, err, "../common/bad.fbs:3: expecting: : instead got: int\n"+
		folder+"/here/c.fbs:2: type referenced but not defined (check namespace): Nowhere\n"+
		"missing.fbs:2: unable to load include file: nowhere.fbs")

	_, err = codegen.Generate(context.Background(), codegen.Options{
		Schemas: []string{"../sub/deep/d.fbs", "a.fbs", "./../common/bad.fbs"},
	})
	require.EqualError(t, err, "../sub/e.fbs:2: expecting: : instead got: int\n"+
		"./../common/bad.fbs:3: expecting: : instead got: int")
}

func TestBadPaths(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{
		"x_linux.fbs": "namespace a; table T {}",
		"_x.fbs":      "namespace a; table T {}",
		"x.txt":       "namespace a; table T {}",
		"one/x.fbs":   "namespace a; table T {}",
		"two/x.fbs":   "namespace a; table S {}",
		"dir.fbs/y":   "",
	}))
	require.NoError(t, os.Symlink("one/x.fbs", "link.fbs"))
	require.NoError(t, os.Symlink("one", "linked"))
	try := func(out string, names ...string) error {
		_, err := codegen.Generate(context.Background(), codegen.Options{Schemas: names, Out: out})
		return err
	}
	require.EqualError(t, try("", "nowhere.fbs", "*.fbs"), "nowhere.fbs: no such file or directory\n"+
		"*.fbs: no such file or directory")
	require.ErrorIs(t, try("", "nowhere.fbs"), os.ErrNotExist)
	require.EqualError(t, try("", "x.txt"), "x.txt: not a schema: its name does not end with .fbs")
	require.EqualError(t, try("", "dir.fbs"), "dir.fbs: not a file")
	require.EqualError(t, try("", "link.fbs"), "link.fbs: a symbolic link to one/x.fbs; give that file itself")
	require.EqualError(t, try("", "one/x.fbs", "./one/../one/x.fbs"),
		"./one/../one/x.fbs: given twice, the first time as one/x.fbs")
	require.EqualError(t, try("", "one/x.fbs", "linked/x.fbs"),
		"linked/x.fbs: given twice, the first time as one/x.fbs")
	require.EqualError(t, try("", "x_linux.fbs", "_x.fbs"),
		"x_linux.fbs: the go command would take x_linux.fb.go for code of linux alone; rename the schema\n"+
			"_x.fbs: the go command would ignore _x.fb.go; rename the schema")
	require.EqualError(t, try("out", "one/x.fbs", "two/x.fbs"), "two/x.fbs: its code would overwrite that of"+
		" one/x.fbs in out; rename one of the schemas, or generate them into different folders")
	require.NoError(t, try("", "one/x.fbs", "two/x.fbs"))
	require.NoError(t, try("", "linked/x.fbs"))
}

// Two schemas of one run may well be served by one server.
func TestClashesOfTwoSchemas(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{
		"one.fbs":   "namespace a; table T {}\nrpc_service S { Go(T): T; }",
		"sub/s.fbs": "namespace s;\n\n\ntable T {} rpc_service S { Go(T): T; }",
		"same.fbs":  "namespace a;\nenum T : byte { A }",
		"two.fbs":   "namespace b; table U {}\n\nrpc_service S { On(U): U; }",
		"three.fbs": "namespace a; table T {}\n\nrpc_service Mumu { Bukelo(T): T; }",
		"four.fbs":  "namespace b; table U {} rpc_service Rekoni {\n  Bu(U): U;\n  Li(a.T): a.T;\n}",
	}))
	try := func(names ...string) error {
		_, err := codegen.Generate(context.Background(), codegen.Options{
			Schemas: names, Out: "out", GoImport: "example.com/out",
		})
		return err
	}
	require.EqualError(t, try("one.fbs", "two.fbs"), "two.fbs:3: service b.S has the name of service a.S in one.fbs:2:"+
		" on the wire, namespaces do not count; rename one of them")
	require.EqualError(t, try("sub/s.fbs", "one.fbs"), "one.fbs:2: service a.S has the name of service s.S in"+
		" sub/s.fbs:4: on the wire, namespaces do not count; rename one of them")
	text, err := os.ReadFile("four.fbs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("four.fbs", append([]byte("include \"three.fbs\";\n"), text...), 0o666))
	require.EqualError(t, try("three.fbs", "four.fbs"), "four.fbs:4: method Rekoni.Li: its id 392127686 is that of"+
		" Mumu.Bukelo in three.fbs:3: rename one of them")
	require.EqualError(t, try("same.fbs", "one.fbs"), "one.fbs:1: table a.T: its Go code would declare T, as does that of"+
		" enum a.T in same.fbs:2: rename one of them")
}

func TestChooseLanguages(t *testing.T) {
	for name, want := range map[string]string{
		"rust": `there is no language "rust"; known: go, c`,
		"cpp":  `there is no language "cpp"; known: go, c; in C++, flatc --cpp makes the tables, and the C API calls`,
	} {
		_, err := codegen.Generate(context.Background(), codegen.Options{
			Schemas: []string{"x.fbs"}, Languages: []string{"go", name},
		})
		require.EqualError(t, err, want)
		var option *codegen.OptionError
		require.ErrorAs(t, err, &option)
	}
}

func TestWarnings(t *testing.T) {
	needFlatc(t)
	const service = " rpc_service S { Go(T): T; }"
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"flatc's": {
			map[string]string{"x.fbs": "namespace a;\ntable T { Loud: int; }" + service},
			[]string{"x.fbs:2: warning: field names should be lowercase snake_case, got: Loud"},
		},
		"no service": {
			map[string]string{"x.fbs": "namespace a; table T {}"},
			[]string{"x.fbs: warning: has no rpc_service: types and verifiers are generated, no server and no client"},
		},
		"attributes of methods elsewhere": {
			map[string]string{"x.fbs": "namespace a; attribute \"slow\"; attribute \"timeout\";\ntable T (slow) {\n" +
				"  n: int (timeout: \"1s\"); }\nstruct P (slow) { x: int; }\n enum E : byte (slow) { A }" +
				"\nunion U (slow) { Thing: T }" + service},
			[]string{
				"x.fbs:4: warning: struct a.P: (slow) is an attribute of methods, and means nothing here",
				"x.fbs:2: warning: table a.T: (slow) is an attribute of methods, and means nothing here",
				"x.fbs:3: warning: field a.T.n: (timeout) is an attribute of methods, and means nothing here",
				"x.fbs:5: warning: enum a.E: (slow) is an attribute of methods, and means nothing here",
				"x.fbs:6: warning: union a.U: (slow) is an attribute of methods, and means nothing here",
			},
		},
		"no service, but another schema has one": {
			map[string]string{"x.fbs": "namespace a; table T {}" + service, "y.fbs": "namespace a; table Y {}"}, nil,
		},
		"nothing in a schema": {
			map[string]string{"x.fbs": "namespace a; table T {}" + service, "y.fbs": "attribute \"slow\";"},
			[]string{"y.fbs: warning: declares no type and no service: nothing is generated from it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(writeSchemas(t, test.files))
			schemas, err := filepath.Glob("*.fbs")
			require.NoError(t, err)
			result, err := codegen.Generate(context.Background(), codegen.Options{Schemas: schemas})
			require.NoError(t, err)
			require.Equal(t, test.want, result.Warnings)
		})
	}
}

func TestWriteAndStale(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": "namespace a; table T { n: int; }"})
	require.NoError(t, err)
	paths := paths(result)
	require.Len(t, paths, 3)
	stale, err := result.Stale()
	require.NoError(t, err)
	require.Equal(t, paths, stale, "missing")

	require.NoError(t, result.Write())
	stale, err = result.Stale()
	require.NoError(t, err)
	require.Empty(t, stale)

	const old = "// Code generated by smfc from x.fbs. DO NOT EDIT.\n"
	require.NoError(t, os.WriteFile(paths[1], []byte(old), 0o666))
	stale, err = result.Stale()
	require.NoError(t, err)
	require.Equal(t, paths[1:2], stale, "changed")

	require.NoError(t, os.Remove(paths[2]))
	require.NoError(t, os.Mkdir(paths[2], 0o777))
	require.ErrorContains(t, result.Write(), "is a directory")
	text, err := os.ReadFile(paths[1])
	require.NoError(t, err)
	require.Equal(t, old, string(text), "nothing is written then")
}

// What somebody has written by hand stays, and nothing else is written either.
func TestWriteKeepsWhatIsNotGenerated(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": "namespace a; table T { n: int; }"})
	require.NoError(t, err)
	const why = ": is not overwritten: its first line does not say that smfc generated it; move it away, or choose" +
		" another folder with --out"
	const byHand = "package a // mine\n// Code generated by smfc from x.fbs. DO NOT EDIT.\n"
	require.NoError(t, os.WriteFile("x.fb.go", []byte(byHand), 0o666))
	require.NoError(t, os.WriteFile("x.bfbs.go", []byte("// Code generated by smfcopy.\n"), 0o666))
	err = result.Write()
	require.EqualError(t, err, "x.fb.go"+why+"\nx.bfbs.go"+why)
	var problems codegen.Problems
	require.ErrorAs(t, err, &problems)
	text, err := os.ReadFile("x.fb.go")
	require.NoError(t, err)
	require.Equal(t, byHand, string(text))
	require.NoFileExists(t, "x.smf.go")

	require.NoError(t, os.WriteFile("x.fb.go", []byte("// Code generated by smfc (flatc 2.0.8) from x.fbs.\n"), 0o666))
	require.NoError(t, os.WriteFile("x.bfbs.go", nil, 0o666))
	require.NoError(t, result.Write(), "an older smfc's, and nothing")
	stale, err := result.Stale()
	require.NoError(t, err)
	require.Empty(t, stale)
}

// paths are those of the generated files.
func paths(result *codegen.Result) []string {
	var out []string
	for _, file := range result.Files {
		out = append(out, file.Path)
	}
	return out
}

// A file that is there already as it should be is not touched, so that nothing is built again.
func TestWriteLeavesWhatIsThere(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": "namespace a; table T { n: int; }"})
	require.NoError(t, err)
	require.NoError(t, result.Write())
	require.NoError(t, os.Chmod("x.fb.go", 0o444))
	before, err := os.Stat("x.fb.go")
	require.NoError(t, err)
	require.NoError(t, result.Write())
	after, err := os.Stat("x.fb.go")
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime())
}

func TestLeftOver(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{
		"x.fbs":       "namespace a; table T {} namespace b; table S {}",
		"y.fbs":       "namespace b; table Y {}",
		"out/b/z.fbs": "",
	}))
	run := func(schemas ...string) *codegen.Result {
		result, err := codegen.Generate(context.Background(), codegen.Options{Schemas: schemas, Out: "out"})
		require.NoError(t, err)
		require.NoError(t, result.Write())
		return result
	}
	left, err := run("x.fbs", "y.fbs").LeftOver()
	require.NoError(t, err)
	require.Empty(t, left)

	// One namespace instead of two: the code moves up, what y.fbs made is not this run's business.
	require.NoError(t, os.WriteFile("x.fbs", []byte("namespace b; table T {}"), 0o666))
	left, err = run("x.fbs").LeftOver()
	require.NoError(t, err)
	require.Empty(t, left, "out/b is not looked into")
	require.NoError(t, os.WriteFile("x.fbs", []byte("namespace b; table T {} namespace c; table S {}"), 0o666))
	left, err = run("x.fbs").LeftOver()
	require.NoError(t, err)
	require.Equal(t, []string{"out/x.bfbs.go", "out/x.fb.go", "out/x.smf.go"}, left)

	// Neither is what has no such first line, nor what another schema beside it makes.
	for _, name := range left {
		require.NoError(t, os.Remove(name))
	}
	first := "// Code generated by smfc from "
	for name, text := range map[string]string{
		"out/a.fb.go":   "// Written by hand, from x.fbs.\n",
		"out/b.fb.go":   first + "other.fbs. DO NOT EDIT.\n",
		"out/c.go":      first + "x.fbs. DO NOT EDIT.\n",
		"out/b/z.fb.go": first + "z.fbs. DO NOT EDIT.\n",
		"out/b/q.fb.go": first + "x.fbs. DO NOT EDIT.\n",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o666))
	}
	require.NoError(t, os.WriteFile("z.fbs", []byte("namespace b.e; table T {} namespace c.e; table S {}"), 0o666))
	left, err = run("x.fbs", "z.fbs").LeftOver()
	require.NoError(t, err)
	require.Equal(t, []string{"out/b/q.fb.go"}, left)
}

// The same schemas give the same bytes, again, from another folder, and by other names.
func TestDeterministic(t *testing.T) {
	needFlatc(t)
	files := map[string]string{
		"s/shop.fbs": `include "units.fbs"; namespace a.shop;
/// A thing.
table Item { name: string; unit: a.units.Unit; tags: [string]; } rpc_service Shop { Buy(Item): Item; }`,
		"s/units.fbs": "namespace a.units; enum Unit : byte { Piece, Box } table Named { unit: Unit; } struct P { x: int; }",
		"go.mod":      "module example.com/m\n",
		"other/empty": "",
	}
	folder := writeSchemas(t, files)
	run := func(from string, schemas ...string) map[string]string {
		t.Chdir(from)
		result, err := codegen.Generate(context.Background(), codegen.Options{Schemas: schemas})
		require.NoError(t, err)
		out := make(map[string]string)
		for _, file := range result.Files {
			absolute, err := filepath.Abs(file.Path)
			require.NoError(t, err)
			name, err := filepath.Rel(folder, absolute)
			require.NoError(t, err)
			out[name] = string(file.Content)
		}
		return out
	}
	want := run(folder, "s/shop.fbs", "s/units.fbs")
	require.Contains(t, want, "s/shop/shop.fb.go")
	require.Contains(t, want, "s/units/units.fb.go")
	for range 3 {
		require.Equal(t, want, run(folder, "s/shop.fbs", "s/units.fbs"))
	}
	require.Equal(t, want, run(filepath.Join(folder, "s"), "./shop.fbs", "units.fbs"))
	require.Equal(t, want, run(filepath.Join(folder, "other"), "../s/shop.fbs", "../s/units.fbs"))
	require.Equal(t, want, run("/", filepath.Join(folder, "s/shop.fbs"), filepath.Join(folder, "s/units.fbs")))
	require.Equal(t, want, run(folder, "s/units.fbs", "s/shop.fbs"), "in another order")

	elsewhere := writeSchemas(t, files)
	for name, text := range want {
		require.NotContains(t, text, folder, name)
	}
	folder = elsewhere
	require.Equal(t, want, run(elsewhere, "s/shop.fbs", "s/units.fbs"))
}

func TestWhatTheFirstLineSays(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{"x.fbs": "namespace a; table T {}"})
	require.NoError(t, err)
	for _, file := range result.Files {
		first, _, _ := strings.Cut(string(file.Content), "\n")
		require.Regexp(t, `^// Code generated by smfc from x\.fbs\. DO NOT EDIT\.$`, first)
	}
}
