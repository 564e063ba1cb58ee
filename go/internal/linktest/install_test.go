package linktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pathWithout is a folder with every program of PATH but those that are named.
func pathWithout(t *testing.T, names ...string) string {
	bin := t.TempDir()
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			_ = os.Symlink(filepath.Join(folder, entry.Name()), filepath.Join(bin, entry.Name())) // the first one counts
		}
	}
	for _, name := range names {
		require.NoError(t, os.RemoveAll(filepath.Join(bin, name)))
	}
	return bin
}

// A C programmer has a compiler and CMake, which may warn of what nobody here has seen.
func TestInstallNeedsNoGo(t *testing.T) {
	c := copyTree(t, false)
	c.write("native/src/engine.c", tinyEngine+"\nint smf_surprise(void) { int unused; return 0; }\n")
	prefix := filepath.Join(t.TempDir(), "usr")
	t.Setenv("PATH", pathWithout(t, "go", "gofmt", "flatc", "pkg-config", "g++", "c++"))
	output := c.mustRun("bash", "build.sh", "install", "--prefix", prefix)
	require.Contains(t, output, "warning:", "the compiler has something to say")
	require.Contains(t, output, "The go command is missing: the library is installed")
	require.Contains(t, output, "PKG_CONFIG_PATH="+prefix+"/lib/pkgconfig")
	for _, path := range []string{"include/smf/engine.h", "lib/libsmf.a", "lib/libsmf.so", "lib/pkgconfig/libsmf.pc"} {
		require.FileExists(t, filepath.Join(prefix, path))
	}
	require.NoFileExists(t, filepath.Join(prefix, "bin/smf"))
	c.write("main.c", "#include <stdio.h>\n#include <smf/engine.h>\nint main(void) { return puts(smf_version()) < 0; }\n")
	c.mustRun("cc", "main.c", "-I", prefix+"/include", "-o", "main", prefix+"/lib/libsmf.a")
	require.Equal(t, "first\n", c.mustRun("./main"))
}

// What is missing for the library is asked for, and nothing that only the rest needs.
func TestInstallAsksForWhatTheLibraryNeeds(t *testing.T) {
	c := machine(t)
	for _, name := range []string{"go", "flatc", "pkg-config", "cmake"} {
		require.NoError(t, os.Remove(filepath.Join(c.root, "bin", name)))
	}
	output, err := c.run("bash", "build.sh", "install", "--prefix", "there")
	require.Error(t, err)
	require.Contains(t, output, "deps: missing: cmake\n")
}

// The programs are linked with what is installed, not with what a working copy has built before.
func TestInstalledProgramsHaveTheInstalledLibrary(t *testing.T) {
	c := copyTree(t, false)
	for _, name := range []string{"smf", "smfc"} {
		c.write("go/cmd/"+name+"/main.go", tinyProgram)
	}
	c.build() // the working copy's
	prefix := t.TempDir()
	for _, version := range []string{"second", "third"} {
		c.write("native/src/engine.c", strings.Replace(tinyEngine, "first", version, 1))
		c.mustRun("bash", "build.sh", "install", "--prefix", prefix)
		program := exec.Command(filepath.Join(prefix, "bin/smf"))
		program.Env = []string{}
		said, err := program.CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, version, string(said))
	}
	require.Equal(t, "first", c.mustRun("go", "run", "./tiny"), "and the working copy is as it was")
}
