package linktest

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// library is where the real library is installed, which several tests look at and none changes; empty: not yet.
var library string

func TestMain(m *testing.M) {
	status := m.Run()
	_ = os.RemoveAll(library)
	os.Exit(status)
}

// installed builds the real library in a copy of the tree, installs it, once for all tests, and returns a copy
// without everything that only the tree has.
func installed(t *testing.T) (c tree, prefix string) {
	c = copyTree(t, true)
	if library == "" {
		c.build()
		folder, err := os.MkdirTemp("", "smf-linktest-")
		require.NoError(t, err)
		t.Cleanup(func() {
			if library != folder {
				_ = os.RemoveAll(folder)
			}
		})
		c.mustRun("cmake", "--install", "build/native", "--prefix", folder)
		library = folder
	}
	for _, folder := range []string{"build", "native/src", "native/include"} {
		require.NoError(t, os.RemoveAll(filepath.Join(c.root, folder)))
	}
	return c, library
}

// What the shared library shows is what the list says, so that nothing comes or goes unnoticed.
func TestExportedSymbolsAreTheList(t *testing.T) {
	c, prefix := installed(t)
	version := "@@SMF_" + abi(t, prefix)
	var names []string
	for _, line := range strings.Split(c.mustRun("nm", "-D", "--defined-only", filepath.Join(prefix, "lib/libsmf.so")), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[1] != "A" { // A: the version itself
			name, versioned := strings.CutSuffix(fields[2], version)
			require.True(t, versioned, "%s is not of this ABI", fields[2])
			names = append(names, name)
		}
	}
	want, err := os.ReadFile(filepath.Join(c.root, "native/cmake/exported.txt"))
	require.NoError(t, err)
	require.ElementsMatch(t, strings.Fields(string(want)), names, "see native/cmake/exported.txt")
}

// abi is the SMF_ABI_VERSION of the installed headers.
func abi(t *testing.T, prefix string) string {
	header, err := os.ReadFile(filepath.Join(prefix, "include/smf/engine.h"))
	require.NoError(t, err)
	found := regexp.MustCompile(`#define SMF_ABI_VERSION (\d+)u`).FindSubmatch(header)
	require.Len(t, found, 2)
	return string(found[1])
}

// A program is bound to the ABI that it was linked with: the number is in the library's name.
func TestTheSonameIsTheABI(t *testing.T) {
	c, prefix := installed(t)
	dynamic := c.mustRun("readelf", "-d", filepath.Join(prefix, "lib/libsmf.so"))
	require.Contains(t, dynamic, "Library soname: [libsmf.so."+abi(t, prefix)+"]")
	c.mustRun("test", "-e", filepath.Join(prefix, "lib/libsmf.so."+abi(t, prefix)))
}

// The example programs: those that a client can call, and those that call them.
var (
	servers = []string{"echo_server", "deferred_server", "foreign_loop", "cores_server"}
	clients = []string{"echo_client", "timeout_client"}
	// These use code that smfc has generated, of the schema in this folder.
	generated = map[string]string{
		"demo_server": "schema/demo/smf_demo", "demo_client": "schema/demo/smf_demo",
		"stream_server": "go/codegen/testdata/streams/streams", "stream_client": "go/codegen/testdata/streams/streams",
	}
	// These need no peer.
	alone = []string{"wal_tail"}
)

// Whoever reads an example reads all of it: they stay under 80 lines, and every one of them is run.
func TestExamplesAreShortAndRun(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join(root, "native/examples/*.c"))
	require.NoError(t, err)
	var names []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Less(t, strings.Count(string(text), "\n"), 80, path)
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".c"))
	}
	require.ElementsMatch(t, names, slices.Concat(servers, clients, slices.Collect(maps.Keys(generated)), alone))
}

// The examples are all that a user has to write: built against an installed library, in every way that
// it can be found, as C and as C++.
func TestExamplesFromAnInstalledTree(t *testing.T) {
	c, prefix := installed(t)
	t.Setenv("PKG_CONFIG_PATH", filepath.Join(prefix, "lib/pkgconfig"))
	t.Setenv("LD_LIBRARY_PATH", filepath.Join(prefix, "lib"))
	for _, language := range []struct{ name, compiler, standard, as string }{
		{"c11", "cc", "-std=c11", "c"}, {"cxx17", "c++", "-std=c++17", "c++"},
	} {
		if _, err := exec.LookPath(language.compiler); err != nil {
			require.Empty(t, os.Getenv("CI"), "CI has every compiler")
			continue
		}
		for _, linked := range []string{"shared", "static"} {
			t.Run("pkg-config, "+language.name+", "+linked, func(t *testing.T) {
				options := []string{"--cflags", "--libs"}
				if linked == "static" {
					options = append(options, "--static")
				}
				flags := strings.Fields(c.mustRun("pkg-config", append(options, "libsmf")...))
				if linked == "static" {
					flags = append([]string{"-Wl,-Bstatic"}, flags...)
					flags = append(flags, "-Wl,-Bdynamic")
				}
				for _, program := range slices.Concat(servers, clients, slices.Collect(maps.Keys(generated)), alone) {
					args := []string{language.standard, "-Wall", "-Wextra", "-Werror", "-x", language.as,
						"native/examples/" + program + ".c"}
					if code := generated[program]; code != "" {
						args = append(args, code+".smf.c", "-I", filepath.Dir(code))
					}
					args = append(args, "-x", "none", "-o", program)
					c.mustRun(language.compiler, append(args, flags...)...)
				}
				for _, server := range servers {
					c.echoes(server, "echo_client")
				}
				c.endsInTime("echo_server", "timeout_client")
				c.usesBothCores("cores_server", "echo_client")
				c.saysWhy("echo_client")
				c.speaksTables("demo_server", "demo_client")
				c.streams("stream_server", "stream_client")
				c.keepsLines("wal_tail")
			})
		}
	}
	t.Run("CMake", func(t *testing.T) {
		c.write("user/CMakeLists.txt", "cmake_minimum_required(VERSION 3.25)\nproject(user C)\n"+
			"find_package(smf 0.1 REQUIRED)\n"+
			"add_executable(server ../native/examples/echo_server.c)\ntarget_link_libraries(server smf::smf)\n"+
			"add_executable(client ../native/examples/echo_client.c)\ntarget_link_libraries(client smf::static)\n")
		c.mustRun("cmake", "-S", "user", "-B", "out", "-DCMAKE_PREFIX_PATH="+prefix)
		c.mustRun("cmake", "--build", "out")
		c.echoes("out/server", "out/client")
	})
}

// serving is a server example that runs.
type serving struct {
	c       tree
	command *exec.Cmd
	output  *bufio.Reader
	address string
}

func (c tree) serve(server string) *serving {
	command := exec.Command(filepath.Join(c.root, server), "127.0.0.1:0")
	output, err := command.StdoutPipe()
	require.NoError(c.t, err)
	command.Stderr = os.Stderr
	require.NoError(c.t, command.Start())
	tooLate := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
	c.t.Cleanup(func() { tooLate.Stop() })
	s := &serving{c: c, command: command, output: bufio.NewReader(output)}
	line, err := s.output.ReadString('\n')
	require.NoError(c.t, err)
	address, found := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(c.t, found, line)
	s.address = address
	return s
}

// stop ends the server as a user does, and returns what else it said.
func (s *serving) stop() string {
	require.NoError(s.c.t, s.command.Process.Signal(syscall.SIGTERM))
	rest, err := io.ReadAll(s.output)
	require.NoError(s.c.t, err)
	require.NoError(s.c.t, s.command.Wait())
	return string(rest)
}

// echoes runs the server, calls it with the client, and stops it.
func (c tree) echoes(server, client string) {
	s := c.serve(server)
	require.Equal(c.t, "10000 calls, 10000 echoes\n", c.mustRun(filepath.Join(c.root, client), s.address, "10000"))
	s.stop()
}

// endsInTime lets the client call a server that answers, and one that never does.
func (c tree) endsInTime(server, client string) {
	s := c.serve(server)
	require.Equal(c.t, "10000 calls, 10000 answered, 0 given up\n",
		c.mustRun(filepath.Join(c.root, client), s.address, "60000"))
	s.stop()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it does not even accept
	require.NoError(c.t, err)
	defer silent.Close()
	output, err := c.run(filepath.Join(c.root, client), silent.Addr().String(), "50")
	require.Error(c.t, err)
	require.Equal(c.t, "64 calls, 0 answered, 64 given up\n", output)
}

// speaksTables has the demo service called by its own client.
func (c tree) speaksTables(server, client string) {
	s := c.serve(server)
	said := strings.Split(strings.TrimSpace(c.mustRun(filepath.Join(c.root, client), s.address, "Grüß dich!")), "\n")
	require.ElementsMatch(c.t, []string{"Get: Grüß dich!", "Forget: 409 conflict"}, said)
	require.Equal(c.t, "1 calls of Get\n", s.stop())
}

// streams has more entries sent both ways than either side has room for.
func (c tree) streams(server, client string) {
	s := c.serve(server)
	require.Equal(c.t, "100000 entries, 5000050000 in all: SMF_OK 200\n",
		c.mustRun(filepath.Join(c.root, client), s.address, "100000"))
	require.Empty(c.t, s.stop())
}

// keepsLines appends to a log twice: the second time, what the first has left is there.
func (c tree) keepsLines(program string) {
	log := filepath.Join(c.root, "lines-of-"+program)
	defer os.RemoveAll(log)
	run := func(lines string) string {
		command := exec.Command(filepath.Join(c.root, program), log)
		command.Stdin = strings.NewReader(lines)
		tooLate := time.AfterFunc(time.Minute, func() { _ = command.Process.Kill() })
		defer tooLate.Stop()
		output, err := command.CombinedOutput()
		require.NoError(c.t, err, "%s", output)
		return string(output)
	}
	require.Equal(c.t, "0 one\n1 \n2 two\n", run("one\n\ntwo\n"))
	var lines, all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "line %d\n", i)
		fmt.Fprintf(&all, "%d line %d\n", 3+i, i)
	}
	require.Equal(c.t, "0 one\n1 \n2 two\n"+all.String(), run(lines.String()))
	output, err := c.run(filepath.Join(c.root, program), filepath.Join(log, "no", "folder"))
	require.Error(c.t, err)
	require.Equal(c.t, 1, strings.Count(output, "\n"), output)
}

// usesBothCores keeps a connection beside the client's: each core gets one.
func (c tree) usesBothCores(server, client string) {
	s := c.serve(server)
	idle, err := net.Dial("tcp", s.address)
	require.NoError(c.t, err)
	defer idle.Close()
	c.mustRun(filepath.Join(c.root, client), s.address, "1000")
	lines := strings.Split(strings.TrimSpace(s.stop()), "\n")
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[len("core 0"):], b[len("core 0"):]) })
	require.Len(c.t, lines, 2)
	require.Regexp(c.t, `^core [01]: 1 connections, 0 requests$`, lines[0])
	require.Regexp(c.t, `^core [01]: 1 connections, 1000 requests$`, lines[1])
}

// saysWhy calls where nobody listens.
func (c tree) saysWhy(client string) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.t, err)
	require.NoError(c.t, nobody.Close())
	output, err := c.run(filepath.Join(c.root, client), nobody.Addr().String())
	require.Error(c.t, err)
	require.Equal(c.t, nobody.Addr().String()+": connect failed, SMF_EREFUSED\n", output)
}
