package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestChildrenStayOnTheirCPU(t *testing.T) {
	cpu := []int{anyCPU(t)}
	var before, after unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &before))
	output, err := outputOn(cpu, exec.Command("nproc"))
	require.NoError(t, err)
	require.Equal(t, "1\n", string(output))
	require.NoError(t, unix.SchedGetaffinity(0, &after))
	require.Equal(t, before, after, "the runner itself is where it was")
}

func TestAFailingClientSaysWhy(t *testing.T) {
	_, err := outputOn([]int{anyCPU(t)}, exec.Command("sh", "-c", "echo no server >&2; exit 1"))
	require.ErrorContains(t, err, "no server")
}

func TestClientsAnswerIsRead(t *testing.T) {
	cpu := []int{anyCPU(t)}
	m, err := runClient(exec.Command("echo", `{"calls_per_second":2.5,"first":{"latency_us":{"p50":7,"p999":9}},
		"second":{"calls_per_second":1},"errors":0,"server_cpu_percent":99}`), cpu)
	require.NoError(t, err)
	require.Equal(t, 2.5, m.CallsPerSecond)
	require.Equal(t, 7.0, p50(m))
	require.Equal(t, 9.0, p999(m))
	_, err = runClient(exec.Command("echo", "hello"), cpu)
	require.ErrorContains(t, err, "hello")
}

func TestServerIsStartedReadAndStopped(t *testing.T) {
	b := fakeBench(t)
	c := fakeServer(t, b, "echo listening 127.0.0.1:5; echo epoll, because; exec sleep 60")
	c.engineLine = true
	server, err := b.start(c, false)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:5", server.address)
	require.Equal(t, "epoll, because", b.engine)
	require.Positive(t, server.threads())
	server.stop()
	require.Zero(t, server.threads())
}

// What smf serve says of itself is read, too.
func TestTheDemoIsStartedReadAndStopped(t *testing.T) {
	b := fakeBench(t)
	said := "listening on 127.0.0.1:5; echo engine: epoll, because; echo cores=1 \\(why\\); echo admin on http://127.0.0.1:6"
	c := fakeServer(t, b, "echo "+said+"; exec sleep 60")
	c.engineLine, c.adminLine = contenders[smfServe].engineLine, contenders[smfServe].adminLine
	server, err := b.start(c, true)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:5", server.address)
	require.Equal(t, "http://127.0.0.1:6", server.admin)
	require.Equal(t, "epoll, because", b.engine)
	server.stop()
	require.Equal(t, "serve", contenders[smfServe].args(true, 7)[0])

	c = fakeServer(t, b, "echo listening on 127.0.0.1:5; echo engine: epoll; echo cores=1")
	c.engineLine, c.adminLine = true, true
	_, err = b.start(c, true)
	require.ErrorContains(t, err, "did not say where its counters are")
}

func TestServerThatDoesNotStartIsAnError(t *testing.T) {
	b := fakeBench(t)
	_, err := b.start(fakeServer(t, b, "exit 3"), false)
	require.ErrorContains(t, err, "did not say where it listens")
	_, err = b.start(fakeServer(t, b, "echo hello; exec sleep 60"), false)
	require.ErrorContains(t, err, "hello")
}

func TestFailuresAreInTheReport(t *testing.T) {
	b := fakeBench(t)
	b.fail("1×1, plain-go", context.DeadlineExceeded)
	text := report{Name: "rpc", Failures: b.failures}.String()
	require.Contains(t, text, "1×1, plain-go: context deadline exceeded")
}

func anyCPU(t *testing.T) int {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	t.Fatal("no CPU")
	return 0
}

func fakeBench(t *testing.T) *bench {
	b := &bench{ctx: context.Background(), root: t.TempDir(), cpus: []int{anyCPU(t)}, log: new(bytes.Buffer)}
	require.NoError(t, os.MkdirAll(filepath.Join(b.root, "build", "bench"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(b.root, "build", "bin"), 0o755))
	return b
}

func fakeServer(t *testing.T, b *bench, script string) contender {
	require.NoError(t, os.WriteFile(b.program("fake"), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return contender{program: "fake"}
}

func TestArgumentsOfOneContenderAreNotSharedWithAnother(t *testing.T) {
	c := contenders[smfGo]
	require.Equal(t, []string{"--poll", "--work-rounds", "7"}, c.args(false, 7))
	require.Equal(t, []string{"--poll", "--mode", "typed", "--work-rounds", "8"}, c.args(true, 8))
	require.Equal(t, []string{"--spin-us", "-2"}, contenders[bareC].args(false, 7))
}
