package rpc_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	defer server.Close()
	for _, test := range []struct {
		address, says string
		errno         error
	}{
		{taken.Addr().String(), taken.Addr().String(), syscall.EADDRINUSE},
		{"192.0.2.1:80", "192.0.2.1:80", syscall.EADDRNOTAVAIL},
		{"127.0.0.1", "127.0.0.1", nil},
		{"127.0.0.1:65536", "65536", nil},
		{"127.0.0.1:x", "127.0.0.1:x", nil},
		{"somewhere:80", "somewhere", nil},
		{"[::1:80", "[::1:80", nil},
		{"", "", nil},
		{"unix:", "unix:", nil},
		{"unix:" + strings.Repeat("x", 200), "unix:", nil},
		{"unix:" + t.TempDir() + "/none/socket", "none/socket", syscall.ENOENT},
		{"127.0.0.1:0\x00", "", nil},
	} {
		_, err := server.Listen(test.address)
		require.Error(t, err, "%q", test.address)
		require.Contains(t, err.Error(), test.says)
		require.NotContains(t, err.Error(), "\n")
		if test.errno != nil {
			require.ErrorIs(t, err, test.errno, "%q: %v", test.address, err)
		}
		require.Equal(t, test.errno == nil, errors.Is(err, rpc.ErrAddress), "%q", test.address)
	}
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err, "a failed Listen leaves the server as it was")
	require.NotContains(t, address, ":0")
}

// What is wrong with an address is said as it is, and what to do about it.
func TestListenErrorsNameTheCause(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 2})
	require.NoError(t, err)
	defer server.Close()
	other, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	defer other.Close()
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	socket, err := server.Listen("unix:" + filepath.Join(folder, "socket"))
	require.NoError(t, err)
	port, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	for _, test := range []struct {
		server        *rpc.Server
		address, says string
		errno         error
	}{
		{server, "[::1]", `address "[::1]": the port is missing (use 127.0.0.1:11225, [::1]:11225, :11225, unix:/path or unix:@name)`, nil},
		{server, "localhost", `address "localhost": the port is missing (use 127.0.0.1:11225, [::1]:11225, :11225, unix:/path or unix:@name)`, nil},
		{server, "unix:/none/socket", "unix:/none/socket: No such file or directory: make the folder first, or choose another path", syscall.ENOENT},
		{server, "unix:" + file, "unix:" + file + ": Address already in use: what is there is no socket; remove it or choose another path", syscall.EADDRINUSE},
		{server, port, port + ": Address already in use: this engine listens there already", syscall.EADDRINUSE},
		{server, socket, socket + ": Address already in use: this engine listens there already", syscall.EADDRINUSE},
		{other, port, port + ": Address already in use: another server listens there, of this program or another; " +
			"stop it or choose another port (0: any)", syscall.EADDRINUSE},
		{other, socket, socket + ": Address already in use: another server listens there, of this program or another; " +
			"stop it or choose another path", syscall.EADDRINUSE},
	} {
		_, err := test.server.Listen(test.address)
		require.EqualError(t, err, "listen on "+test.says)
		if test.errno != nil {
			require.ErrorIs(t, err, test.errno)
		}
	}
}

func TestListenOnManyAddresses(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 2, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{method(idEcho, echo)}}))
	path := filepath.Join(t.TempDir(), "socket")
	var bound []string
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0", "unix:" + path, fmt.Sprintf("unix:@smf-many-%d", os.Getpid())} {
		b, err := server.Listen(address)
		require.NoError(t, err, address)
		bound = append(bound, b)
	}
	waiting := make(chan *rpc.Client, 1)
	go func() { waiting <- dial(t, bound[0]) }() // before Serve
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	require.Equal(t, "early", answer(t, within(t, waiting, "the early one is served"), idEcho, "early"))
	for _, address := range bound {
		if strings.HasPrefix(address, "[::]:") {
			_, port, _ := net.SplitHostPort(address)
			require.Equal(t, "four", answer(t, dial(t, "127.0.0.1:"+port), idEcho, "four"))
			address = "[::1]:" + port
		}
		require.Equal(t, address, answer(t, dial(t, address), idEcho, address))
	}
	require.NoError(t, server.Close())
	require.NoError(t, within(t, served, "Serve returns"))
	_, err = os.Stat(path)
	require.ErrorIs(t, err, os.ErrNotExist, "the socket's file goes with the server")
}

func TestOptionsThatCanNotBe(t *testing.T) {
	for _, options := range []rpc.ServerOptions{
		{Cores: -1}, {Cores: 10000}, {Net: "carrier pigeon"}, {MemoryBytes: -1}, {MemoryBytes: 1},
		{Limits: rpc.Limits{InFlight: -1}}, {Limits: rpc.Limits{FrameBytes: -5}},
	} {
		server, err := rpc.NewServer(options)
		require.Error(t, err, "%+v", options)
		require.NotContains(t, err.Error(), "\n")
		require.Nil(t, server)
	}
}

func TestWhatServesIsSaid(t *testing.T) {
	server, _ := start(t, rpc.ServerOptions{Cores: 2, Net: "epoll"})
	require.Contains(t, server.Engine(), "epoll")
	require.NotContains(t, server.Engine(), "\n")
}

// A warning when there are too few Ps for handlers that block.
func TestTooFewProcessorsAreSaid(t *testing.T) {
	var log logText
	server, address := start(t, rpc.ServerOptions{Cores: runtime.GOMAXPROCS(0), Logger: log.logger()})
	answer(t, dial(t, address), idEcho, "x")
	require.Len(t, log.lines("GOMAXPROCS"), 1)
	require.Len(t, server.Stats().Cores, runtime.GOMAXPROCS(0))
}
