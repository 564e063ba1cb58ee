package codegen_test

import (
	"context"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
)

// generateC runs the generator for C, and returns the files by their paths.
func generateC(t *testing.T, files map[string]string, options codegen.Options) (map[string]string, *codegen.Result, error) {
	t.Helper()
	needFlatc(t)
	t.Chdir(writeSchemas(t, files))
	options.Languages = []string{"c"}
	result, err := codegen.Generate(context.Background(), options)
	if err != nil {
		return nil, nil, err
	}
	contents := make(map[string]string)
	for _, file := range result.Files {
		contents[filepath.ToSlash(file.Path)] = string(file.Content)
	}
	return contents, result, nil
}

var quotedInclude = regexp.MustCompile(`(?m)^#include "(.*)"$`)

// includesOf are the headers of other schemas that a header includes.
func includesOf(header string) (names []string) {
	for _, match := range quotedInclude.FindAllStringSubmatch(header, -1) {
		names = append(names, match[1])
	}
	return names
}

var shop = map[string]string{
	"shop/shop.fbs": `include "../common/units.fbs"; include "../common/unused.fbs"; include "goods.fbs";
namespace shop; table Shop { weight: common.Weight; goods: [Goods]; }`,
	"shop/goods.fbs":    `namespace shop; table Goods { name: string; }`,
	"common/units.fbs":  `namespace common; struct Weight { grams: ulong; }`,
	"common/unused.fbs": `namespace common; table Unused {}`,
}

// Code stands beside its schema, and includes the headers that it needs from where they are.
func TestCBesideItsSchema(t *testing.T) {
	files, result, err := generateC(t, shop, codegen.Options{Schemas: []string{"shop/shop.fbs"}})
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.Equal(t, []string{"../common/units.smf.h", "goods.smf.h"}, includesOf(files["shop/shop.smf.h"]))
	require.Equal(t, []string{"shop.smf.h"}, includesOf(files["shop/shop.smf.c"]))
	require.Equal(t, []string{
		"shop/shop.fbs:1: warning: common/units.fbs is included, but neither generated here nor is there a file common/units.smf.h;" +
			" generate them together: smfc --lang c shop/shop.fbs common/units.fbs shop/goods.fbs",
		"shop/shop.fbs:1: warning: shop/goods.fbs is included, but neither generated here nor is there a file shop/goods.smf.h;" +
			" generate them together: smfc --lang c shop/shop.fbs common/units.fbs shop/goods.fbs",
		"shop/shop.fbs: warning: has no rpc_service: types and verifiers are generated, no server and no client",
	}, result.Warnings)
}

func TestCInOneFolder(t *testing.T) {
	files, result, err := generateC(t, shop, codegen.Options{
		Schemas: []string{"shop/shop.fbs", "shop/goods.fbs", "common/units.fbs", "common/unused.fbs"}, Out: "gen",
	})
	require.NoError(t, err)
	require.Len(t, files, 8)
	require.Equal(t, []string{"goods.smf.h", "units.smf.h"}, includesOf(files["gen/shop.smf.h"]))
	stale, err := result.Stale()
	require.NoError(t, err)
	require.Len(t, stale, 8)
	require.NoError(t, result.Write())
	stale, err = result.Stale()
	require.NoError(t, err)
	require.Empty(t, stale)
}

func TestWhatIsWrongInC(t *testing.T) {
	files := map[string]string{
		"one.fbs":  "namespace a.b;\n\ntable T {}\n",
		"two.fbs":  "namespace a;\n/// Another.\ntable b_T {\n}\n",
		"self.fbs": "namespace a;\ntable T {\n  x: int;\n  add_x: int;\n}\n",
	}
	for _, c := range []struct {
		schemas []string
		want    string
	}{
		{[]string{"one.fbs", "two.fbs"}, "two.fbs:3: table a.b_T would have the C name of table a.b.T in one.fbs:3: a_b_T; rename one of them"},
		{[]string{"self.fbs"}, "self.fbs:4: field a.T.add_x would have the C name of the writer of field a.T.x in self.fbs:3: a_T_add_x;" +
			" rename one of them"},
	} {
		_, _, err := generateC(t, files, codegen.Options{Schemas: c.schemas})
		require.EqualError(t, err, c.want)
	}
}

// The code of both languages may stand in one folder: Go passes over the C of a package.
func TestBothLanguagesInOneFolder(t *testing.T) {
	needFlatc(t)
	t.Chdir(writeSchemas(t, map[string]string{"x.fbs": "namespace x; table T { n: int; }"}))
	result, err := codegen.Generate(context.Background(), codegen.Options{Schemas: []string{"x.fbs"}, Languages: []string{"c", "go"}})
	require.NoError(t, err)
	var names []string
	for _, file := range result.Files {
		names = append(names, file.Path)
		if filepath.Ext(file.Path) == ".c" {
			require.Contains(t, string(file.Content), "\n//go:build ignore\n\n")
		}
	}
	require.Equal(t, []string{"x.fb.go", "x.smf.go", "x.bfbs.go", "x.smf.h", "x.smf.c"}, names)
}
