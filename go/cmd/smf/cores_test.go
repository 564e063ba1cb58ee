package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// usableCPUs are the CPUs that this process may use.
func usableCPUs(t *testing.T) (cpus []int) {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// on makes a child of this test run on some CPUs only: it inherits them.
func on(t *testing.T, cpus []int, start func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &before))
	for _, cpu := range cpus {
		only.Set(cpu)
	}
	require.NoError(t, unix.SchedSetaffinity(0, &only))
	defer func() { require.NoError(t, unix.SchedSetaffinity(0, &before)) }()
	start()
}

func serveOn(t *testing.T, cpus []int, args ...string) (s *server) {
	t.Helper()
	command := exec.Command(binary(t), serveArgs(append([]string{"--listen", "127.0.0.1:0", "--admin", "off"}, args...)...)...)
	on(t, cpus, func() { s = startCommand(t, command) })
	return s
}

func works(t *testing.T, s *server) {
	t.Helper()
	got := smf(t, "load", s.addresses[0], "SmfStorage.Get", "--conns", "4", "--outstanding", "4", "--duration", "50ms", "--warmup", "0s")
	require.Zero(t, got.status, got.stderr)
}

func TestCoresFollowTheCPUSet(t *testing.T) {
	cpus := usableCPUs(t)
	s := serveOn(t, cpus[len(cpus)-1:], "--cores", "0")
	require.Equal(t, "cores=1 (1 CPU)", s.cores)
	require.Equal(t, "GOMAXPROCS raised from 1 to 2: one more than cores, for handlers that block", s.line())
	works(t, s)
	if len(cpus) < 2 {
		t.Skip("the rest needs two CPUs")
	}
	s = serveOn(t, cpus[:2], "--cores", "0")
	require.Equal(t, "cores=1 (2 CPUs, one left for handlers that block)", s.cores)
	works(t, s)
}

// threadCPUs are the CPU sets of a process's threads, as lists.
func threadCPUs(t *testing.T, pid int) map[string]bool {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	require.NoError(t, err)
	lists := map[string]bool{}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		require.NoError(t, err)
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) != nil {
			continue // it has ended
		}
		var list []string
		for cpu := range len(set) * 64 {
			if set.IsSet(cpu) {
				list = append(list, strconv.Itoa(cpu))
			}
		}
		lists[strings.Join(list, ",")] = true
	}
	return lists
}

func TestPinnedLoopsStayInTheCPUSet(t *testing.T) {
	cpus := usableCPUs(t)
	last := cpus[len(cpus)-1:] // not the first one, if there are several
	s := serveOn(t, last, "--pin")
	works(t, s)
	require.Equal(t, map[string]bool{strconv.Itoa(last[0]): true}, threadCPUs(t, s.command.Process.Pid))

	command := exec.Command(binary(t), serveArgs("--cores", "2", "--pin", "--admin", "off", "--listen", "127.0.0.1:0")...)
	var got outcome
	on(t, last, func() { got = runToEnd(t, command) })
	require.Equal(t, outcome{1, "", "smf: pin: 2 cores, but this process may use only 1 CPU: ask for fewer cores, or do not pin\n"}, got)
	if len(cpus) < 2 {
		t.Skip("the rest needs two CPUs")
	}
	s = serveOn(t, cpus[len(cpus)-2:], "--cores", "2", "--pin")
	works(t, s)
	lists := threadCPUs(t, s.command.Process.Pid)
	for _, cpu := range cpus[len(cpus)-2:] {
		require.True(t, lists[strconv.Itoa(cpu)], "no thread is pinned to CPU %d: %v", cpu, lists)
	}
}

func TestMoreCoresThanCPUsAreSaid(t *testing.T) {
	s := serveOn(t, usableCPUs(t)[:1], "--cores", "2")
	require.Equal(t, "cores=2 (asked for)", s.cores)
	works(t, s)
	s.signal(unix.SIGTERM)
	status, _ := s.wait()
	require.Zero(t, status)
	require.Equal(t, 1, strings.Count(s.stderr.String(), "there are more cores than CPUs"), s.stderr.String())
}

// cpuGroup makes a control group that gets one CPU's worth of time, and returns the file that takes
// processes into it. The group goes with the test.
func cpuGroup(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if len(fields) < 5 || len(kind) < 3 || !strings.HasPrefix(kind[0], "cgroup") {
			continue
		}
		quota, value := "cpu.max", "100000 100000"
		if kind[0] == "cgroup" { // the older hierarchy: one mount for each controller
			if !strings.Contains(","+kind[2]+",", ",cpu,") {
				continue
			}
			quota, value = "cpu.cfs_quota_us", "100000"
		}
		folder := filepath.Join(fields[4], fmt.Sprintf("smf-test-%d", os.Getpid()))
		if os.Mkdir(folder, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { require.NoError(t, os.Remove(folder)) })
		if os.WriteFile(filepath.Join(folder, quota), []byte(value), 0o644) == nil {
			return filepath.Join(folder, "cgroup.procs")
		}
	}
	t.Skip("no control group with a CPU quota can be made here")
	return ""
}

// Go rounds a quota up, and never below two Ps: of one CPU's worth one loop is made, however many CPUs
// there are.
func TestCoresRespectAQuota(t *testing.T) {
	procs := cpuGroup(t)
	into := []string{"-c", `echo $$ >"$0" && exec "$@"`, procs, binary(t)}
	command := exec.Command("sh", append(into, serveArgs("--listen", "127.0.0.1:0", "--admin", "off", "--cores", "0")...)...)
	s := startCommand(t, command)
	members, err := os.ReadFile(procs)
	require.NoError(t, err)
	require.Contains(t, strings.Fields(string(members)), strconv.Itoa(command.Process.Pid))
	switch cpus := len(usableCPUs(t)); cpus {
	case 1:
		require.Equal(t, "cores=1 (1 CPU)", s.cores)
	case 2:
		require.Equal(t, "cores=1 (2 CPUs, one left for handlers that block)", s.cores)
	default:
		require.Equal(t, fmt.Sprintf("cores=1 (GOMAXPROCS is 2 of %d CPUs, by a CPU quota or the program, one left for "+
			"handlers that block)", cpus), s.cores)
	}
	works(t, s)
	s.signal(unix.SIGTERM) // the group is empty when it is removed
	status, _ := s.wait()
	require.Zero(t, status)
}
