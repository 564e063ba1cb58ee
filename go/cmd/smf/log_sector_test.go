package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walfile"
)

// Pages that a real file system does not give: btrfs answers with an input/output error where what is on the disk
// does not have the checksum that it should.

const (
	imageSize = 128 << 20 // mkfs.btrfs makes none that is much smaller; sparse
	pageSize  = 4096      // of btrfs, and of the page cache
)

// badImage is a file system with a log in it.
type badImage struct{ path, point, dir string }

// newBadImage makes one of a log. The pages at these places of its files can't be read.
func newBadImage(t *testing.T, dir string, bad map[string]int64) *badImage {
	t.Helper()
	const program = "/usr/sbin/mkfs.btrfs"
	if os.Geteuid() != 0 {
		t.Skip("this user may not mount")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("no btrfs: no program that makes one")
	}
	folder := t.TempDir()
	m := &badImage{filepath.Join(folder, "image"), filepath.Join(folder, "mount"), filepath.Join(folder, "mount", "log")}
	require.NoError(t, os.Mkdir(m.point, 0o700))
	require.NoError(t, os.WriteFile(m.path, nil, 0o600))
	require.NoError(t, os.Truncate(m.path, imageSize))
	require.Equal(t, "log", filepath.Base(dir))
	output, err := exec.Command(program, "-q", "--rootdir", filepath.Dir(dir), m.path).CombinedOutput()
	require.NoError(t, err, string(output))
	if got := m.run(t, "ro", "true"); got.status != 0 { // before there is anything wrong with it
		t.Skipf("no btrfs: it can't be mounted: %s", got.stderr)
	}
	image, err := os.ReadFile(m.path)
	require.NoError(t, err)
	for path, at := range bad {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		page := data[at : at+pageSize]
		require.Equal(t, 1, bytes.Count(image, page), "%s: byte %d", path, at)
		damage(t, m.path, int64(bytes.Index(image, page))+100)
	}
	got := m.run(t, "rw", "true")
	require.Zero(t, got.status, got.stderr)
	return m
}

// run runs a program while the file system is mounted, in a namespace of its own: nothing stays.
func (m *badImage) run(t *testing.T, options string, program string, args ...string) outcome {
	t.Helper()
	const script = `mount -t btrfs -o loop,"$1" "$2" "$3" || exit; point=$3; shift 3; "$@"; status=$?; umount "$point"; exit $status`
	command := exec.Command("/bin/sh", append([]string{"-c", script, "sh", options, m.path, m.point, program}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return runToEnd(t, command)
}

func (m *badImage) smf(t *testing.T, args ...string) outcome {
	t.Helper()
	return m.run(t, "rw", binary(t), append(args, "--dir", m.dir)...)
}

// severalBatches is a log of one partition with several files and batches, and its values.
func severalBatches(t *testing.T) (dir string, lines []string, files []string) {
	t.Helper()
	dir = newLog(t, 1, "--segment-bytes", "64K")
	lines = numbered(t, dir, 0, 50, 20)
	return dir, lines, segments(t, dir, 0)
}

// touching are the first offset of the batches of a segment that bytes of the page at a place belong to, where these
// begin, and the offset and place behind them.
func touching(t *testing.T, path string, page int64) (first, next uint64, from, to int64) {
	t.Helper()
	r, _, err := walfile.Open(path)
	require.NoError(t, err)
	defer r.Close()
	for {
		f, status, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, walfile.Good, status)
		if f.Position >= page+pageSize {
			return first, next, from, to
		}
		if f.Position+f.Bytes() > page {
			if from == 0 {
				first, from = f.FirstOffset, f.Position
			}
			next, to = f.FirstOffset+uint64(f.Count), f.Position+f.Bytes()
		}
	}
}

// All records around a page that can't be read are printed, and the log goes on where it begins.
func TestLogUnreadablePage(t *testing.T) {
	dir, lines, files := severalBatches(t)
	first := firstRecords(t, files[0], 20)
	page := (first.Position + pageSize) &^ (pageSize - 1)
	begin, next, from, to := touching(t, files[0], page)
	m := newBadImage(t, dir, map[string]int64{files[0]: page})
	name := filepath.Join("orders", "0", filepath.Base(files[0]))
	text := fmt.Sprintf("%d bytes at %d can't be read: input/output error", pageSize, page)

	got := m.smf(t, "log", "verify")
	require.Equal(t, 1, got.status)
	line, _, _ := strings.Cut(got.stdout, "\n")
	at := int64(0)
	_, behind, _ := strings.Cut(line, "; reading goes on at byte ")
	_, err := fmt.Sscanf(behind, "%d", &at)
	require.NoError(t, err, got.stdout)
	require.GreaterOrEqual(t, at, to)
	require.Equal(t, fmt.Sprintf("%s: byte %d, offset %d: %s; reading goes on at byte %d, offset %d", name, from, begin, text, at, next), line)
	require.Equal(t, "smf: 1 damage; smf log repair --dir "+m.dir+" says what can be saved\n", got.stderr)

	var values []string
	for offset, value := range lines {
		if uint64(offset) < begin || uint64(offset) >= next {
			values = append(values, value)
		}
	}
	saved := outcome{0, strings.Join(values, "\n") + "\n", fmt.Sprintf("smf: orders/0: offsets %d to %d can't be read\n", begin, next-1)}
	require.Equal(t, saved, m.smf(t, "log", "read", "orders", "--skip-damage"))
	require.Equal(t, saved, m.run(t, "ro", binary(t), "log", "read", "orders", "--skip-damage", "--dir", m.dir), "LOCK can only be read")

	dump := m.smf(t, "log", "dump", "--values", "1000")
	require.Zero(t, dump.status, dump.stderr)
	require.Contains(t, dump.stdout, fmt.Sprintf("\n%10d  %s\n", page, text))
	for offset, value := range lines {
		require.Equal(t, uint64(offset) < begin || uint64(offset) >= next,
			strings.Contains(dump.stdout, fmt.Sprintf("record %d: ", offset)) && strings.Contains(dump.stdout, fmt.Sprintf("value %q\n", value)), "record %d", offset)
	}

	plan := m.smf(t, "log", "repair")
	require.Equal(t, 1, plan.status)
	require.Contains(t, plan.stdout, fmt.Sprintf("  it would end at offset %d; ", begin))
	cut := m.smf(t, "log", "repair", "--yes")
	require.Zero(t, cut.status, cut.stderr)
	again := m.smf(t, "log", "verify")
	require.Zero(t, again.status, again.stdout)
	require.Equal(t, outcome{0, fmt.Sprintf("0 %d\n", begin), ""},
		m.run(t, "rw", "/bin/sh", "-c", `echo new | "$0" log append orders --print-offsets --dir "$1"`, binary(t), m.dir))
	require.Equal(t, outcome{0, strings.Join(lines[:begin], "\n") + "\nnew\n", ""}, m.smf(t, "log", "read", "orders"))
}

// Block 0 of a file can't be read, nor META: META is made of the others, and the file is told.
func TestLogUnreadableBlocks(t *testing.T) {
	dir, lines, files := severalBatches(t)
	middle := files[len(files)-2]
	_, first, ok := walfile.ParseSegmentName(filepath.Base(middle))
	require.True(t, ok)
	_, behind, ok := walfile.ParseSegmentName(filepath.Base(files[len(files)-1]))
	require.True(t, ok)
	m := newBadImage(t, dir, map[string]int64{filepath.Join(dir, walfile.MetaName): 0, middle: 0})
	const text = "block 0: 4096 bytes at 0 can't be read: input/output error"
	name := filepath.Join("orders", "0", filepath.Base(middle))
	got := m.smf(t, "log", "verify")
	require.Equal(t, 1, got.status)
	require.Equal(t, "META: byte 0, offset 0: "+text, strings.Split(got.stdout, "\n")[0])
	plan := m.smf(t, "log", "repair", "--yes")
	require.Equal(t, 1, plan.status)
	require.Contains(t, plan.stdout, "  topic orders: 1 partition, as its segments say\n  "+name+": "+text+"\n")
	require.Equal(t, "smf: META was written anew; then nothing was changed: with --yes 1 partition is cut like that\n", plan.stderr)
	got = m.smf(t, "log", "read", "orders", "--skip-damage")
	require.Zero(t, got.status, got.stderr)
	require.Equal(t, strings.Join(append(append([]string{}, lines[:first]...), lines[behind:]...), "\n")+"\n", got.stdout)
	dump := m.smf(t, "log", "dump", "--brief")
	require.Zero(t, dump.status, dump.stderr)
	require.Contains(t, dump.stdout, "         0  "+text+"\n")
	require.Zero(t, m.smf(t, "log", "repair", "--yes").status)
	require.Zero(t, m.smf(t, "log", "verify").status)
}

// Who may read LOCK, but not write it, is told of a process that writes, and keeps one from it meanwhile.
func TestLogSkipDamageOfAnotherUser(t *testing.T) {
	dir := newLog(t, 1)
	lock := filepath.Join(dir, walfile.LockName)
	a := startAppending(t, "orders", "--dir", dir, "--print-offsets")
	require.Equal(t, "0 0\n", a.say(t, "x"))
	require.NoError(t, os.Chmod(lock, 0o444))
	require.NoError(t, exec.Command("chmod", "-R", "a+rX", dir).Run())
	for _, folder := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
		require.NoError(t, os.Chmod(folder, 0o755))
	}
	other := func() outcome {
		command := exec.Command(binary(t), "log", "read", "orders", "--skip-damage", "--dir", dir)
		if os.Geteuid() == 0 { // root may write whatever it is
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		return runToEnd(t, command)
	}
	written := outcome{1, "", "smf: --dir " + dir + ": another process writes to the log: stop it first, or leave out --skip-damage\n"}
	require.Equal(t, written, other())
	require.NoError(t, a.input.Close())
	require.NoError(t, a.command.Wait())
	require.NoError(t, exec.Command("chmod", "-R", "a+rX", dir).Run()) // what it has made since
	require.Equal(t, outcome{0, "x\n", ""}, other())

	held, err := os.Open(lock) // as a reader of that user does
	require.NoError(t, err)
	defer held.Close()
	require.NoError(t, syscall.Flock(int(held.Fd()), syscall.LOCK_SH))
	require.Equal(t, outcome{0, "x\n", ""}, other(), "readers don't exclude each other")
	require.NoError(t, os.Chmod(lock, 0o644))
	got := smfWith(t, "y\n", "log", "append", "orders", "--dir", dir)
	require.Equal(t, 1, got.status)
	require.Contains(t, got.stderr, "another process")

	require.NoError(t, os.Chmod(lock, 0))
	require.Equal(t, outcome{1, "", "smf: " + lock + " can't be read, so that nobody can tell whether another process writes to the log: " +
		"read it as a user who may, or leave out --skip-damage\n"}, other())
	require.NoError(t, os.Remove(lock))
	require.NoError(t, os.Chmod(dir, 0o555))
	require.Equal(t, outcome{0, "x\n", ""}, other(), "nobody has made LOCK")
}
