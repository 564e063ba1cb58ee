package sourcetree

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRootHoldsThisPackage(t *testing.T) {
	root, err := Root()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "go/internal/sourcetree/sourcetree_test.go"))

	t.Chdir(t.TempDir())
	_, err = Root()
	require.ErrorContains(t, err, "not inside the repository")
}

func TestFilesLeavesOutWhatABuildMakes(t *testing.T) {
	root := t.TempDir()
	for _, path := range []string{".git/config", "build/bin/smf", "cgo/link_tree.go", "cgo/link.go", "go/build/x.go"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, path), nil, 0o600))
	}
	files, err := Files(root)
	require.NoError(t, err)
	require.Equal(t, []string{"cgo/link.go", "go/build/x.go"}, files)
}
