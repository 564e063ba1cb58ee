package rpc_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/go/rpc"
)

// process is a server in a process of its own, so that what it uses can be counted.
type process struct {
	pid     int
	address *net.TCPAddr
}

// serveInChild starts the test once more as a server. It reports whether this is that process, which
// has served and may return.
func serveInChild(t *testing.T) (process, bool) {
	if os.Getenv(childVariable) == t.Name() {
		_, bound := start(t, rpc.ServerOptions{})
		fmt.Println("listening", bound)
		_, err := io.Copy(io.Discard, os.Stdin) // until the parent is done
		require.NoError(t, err)
		return process{}, true
	}
	child := exec.CommandContext(patient(t), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), childVariable+"="+t.Name())
	input, err := child.StdinPipe()
	require.NoError(t, err)
	output, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() {
		input.Close()
		require.NoError(t, child.Wait())
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	address, err := net.ResolveTCPAddr("tcp", strings.TrimSpace(strings.TrimPrefix(line, "listening ")))
	require.NoError(t, err)
	return process{child.Process.Pid, address}, false
}

// field reads a number of a file of the process's.
func (p process) field(t *testing.T, file string, index int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, file))
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.Fields(string(text)[strings.LastIndexByte(string(text), ')')+1:])[index])
	require.NoError(t, err)
	return n
}

// residentBytes is what the process has in memory.
func (p process) residentBytes(t *testing.T) int { return p.field(t, "statm", 1) * os.Getpagesize() }

// ticks is the CPU time of the process, in hundredths of a second.
func (p process) ticks(t *testing.T) int { return p.field(t, "stat", 11) + p.field(t, "stat", 12) }

// open opens connections without anything around them, so that they cost this side next to nothing.
func (p process) open(t *testing.T, count int) []int {
	fds := make([]int, 0, count)
	t.Cleanup(func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	})
	address := &unix.SockaddrInet4{Port: p.address.Port, Addr: [4]byte(p.address.IP.To4())}
	for range count {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		fds = append(fds, fd)
		require.NoError(t, unix.Connect(fd, address))
	}
	return fds
}

// callOn sends a call on each connection, and then reads each one's reply.
func callOn(t *testing.T, fds []int) {
	frame := request(7, idEcho, "still there?")
	for _, fd := range fds {
		_, err := unix.Write(fd, frame)
		require.NoError(t, err)
	}
	reply := make([]byte, 2*len(frame))
	for i, fd := range fds {
		n, err := unix.Read(fd, reply)
		require.NoError(t, err)
		require.Equal(t, len(frame), n, "connection %d", i)
		require.Equal(t, "still there?", string(reply[16:n]))
	}
}

// A thousand connections that do nothing cost next to nothing.
func TestIdleConnections(t *testing.T) {
	const count = 1000
	server, isChild := serveInChild(t)
	if isChild {
		return
	}
	callOn(t, server.open(t, 1)) // what the first call brings into memory
	before := server.residentBytes(t)
	fds := server.open(t, count)
	callOn(t, fds)
	perConnection := (server.residentBytes(t) - before) / count
	require.LessOrEqual(t, perConnection, 8<<10, "bytes per connection")
	time.Sleep(100 * time.Millisecond) // the spin after the last call
	ticks, began := server.ticks(t), time.Now()
	time.Sleep(2 * time.Second)
	percent := float64(server.ticks(t)-ticks) / (100 * time.Since(began).Seconds()) * 100
	require.Less(t, percent, 1.0, "percent of a CPU")
	t.Logf("%d bytes per idle connection, %.2f %% of a CPU", perConnection, percent)
	callOn(t, fds)
}

// Ten thousand connections are held, and every one of them is served.
func TestTenThousandConnections(t *testing.T) {
	const count = 10000
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Max < count+100 {
		t.Skipf("the hard limit on open files is %d", limit.Max)
	}
	before := limit
	limit.Cur = count + 100
	if limit.Cur > before.Cur {
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		defer func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &before)) }()
	}
	server, isChild := serveInChild(t)
	if isChild {
		return
	}
	fds := server.open(t, count)
	for range 3 {
		callOn(t, fds)
	}
}
