package c

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/internal/bfbs"
	"github.com/smf-go/smf/go/schema"
)

const testdata = "../../testdata"

// compiled is a schema file as flatc and the model have it.
type compiled struct {
	path   string
	stem   string
	binary []byte
	model  *model.Schema
	read   *schema.Schema // nil: not yet
}

func compileSchema(t *testing.T, path string) *compiled {
	t.Helper()
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
	folder := t.TempDir()
	output, err := exec.Command("flatc", "--binary", "--schema", "--bfbs-comments", "--bfbs-builtins",
		"--bfbs-filenames", filepath.Dir(path), "-o", folder, path).CombinedOutput()
	require.NoError(t, err, "%s", output)
	c := &compiled{path: path, stem: strings.TrimSuffix(filepath.Base(path), ".fbs")}
	c.binary, err = os.ReadFile(filepath.Join(folder, c.stem+".bfbs"))
	require.NoError(t, err)
	parsed, err := bfbs.Parse(c.binary)
	require.NoError(t, err)
	c.model, err = model.Read(parsed, filepath.Base(path))
	require.NoError(t, err)
	return c
}

// compileText is compileSchema of a schema that the test has.
func compileText(t *testing.T, text string) *compiled {
	path := filepath.Join(t.TempDir(), "x.fbs")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	return compileSchema(t, path)
}

func (c *compiled) options() Options {
	return Options{
		Stem:    c.stem,
		Include: func(f *model.File) string { return strings.TrimSuffix(f.Name, ".fbs") + ".smf.h" },
	}
}

// cases are the folders of testdata with schemas.
func cases(t *testing.T) []string {
	paths, err := filepath.Glob(filepath.Join(testdata, "*/*.fbs"))
	require.NoError(t, err)
	var folders []string
	for _, path := range paths {
		folders = append(folders, filepath.Dir(path))
	}
	return slices.Compact(append(folders, "../../../../schema/demo", "../../../flatverify/internal/sample"))
}

// schemasOf compiles the schemas of a folder.
func schemasOf(t *testing.T, folder string) []*compiled {
	paths, err := filepath.Glob(filepath.Join(folder, "*.fbs"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var all []*compiled
	for _, path := range paths {
		all = append(all, compileSchema(t, path))
	}
	return all
}
