package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait of these tests. None of them depends on how long something takes.
const patience = 30 * time.Second

var (
	buildOnce sync.Once
	buildPath string
	buildErr  error
)

func TestMain(m *testing.M) {
	status := m.Run()
	if buildPath != "" {
		_ = os.RemoveAll(filepath.Dir(buildPath))
	}
	os.Exit(status)
}

// binary builds the program once, where every user may run it.
func binary(t *testing.T) string {
	t.Helper()
	buildOnce.Do(func() {
		folder, err := os.MkdirTemp("", "smf-test-")
		if err != nil {
			buildErr = err
			return
		}
		buildPath = filepath.Join(folder, "smf")
		if buildErr = os.Chmod(folder, 0o755); buildErr != nil {
			return
		}
		if output, err := exec.Command("go", "build", "-o", buildPath, ".").CombinedOutput(); err != nil {
			buildErr = fmt.Errorf("go build: %w\n%s", err, output)
		}
	})
	require.NoError(t, buildErr)
	return buildPath
}

// outcome is how a program ended.
type outcome struct {
	status         int
	stdout, stderr string
}

// smf runs the program to its end.
func smf(t *testing.T, args ...string) outcome {
	t.Helper()
	return runToEnd(t, exec.Command(binary(t), args...))
}

func runToEnd(t *testing.T, command *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, command.Start())
	late := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	defer late.Stop()
	err := command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return outcome{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// server is a running smf serve.
type server struct {
	t         *testing.T
	command   *exec.Cmd
	addresses []string
	engine    string
	cores     string // how many, and why
	admin     string // with http://, or ""
	stderr    bytes.Buffer
	rest      *bufio.Reader // of stdout
	ended     bool
}

// serveDemo starts smf serve with one core, one listener and the admin server on free ports, and args.
func serveDemo(t *testing.T, args ...string) *server {
	return startServer(t, append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
}

// startServer reads what the server says of itself: listeners, engine, cores, admin, in this order.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	return startCommand(t, exec.Command(binary(t), serveArgs(args...)...))
}

func serveArgs(args ...string) []string {
	return append([]string{"serve", "--demo", "--cores", "1"}, args...)
}

func startCommand(t *testing.T, command *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, command: command}
	args := command.Args
	s.command.Stderr = &s.stderr
	stdout, err := s.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.command.Start())
	late := time.AfterFunc(2*patience, func() { _ = s.command.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		if !s.ended {
			_ = s.command.Process.Kill()
			_ = s.command.Wait()
		}
	})
	s.rest = bufio.NewReader(stdout)
	for s.engine == "" {
		line := s.line()
		if address, ok := strings.CutPrefix(line, "listening on "); ok {
			s.addresses = append(s.addresses, address)
			continue
		}
		engine, ok := strings.CutPrefix(line, "engine: ")
		require.True(t, ok, "an unexpected line: %q", line)
		s.engine = engine
	}
	s.cores = s.line()
	require.True(t, strings.HasPrefix(s.cores, "cores="), "an unexpected line: %q", s.cores)
	for i, arg := range args {
		if arg == "--admin" && args[i+1] != "off" && args[i+1] != "" {
			address, ok := strings.CutPrefix(s.line(), "admin on ")
			require.True(t, ok)
			s.admin = address
		}
	}
	return s
}

// line is the next line of the server's stdout.
func (s *server) line() string {
	s.t.Helper()
	line, err := s.rest.ReadString('\n')
	require.NoError(s.t, err, "stderr: %s", &s.stderr)
	return strings.TrimSuffix(line, "\n")
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.command.Process.Signal(sig))
}

// wait waits for the server's end and returns its status and the rest of its stdout.
func (s *server) wait() (int, string) {
	s.t.Helper()
	rest, err := io.ReadAll(s.rest)
	require.NoError(s.t, err)
	s.ended = true
	_ = s.command.Wait()
	return s.command.ProcessState.ExitCode(), string(rest)
}

func TestBadCommandLines(t *testing.T) {
	const methods = "smf_gen.demo.SmfStorage.Get, smf_gen.demo.SmfStorage.Put, smf_gen.demo.SmfStorage.Fire, " +
		"smf_gen.demo.SmfStorage.Forget, smf_gen.demo.SmfStorage.SomethingElse"
	const listenAdvice = " (use 127.0.0.1:11225, [::1]:11225, :11225, unix:/path or unix:@name)"
	const dialAdvice = " (use host:port, [::1]:port, unix:/path or unix:@name)"
	for _, test := range []struct {
		args   string
		stderr string
	}{
		{"sevre", `unknown command "sevre": there are serve, call, load, check, log and version (smf help)`},
		{"serve", "nothing to serve: smf serve --demo serves the demo service; a service of your own is a Go program that uses go/rpc"},
		{"serve here", `serve takes no arguments, and there is "here": addresses go to --listen`},
		{"--bogus", "unknown flag: --bogus (smf --help lists the flags)"},
		{"serve --demo --bogus", "unknown flag: --bogus (smf serve --help lists the flags)"},
		{"load -x", "unknown shorthand flag: 'x' in -x (smf load --help lists the flags)"},
		{"load --conns", "flag needs an argument: --conns"},
		{"serve --demo --drain-timeout -1s", "--drain-timeout -1s is negative"},
		{"serve --demo --memory 12X", `invalid argument "12X" for "--memory" flag: not a size: use bytes or a unit, like 65536, 512MiB or 1GiB`},
		{"serve --demo --net carrier-pigeon", `--net "carrier-pigeon": there are auto and epoll`},
		{"serve --demo --memory 1", "--memory 1: it must be from 8MiB to 64GiB, or 0"},
		{"serve --demo --cores -1", "--cores -1: it must be from 1 to 256, or 0"},
		{"serve --demo --cores 500", "--cores 500: it must be from 1 to 256, or 0"},
		{"version now", `version takes no arguments, and there is "now"`},
		{"call 127.0.0.1:1", `call wants an address and a method: smf call 127.0.0.1:11225 SmfStorage.Get '{"name":"x"}'; ` +
			"smf call --list lists the methods"},
		{"serve --demo --admin nowhere --listen 127.0.0.1:0", `admin address "nowhere": not an address: a port, or host:port, like 127.0.0.1:33140; ` +
			"choose another with --admin, or --admin off"},
		{"serve --demo --admin 127.0.0.1:admin --listen 127.0.0.1:0", `admin address "127.0.0.1:admin": not an address: ` +
			"the port is no number from 0 to 65535, nor the name of a service; choose another with --admin, or --admin off"},
		{"serve --demo --admin off --listen nowhere", `listen on address "nowhere": the port is missing` + listenAdvice},
		{"serve --demo --admin off --listen 127.0.0.1:no-such-port", `listen on address "127.0.0.1:no-such-port": ` +
			"the port is not a number from 0 to 65535" + listenAdvice},
		{"serve --demo --admin off --listen 127.0.0.1:0 --listen unix:", `listen on address "unix:": the socket's path is missing` + listenAdvice},
		{"serve --demo --admin off --listen example.com:80", `listen on address "example.com:80": the host is not a numeric address` + listenAdvice},
		{"load nowhere SmfStorage.Get", `address "nowhere": the port is missing` + dialAdvice},
		{"load 127.0.0.1:no-such-port SmfStorage.Get", `address "127.0.0.1:no-such-port": ` +
			"the port is no number from 0 to 65535, nor the name of a service" + dialAdvice},
		{"call http://127.0.0.1:11225 SmfStorage.Get", `address "http://127.0.0.1:11225": an address is no URL` + dialAdvice},
		{"call unix: SmfStorage.Get", `address "unix:": the socket's path is missing` + listenAdvice},
		{"check here", `check takes no arguments, and there is "here": folders go to --dir`},
		{"check --dir /nowhere", "--dir /nowhere: no such file or directory"},
		{"check --dir main.go", "--dir main.go: not a folder"},
		{"load 127.0.0.1:1", "load wants an address and a method: smf load 127.0.0.1:11225 SmfStorage.Get"},
		{"load 127.0.0.1:1 SmfStorage.Steal", `unknown method "SmfStorage.Steal": there are ` + methods + "; --schema names the schema of another service"},
		{"load 127.0.0.1:1 Bank.Get", `unknown method "Bank.Get": there are ` + methods + "; --schema names the schema of another service"},
		{"load 127.0.0.1:1 SmfStorage.Get --conns 0", "--conns 0: there must be at least one connection"},
		{"load 127.0.0.1:1 SmfStorage.Get --outstanding 0", "--outstanding 0: there must be at least one call in flight"},
		{"load 127.0.0.1:1 SmfStorage.Get --conns 101 --outstanding 100", "--conns 101 times --outstanding 100 is more than 10000 calls in flight"},
		{"load 127.0.0.1:1 SmfStorage.Get --duration 0s", "--duration 0s: it must be longer than nothing"},
		{"load 127.0.0.1:1 SmfStorage.Get --warmup -1s", "--warmup -1s is negative"},
		{"load 127.0.0.1:1 SmfStorage.Get --name-bytes -1", "--name-bytes -1: it must be from 0 to 16776192"},
	} {
		t.Run(test.args, func(t *testing.T) {
			got := smf(t, strings.Fields(test.args)...)
			require.Equal(t, outcome{usageStatus, "", "smf: " + test.stderr + "\n"}, got)
		})
	}
	require.Equal(t, outcome{1, "", "smf: can't connect to 127.0.0.1:1: nobody listens there\n"},
		smf(t, "load", "127.0.0.1:1", "SmfStorage.Get"), "nothing is wrong with the command line")
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"", "help", "serve --help", "call --help", "load --help", "check --help", "version --help", "log",
		"log create --help", "log append --help", "log read --help", "log topics --help", "log stat --help", "log dump --help",
		"log verify --help", "log repair --help", "log bench --help"} {
		got := smf(t, strings.Fields(args)...)
		require.Zero(t, got.status)
		require.Empty(t, got.stderr)
		require.Contains(t, got.stdout, "Usage:")
	}
	require.Contains(t, smf(t, "serve", "--help").stdout, "127.0.0.1:11225, [::1]:0, :11225, unix:/path, unix:@name")
	for _, command := range []string{"call", "load"} {
		require.Contains(t, smf(t, command, "--help").stdout, namesOfMethods)
	}
	require.Contains(t, smf(t, "check", "--help").stdout, "docs/check.md")
	require.NotContains(t, smf(t, "log", "read", "--help").stdout, "-1")
	require.Contains(t, smf(t, "log", "append", "--help").stdout, "the partition of the key's\nhash")
}

// load, call and call --list mean the same methods by the same names.
func TestNamesOfMethods(t *testing.T) {
	address := serveDemo(t).addresses[0]
	listed := smf(t, "call", "--list")
	require.Zero(t, listed.status)
	full, _, _ := strings.Cut(listed.stdout, "(")
	require.Equal(t, "smf_gen.demo.SmfStorage.Get", full)
	for _, name := range []string{full, "SmfStorage.Get", "Get"} {
		require.Equal(t, outcome{0, `{"name":"x"}` + "\n", ""}, smf(t, "call", address, name, `{"name":"x"}`), name)
		got := smf(t, "load", address, name, "--duration", "10ms", "--warmup", "0s")
		require.Zero(t, got.status, got.stderr)
		require.Contains(t, got.stdout, "SmfStorage.Get at "+address, name)
	}
	for _, name := range []string{"Storage.Get", "et", "get", ""} {
		call, load := smf(t, "call", address, name), smf(t, "load", address, name)
		require.Equal(t, usageStatus, load.status)
		require.Equal(t, usageStatus, call.status)
		require.Equal(t, call.stderr, load.stderr)
	}
}
