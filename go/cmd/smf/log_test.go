package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walfile"
)

// newLog makes a log with the topic orders, and returns its folder.
func newLog(t *testing.T, partitions int, args ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	got := smf(t, append([]string{"log", "create", "orders", "--partitions", fmt.Sprint(partitions), "--dir", dir}, args...)...)
	plural := "s"
	if partitions == 1 {
		plural = ""
	}
	require.Equal(t, outcome{0, fmt.Sprintf("orders: %d partition%s in %s\n", partitions, plural, dir), ""}, got)
	return dir
}

// appendPieces appends lines with several calls: how many batches one makes depends on how fast it is.
func appendPieces(t *testing.T, input string, args ...string) {
	t.Helper()
	const pieces = 10
	lines := strings.SplitAfter(input, "\n")
	for piece := range slices.Chunk(lines, len(lines)/pieces+1) {
		require.Zero(t, smfWith(t, strings.Join(piece, ""), args...).status)
	}
}

func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintln(&b, i)
	}
	return b.String()
}

func TestBadLogCommandLines(t *testing.T) {
	dir, empty := newLog(t, 2), t.TempDir()
	for _, test := range []struct{ args, stderr string }{
		{"log sort", `unknown command "sort": there are create, append, read, topics, stat, dump, verify, repair and bench (smf log --help)`},
		{"log read --bogus", "unknown flag: --bogus (smf log read --help lists the flags)"},
		{"log append", "smf log append wants one topic: smf log append orders --dir DIR"},
		{"log read a b", "smf log read wants one topic: smf log read orders --dir DIR"},
		{"log create", "smf log create wants one topic: smf log create orders --dir DIR"},
		{"log verify orders --dir DIR", `smf log verify takes no arguments, and there is "orders"`},
		{"log append orders", "smf log append wants --dir, the folder of the log"},
		{"log create orders", "smf log create wants --dir, the folder of the log"},
		{"log bench", "smf log bench wants --dir, the folder of the log"},
		{"log append orders --dir /nowhere", "--dir /nowhere: there is no such folder; smf log create TOPIC --dir /nowhere makes a log there"},
		{"log stat --dir EMPTY", "--dir EMPTY: there is no log in this folder; smf log create TOPIC --dir EMPTY makes a log there"},
		{"log repair --dir EMPTY", "--dir EMPTY: there is no log in this folder; smf log create TOPIC --dir EMPTY makes a log there"},
		{"log read orders --dir main.go", "--dir main.go: not a folder"},
		{"log create orders --dir main.go", "--dir main.go: not a folder"},
		{"log append sales --dir DIR", `no topic "sales" in --dir DIR: there are orders (smf log create sales --dir DIR makes it)`},
		{"log read sales --dir DIR", `no topic "sales" in --dir DIR: there are orders (smf log create sales --dir DIR makes it)`},
		{"log append orders --dir DIR --partition 2", "--partition 2: orders has 2 partitions, counted from 0"},
		{"log read orders --dir DIR --partition -2", "--partition -2: orders has 2 partitions, counted from 0"},
		{"log append orders --dir DIR --ack maybe", `--ack "maybe": there are durable, written and buffered`},
		{"log read orders --dir DIR --from 3", "--from 3: offsets are those of one partition, and orders has 2: add --partition"},
		{"log read orders --dir DIR --count -3", "--from and --count can't be negative"},
		{"log create a/b --dir DIR", `a topic can't be named "a/b": a name has up to 200 letters, digits, '.', '_' and '-', begins with a letter or a digit, and is not META or LOCK`},
		{"log create META --dir DIR", `a topic can't be named "META": a name has up to 200 letters, digits, '.', '_' and '-', begins with a letter or a digit, and is not META or LOCK`},
		{"log create x --dir DIR --partitions 0", "--partitions 0: it must be from 1 to 65536"},
		{"log create x --dir DIR --segment-bytes 1K", "--segment-bytes 1KiB: it must be from 64KiB to 2GiB"},
		{"log create x --dir DIR --record-bytes-max 17M", "--record-bytes-max 17MiB: it must be from 64 to 16MiB"},
		{"log append orders --dir DIR --cores 0", "--cores 0: it must be from 1 to 256"},
		{"log bench --dir DIR --cores 257", "--cores 257: it must be from 1 to 256"},
		{"log bench --dir DIR --partitions 0", "--partitions 0: it must be from 1 to 1000"},
		{"log bench --dir DIR --writers 0", "--writers 0: it must be from 1 to 10000"},
		{"log bench --dir DIR --seconds 0", "--seconds 0: it must be more than 0, and at most 86400"},
		{"log bench --dir DIR --size 16M", "--size 16MiB: a record's value has at most 16777200 bytes"},
		{"log bench --dir DIR --disk tape", `--disk "tape": there are uring and posix`},
		{"log bench --dir /nowhere", "--dir /nowhere: no such file or directory"},
		{"log dump --dir DIR --values -1", "--values -1 is negative"},
		{"log dump --dir DIR orders/7/x.seg", "orders/7/x.seg: no such file or directory"},
	} {
		t.Run(test.args, func(t *testing.T) {
			places := strings.NewReplacer("DIR", dir, "EMPTY", empty)
			stderr := test.stderr
			if strings.Contains(stderr, "--dir DIR") && !strings.Contains(stderr, "wants one") || strings.Contains(stderr, "EMPTY") {
				stderr = places.Replace(stderr)
			}
			require.Equal(t, outcome{usageStatus, "", "smf: " + stderr + "\n"}, smf(t, strings.Fields(places.Replace(test.args))...))
		})
	}
	require.Equal(t, outcome{1, "", "smf: there is a topic orders already\n"}, smf(t, "log", "create", "orders", "--dir", dir))
	got := smf(t, "log", "read", "orders", "--dir", dir, "--partition", "0", "--from", "7")
	require.Equal(t, outcome{1, "", "smf: orders/0 has no offset 7: use one from 0 to 0\n"}, got)
}

// What goes in comes out, from one partition in the order of lines, whatever is waited for.
func TestLogRoundTrip(t *testing.T) {
	dir := newLog(t, 1)
	input := ""
	for i, ack := range []string{"durable", "written", "buffered"} {
		more := numbers(i*10000, (i+1)*10000)
		require.Equal(t, outcome{}, smfWith(t, more, "log", "append", "orders", "--dir", dir, "--ack", ack))
		input += more
	}
	input += "\n\tä\x00\xff\n"
	require.Equal(t, outcome{}, smfWith(t, "\n\tä\x00\xff", "log", "append", "orders", "--dir", dir), "an empty line, and one without an end")
	read := []string{"log", "read", "orders", "--dir", dir}
	require.Equal(t, outcome{0, input, ""}, smf(t, read...))
	require.Equal(t, outcome{0, "9999\n10000\n", ""}, smf(t, append(read, "--from", "9999", "--count", "2")...))
	require.Equal(t, outcome{}, smf(t, append(read, "--count", "0")...))
	require.Equal(t, outcome{}, smf(t, append(read, "--from", "30002")...), "the end")
	require.Equal(t, outcome{0, "1 file", ""}, func() outcome {
		got := smf(t, "log", "verify", "--dir", dir)
		if strings.HasPrefix(got.stdout, "1 partition, 1 file, 30,002 records, ") {
			got.stdout = "1 file"
		}
		return got
	}())
	require.Equal(t, outcome{0, "nothing to repair\n", ""}, smf(t, "log", "repair", "--dir", dir))
	require.Equal(t, outcome{0, "topic   partitions  segment bytes  record limit\norders  1           256MiB         16MiB\n", ""},
		smf(t, "log", "topics", "--dir", dir))
}

// The records of a key keep their order, and go to one partition; those without a key are spread.
func TestLogKeys(t *testing.T) {
	dir := newLog(t, 4)
	var input strings.Builder
	for i := range 400 {
		fmt.Fprintf(&input, "key%d\t%d\n", i%40, i)
	}
	args := []string{"log", "append", "orders", "--dir", dir, "--key-separator", `\t`, "--print-offsets"}
	got := smfWith(t, input.String(), args...)
	require.Zero(t, got.status, got.stderr)
	require.Len(t, strings.Fields(got.stdout), 800)
	where, last := map[string]int{}, map[string]int{}
	for p := range 4 {
		out := smf(t, "log", "read", "orders", "--dir", dir, "--partition", fmt.Sprint(p), "--key-separator", "=").stdout
		for line := range strings.Lines(out) {
			var key, value int
			_, err := fmt.Sscanf(line, "key%d=%d\n", &key, &value)
			require.NoError(t, err, line)
			name := fmt.Sprint(key)
			if at, seen := where[name]; seen {
				require.Equal(t, at, p)
				require.Greater(t, value, last[name])
			}
			where[name], last[name] = p, value
		}
	}
	require.Len(t, where, 40)
	got = smfWith(t, numbers(0, 8), args...)
	require.Zero(t, got.status)
	count := map[byte]int{}
	for line := range strings.Lines(got.stdout) {
		count[line[0]]++
	}
	require.Equal(t, map[byte]int{'0': 2, '1': 2, '2': 2, '3': 2}, count)
	got = smfWith(t, "a\tb\n", append(args, "--partition", "3")...)
	require.True(t, strings.HasPrefix(got.stdout, "3 "), got.stdout)
}

// appending is a running smf log append.
type appending struct {
	command *exec.Cmd
	input   *os.File
	output  *bufio.Reader
	stderr  strings.Builder
}

func startAppending(t *testing.T, args ...string) *appending {
	t.Helper()
	a := &appending{command: exec.Command(binary(t), append([]string{"log", "append"}, args...)...)}
	in, input, err := os.Pipe()
	require.NoError(t, err)
	a.command.Stdin, a.input = in, input
	a.command.Stderr = &a.stderr
	out, err := a.command.StdoutPipe()
	require.NoError(t, err)
	a.output = bufio.NewReader(out)
	require.NoError(t, a.command.Start())
	require.NoError(t, in.Close())
	late := time.AfterFunc(2*patience, func() { _ = a.command.Process.Kill() })
	t.Cleanup(func() {
		late.Stop()
		_ = a.input.Close()
		_ = a.command.Process.Kill()
		_ = a.command.Wait()
	})
	return a
}

// say writes a line and returns the one that answers it.
func (a *appending) say(t *testing.T, line string) string {
	t.Helper()
	_, err := a.input.WriteString(line + "\n")
	require.NoError(t, err)
	answer, err := a.output.ReadString('\n')
	require.NoError(t, err, &a.stderr)
	return answer
}

// A record is acknowledged though no other one comes.
func TestLogAppendAnswersAtOnce(t *testing.T) {
	dir := newLog(t, 1)
	a := startAppending(t, "orders", "--dir", dir, "--print-offsets")
	for i := range 3 {
		require.Equal(t, fmt.Sprintf("0 %d\n", i), a.say(t, "x"))
	}
	locked := "smf: --dir " + dir + ": another process writes to the log: stop it first (smf log read, stat, dump and verify work beside it)\n"
	for _, args := range []string{"append orders", "create other", "repair"} {
		require.Equal(t, outcome{1, "", locked}, smf(t, append([]string{"log"}, append(strings.Fields(args), "--dir", dir)...)...), args)
	}
	got := smf(t, "log", "verify", "--dir", dir)
	require.Zero(t, got.status, got.stdout+got.stderr)
	require.Zero(t, smf(t, "log", "stat", "--dir", dir).status)
	require.NoError(t, a.input.Close())
	require.NoError(t, a.command.Wait())
	require.Empty(t, a.stderr.String())
}

func TestLogAppendIsStopped(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := newLog(t, 1)
		a := startAppending(t, "orders", "--dir", dir, "--print-offsets")
		require.Equal(t, "0 0\n", a.say(t, "one"))
		require.Equal(t, "0 1\n", a.say(t, "two"))
		require.NoError(t, a.command.Process.Signal(sig))
		require.NoError(t, a.command.Wait())
		require.Equal(t, "smf: stopped by a signal after line 2; what was read is appended\n", a.stderr.String())
		require.Equal(t, outcome{0, "one\ntwo\n", ""}, smf(t, "log", "read", "orders", "--dir", dir))
	}
}

func TestLogRecordLimit(t *testing.T) {
	dir := newLog(t, 1, "--record-bytes-max", "1K")
	const refusal = "the record is over the topic's limit of 1,024 bytes, with its key and 16 to 23 bytes more; those before it are appended\n"
	args := []string{"log", "append", "orders", "--dir", dir}
	require.Equal(t, outcome{}, smfWith(t, strings.Repeat("x", 1008)+"\n", args...))
	require.Equal(t, outcome{1, "", "smf: line 3: " + refusal}, smfWith(t, "a\nb\n"+strings.Repeat("x", 1009)+"\nc\n", args...))
	require.Equal(t, outcome{1, "", "smf: line 2: " + refusal}, smfWith(t, "d\n"+strings.Repeat("x", 1<<22), args...), "and no end")
	require.Equal(t, outcome{0, strings.Repeat("x", 1008) + "\na\nb\nd\n", ""}, smf(t, "log", "read", "orders", "--dir", dir))
}

// A line that is longer than what is read at once.
func TestLogLongLines(t *testing.T) {
	dir := newLog(t, 1)
	input := strings.Repeat("a", 3<<20) + "\n" + strings.Repeat("b", lineBufferSize) + "\n" + strings.Repeat("c", lineBufferSize-1) + "\nd"
	require.Equal(t, outcome{}, smfWith(t, input, "log", "append", "orders", "--dir", dir))
	got := smf(t, "log", "read", "orders", "--dir", dir)
	require.True(t, got.stdout == input+"\n", "%d bytes", len(got.stdout))
}

// Whoever reads what is printed may go at any time.
func TestLogReadInAPipe(t *testing.T) {
	dir := newLog(t, 2)
	require.Zero(t, smfWith(t, numbers(0, 200000), "log", "append", "orders", "--dir", dir).status)
	for _, args := range []string{"read orders", "dump"} {
		script := fmt.Sprintf("%s log %s --dir %s | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}", binary(t), args, dir)
		got := runToEnd(t, exec.Command("bash", "-c", script))
		require.Equal(t, outcome{0, "0\n", ""}, got, args)
	}
	script := fmt.Sprintf("seq 100000 | %s log append orders --print-offsets --dir %s | head -n 1 >/dev/null; echo ${PIPESTATUS[1]}", binary(t), dir)
	got := runToEnd(t, exec.Command("bash", "-c", script))
	require.Equal(t, outcome{0, "1\n", "smf: standard output: broken pipe; what was read is appended, but not all offsets are printed\n"}, got)
}

// read --follow shows what another process appends, of all partitions.
func TestLogFollow(t *testing.T) {
	dir := newLog(t, 2)
	a := startAppending(t, "orders", "--dir", dir, "--print-offsets")
	a.say(t, "before")
	follow := exec.Command(binary(t), "log", "read", "orders", "--dir", dir, "--follow")
	out, err := follow.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, follow.Start())
	late := time.AfterFunc(patience, func() { _ = follow.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "before", lines.Text())
	for _, line := range []string{"one", "two", "three"} {
		a.say(t, line)
		require.True(t, lines.Scan(), line)
		require.Equal(t, line, lines.Text())
	}
	require.NoError(t, follow.Process.Signal(os.Interrupt))
	require.False(t, lines.Scan())
	require.NoError(t, follow.Wait())
	got := smf(t, "log", "read", "orders", "--dir", dir, "--follow", "--count", "4")
	require.Zero(t, got.status)
	require.ElementsMatch(t, []string{"before", "one", "two", "three"}, strings.Fields(got.stdout))
}

func TestLogStat(t *testing.T) {
	dir := newLog(t, 2)
	require.Zero(t, smfWith(t, "a\nb\nc\n", "log", "append", "orders", "--dir", dir, "--partition", "1").status)
	got := smf(t, "log", "stat", "--dir", dir)
	require.Zero(t, got.status)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 4)
	require.True(t, strings.HasPrefix(lines[0], dir+": "), lines[0])
	require.Equal(t, strings.Fields("partition first next files bytes behind the end state"), strings.Fields(lines[1]))
	require.Equal(t, strings.Fields("orders/0 0 0 0 0 B - ok"), strings.Fields(lines[2]))
	fields := strings.Fields(lines[3])
	require.Equal(t, strings.Fields("orders/1 0 3 1"), fields[:4])
	require.Equal(t, "ok", fields[len(fields)-1])
}

func TestLogBench(t *testing.T) {
	dir := t.TempDir()
	for _, ack := range []string{"durable", "buffered"} {
		got := smf(t, "log", "bench", "--dir", dir, "--seconds", "0.1", "--writers", "4", "--size", "100", "--ack", ack, "--json")
		require.Zero(t, got.status, got.stderr)
		var result benchResult
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &result))
		require.Positive(t, result.Records)
		require.Positive(t, result.P50Micros)
		require.Positive(t, result.CPUMicros)
		require.Equal(t, ack, result.Ack)
	}
	got := smf(t, "log", "bench", "--dir", dir, "--seconds", "0.1", "--writers", "1")
	require.Zero(t, got.status)
	require.Contains(t, got.stdout, "1 × 1 KiB, durable: ")
	require.Contains(t, got.stdout, "CPU µs/record  per encoded byte\n")
	got = smf(t, "log", "bench", "--dir", dir, "--seconds", "0.1", "--writers", "6", "--partitions", "6", "--cores", "3")
	require.Zero(t, got.status, got.stderr)
	require.Contains(t, got.stdout, "on 3 cores\n6 × 1 KiB to 6 partitions, durable: ")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is left")
}

// segments lists a partition's files.
func segments(t *testing.T, dir string, partition int) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "orders", fmt.Sprint(partition), "*.seg"))
	require.NoError(t, err)
	slices.Sort(paths)
	return paths
}

// A log that is damaged in the middle: dump shows it, verify reports it, read stops there, append refuses,
// repair says what that costs, and cuts it.
func TestLogRepair(t *testing.T) {
	dir := newLog(t, 2, "--segment-bytes", "64K")
	args := []string{"log", "append", "orders", "--dir", dir, "--partition", "1"}
	var input strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&input, "%0100d\n", i)
	}
	appendPieces(t, input.String(), args...)
	files := segments(t, dir, 1)
	require.Greater(t, len(files), 4)
	middle := 0 // the second file with records
	position, offset := int64(0), uint64(0)
	for offset == 0 {
		middle++
		position, offset = lastRecords(t, files[middle])
	}
	require.Less(t, middle, len(files)-1)
	damage(t, files[middle], position+walfile.BatchHeaderSize+20)

	verify := smf(t, "log", "verify", "--dir", dir)
	require.Equal(t, 1, verify.status)
	require.Equal(t, "smf: 1 damage; smf log repair --dir "+dir+" says what can be saved\n", verify.stderr)
	name, err := filepath.Rel(dir, files[middle])
	require.NoError(t, err)
	require.Contains(t, verify.stdout, fmt.Sprintf("%s: byte %d, offset %d: damaged body: a batch that was durable is not there; ", name, position, offset))

	dump := smf(t, "log", "dump", name, "--dir", dir, "--brief")
	require.Zero(t, dump.status)
	require.Contains(t, dump.stdout, fmt.Sprintf("  end: offset %d; what stands here is no batch of this file: damaged body\n", offset))

	plan := smf(t, "log", "repair", "--dir", dir)
	require.Equal(t, 1, plan.status)
	require.Equal(t, "smf: nothing was changed: with --yes 1 partition is cut like that\n", plan.stderr)
	require.Contains(t, plan.stdout, fmt.Sprintf("it would end at offset %d; lost: offsets %d to 19999, ", offset, offset))
	require.Equal(t, files, segments(t, dir, 1))

	cut := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Zero(t, cut.status, cut.stderr)
	require.Contains(t, cut.stdout, fmt.Sprintf("it ends at offset %d; lost: offsets %d to 19999, ", offset, offset))
	require.Equal(t, len(files)-middle-1, strings.Count(cut.stdout, "kept as "))
	for _, file := range files[middle+1:] {
		require.FileExists(t, file+".damaged")
	}
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	require.Equal(t, outcome{0, fmt.Sprintf("1 %d\n", offset), ""}, smfWith(t, "new\n", append(args, "--print-offsets")...))
	want := strings.Join(strings.SplitAfter(input.String(), "\n")[:offset], "") + "new\n"
	require.Equal(t, outcome{0, want, ""}, smf(t, "log", "read", "orders", "--dir", dir))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	require.Equal(t, outcome{0, "nothing to repair\n", ""}, smf(t, "log", "repair", "--dir", dir, "--yes"))
}

// lastRecords finds the last batch of records in a segment; zeroes when there is none.
func lastRecords(t *testing.T, path string) (position int64, offset uint64) {
	t.Helper()
	r, status, err := walfile.Open(path)
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, walfile.Good, status)
	for {
		f, status, err := r.Next()
		require.NoError(t, err)
		if status != walfile.Good {
			break
		}
		if f.Kind == walfile.KindRecords {
			position, offset = f.Position, f.FirstOffset
		}
	}
	return position, offset
}

// damage changes a byte of a file.
func damage(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// The engine fences what verify finds, where it looks when it opens: the end.
func TestLogDamagedEnd(t *testing.T) {
	dir := newLog(t, 1, "--segment-bytes", "64K")
	var input strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&input, "%0100d\n", i)
	}
	appendPieces(t, input.String(), "log", "append", "orders", "--dir", dir)
	files := segments(t, dir, 0)
	missing := slices.IndexFunc(files, func(path string) bool {
		_, first, ok := walfile.ParseSegmentName(filepath.Base(path))
		return ok && first > 0
	})
	require.Less(t, missing, len(files)-1)
	number, _, _ := walfile.ParseSegmentName(filepath.Base(files[missing]))
	require.NoError(t, os.Remove(files[missing]))
	for _, args := range []string{"append orders", "read orders", "stat"} {
		got := smfWith(t, "x\n", append([]string{"log"}, append(strings.Fields(args), "--dir", dir)...)...)
		require.Equal(t, 1, got.status, args)
		require.Equal(t, 1, strings.Count(got.stderr, "\n"), got.stderr)
		if args != "stat" {
			require.Contains(t, got.stderr, "smf log verify", args)
		}
	}
	plan := smf(t, "log", "repair", "--dir", dir)
	require.Contains(t, plan.stdout, fmt.Sprintf("it follows segment %d, and that file is not there", number))
	require.Zero(t, smf(t, "log", "repair", "--dir", dir, "--yes").status)
	require.Zero(t, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir).status)
	got := smf(t, "log", "read", "orders", "--dir", dir)
	require.Zero(t, got.status, got.stderr)
	kept, found := strings.CutSuffix(got.stdout, "x\n")
	require.True(t, found)
	require.NotEmpty(t, kept)
	require.True(t, strings.HasPrefix(input.String(), kept))
}

// Padding has no meaning: that it was changed is told, and nothing else happens.
func TestLogDamagedPadding(t *testing.T) {
	dir := newLog(t, 1)
	for range 2 {
		require.Zero(t, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir).status)
	}
	file := segments(t, dir, 0)[0]
	position, _ := lastRecords(t, file)
	damage(t, file, position-1)
	got := smf(t, "log", "verify", "--dir", dir)
	require.Equal(t, 1, got.status)
	require.Contains(t, got.stdout, fmt.Sprintf("offset 1: padding is not zero (to byte %d)\n", position))
	require.Equal(t, "smf: 1 damage, only of padding: all records can be read\n", got.stderr)
	require.Equal(t, outcome{0, "x\nx\n", ""}, smf(t, "log", "read", "orders", "--dir", dir))
	require.Equal(t, outcome{0, "nothing to repair\n", ""}, smf(t, "log", "repair", "--dir", dir))
}

// What META can't tell any more is told by the segments.
func TestLogDamagedMeta(t *testing.T) {
	for _, what := range []string{"wal\n", "other"} { // block 0; an item in the middle
		dir := newLog(t, 2)
		require.Zero(t, smf(t, "log", "create", "other", "--dir", dir).status)
		require.Zero(t, smf(t, "log", "create", "empty", "--dir", dir).status)
		require.Zero(t, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir).status)
		require.Zero(t, smfWith(t, "y\n", "log", "append", "other", "--dir", dir).status)
		meta, err := os.ReadFile(filepath.Join(dir, "META"))
		require.NoError(t, err)
		damage(t, filepath.Join(dir, "META"), int64(bytes.Index(meta, []byte(what))))
		verify := smf(t, "log", "verify", "--dir", dir)
		require.Equal(t, 1, verify.status)
		require.Equal(t, "smf: 1 damage; smf log repair --dir "+dir+" says what can be saved\n", verify.stderr)
		dump := smf(t, "log", "dump", "--dir", dir)
		require.Zero(t, dump.status)
		require.Contains(t, dump.stdout, `value "x"`, "the segments can be read without it")

		plan := smf(t, "log", "repair", "--dir", dir)
		require.Equal(t, 1, plan.status)
		require.Contains(t, plan.stdout, "topic other: 1 partition, as its segments say\n")
		require.Contains(t, plan.stdout, "empty: no segment says which topic it was: it is left out\n")
		require.Equal(t, "smf: nothing was changed: with --yes META is written anew like that\n", plan.stderr)
		require.Equal(t, 1, smf(t, "log", "verify", "--dir", dir).status)

		mended := smf(t, "log", "repair", "--dir", dir, "--yes")
		require.Zero(t, mended.status, mended.stderr)
		require.Contains(t, mended.stdout, "kept as META.damaged\nnothing to repair\n")
		require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
		require.Equal(t, outcome{0, "y\n", ""}, smf(t, "log", "read", "other", "--dir", dir))
		require.Zero(t, smfWith(t, "z\n", "log", "append", "other", "--dir", dir).status)
		require.Equal(t, outcome{0, "y\nz\n", ""}, smf(t, "log", "read", "other", "--dir", dir))
		require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	}
}

// META and a partition are damaged: what cutting the partition loses is said before it is done.
func TestLogDamagedMetaAndPartition(t *testing.T) {
	dir := newLog(t, 1)
	for range 3 {
		require.Zero(t, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir).status)
	}
	file := segments(t, dir, 0)[0]
	r, status, err := walfile.Open(file)
	require.NoError(t, err)
	require.Equal(t, walfile.Good, status)
	_, _, err = r.Next() // the state
	require.NoError(t, err)
	first, status, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, walfile.Good, status)
	r.Close()
	damage(t, file, first.Position+walfile.BatchHeaderSize+20)
	damage(t, filepath.Join(dir, "META"), 0)

	plan := smf(t, "log", "repair", "--dir", dir)
	require.Equal(t, 1, plan.status)
	require.NotContains(t, plan.stdout, "would end")
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	mended := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Equal(t, 1, mended.status)
	require.Contains(t, mended.stdout, "kept as META.damaged\norders/0 is damaged:\n")
	require.Contains(t, mended.stdout, "  it would end at offset 0; lost: offsets 0 to 2, ")
	require.Equal(t, "smf: META was written anew; then nothing was changed: with --yes 1 partition is cut like that\n", mended.stderr)
	require.Equal(t, []string{file}, segments(t, dir, 0))
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after)

	cut := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Zero(t, cut.status, cut.stderr)
	require.Contains(t, cut.stdout, "  it ends at offset 0; lost: offsets 0 to 2, ")
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}
