package codegen_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"

	"github.com/smf-go/smf/go/codegen"
	"github.com/smf-go/smf/go/internal/sourcetree"
)

// inModule makes a module with these files, example.com/m, which can import this repository's packages, and
// goes there.
func inModule(t *testing.T, files map[string]string) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	file, err := modfile.Parse("go.mod", text, nil)
	require.NoError(t, err)
	require.NoError(t, file.AddRequire(file.Module.Mod.Path, "v0.0.0"))
	require.NoError(t, file.AddReplace(file.Module.Mod.Path, "", root, ""))
	require.NoError(t, file.AddModuleStmt("example.com/m"))
	text, err = file.Format()
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	folder := writeSchemas(t, files)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.mod"), text, 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o666))
	t.Chdir(folder)
}

// vet compiles all packages of the module.
func vet(t *testing.T) {
	command := exec.Command("go", "vet", "./...")
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func testdata(t *testing.T, name string) map[string]string {
	files := make(map[string]string)
	paths, err := filepath.Glob(filepath.Join("testdata", name, "*.fbs"))
	require.NoError(t, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		files[filepath.Base(path)] = string(text)
	}
	return files
}

// One package for each namespace of a folder, in the folder that is left of it; all of them compile.
func TestPlaces(t *testing.T) {
	needFlatc(t)
	const greeting = "table Hello { text: string; } rpc_service Greeter { Greet(Hello): Hello; }"
	const units = "namespace a.units; enum Unit : byte { Piece, Box } struct Size { x: int; unit: Unit; } table Kind { size: Size; }"
	const shop = `include "units.fbs"; namespace a.shop; union Any { a.units.Kind, Item }
		table Item { unit: a.units.Unit; size: a.units.Size; kinds: [a.units.Kind]; any: Any; all: [Any]; key: string (key); }
		rpc_service Shop { Buy(Item): a.units.Kind; Ask(a.units.Kind): Item; }`
	for name, test := range map[string]struct {
		files   map[string]string
		options codegen.Options
		want    []string
		head    map[string]string // what files contain
	}{
		"one namespace": {
			files: map[string]string{"s/x.fbs": "namespace a.b; " + greeting},
			want:  []string{"s/x.bfbs.go", "s/x.fb.go", "s/x.smf.go"},
			head:  map[string]string{"s/x.fb.go": "package b"},
		},
		"one namespace in two schemas": {
			files: map[string]string{
				"x.fbs": `include "y.fbs"; namespace a; table X { y: Y; } rpc_service S { Go(X): Y; }`,
				"y.fbs": "namespace a; table Y { n: int; }",
			},
			options: codegen.Options{Out: "out"},
			want: []string{
				"out/x.bfbs.go", "out/x.fb.go", "out/x.smf.go", "out/y.bfbs.go", "out/y.fb.go", "out/y.smf.go",
			},
		},
		"no namespace": {
			files:   map[string]string{"x.fbs": greeting},
			options: codegen.Options{Package: "hello"},
			want:    []string{"x.bfbs.go", "x.fb.go", "x.smf.go"},
			head:    map[string]string{"x.fb.go": "package hello"},
		},
		"two namespaces in one schema": {
			files: map[string]string{"x.fbs": "namespace a; table T { n: int; } namespace a.b.c; " +
				"table U { t: a.T; } rpc_service S { Go(a.T): U; }"},
			options: codegen.Options{Out: "out"},
			want: []string{
				"out/b/c/x.bfbs.go", "out/b/c/x.fb.go", "out/b/c/x.smf.go", "out/x.fb.go", "out/x.smf.go",
			},
			head: map[string]string{"out/x.fb.go": "package a", "out/b/c/x.fb.go": `"example.com/m/out"`},
		},
		"two namespaces in two schemas": {
			files: map[string]string{"s/shop.fbs": shop, "s/units.fbs": units},
			want: []string{
				"s/shop/shop.bfbs.go", "s/shop/shop.fb.go", "s/shop/shop.smf.go",
				"s/units/units.bfbs.go", "s/units/units.fb.go", "s/units/units.smf.go",
			},
			head: map[string]string{"s/shop/shop.fb.go": `"example.com/m/s/units"`},
		},
		"two folders": {
			files:   map[string]string{"one/shop.fbs": shop, "two/units.fbs": units},
			options: codegen.Options{Includes: []string{"two"}},
			want: []string{
				"one/shop.bfbs.go", "one/shop.fb.go", "one/shop.smf.go", "two/units.bfbs.go", "two/units.fb.go", "two/units.smf.go",
			},
			head: map[string]string{"one/shop.fb.go": `units "example.com/m/two"`, "two/units.fb.go": "package units"},
		},
		"two folders into one": {
			files:   map[string]string{"one/shop.fbs": shop, "two/units.fbs": units},
			options: codegen.Options{Includes: []string{"two"}, Out: "gen", GoImport: "example.com/m/gen"},
			want: []string{
				"gen/shop/shop.bfbs.go", "gen/shop/shop.fb.go", "gen/shop/shop.smf.go",
				"gen/units/units.bfbs.go", "gen/units/units.fb.go", "gen/units/units.smf.go",
			},
			head: map[string]string{"gen/shop/shop.fb.go": `"example.com/m/gen/units"`},
		},
		"namespaces that are called like a table, and like what Go has": {
			files: map[string]string{
				"x.fbs": `include "y.fbs"; namespace My.Shop; table Units { box: My.Units.Box; at: My.init.Where; tables: My.xTables.T; }
					rpc_service Shop { Buy(Units): My.Units.Box; }`,
				"y.fbs": `namespace My.Units; table Box { size: float = 1e39; least: float = -3.5e38; } namespace My.init; table Where { n: int; }
					namespace My.xTables; table T { n: int; }`,
			},
			want: []string{
				"Shop/x.bfbs.go", "Shop/x.fb.go", "Shop/x.smf.go", "Units/y.bfbs.go", "Units/y.fb.go", "Units/y.smf.go",
				"init/y.fb.go", "init/y.smf.go", "xTables/y.fb.go", "xTables/y.smf.go",
			},
			head: map[string]string{
				"Shop/x.fb.go":  "\tunits \"example.com/m/Units\"\n\tinit_ \"example.com/m/init\"\n\txtables \"example.com/m/xTables\"\n",
				"Units/y.fb.go": "rcv._tab.GetFloat32Slot(4, float32(math.Inf(1)))",
			},
		},
		"four schemas, three namespaces": {
			files: testdata(t, "includes"),
			want: []string{
				"includes.bfbs.go", "includes.fb.go", "includes.smf.go",
				"money/includes_money.bfbs.go", "money/includes_money.fb.go", "money/includes_money.smf.go",
				"money/units/includes_units.bfbs.go", "money/units/includes_units.fb.go",
				"people/includes_people.bfbs.go", "people/includes_people.fb.go", "people/includes_people.smf.go",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inModule(t, test.files)
			schemas, err := filepath.Glob("*.fbs")
			require.NoError(t, err)
			below, err := filepath.Glob("*/*.fbs")
			require.NoError(t, err)
			test.options.Schemas = append(schemas, below...)
			result, err := codegen.Generate(context.Background(), test.options)
			require.NoError(t, err)
			require.Empty(t, result.Warnings)
			got := paths(result)
			slices.Sort(got)
			require.Equal(t, test.want, got)
			require.NoError(t, result.Write())
			for path, want := range test.head {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Contains(t, string(text), want, path)
			}
			if !testing.Short() {
				vet(t)
			}
		})
	}
}

func TestPackagesThatCannotBe(t *testing.T) {
	needFlatc(t)
	const units = "namespace a.units;\ntable Unit { n: int; }"
	const shop = "include \"units.fbs\";\nnamespace a.shop;\n\ntable Item { name: string;\n  unit: a.units.Unit; }"
	const unknown = "shop.fbs:5: a.shop.Item.unit is of a.units.Unit, of another Go package: "
	for name, test := range map[string]struct {
		files   map[string]string
		options codegen.Options
		want    string
	}{
		"import cycle": {
			map[string]string{"go.mod": "module m\n", "x.fbs": "namespace a;\ntable T {\n  u: b.U;\n}\n" +
				"namespace b;\ntable U { n: int;\n  t: [a.T]; }"},
			codegen.Options{},
			"x.fbs:3: Go packages cannot import each other: a.T.u is of b.U, and b.U.t is of a.T (x.fbs:7);" +
				" declare them in one namespace",
		},
		"import cycle of a service that is called like a table": {
			map[string]string{"go.mod": "module m\n", "x.fbs": "namespace a;\ntable S { n: int; }\n\nrpc_service S {\n  Go(S): b.U; }\n" +
				"namespace b;\ntable U { v: a.S; }"},
			codegen.Options{},
			"x.fbs:7: Go packages cannot import each other: b.U.v is of a.S, and a.S.Go is of b.U (x.fbs:5);" +
				" declare them in one namespace",
		},
		"longer import cycle, behind another import": {
			map[string]string{"go.mod": "module m\n", "x.fbs": "namespace z;\ntable Z { t: c.V; }\n" +
				"namespace a;\ntable T { u: b.U; }\nnamespace b;\ntable U { v: c.V; }\nnamespace c;\ntable V { t: a.T; }"},
			codegen.Options{},
			"x.fbs:4: Go packages cannot import each other: a.T.u is of b.U, and b.U.v is of c.V (x.fbs:6)," +
				" and c.V.t is of a.T (x.fbs:8); declare them in one namespace",
		},
		"import cycle of a service": {
			map[string]string{"go.mod": "module m\n", "x.fbs": "namespace a;\ntable T {}\nrpc_service S {\n  Go(T): b.U; }\n" +
				"namespace b;\nunion V { a.T }\ntable U { v: V; }"},
			codegen.Options{},
			"x.fbs:6: Go packages cannot import each other: b.V.a_T is of a.T, and a.S.Go is of b.U (x.fbs:4);" +
				" declare them in one namespace",
		},
		"no go.mod": {
			map[string]string{"shop.fbs": shop, "units.fbs": units},
			codegen.Options{Out: "out"},
			unknown + "its import path is not known, because no go.mod is in out/units or above: run go mod init where the" +
				" module begins, or give the import path of the output folder with --go-import",
		},
		"go.mod without a module": {
			map[string]string{"go.mod": "go 1.25\n", "shop.fbs": shop, "units.fbs": units},
			codegen.Options{},
			unknown + "HERE/go.mod names no module: add a line like: module example.com/shop",
		},
		"a folder that has no import path": {
			map[string]string{"go.mod": "module example.com/m\n", "shop.fbs": shop, "units.fbs": units},
			codegen.Options{Out: "a folder"},
			unknown + `malformed import path "example.com/m/a folder/units": invalid char ' '`,
		},
		"an import path of two folders": {
			map[string]string{"shop.fbs": shop, "two/units.fbs": units},
			codegen.Options{Includes: []string{"two"}, GoImport: "example.com/m"},
			unknown + "--go-import is the import path of the folder that --out names: give that, too",
		},
		"an included schema without a namespace": {
			map[string]string{
				"go.mod":   "module example.com/m\n",
				"shop.fbs": strings.ReplaceAll(shop, "a.units.Unit", "Unit"), "inc/units.fbs": "table Unit { n: int; }",
			},
			codegen.Options{Includes: []string{"inc"}, Package: "p"},
			"shop.fbs:5: a.shop.Item.unit is of Unit, of another Go package: a Go package needs a name: declare a" +
				" namespace, or give the name with --package",
		},
		"two packages in one folder": {
			map[string]string{
				"shop.fbs":   "namespace a;\ntable T {} namespace b;\ntable U {}",
				"b/else.fbs": "namespace x; table T {}",
			},
			codegen.Options{},
			"b/else.fbs:1: the Go packages of x.T and of b.U would both be in the folder b; rename one of the namespaces",
		},
		"two packages in folders that differ in capital letters": {
			map[string]string{"shop.fbs": "namespace a.Shop;\ntable T {} namespace a.shop;\ntable U {}"},
			codegen.Options{},
			"shop.fbs:2: the Go packages of a.shop.U and of a.Shop.T would be in the folders shop and Shop, which are one" +
				" for the go command: it does not tell capital letters from small ones there; rename one of the namespaces",
		},
		"a package's name that is none": {
			map[string]string{"shop.fbs": "table T {}"},
			codegen.Options{Package: "my-shop"},
			`--package: "my-shop" cannot be the name of a Go package`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := writeSchemas(t, test.files)
			t.Chdir(folder)
			for path := range test.files {
				if filepath.Ext(path) == ".fbs" && filepath.Dir(path) != "inc" {
					test.options.Schemas = append(test.options.Schemas, path)
				}
			}
			slices.SortFunc(test.options.Schemas, func(a, b string) int { return len(a) - len(b) })
			_, err := codegen.Generate(context.Background(), test.options)
			require.EqualError(t, err, strings.ReplaceAll(test.want, "HERE", folder))
		})
	}
}

// Code of included schemas has to come from somewhere.
func TestIncludedButNotGenerated(t *testing.T) {
	needFlatc(t)
	generate := func(options codegen.Options) []string {
		result, err := codegen.Generate(context.Background(), options)
		require.NoError(t, err)
		require.NoError(t, result.Write())
		return result.Warnings
	}
	t.Chdir(writeSchemas(t, map[string]string{
		"go.mod":         "module example.com/m\n",
		"attributes.fbs": `attribute "slow";`,
		"unused.fbs":     "namespace a.unused; table Unused {}",
		"weights.fbs":    "namespace a.weights; struct Weight { kg: double; }",
		"units.fbs":      "include \"weights.fbs\"; namespace a.units; table Unit { weight: a.weights.Weight; }",
		"shop.fbs": "// Of units.\ninclude \"attributes.fbs\";\ninclude \"units.fbs\"; include \"unused.fbs\";\nnamespace a.shop;" +
			"table Item { unit: a.units.Unit; } rpc_service Shop { Buy(Item): Item (slow); }",
	}))
	const together = "; generate them together: smfc shop.fbs units.fbs weights.fbs"
	require.Equal(t, []string{
		"shop.fbs:3: warning: units.fbs is included, but neither generated here nor is there a file units/units.fb.go" + together,
		"shop.fbs: warning: weights.fbs is included, but neither generated here nor is there a file weights/weights.fb.go" +
			together,
	}, generate(codegen.Options{Schemas: []string{"shop.fbs"}}))
	require.Equal(t, []string{
		"units.fbs:1: warning: weights.fbs is included, but neither generated here nor is there a file" +
			" out/weights/weights.fb.go; generate them together: smfc --out out shop.fbs units.fbs weights.fbs",
	}, generate(codegen.Options{Schemas: []string{"shop.fbs", "units.fbs"}, Out: "out"}))
	flatc, err := exec.LookPath("flatc")
	require.NoError(t, err)
	require.Equal(t, []string{
		"units.fbs:1: warning: weights.fbs is included, but neither generated here nor is there a file" +
			" a b/weights.smf.h; generate them together: smfc --lang c --out 'a b' --go-import example.com/g" +
			" -I . -I 'it'\\''s' --flatc " + flatc + " shop.fbs units.fbs weights.fbs",
	}, generate(codegen.Options{
		Schemas: []string{"shop.fbs", "units.fbs"}, Languages: []string{"c"}, Out: "a b", GoImport: "example.com/g",
		Includes: []string{".", "it's"}, Flatc: flatc,
	}))
	require.Empty(t, generate(codegen.Options{Schemas: []string{"shop.fbs", "units.fbs", "weights.fbs"}}))
	require.Empty(t, generate(codegen.Options{Schemas: []string{"shop.fbs"}}), "it is there now")
}

// A folder of Go code is one package, whoever wrote the other one.
func TestFolderOfAnotherPackage(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{
		"shop.fbs":      "namespace a.shop;\n\ntable Item { n: int; } rpc_service Shop { Buy(Item): Item; }",
		"units.fbs":     "namespace a.units; table Unit { n: int; } rpc_service Units { Get(Unit): Unit; }",
		"main.go":       "package main\n",
		"gen/tool.go":   "//go:build ignore\n\npackage main\n",
		"gen/x_test.go": "package shop_test\n",
		"gen/doc.go":    "// Package shop is generated.\npackage shop\n",
		"gen/x_plan9.s": "",
	}))
	generate := func(options codegen.Options) []string {
		result, err := codegen.Generate(context.Background(), options)
		require.NoError(t, err)
		require.NoError(t, result.Write())
		return result.Warnings
	}
	const why = ", and a folder is one package: choose another one with --out, or generate all schemas of the folder in one call"
	require.Empty(t, generate(codegen.Options{Schemas: []string{"shop.fbs"}, Out: "gen"}))
	require.Empty(t, generate(codegen.Options{Schemas: []string{"shop.fbs"}, Out: "gen"}), "its own files are there now")
	require.Equal(t, []string{"units.fbs:1: warning: the Go package units is generated into the folder gen, where doc.go is" +
		" of package shop" + why}, generate(codegen.Options{Schemas: []string{"units.fbs"}, Out: "gen"}))
	require.Equal(t, []string{"shop.fbs:1: warning: the Go package shop is generated into the folder ., where main.go is" +
		" of package main" + why}, generate(codegen.Options{Schemas: []string{"shop.fbs"}}))
	require.NoError(t, os.Rename("main.go", "main"))
	require.Empty(t, generate(codegen.Options{Schemas: []string{"shop.fbs"}, Package: "renamed"}), "its files are written anew")
}
