package conformance

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// peer is a process that is spoken to by lines.
type peer struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// start starts a peer of a language, "go" or "c"; it ends when its input does, at the end of the test.
func start(t *testing.T, language, role string, arguments ...string) *peer {
	program := os.Args[0]
	if language == "c" {
		program = programInC(t)
		arguments = append([]string{role}, arguments...)
	}
	command := exec.Command(program, arguments...)
	command.Env = append(os.Environ(), roleVariable+"="+role)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	tooLate := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	t.Cleanup(func() {
		_ = in.Close()
		err := command.Wait()
		tooLate.Stop()
		require.NoError(t, err, "how the %s peer in %s ended", role, language)
	})
	return &peer{in: in, out: bufio.NewReaderSize(out, 1<<16)}
}

func (p *peer) line(t *testing.T) string {
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "a peer has ended")
	return strings.TrimSuffix(line, "\n")
}

// ask gives a client a row, and returns what it saw.
func (p *peer) ask(t *testing.T, line string) string {
	_, err := io.WriteString(p.in, line+"\n")
	require.NoError(t, err)
	return p.line(t)
}

// serve starts a server, and returns its address. compression: of its replies, or "".
func serve(t *testing.T, language string, level int, compression string) string {
	return start(t, language, "serve", strings.Fields(strconv.Itoa(level)+" "+compression)...).line(t)
}

// servers are those of a language, started when they are needed.
type servers struct {
	language string
	started  map[string]string
}

func (s *servers) address(t *testing.T, level int, compression string) string {
	key := fmt.Sprint(level, compression)
	if s.started[key] == "" {
		s.started[key] = serve(t, s.language, level, compression)
	}
	return s.started[key]
}

func serversIn(language string) *servers { return &servers{language, map[string]string{}} }

func startClient(t *testing.T, language string) *peer { return start(t, language, "call") }

var programC struct {
	sync.Once
	path string
	err  error
}

// programInC builds the peer in C, once, against the library that this program is linked with.
func programInC(t *testing.T) string {
	programC.Do(func() {
		root, err := filepath.Abs("../../..")
		if err != nil {
			programC.err = err
			return
		}
		sources := []string{"schema/conformance/conformance.smf.c", "schema/conformance/streams.smf.c", "schema/demo/smf_demo.smf.c"}
		for _, part := range []string{"", "_serve", "_streams", "_call", "_stream_call"} {
			sources = append(sources, "native/test/conformance"+part+".c")
		}
		programC.path = filepath.Join(programFolder, "conformance")
		libraries := []string{"build/native/libsmf.a", "-lpthread"}
		if hasCompressionInC() {
			libraries = slices.Concat([]string{compressionDefine, "build/native/libsmf_compress.a"}, libraries, []string{"-lzstd", "-llz4"})
		}
		compile := exec.Command("cc", slices.Concat([]string{
			"-std=c11", "-Wall", "-Wextra", "-Wno-format-overflow", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wno-unused-function", "-Werror",
			"-D_GNU_SOURCE", "-O1", "-I", "native/include", "-I", "native/src", "-I", "native/test", "-I", "schema/conformance",
			"-I", "schema/demo", "-o", programC.path,
		}, sources, libraries)...)
		compile.Dir = root
		output, err := compile.CombinedOutput()
		if err != nil {
			programC.err = fmt.Errorf("cc: %w: %s", err, output)
		}
	})
	require.NoError(t, programC.err)
	return programC.path
}
