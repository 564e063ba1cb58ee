package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience bounds the one wait of these tests.
const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// says is what a shell answers on this machine.
func says(t *testing.T, script string) string {
	t.Helper()
	output, err := exec.Command("sh", "-c", script).CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, output)
	return strings.TrimSpace(string(output))
}

// limitSays is a limit as a shell prints it, in units of bytes.
func limitSays(t *testing.T, script string, unit uint64) uint64 {
	t.Helper()
	text := says(t, script)
	if text == "unlimited" {
		return NoLimit
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return n * unit
}

// What Here reads is what other programs say of this machine.
func TestHereAgreesWithOthers(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash: ulimit differs from shell to shell")
	}
	m := Here([]string{t.TempDir()})
	c := &m.Calls
	require.Equal(t, says(t, "uname -r"), c.Release)
	require.Equal(t, says(t, "uname -m"), c.Arch)
	require.Equal(t, says(t, "id -u"), strconv.Itoa(c.UserID))
	require.NoError(t, c.AffinityErr)
	require.Equal(t, says(t, "env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc"), strconv.Itoa(len(c.Affinity)))
	require.Equal(t, runtime.GOMAXPROCS(0), c.GoMaxProcs)
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Sl'", 1024), c.MemoryLocked.Soft)
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Hl'", 1024), c.MemoryLocked.Hard)
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Sv'", 1024), c.AddressSpace.Soft)
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Hn'", 1), c.OpenFiles.Hard)
	// A shell counts cores in blocks, of which a limit need not be a multiple.
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Hc'", 1) == NoLimit, c.CoreBytes.Hard == NoLimit)
	require.Equal(t, limitSays(t, "bash -c 'ulimit -Sc'", 1) == 0, c.CoreBytes.Soft < 1024)

	r := m.Check()
	require.Equal(t, says(t, "cat /proc/sys/kernel/core_pattern"), find(t, r, "core dumps").Facts["pattern"])
	require.Equal(t, says(t, "cat /proc/sys/net/core/somaxconn"), strconv.FormatInt(find(t, r, "listen queue").Facts["somaxconn"].(int64), 10))
	kib, err := strconv.ParseUint(says(t, "awk '/^MemTotal:/ { print $2 }' /proc/meminfo"), 10, 64)
	require.NoError(t, err)
	require.Equal(t, kib<<10, find(t, r, "memory").Facts["bytes"])
	require.Positive(t, c.ClockNs)
}

// A look at the machine leaves nothing behind: no file, no descriptor, no thread of another class.
func TestHereLeavesNothingBehind(t *testing.T) {
	folder := t.TempDir()
	Here([]string{folder}) // whatever the runtime opens once is open now
	before := descriptors(t)
	Here([]string{folder, folder})
	require.Equal(t, before, descriptors(t))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Eventually(t, func() bool { return idleThreads(t) == 0 }, patience, tick)
}

func descriptors(t *testing.T) int {
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(open)
}

// idleThreads counts the threads of this process that have the idle class: field 41 of their stat.
func idleThreads(t *testing.T) (count int) {
	files, err := filepath.Glob("/proc/self/task/*/stat")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // from field 3 on
		const policyAt = 41 - 3
		if words := strings.Fields(rest); len(words) > policyAt && words[policyAt] == strconv.Itoa(unix.SCHED_IDLE) {
			count++
		}
	}
	return count
}

// Where the kernel tells the alignment, trying must come to the same. Of memory the kernel may want more
// than the file system does: what was tried is a lower bound.
func TestAlignmentByTrying(t *testing.T) {
	folder := t.TempDir()
	told := tryDirectIO(folder)
	require.NoError(t, told.Err)
	if told.DirectErr != nil {
		t.Skipf("no direct I/O in %s: %s", folder, told.DirectErr)
	}
	fd, err := namelessFile(folder)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT)
	require.NoError(t, err)
	offset, memory, err := probeAlignment(fd)
	require.NoError(t, err)
	require.Equal(t, told.OffsetAlign, offset)
	require.Positive(t, memory)
	require.LessOrEqual(t, memory, told.MemoryAlign)
}

func TestAFileWithANameForAMoment(t *testing.T) {
	folder := t.TempDir()
	fd, err := unnamedFile(folder)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Pwrite(fd, []byte("x"), 0)
	require.NoError(t, err)
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestFoldersThatAreNotThere(t *testing.T) {
	d := tryDirectIO(filepath.Join(t.TempDir(), "gone"))
	require.ErrorIs(t, d.Err, unix.ENOENT)
	d = tryDirectIO("/proc")
	require.Error(t, d.Err)
	require.Equal(t, Unknown, find(t, (&Machine{Files: os.DirFS("/"), Calls: Calls{Folders: []Folder{d}}}).Check(), "direct I/O").Verdict)
}

func TestSoftLimitOfTheParent(t *testing.T) {
	soft, found := softFiles("Limit Soft Hard Units\nMax cpu time unlimited unlimited seconds\n" +
		"Max open files            1024                 524288               files     \n")
	require.True(t, found)
	require.EqualValues(t, 1024, soft)
	for _, text := range []string{"", "Max open files", "Max open files   lots of files"} {
		_, found = softFiles(text)
		require.False(t, found, text)
	}
}

func TestCPULists(t *testing.T) {
	for text, cpus := range map[string][]int{"": nil, "(null)": nil, "0": {0}, "0-3,8,10-11": {0, 1, 2, 3, 8, 10, 11}} {
		got, good := parseCPUs(text)
		require.True(t, good, text)
		require.Equal(t, cpus, got)
		if text != "(null)" {
			require.Equal(t, text, formatCPUs(got))
		}
	}
	for _, text := range []string{"a", "1-", "-1", "3-1", "0-99999999", "1,,2"} {
		_, good := parseCPUs(text)
		require.False(t, good, text)
	}
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]version{"5.10.0-28-amd64": {5, 10}, "6.1": {6, 1}, "6.12-rc3": {6, 12}, "7.0.0": {7, 0},
		"5.15.167.4-microsoft-standard-WSL2": {5, 15}, "6.6+": {6, 6}} {
		got, good := parseVersion(text)
		require.True(t, good, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "6", "six.one", "6.x"} {
		_, good := parseVersion(text)
		require.False(t, good, text)
	}
}

func TestSizes(t *testing.T) {
	for n, text := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 65536: "64 KiB", 1536 << 20: "1.5 GiB", 25 << 30: "25 GiB", NoLimit: "unlimited"} {
		require.Equal(t, text, bytesText(n))
	}
}
