package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

func TestVersion(t *testing.T) {
	got := smf(t, "version")
	require.Zero(t, got.status)
	require.Regexp(t, `^smf `+version+"\ncommit (unknown|[0-9a-f]{40})( with changes)?\n", got.stdout)
	require.Contains(t, got.stdout, "\ngo "+runtime.Version()+" ")
	require.Contains(t, got.stdout, "\nlibsmf "+version+" (ABI 1)\n")
}

func TestCommit(t *testing.T) {
	require.Equal(t, "unknown", commitOf(nil))
	settings := []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}
	require.Equal(t, "abc", commitOf(settings))
	settings[1].Value = "true"
	require.Equal(t, "abc with changes", commitOf(settings))
}

// The program and the native library are of one version.
func TestVersionIsTheProjects(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "CMakeLists.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "project(smf VERSION "+version+" ")
}
