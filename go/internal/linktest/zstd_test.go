package linktest

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// zstdMarks are functions that every zstd has. A second copy, also a hidden or a local one, has them too.
var zstdMarks = []string{"ZSTD_versionNumber", "ZSTD_compressCCtx", "ZSTD_decompressDCtx"}

// zstdIn counts the copies of zstd in a program, and says whether it takes one from a shared library.
func zstdIn(t *testing.T, path string) (copies int, shared bool) {
	file, err := elf.Open(path)
	require.NoError(t, err)
	defer file.Close()
	symbols, err := file.Symbols()
	require.NoError(t, err)
	defined := map[string]int{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			defined[s.Name]++
		}
	}
	copies = defined[zstdMarks[0]]
	for _, mark := range zstdMarks {
		require.Equal(t, copies, defined[mark], mark)
	}
	require.NotZero(t, defined["smf_version"], "the program has no libsmf in it")
	libraries, err := file.ImportedLibraries()
	require.NoError(t, err)
	for _, name := range libraries {
		shared = shared || strings.HasPrefix(name, "libzstd.so")
	}
	return copies, shared
}

// A program with libsmf and with the compression of go/rpc has exactly one zstd: the Go module's, or with its build tag
// the system's. What smf needs of xxhash has names of its own.
func TestAProgramHasOneZstd(t *testing.T) {
	if testing.Short() {
		t.Skip("links programs")
	}
	root, err := sourcetree.Root()
	require.NoError(t, err)
	build := func(tags string) string {
		program := filepath.Join(t.TempDir(), "smf")
		command := exec.Command("go", "build", "-tags", tags, "-o", program, "./go/cmd/smf")
		command.Dir = root
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
		version, err := exec.Command(program, "version").CombinedOutput()
		require.NoError(t, err, "%s", version)
		return program
	}
	copies, shared := zstdIn(t, build(""))
	require.Equal(t, 1, copies)
	require.False(t, shared)
	if exec.Command("pkg-config", "--exists", "libzstd").Run() != nil {
		t.Skip("no system zstd: apt-get install libzstd-dev")
	}
	copies, shared = zstdIn(t, build("external_libzstd"))
	require.Zero(t, copies)
	require.True(t, shared)
}

// The archive that Go links brings no zstd and no lz4: C programs take them from the system's libraries.
func TestTheArchiveHasNoCompression(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	archives, err := filepath.Glob(filepath.Join(root, "build", "link", "*.a"))
	require.NoError(t, err)
	if len(archives) == 0 {
		t.Skip("nothing is built: ./build.sh build")
	}
	for _, archive := range archives {
		names, err := exec.Command("nm", archive).Output()
		require.NoError(t, err)
		require.Contains(t, string(names), "smf_version")
		for _, prefix := range []string{"ZSTD_", "LZ4_", " T XXH"} {
			require.NotContains(t, string(names), prefix, archive)
		}
	}
}
