package linktest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// A library and a border of one function, so that a copy of the tree builds in a moment. What is
// under test (CMakeLists.txt, native/cmake, the link files of cgo/) is the real thing.
const (
	tinyEngine   = "#include <smf/engine.h>\n\nconst char *smf_version(void) { return \"first\"; }\n"
	tinyCompress = "#include <smf/compress.h>\n\nvoid smf_compress_close(struct smf_compress *compress) { (void)compress; }\n"
	tinyBorder   = "package native\n\n// #include <smf/engine.h>\nimport \"C\"\n\n" +
		"func TinyVersion() string { return C.GoString(C.smf_version()) }\n"
	tinyProgram = "package main\n\nimport native \"github.com/smf-go/smf/cgo\"\n\n" +
		"func main() { print(native.TinyVersion()) }\n"
)

// tree is a copy of the repository.
type tree struct {
	t    *testing.T
	root string
}

func (c tree) write(path, text string) {
	full := filepath.Join(c.root, path)
	require.NoError(c.t, os.MkdirAll(filepath.Dir(full), 0o700))
	require.NoError(c.t, os.WriteFile(full, []byte(text), 0o600))
}

// run runs a command in the copy and returns what it printed.
func (c tree) run(name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir = c.root
	output, err := command.CombinedOutput()
	return string(output), err
}

func (c tree) mustRun(name string, args ...string) string {
	output, err := c.run(name, args...)
	require.NoError(c.t, err, "%s %v\n%s", name, args, output)
	return output
}

func (c tree) build() {
	c.mustRun("cmake", "-S", ".", "-B", "build/native", "-DSMF_IN_TREE=ON", "-DBUILD_TESTING=OFF")
	c.mustRun("cmake", "--build", "build/native", "--parallel", strconv.Itoa(runtime.NumCPU()))
}

// copyTree copies what the link mechanism consists of; with sources, also the native sources and the
// border as they are, otherwise the tiny ones.
func copyTree(t *testing.T, sources bool) tree {
	if testing.Short() {
		t.Skip("builds a copy of the tree")
	}
	root, err := sourcetree.Root()
	require.NoError(t, err)
	paths, err := sourcetree.Files(root)
	require.NoError(t, err)
	c := tree{t, t.TempDir()}
	for _, path := range paths {
		link := path == "CMakeLists.txt" || path == "build.sh" || path == "go.mod" || path == "go.sum" ||
			strings.HasPrefix(path, "native/cmake/") || strings.HasPrefix(path, "native/include/") ||
			strings.HasPrefix(path, "native/examples/") || strings.HasPrefix(path, "schema/demo/smf_demo.smf.") ||
			strings.HasPrefix(path, "go/codegen/testdata/streams/streams.smf.") ||
			path == "cgo/link.go" || path == "cgo/link_system.go" || path == "cgo/nocgo.go"
		real := strings.HasPrefix(path, "native/src/") || strings.HasPrefix(path, "cgo/") ||
			strings.HasPrefix(path, "go/")
		if !link && !(sources && real) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, path))
		require.NoError(t, err)
		c.write(path, string(text))
	}
	if !sources {
		c.write("native/src/engine.c", tinyEngine)
		c.write("native/src/compress/compress.c", tinyCompress)
		c.write("cgo/tiny.go", tinyBorder)
		c.write("tiny/main.go", tinyProgram)
	}
	return c
}

func TestWithoutALibraryTheLinkerSaysWhatToDo(t *testing.T) {
	c := copyTree(t, false)
	output, err := c.run("go", "build", "-o", "build/tiny", "./tiny")
	require.Error(t, err)
	require.Contains(t, output, "cannot find -lsmf_is_not_built:_run_build.sh_build,_or_use_-tags_smf_system")
	require.NotContains(t, output, "undefined reference")
}

func TestWithoutALibraryVetPasses(t *testing.T) {
	copyTree(t, true).mustRun("go", "vet", "./cgo/...")
}

func TestWithoutCgoTheCompilerSaysWhatToDo(t *testing.T) {
	t.Setenv("CGO_ENABLED", "0")
	output, err := copyTree(t, true).run("go", "build", "./cgo")
	require.Error(t, err)
	require.Contains(t, output, "smf needs cgo: set CGO_ENABLED=1 and install gcc")
	require.NotContains(t, output, "undefined")
}

func TestAChangedLibraryIsSeen(t *testing.T) {
	c := copyTree(t, false)
	c.build()
	require.Equal(t, "first", c.mustRun("go", "run", "./tiny"))

	c.write("native/src/engine.c", strings.Replace(tinyEngine, "first", "second", 1))
	c.build()
	require.Equal(t, "second", c.mustRun("go", "run", "./tiny"))

	before, err := os.Stat(filepath.Join(c.root, "cgo/link_tree.go"))
	require.NoError(t, err)
	c.build()
	after, err := os.Stat(filepath.Join(c.root, "cgo/link_tree.go"))
	require.NoError(t, err)
	require.Equal(t, before.ModTime(), after.ModTime(), "a build without a change must not cause another link")
}

func TestAChangedHeaderIsSeen(t *testing.T) {
	c := copyTree(t, false)
	c.build()
	first, err := os.ReadFile(filepath.Join(c.root, "cgo/link_tree.go"))
	require.NoError(t, err)
	c.write("native/include/smf/another.h", "/* Another. */\n")
	c.build()
	second, err := os.ReadFile(filepath.Join(c.root, "cgo/link_tree.go"))
	require.NoError(t, err)
	require.False(t, bytes.Equal(first, second))
}

// An installed library is found by pkg-config, wherever it was installed.
func TestAnInstalledLibraryIsFound(t *testing.T) {
	c := copyTree(t, false)
	c.build()
	prefix := t.TempDir()
	c.mustRun("cmake", "--install", "build/native", "--prefix", prefix)
	t.Setenv("PKG_CONFIG_PATH", filepath.Join(prefix, "lib/pkgconfig"))
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(prefix, "lib"))

	// Away from the tree's own library and headers.
	require.NoError(t, os.RemoveAll(filepath.Join(c.root, "build")))
	require.NoError(t, os.RemoveAll(filepath.Join(c.root, "native")))
	require.Equal(t, "first", c.mustRun("go", "run", "-tags", "smf_system", "./tiny"))
}

// A C program finds an installed library through CMake's package files.
func TestAnInstalledLibraryIsFoundByCMake(t *testing.T) {
	c := copyTree(t, false)
	c.build()
	prefix := t.TempDir()
	c.mustRun("cmake", "--install", "build/native", "--prefix", prefix)
	c.write("user/CMakeLists.txt", "cmake_minimum_required(VERSION 3.25)\nproject(user C)\n"+
		"find_package(smf 0.1 REQUIRED)\n"+
		"add_executable(shared main.c)\ntarget_link_libraries(shared smf::smf)\n"+
		"add_executable(static main.c)\ntarget_link_libraries(static smf::static)\n")
	c.write("user/main.c", "#include <stdio.h>\n#include <smf/engine.h>\nint main(void) { return puts(smf_version()) < 0; }\n")
	c.mustRun("cmake", "-S", "user", "-B", "build/user", "-DCMAKE_PREFIX_PATH="+prefix)
	c.mustRun("cmake", "--build", "build/user")
	require.Equal(t, "first\n", c.mustRun("build/user/shared"))
	require.Equal(t, "first\n", c.mustRun("build/user/static"))
}
