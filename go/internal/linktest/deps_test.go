package linktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

var compressHeaders = regexp.MustCompile(`(?m)^compress_headers=\S+`)

// machine is a folder with a copy of build.sh, and a PATH with the tools that a build needs and no
// others. They are there and succeed, more is not asked of them.
func machine(t *testing.T, also ...string) tree {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(root, "build.sh"))
	require.NoError(t, err)
	c := tree{t, t.TempDir()}
	c.write("build.sh", string(compressHeaders.ReplaceAll(script, []byte("compress_headers="+c.root+"/include"))))
	c.write("include/zstd.h", "")
	c.write("include/lz4hc.h", "")
	bin := filepath.Join(c.root, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	for _, name := range []string{"bash", "dirname", "tr", "sort", "uname", "nproc", "mkdir", "rm", "tee", "tail", "grep", "cut"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, name)))
	}
	for _, name := range append([]string{"gcc", "cmake", "make", "pkg-config", "flatc", "go"}, also...) {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"), 0o700))
	}
	t.Setenv("PATH", bin)
	return c
}

func TestDepsAsksForWhatTheStepsNeed(t *testing.T) {
	const missing = "deps: missing: "
	for _, c := range []struct{ steps, want string }{
		{"", "deps: nothing is missing\n"},
		{"vet", "deps: nothing is missing\n"},
		{"shell", missing + "shellcheck\n"},
		{"format", missing + "clang-format\n"},
		{"reference", missing + "doxygen\n"},
		{"cost", missing + "valgrind\n"},
		{"tidy", missing + "clang-tidy\n"},
		{"race", missing + "clang g++ zstd\n"},
		{"asan", missing + "clang libclang-rt-dev\n"},
		{"nonsense", "build.sh: deps: unknown argument nonsense\n"},
	} {
		t.Run(c.steps, func(t *testing.T) {
			args := []string{"build.sh", "deps"}
			if c.steps != "" {
				args = append(args, c.steps)
			}
			output, _ := machine(t).run("bash", args...)
			require.Contains(t, output, c.want)
		})
	}
	t.Run("--check", func(t *testing.T) {
		output, err := machine(t).run("bash", "build.sh", "deps", "--check")
		require.Error(t, err)
		require.Regexp(t, missing+"clang clang-format clang-tidy doxygen g\\+\\+ .*libclang-rt-dev.* shellcheck .*valgrind .*zstd\n", output)
	})
}

// A build does without zstd and lz4; check does not.
func TestDepsLooksForTheCompressors(t *testing.T) {
	c := machine(t, "clang-tidy")
	require.NoError(t, os.Remove(filepath.Join(c.root, "include/lz4hc.h")))
	require.Equal(t, "deps: nothing is missing\n", c.mustRun("bash", "build.sh", "deps"))
	output, err := c.run("bash", "build.sh", "deps", "tidy")
	require.Error(t, err)
	require.Contains(t, output, "deps: missing: liblz4-dev\n")
	require.NoError(t, os.Remove(filepath.Join(c.root, "include/zstd.h")))
	output, err = c.run("bash", "build.sh", "deps", "tidy")
	require.Error(t, err)
	require.Contains(t, output, "deps: missing: liblz4-dev libzstd-dev\n")
}

var arm64Root = regexp.MustCompile(`(?m)^arm64_root=\S+`)

// A cross compiler without headers and libraries to compile for is not enough.
func TestDepsLooksForTheOtherMachinesLibrary(t *testing.T) {
	if runtime.GOARCH == "arm64" {
		t.Skip("this is the other machine")
	}
	c := machine(t, "aarch64-linux-gnu-gcc", "qemu-aarch64-static")
	script, err := os.ReadFile(filepath.Join(c.root, "build.sh"))
	require.NoError(t, err)
	root := filepath.Join(c.root, "arm64")
	c.write("build.sh", string(arm64Root.ReplaceAll(script, []byte("arm64_root="+root))))
	output, err := c.run("bash", "build.sh", "deps", "arm64")
	require.Error(t, err)
	require.Contains(t, output, "deps: missing: libc6-dev-arm64-cross\n")
	c.write("arm64/include/stdio.h", "")
	c.write("arm64/lib/libc.so.6", "")
	require.Equal(t, "deps: nothing is missing\n", c.mustRun("bash", "build.sh", "deps", "arm64"))
}

func TestCheckAsksForWhatItsStepsNeed(t *testing.T) {
	require.Contains(t, machine(t, "shellcheck").mustRun("bash", "build.sh", "check", "shell"), "== shell passed")
	output, err := machine(t).run("bash", "build.sh", "check", "shell", "vet")
	require.Error(t, err)
	require.Contains(t, output, "deps: missing: shellcheck\n")
}
