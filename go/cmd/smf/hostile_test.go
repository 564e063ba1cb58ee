package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/go/internal/sourcetree"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

const (
	hostileMemory  = 256 << 20
	hostileSeconds = 12 // longer than a header may take
	filesOfOthers  = 1000

	connectionsOpen = `smf_connections_open\{core="0"\}`
)

// Ten thousand connections that say nothing, a thousand that say a byte a second, liars, garbage at full
// speed and endless knocking: who behaves is served, memory stays within its limit, and the metrics tell
// of all of it. How fast it is meanwhile is measured by ./build.sh bench hostile.
func TestHostilePeers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	idle := 10_000
	if room := filesHard(t) - 2*filesOfOthers; room < idle {
		t.Logf("the limit on open files (ulimit -Hn) allows only %d idle connections", room)
		idle = room
	}
	attackers := filepath.Join(t.TempDir(), "hostile")
	root, err := sourcetree.Root()
	require.NoError(t, err)
	build := exec.Command("go", "build", "-o", attackers, "./bench/go/hostile")
	build.Dir = root
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	s := serveDemo(t, "--memory", strconv.Itoa(hostileMemory))
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	client, err := rpc.Dial(ctx, s.addresses[0], rpc.ClientOptions{})
	require.NoError(t, err)
	defer client.Close()
	storage := demo.NewSmfStorageClient(client)
	call := func(i int) {
		var reply demo.ResponseT
		name := fmt.Sprint("call ", i)
		require.NoError(t, storage.GetInto(ctx, &demo.RequestT{Name: name}, &reply))
		require.Equal(t, name, reply.Name)
	}
	call(0)

	attack := exec.CommandContext(ctx, attackers, "--address", s.addresses[0], "--idle", strconv.Itoa(idle),
		"--seconds", strconv.Itoa(hostileSeconds))
	attack.Stderr = os.Stderr
	said, err := attack.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, attack.Start())
	lines := bufio.NewReader(said)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	over := make(chan error, 1)
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		over <- attack.Wait()
	}()
	open, resident := 0, 0
	for i, ended := 1, false; !ended; i++ {
		call(i)
		select {
		case err := <-over:
			require.NoError(t, err)
			ended = true
		default:
			if i%1000 == 1 {
				open = max(open, metric(t, metricsOf(t, s), connectionsOpen))
				resident = max(resident, residentBytes(t, s))
			}
		}
	}
	require.LessOrEqual(t, resident, hostileMemory+hostileMemory/10)
	require.GreaterOrEqual(t, open, idle)
	after := metricsOf(t, s)
	for _, name := range []string{
		`smf_connections_closed_total\{reason="header_timeout"\}`,
		`smf_connections_closed_total\{reason="checksum_mismatch"\}`,
		`smf_connections_closed_total\{reason="bad_compression"\}`,
		`smf_connections_closed_total\{reason="broken"\}`,
		`smf_limit_hits_total\{limit="header_timeout_seconds"\}`,
		`smf_limit_hits_total\{limit="memory_bytes"\}`,
		`smf_reads_paused_total\{core="0",reason="memory"\}`,
	} {
		require.Positive(t, metric(t, after, name), name)
	}
	require.Greater(t, metric(t, after, `smf_pool_used_max_bytes\{core="0"\}`), hostileMemory/2, "the attack did not use much")
	require.Greater(t, resident, hostileMemory/2, "it was lent and not written to")
	require.Eventually(t, func() bool {
		return metric(t, metricsOf(t, s), connectionsOpen) == 1
	}, patience, 10*time.Millisecond, "those who have gone are still counted")
	call(-1)
}

func filesHard(t *testing.T) int {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	return int(min(limit.Max, 1<<30))
}

func metricsOf(t *testing.T, s *server) string {
	client := http.Client{Timeout: patience}
	reply, err := client.Get(s.admin + "/metrics")
	require.NoError(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	return string(text)
}

// metric is a sample's value; name is a regular expression.
func metric(t *testing.T, metrics, name string) int {
	found := regexp.MustCompile(`(?m)^` + name + ` ([0-9.e+]+)$`).FindStringSubmatch(metrics)
	require.NotNil(t, found, "no %s in\n%s", name, metrics)
	value, err := strconv.ParseFloat(found[1], 64)
	require.NoError(t, err)
	return int(value)
}

func residentBytes(t *testing.T, s *server) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.command.Process.Pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(status)
	require.NotNil(t, found)
	kib, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return kib << 10
}
