package machine

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What a good machine has to say: Debian on eight processors, all to itself.
var goodFiles = map[string]string{
	"etc/os-release":                                     "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
	"proc/2/comm":                                        "kthreadd",
	"proc/cpuinfo":                                       "processor\t: 0\nflags\t\t: fpu vme tsc\n",
	"proc/stat":                                          "cpu  100 0 100 800 0 0 0 0 0 0\n",
	"proc/meminfo":                                       "MemTotal:       67108864 kB\nMemFree:  1000 kB\nSwapTotal:             0 kB\n",
	"proc/self/cgroup":                                   "0::/user.slice/session-1.scope\n",
	"proc/self/mountinfo":                                "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
	"proc/self/mounts":                                   "/dev/vda1 / ext4 rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0\n",
	"proc/sys/fs/file-max":                               "9223372036854775807",
	"proc/sys/fs/nr_open":                                "1048576",
	"proc/sys/kernel/core_pattern":                       "/var/crash/core.%e.%p",
	"proc/sys/kernel/core_uses_pid":                      "0",
	"proc/sys/kernel/io_uring_disabled":                  "0",
	"proc/sys/kernel/numa_balancing":                     "1",
	"proc/sys/kernel/perf_event_paranoid":                "2",
	"proc/sys/net/core/somaxconn":                        "4096",
	"proc/sys/net/ipv4/tcp_available_congestion_control": "reno cubic",
	"proc/sys/net/ipv4/tcp_congestion_control":           "cubic",
	"proc/sys/net/ipv4/tcp_max_syn_backlog":              "4096",
	"proc/sys/net/ipv4/tcp_rmem":                         "4096\t131072\t6291456",
	"proc/sys/net/ipv4/tcp_slow_start_after_idle":        "0",
	"proc/sys/net/ipv4/tcp_wmem":                         "4096\t16384\t4194304",
	"proc/sys/vm/overcommit_memory":                      "0",
	"proc/sys/vm/swappiness":                             "60",
	"sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm",
	"sys/devices/system/clocksource/clocksource0/current_clocksource":   "tsc",
	"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor":              "performance",
	"sys/devices/system/cpu/cpu0/cpuidle/state1/disable":                "0",
	"sys/devices/system/cpu/cpu0/cpuidle/state1/latency":                "2",
	"sys/devices/system/cpu/cpu0/cpuidle/state1/name":                   "C1",
	"sys/devices/system/cpu/cpu0/cpuidle/state2/disable":                "1",
	"sys/devices/system/cpu/cpu0/cpuidle/state2/latency":                "133",
	"sys/devices/system/cpu/cpu0/cpuidle/state2/name":                   "C6",
	"sys/devices/system/cpu/isolated":                                   "4-7",
	"sys/devices/system/cpu/nohz_full":                                  "4-7",
	"sys/devices/system/cpu/online":                                     "0-7",
	"sys/devices/system/cpu/smt/active":                                 "0",
	"sys/devices/system/node/online":                                    "0",
	"sys/fs/cgroup/cpuset.cpus.effective":                               "0-7",
	"sys/fs/cgroup/user.slice/cpu.max":                                  "max 100000",
	"sys/fs/cgroup/user.slice/memory.max":                               "max",
	"sys/fs/cgroup/user.slice/session-1.scope/cpu.max":                  "max 100000",
	"sys/fs/cgroup/user.slice/session-1.scope/memory.max":               "max",
	"sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages":        "0",
	"sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages":          "0",
	"sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages":           "500",
	"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages":             "512",
	"sys/kernel/mm/ksm/run":                                             "0",
	"sys/kernel/mm/transparent_hugepage/defrag":                         "always defer defer+madvise [madvise] never",
	"sys/kernel/mm/transparent_hugepage/enabled":                        "[always] madvise never",
	"var/crash/.keep": "",
}

// madeUp is a machine that nobody has. Its files may be changed, and what its kernel answers.
type madeUp struct {
	*Machine
	files fstest.MapFS
}

func (m madeUp) set(path, text string) { m.files[path] = &fstest.MapFile{Data: []byte(text + "\n")} }
func (m madeUp) remove(path string)    { delete(m.files, path) }

func goodMachine() madeUp {
	m := madeUp{&Machine{}, fstest.MapFS{}}
	m.Files = m.files
	for path, text := range goodFiles {
		m.set(path, text)
	}
	unlimited := Limit{Soft: NoLimit, Hard: NoLimit}
	m.Calls = Calls{Release: "6.12.9-amd64", Arch: "x86_64", UserID: 1000, Affinity: []int{0, 1, 2, 3, 4, 5, 6, 7},
		GoMaxProcs: 8, MemoryLocked: unlimited, CoreBytes: unlimited, AddressSpace: unlimited,
		OpenFiles: Limit{Soft: 1024, Hard: 1 << 20}, Ring: Ring{Features: 0xffff}, Membarrier: Membarrier{Commands: 0x1ff},
		ClockNs: 20, Folders: []Folder{{Path: "/data", FileSystem: "ext4", OffsetAlign: 512, MemoryAlign: 4}}}
	return m
}

// inContainer makes it a container of docker's: the kernel's threads are not to be seen.
func (m madeUp) inContainer() {
	m.remove("proc/2/comm")
	m.set(".dockerenv", "")
}

// find is the one finding with a name.
func find(t *testing.T, r Report, name string) Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Name == name })
	require.GreaterOrEqual(t, i, 0, "no finding is named %q", name)
	return r.Findings[i]
}

func TestAGoodMachineHasNothingToMend(t *testing.T) {
	r := goodMachine().Check()
	for _, f := range r.Findings {
		require.Equal(t, OK, f.Verdict, "%s: %s", f.Name, f.Text)
		require.Empty(t, f.Fix, f.Name)
	}
	require.Empty(t, r.Missing())
	require.Equal(t, "2 MiB: 512, 500 free; 1 GiB: 0, 0 free; mounted at /dev/hugepages; nothing in smf uses them yet",
		find(t, r, "huge pages").Text)
	require.Equal(t, "/var/crash/core.%e.%p, as the pattern says; of a Go program only with GOTRACEBACK=crash",
		find(t, r, "core dumps").Text)
	require.Equal(t, "waking up takes at most 2 µs", find(t, r, "idle states").Text, "what is disabled does not count")
}

// A machine that differs from the good one in one thing, and what is said about it.
type story struct {
	title   string
	change  func(m madeUp)
	name    string
	verdict Verdict
	text    string // in the finding's text
	fix     string // in its commands; "": there are none
}

func TestStories(t *testing.T) {
	for _, s := range slices.Concat(systemStories, processorStories, memoryStories, networkStories, otherStories) {
		t.Run(s.title, func(t *testing.T) {
			m := goodMachine()
			s.change(m)
			r := m.Check()
			f := find(t, r, s.name)
			require.Equal(t, s.verdict, f.Verdict, f.Text)
			require.Contains(t, f.Text, s.text)
			fix := strings.Join(f.Fix, "\n")
			if s.fix == "" {
				require.Empty(t, fix)
			} else {
				require.Contains(t, fix, s.fix)
			}
			if s.verdict == Missing {
				require.Equal(t, []string{s.name}, r.Missing())
			}
			_, err := json.Marshal(r)
			require.NoError(t, err)
		})
	}
}

// Every command that is ever shown is one that a shell understands.
func TestCommandsAreShell(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	scripts := map[string]bool{}
	for _, s := range slices.Concat(systemStories, processorStories, memoryStories, networkStories, otherStories) {
		m := goodMachine()
		s.change(m)
		for _, f := range m.Check().Findings {
			scripts[strings.Join(f.Fix, "\n")] = true
		}
	}
	require.Greater(t, len(scripts), 50)
	for script := range scripts {
		output, err := exec.Command(shell, "-n", "-c", script).CombinedOutput()
		require.NoError(t, err, "%s\n%s", script, output)
	}
}

// broken is a file system in which one file can't be read.
type broken struct {
	fs.FS
	path string
	err  error
}

func (b broken) Open(name string) (fs.File, error) {
	if name == b.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return b.FS.Open(name)
}

// ReadFile of the file system below would not ask Open.
func (b broken) ReadFile(name string) ([]byte, error) {
	if name == b.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: b.err}
	}
	return fs.ReadFile(b.FS, name)
}

// What can't be read is unknown at worst: never missing, and nothing else changes its verdict to worse.
func TestFilesThatCantBeRead(t *testing.T) {
	for _, problem := range []error{fs.ErrPermission, fs.ErrNotExist, unix.EIO} {
		for _, path := range slices.Sorted(maps.Keys(goodFiles)) {
			m := goodMachine()
			m.Files = broken{m.files, path, problem}
			r := m.Check()
			require.Zero(t, r.Count(Missing), "%s: %s", path, problem)
			require.Equal(t, len(goodMachine().Check().Findings), len(r.Findings))
		}
	}
	m := goodMachine()
	m.Files = broken{m.files, "proc/sys/net/core/somaxconn", fs.ErrPermission}
	f := find(t, m.Check(), "listen queue")
	require.Equal(t, Unknown, f.Verdict)
	require.Equal(t, "can't read /proc/sys/net/core/somaxconn: permission denied", f.Text)
	m.Files = broken{m.files, "proc/sys/net/core/somaxconn", fs.ErrNotExist}
	require.Equal(t, "there is no /proc/sys/net/core/somaxconn", find(t, m.Check(), "listen queue").Text)
}

// Nothing that a file may hold makes it panic, or say that something necessary is missing.
func TestFilesThatHoldNonsense(t *testing.T) {
	for _, nonsense := range []string{"", "\x00\xff", "-1", "9223372036854775808", "0-99999999999", ",,,", "| ", "[", "a b c", "1 0",
		"0::/../..", "5:cpu,cpuset,memory:/x\n", "cpu  a b c d e f g h", "MemTotal:", strings.Repeat("9", 5000)} {
		for _, path := range slices.Sorted(maps.Keys(goodFiles)) {
			m := goodMachine()
			m.set(path, nonsense)
			r := m.Check()
			require.Zero(t, r.Count(Missing), "%s: %q", path, nonsense)
			_, err := json.Marshal(r)
			require.NoError(t, err, "%s: %q", path, nonsense)
		}
	}
	m := goodMachine()
	m.set("proc/sys/net/core/somaxconn", "many")
	require.Equal(t, `/proc/sys/net/core/somaxconn holds "many", which says nothing`, find(t, m.Check(), "listen queue").Text)
}

// A machine of which nothing at all is known.
func TestNothingCanBeRead(t *testing.T) {
	m := &Machine{Files: fstest.MapFS{}}
	failed := Limit{Err: errors.New("getrlimit: function not implemented")}
	m.Calls = Calls{Release: "", Arch: "x86_64", AffinityErr: unix.ENOSYS, MemoryLocked: failed, OpenFiles: failed,
		CoreBytes: failed, AddressSpace: failed, EpollPwait2: unix.EIO, Ring: Ring{Err: unix.EIO}, GoMaxProcs: 2,
		Folders: []Folder{{Path: "/x", Err: unix.EROFS}}}
	r := m.Check()
	require.Zero(t, r.Count(Missing))
	// What is ok is what system calls answered, and which processor it is.
	for _, f := range r.Findings {
		switch f.Name {
		case "architecture", "idle priority", "GOMAXPROCS":
			require.Equal(t, OK, f.Verdict, f.Name)
		case "membarrier":
			require.Equal(t, Better, f.Verdict)
		default:
			require.Equal(t, Unknown, f.Verdict, "%s: %s", f.Name, f.Text)
		}
	}
	require.Equal(t, "/x: no file can be made here to try it: read-only file system", find(t, r, "direct I/O").Text)
}

func TestVerdicts(t *testing.T) {
	text, err := json.Marshal([]Verdict{OK, Better, Missing, Unknown})
	require.NoError(t, err)
	require.Equal(t, `["ok","could be better","missing","unknown"]`, string(text))
	require.Equal(t, "verdict 9", Verdict(9).String())
}

func TestRootNeedsNoSudo(t *testing.T) {
	m := goodMachine()
	m.set("proc/sys/net/core/somaxconn", "128")
	require.Contains(t, strings.Join(find(t, m.Check(), "listen queue").Fix, " "), "sudo tee -a")
	m.Calls.UserID = 0
	fix := strings.Join(find(t, m.Check(), "listen queue").Fix, " ")
	require.Contains(t, fix, "| tee -a")
	require.NotContains(t, fix, "sudo")
}
