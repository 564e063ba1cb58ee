package goldens_test

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/testdata/defaults"
	"github.com/smf-go/smf/go/codegen/testdata/unions"
)

func TestNilInAVectorOfTables(t *testing.T) {
	payload := pack(&unions.GroupT{Members: []*unions.CircleT{{Radius: 1}, nil, {Radius: 3}}})
	require.NoError(t, unions.VerifyGroup(payload))
	got := unions.GetRootAsGroup(payload, 0).UnPack()
	require.Equal(t, []*unions.CircleT{{Radius: 1}, {}, {Radius: 3}}, got.Members)
}

func TestNilValueInAUnion(t *testing.T) {
	payload := pack(&unions.PictureT{Title: "empty", Shape: &unions.ShapeT{Type: unions.ShapeSquare}})
	require.NoError(t, unions.VerifyPicture(payload))
	picture := unions.GetRootAsPicture(payload, 0)
	require.Equal(t, unions.ShapeNONE, picture.ShapeType())
	require.Nil(t, picture.UnPack().Shape)

	wrong := &unions.PictureT{Shape: &unions.ShapeT{Type: unions.ShapeSquare, Value: &unions.CircleT{}}}
	require.Panics(t, func() { pack(wrong) })
}

func TestNamesOfBits(t *testing.T) {
	for value, want := range map[defaults.Rights]string{
		0:                                        "Rights(0)",
		defaults.RightsWrite:                     "Write",
		defaults.RightsRead | defaults.RightsOwn: "Read|Own",
		defaults.RightsRead | 1<<5:               "Read|Rights(32)",
		1 << 31:                                  "Rights(2147483648)",
		defaults.RightsRead | defaults.RightsOwn | defaults.RightsWrite: "Read|Write|Own",
	} {
		require.Equal(t, want, value.String())
	}
}

// One file of each generated package, and only one, says what the package is.
func TestPackageComments(t *testing.T) {
	comments := make(map[string][]string)
	err := filepath.WalkDir("../../codegen/testdata", func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		folder := filepath.Dir(path)
		comments[folder] = append(comments[folder], strings.TrimSpace(file.Doc.Text()))
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(comments), 25)
	with := 0
	for folder, texts := range comments {
		count := strings.Count(strings.Join(texts, ""), "Package ")
		require.LessOrEqual(t, count, 1, "%s: %q", folder, texts)
		with += count
	}
	require.Greater(t, with, 20)
	require.Contains(t, comments[filepath.FromSlash("../../codegen/testdata/unions")],
		"Package unions is the FlatBuffers namespace smf_test.unions.")
}
