package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

func TestVersion(t *testing.T) {
	got := smf(t, "version")
	require.Zero(t, got.status)
	require.Regexp(t, `^smf `+version+"\ncommit (unknown \\(.*\\)|[0-9a-f]{40}( with changes)?)\n", got.stdout)
	require.Contains(t, got.stdout, "\ngo "+runtime.Version()+" ")
	require.Contains(t, got.stdout, "\nlibsmf "+version+" (ABI 1)\n")
}

func TestCommit(t *testing.T) {
	const unknown = "unknown (built outside of a git repository, or with -buildvcs=false)"
	info := &debug.BuildInfo{}
	require.Equal(t, unknown, commitOf(info, ""))
	info.Main.Version = "(devel)"
	require.Equal(t, unknown, commitOf(info, ""))
	info.Main.Version = "v0.1.1-0.20260102030405-0123456789ab"
	require.Equal(t, "of module version v0.1.1-0.20260102030405-0123456789ab", commitOf(info, ""))
	require.Equal(t, "fed with changes", commitOf(info, "fed with changes"))
	info.Settings = []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"}}
	require.Equal(t, "abc", commitOf(info, "fed with changes"))
	info.Settings[1].Value = "true"
	require.Equal(t, "abc with changes", commitOf(info, ""))
}

// What build.sh builds says its commit also where the go command notes none.
func TestCommitOfTheBuild(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	head := exec.Command("git", "rev-parse", "--show-cdup", "HEAD")
	head.Dir = root
	said, err := head.Output()
	up, commit, _ := strings.Cut(strings.TrimSuffix(string(said), "\n"), "\n")
	if err != nil || up != "" {
		t.Skip("not a clone, or no git")
	}
	script, err := os.ReadFile(filepath.Join(root, "build.sh"))
	require.NoError(t, err)
	flag := regexp.MustCompile(`(?ms)^commit_flag\(\) \{$.*?^\}$`).FindString(string(script))
	require.NotEmpty(t, flag)
	require.Contains(t, string(script), `run go build -ldflags "$(commit_flag)" -o build/bin/`)
	program := filepath.Join(t.TempDir(), "smf")
	build := exec.Command("bash", "-euo", "pipefail", "-c", flag+`
		go build -buildvcs=false -ldflags "$(commit_flag)" -o "$0" ./go/cmd/smf`, program)
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	got := runToEnd(t, exec.Command(program, "version"))
	require.Regexp(t, "\ncommit "+commit+"( with changes)?\n", got.stdout)
}

// The program and the native library are of one version.
func TestVersionIsTheProjects(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "CMakeLists.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "project(smf VERSION "+version+" ")
}
