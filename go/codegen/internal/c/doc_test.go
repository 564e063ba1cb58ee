package c

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var example = regexp.MustCompile("(?s)<!-- example:(\\S+) -->\n```\\w*\n(.*?)```")

// The page's example compiles as C and as C++, and prints what the page says.
func TestThePagesExample(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/smfc-c.md")
	require.NoError(t, err)
	texts := make(map[string]string)
	for _, match := range example.FindAllSubmatch(page, -1) {
		texts[string(match[1])] = string(match[2])
	}
	require.Len(t, texts, 3)
	path := filepath.Join(t.TempDir(), "note.fbs")
	require.NoError(t, os.WriteFile(path, []byte(texts["note.fbs"]), 0o666))
	b := newBuild(t, []*compiled{compileSchema(t, path)})
	b.write("note.c", []byte(texts["note.c"]))
	flat := filepath.Join(b.root, "native/src/flat/")
	for _, args := range compilers {
		t.Run(args[0], func(t *testing.T) {
			include := []string{"-I", filepath.Join(b.root, "native/include"), "-I", filepath.Join(b.root, "native/src")}
			for _, source := range []string{"flat_build.c", "flat_verify.c"} {
				b.run(slices.Concat([]string{"cc", "-std=gnu11", "-c", filepath.Join(flat, source)}, include)...)
			}
			b.run(slices.Concat(compiler(t, args), strict, include, []string{"-o", "note", "note.c", "note.smf.c", "-x", "none", "flat_build.o", "flat_verify.o"})...)
			output, err := exec.Command(filepath.Join(b.folder, "note")).CombinedOutput()
			require.NoError(t, err)
			require.Equal(t, texts["output"], string(output))
		})
	}
}
