package traffic

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What this program is when a test has started it again: a server in Go.
const roleVariable = "SMF_TRAFFIC_ROLE"

var languages = []string{"go", "c"}

var programFolder string

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(ServeProcess(os.Args[1:]))
	}
	os.Exit(func() int {
		var err error
		if programFolder, err = os.MkdirTemp("", "traffic"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(programFolder)
		return m.Run()
	}())
}

// programInC builds the server in C, once, against the library that this program is linked with.
var programInC = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programFolder, "traffic_serve")
	compile := exec.Command("cc", "-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Werror", "-D_GNU_SOURCE", "-O1",
		"-I", "native/include", "-o", program, "native/test/traffic_serve.c", "build/native/libsmf.a", "-lpthread")
	compile.Dir = "../../.."
	output, err := compile.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cc: %w: %s", err, output)
	}
	return program, nil
})

// process is a server in a process of its own.
type process struct {
	address string
	command *exec.Cmd
	closes  io.Closer // out's end of the pipe
	in      io.WriteCloser
	mu      sync.Mutex // of out
	out     *bufio.Reader
	ended   chan struct{}
	failure error // when ended is closed
}

// start starts a server, which ends with the test at the latest.
func start(t testing.TB, language string, s Settings) *process {
	t.Helper()
	p := launch(t, language, s)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// launch starts a server, which its caller stops.
func launch(t testing.TB, language string, s Settings) *process {
	t.Helper()
	program := os.Args[0]
	if language == "c" {
		var err error
		program, err = programInC()
		require.NoError(t, err)
	}
	p := &process{command: exec.Command(program, s.Arguments()...), ended: make(chan struct{})}
	p.command.Env = append(os.Environ(), roleVariable+"=serve", "GOMAXPROCS=2")
	p.command.Stderr = os.Stderr
	var err error
	p.in, err = p.command.StdinPipe()
	require.NoError(t, err)
	out, err := p.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.command.Start())
	p.out, p.closes = bufio.NewReader(out), out
	p.address = p.line(t)
	go func() {
		state, err := p.command.Process.Wait()
		if err == nil && !state.Success() {
			err = fmt.Errorf("the server in %s ended with %v", language, state)
		}
		p.failure = err
		close(p.ended)
	}()
	return p
}

// stop ends the server, if it has not ended yet.
func (p *process) stop(t testing.TB) {
	_ = p.in.Close()
	p.wait(t)
}

func (p *process) wait(t testing.TB) {
	select {
	case <-p.ended:
		_ = p.in.Close()
		_ = p.closes.Close()
		require.NoError(t, p.failure)
	case <-time.After(patience):
		_ = p.command.Process.Signal(syscall.SIGQUIT) // says where its goroutines are
		t.Errorf("the server at %s does not end", p.address)
		time.Sleep(time.Second)
		_ = p.command.Process.Kill()
	}
}

func (p *process) line(t testing.TB) string {
	line, err := p.out.ReadString('\n')
	require.NoError(t, err, "a server has ended")
	return strings.TrimSuffix(line, "\n")
}

func (p *process) tell(t testing.TB, command string) {
	_, err := io.WriteString(p.in, command+"\n")
	require.NoError(t, err)
}

func (p *process) stats(t testing.TB) (s Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tell(t, "stats")
	line := p.line(t)
	require.NoError(t, json.Unmarshal([]byte(line), &s), line)
	return s
}

// resident is a field of /proc/PID/status, in bytes: VmRSS, or VmHWM, the most at any time.
func (p *process) resident(t testing.TB, field string) int64 {
	return residentOf(t, p.command.Process.Pid, field)
}

func residentOf(t testing.TB, pid int, field string) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB$`).FindSubmatch(status)
	require.NotNil(t, found)
	kib, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// files is how many descriptors a process has open.
func (p *process) files(t testing.TB) int { return filesOf(t, strconv.Itoa(p.command.Process.Pid)) }

func filesOf(t testing.TB, pid string) int {
	entries, err := os.ReadDir("/proc/" + pid + "/fd")
	require.NoError(t, err)
	return len(entries)
}
