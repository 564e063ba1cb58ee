package conformance

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
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

// serve starts a server, and returns its address.
func serve(t *testing.T, language string, level int) string {
	return start(t, language, "serve", strconv.Itoa(level)).line(t)
}

func startClient(t *testing.T, language string) *peer { return start(t, language, "call") }

func programInC(t *testing.T) string { t.Skip("not there yet"); return "" }
