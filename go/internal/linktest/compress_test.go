package linktest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server with a filter of libsmf_compress, which stops when it has opened everything.
const compressUser = `#include <stdio.h>

#include <smf/compress.h>

int main(void)
{
    struct smf_compress_options options = {0};
    struct smf_compress *compress;
    struct smf_router *router;
    struct smf_error error;

    options.size = sizeof options;
    options.compression = SMF_COMPRESSION_ZSTD;
    if (smf_compress_open(&compress, &options, &error) != SMF_OK ||
        smf_router_open(&router) != SMF_OK ||
        smf_router_filter(router, NULL, NULL, smf_compress_filter(compress), &error) != SMF_OK)
        return 1;
    smf_router_close(router);
    smf_compress_close(compress);
    puts("it compresses");
    return 0;
}
`

// needed returns the libraries that a program or library asks for by itself.
func (c tree) needed(path string) (names []string) {
	for _, line := range strings.Split(c.mustRun("readelf", "-d", path), "\n") {
		if _, name, found := strings.Cut(line, "Shared library: ["); found {
			names = append(names, strings.TrimSuffix(name, "]"))
		}
	}
	return names
}

// libsmf holds no compressor and needs none: a Go program brings its own.
func TestCompressorsAreInALibraryOfTheirOwn(t *testing.T) {
	c, prefix := installed(t)
	lib := filepath.Join(prefix, "lib")
	for _, line := range strings.Split(c.mustRun("nm", filepath.Join(lib, "libsmf.a")), "\n") {
		require.NotRegexp(t, ` (ZSTD|LZ4|HUF|FSE)_`, line)
	}
	for _, name := range c.needed(filepath.Join(lib, "libsmf.so")) {
		require.NotRegexp(t, "zstd|lz4", name)
	}
	if _, err := os.Stat(filepath.Join(lib, "libsmf_compress.so")); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has zstd and lz4")
		require.NoFileExists(t, filepath.Join(prefix, "include/smf/compress.h"))
		t.Skip("libsmf_compress was not built: zstd or lz4 is missing")
	}
	version := "@@SMF_" + abi(t, prefix)
	var names []string
	for _, line := range strings.Split(c.mustRun("nm", "-D", "--defined-only", filepath.Join(lib, "libsmf_compress.so")), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] != "A" {
			names = append(names, strings.TrimSuffix(fields[2], version))
		}
	}
	want, err := os.ReadFile(filepath.Join(c.root, "native/cmake/exported_compress.txt"))
	require.NoError(t, err)
	require.ElementsMatch(t, strings.Fields(string(want)), names, "see native/cmake/exported_compress.txt")

	// It is found in every way that libsmf is.
	t.Setenv("PKG_CONFIG_PATH", filepath.Join(lib, "pkgconfig"))
	t.Setenv("LD_LIBRARY_PATH", lib)
	c.write("user/user.c", compressUser)
	shared := strings.Fields(c.mustRun("pkg-config", "--cflags", "--libs", "libsmf_compress"))
	c.mustRun("cc", append([]string{"-o", "shared", "user/user.c"}, shared...)...)
	require.Equal(t, "it compresses\n", c.mustRun(filepath.Join(c.root, "shared")))
	static := strings.Fields(c.mustRun("pkg-config", "--static", "--cflags", "--libs", "libsmf_compress"))
	static = append(append([]string{"-o", "static", "user/user.c", "-Wl,-Bstatic"}, static...), "-Wl,-Bdynamic")
	c.mustRun("cc", static...)
	require.Equal(t, "it compresses\n", c.mustRun(filepath.Join(c.root, "static")))
	for _, name := range c.needed("static") {
		require.NotRegexp(t, "smf|zstd|lz4", name)
	}
	c.write("user/CMakeLists.txt", "cmake_minimum_required(VERSION 3.25)\nproject(user C)\n"+
		"find_package(smf 0.1 REQUIRED)\n"+
		"add_executable(shared user.c)\ntarget_link_libraries(shared smf::compress)\n"+
		"add_executable(static user.c)\ntarget_link_libraries(static smf::compress_static)\n")
	c.mustRun("cmake", "-S", "user", "-B", "out", "-DCMAKE_PREFIX_PATH="+prefix)
	c.mustRun("cmake", "--build", "out")
	for _, program := range []string{"out/shared", "out/static"} {
		require.Equal(t, "it compresses\n", c.mustRun(filepath.Join(c.root, program)))
	}
}
