package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walfile"
	"github.com/smf-go/smf/go/wal"
)

// contents are all files below a folder, LOCK apart.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == walfile.LockName {
			return err
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	}))
	return found
}

// firstRecords finds the first batch of records in a segment from an offset on.
func firstRecords(t *testing.T, path string, from uint64) (found walfile.Found) {
	t.Helper()
	r, status, err := walfile.Open(path)
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, walfile.Good, status)
	for found.Kind != walfile.KindRecords || found.FirstOffset < from {
		found, status, err = r.Next()
		require.NoError(t, err)
		require.Equal(t, walfile.Good, status)
	}
	return found
}

// numbered appends batches of so many records to a partition, and returns their values: numbers of 100 digits.
func numbered(t *testing.T, dir string, partition, batches, records int) (lines []string) {
	t.Helper()
	log, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	p, err := log.Partition("orders", partition)
	require.NoError(t, err)
	for range batches {
		batch := make(wal.Batch, records)
		for i := range batch {
			lines = append(lines, fmt.Sprintf("%0100d", len(lines)))
			batch[i].Value = []byte(lines[len(lines)-1])
		}
		_, err := p.Append(t.Context(), batch, wal.Durable)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	return lines
}

// damagedLog is a log whose partition 1 is damaged in a header, in a body, and lacks a file. gaps are the offsets
// that were there.
func damagedLog(t *testing.T) (dir string, lines []string, gaps []string, first uint64, aside string) {
	t.Helper()
	dir = newLog(t, 2, "--segment-bytes", "64K")
	lines = numbered(t, dir, 1, 50, 100)
	require.Zero(t, smfWith(t, "whole\n", "log", "append", "orders", "--dir", dir, "--partition", "0").status)
	var files []string // with records
	for _, file := range segments(t, dir, 1) {
		if _, offset := lastRecords(t, file); offset > 0 {
			files = append(files, file)
		}
	}
	require.Greater(t, len(files), 5)
	gap := func(from, to uint64) {
		gaps = append(gaps, fmt.Sprintf("smf: orders/1: offsets %d to %d can't be read\n", from, to-1))
	}
	body := firstRecords(t, files[0], 1)
	damage(t, files[0], body.Position+walfile.BatchHeaderSize+20)
	gap(body.FirstOffset, body.FirstOffset+uint64(body.Count))
	header := firstRecords(t, files[2], 0)
	damage(t, files[2], header.Position+8)
	gap(header.FirstOffset, header.FirstOffset+uint64(header.Count))
	begin := firstRecords(t, files[4], 0).FirstOffset
	gap(begin, firstRecords(t, files[5], 0).FirstOffset)
	require.NoError(t, os.Remove(files[4]))
	return dir, lines, gaps, body.FirstOffset, files[5]
}

// printed compares what was printed with the lines that were appended, one by one, and returns how many there are.
func printed(t *testing.T, lines []string, stdout string) (count int) {
	t.Helper()
	last := -1
	for line := range strings.Lines(stdout) {
		var offset int
		var value string
		_, err := fmt.Sscanf(line, "1 %d %s\n", &offset, &value)
		require.NoError(t, err, line)
		require.Greater(t, offset, last)
		require.Equal(t, lines[offset], value)
		last = offset
		count++
	}
	return count
}

// What stands behind damages is printed, with its offsets, and what is missing is told. Repair says how; after it the
// files that it kept can be dumped, and the log goes on.
func TestLogSkipDamage(t *testing.T) {
	dir, lines, gaps, first, aside := damagedLog(t)
	before := contents(t, dir)
	missing := 0
	for _, gap := range gaps {
		var from, to int
		_, err := fmt.Sscanf(gap, "smf: orders/1: offsets %d to %d", &from, &to)
		require.NoError(t, err)
		missing += to - from + 1
	}
	command := []string{"log", "read", "orders", "--dir", dir, "--skip-damage", "--print-offsets"}
	got := smf(t, append(command, "--partition", "1")...)
	require.Zero(t, got.status, got.stderr)
	require.Equal(t, strings.Join(gaps, ""), got.stderr)
	require.Equal(t, len(lines)-missing, printed(t, lines, got.stdout))
	all := smf(t, command...)
	require.Equal(t, outcome{0, "0 0 whole\n" + got.stdout, got.stderr}, all)

	plan := smf(t, "log", "repair", "--dir", dir)
	require.Equal(t, 1, plan.status)
	hint := fmt.Sprintf("--partition 1 --from %d --skip-damage --print-offsets --dir %s", first, dir)
	require.Contains(t, plan.stdout, "\n  smf log read orders "+hint+" prints those that are readable\n")
	from := smf(t, append([]string{"log", "read", "orders"}, strings.Fields(hint)...)...)
	require.Equal(t, strings.Join(gaps, ""), from.stderr)
	require.Equal(t, len(lines)-missing-int(first), printed(t, lines, from.stdout))
	require.Contains(t, plan.stdout, fmt.Sprintf(" %d of them readable;", strings.Count(from.stdout, "\n")))
	few := smf(t, append(command, "--partition", "1", "--from", "1", "--count", "2")...)
	require.Equal(t, fmt.Sprintf("1 1 %s\n1 2 %s\n", lines[1], lines[2]), few.stdout)
	require.Equal(t, before, contents(t, dir))

	cut := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Zero(t, cut.status, cut.stderr)
	require.NotContains(t, cut.stdout, "--skip-damage")
	require.Equal(t, outcome{0, "whole\n" + strings.Join(lines[:first], "\n") + "\n", ""},
		smf(t, "log", "read", "orders", "--dir", dir, "--skip-damage"), "what was given up is not missing")
	offset := firstRecords(t, aside+".damaged", 0).FirstOffset
	dump := smf(t, "log", "dump", aside+".damaged", "--dir", dir, "--values", "1000")
	require.Contains(t, dump.stdout, fmt.Sprintf("record %d: ", offset))
	require.Contains(t, dump.stdout, fmt.Sprintf("value %q\n", lines[offset]))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	require.Equal(t, outcome{0, fmt.Sprintf("1 %d\n", first), ""},
		smfWith(t, "new\n", "log", "append", "orders", "--dir", dir, "--partition", "1", "--print-offsets"))
	want := strings.Join(lines[:first], "\n") + "\nnew\n"
	require.Equal(t, outcome{0, want, ""}, smf(t, "log", "read", "orders", "--dir", dir, "--partition", "1"))
	require.Equal(t, outcome{0, "whole\n" + want, ""}, smf(t, "log", "read", "orders", "--dir", dir, "--skip-damage"))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}

// What dump prints of a file behind a damage in it, so that nothing that verifies is out of reach after a repair.
func TestLogDumpBehindDamage(t *testing.T) {
	dir, lines, _, first, _ := damagedLog(t)
	file := segments(t, dir, 1)[0]
	dump := func() map[string]bool {
		got := smf(t, "log", "dump", file, "--dir", dir, "--values", "1000")
		require.Zero(t, got.status, got.stderr)
		found := map[string]bool{}
		for line := range strings.Lines(got.stdout) {
			if _, value, ok := strings.Cut(line, ", value "); ok {
				found[strings.TrimSpace(value)] = true
			}
		}
		return found
	}
	found := dump()
	_, last := lastRecords(t, segments(t, dir, 1)[0])
	require.Less(t, last, first, "the reader ends there")
	behind := firstRecords(t, segments(t, dir, 1)[1], 0).FirstOffset - 1
	require.True(t, found[fmt.Sprintf("%q", lines[behind])], "record %d, of %d", behind, len(found))
	require.False(t, found[fmt.Sprintf("%q", lines[first])])
	require.Zero(t, smf(t, "log", "repair", "--dir", dir, "--yes").status)
	require.Equal(t, found, dump())
}

func TestLogSkipDamageCommandLines(t *testing.T) {
	dir := newLog(t, 2)
	a := startAppending(t, "orders", "--dir", dir, "--print-offsets", "--partition", "0")
	require.Equal(t, "0 0\n", a.say(t, "x"))
	command := []string{"log", "read", "orders", "--dir", dir, "--skip-damage"}
	require.Equal(t, outcome{1, "", "smf: --dir " + dir + ": another process writes to the log: stop it first, or leave out --skip-damage\n"}, smf(t, command...))
	require.NoError(t, a.input.Close())
	require.NoError(t, a.command.Wait())
	require.Equal(t, outcome{0, "x\n", ""}, smf(t, command...), "nothing is damaged")
	for args, stderr := range map[string]string{
		"--follow":      "--skip-damage prints what is there and ends: leave out --follow",
		"--from 1":      "--from 1: offsets are those of one partition, and orders has 2: add --partition",
		"--partition 2": "--partition 2: orders has 2 partitions, counted from 0",
	} {
		require.Equal(t, outcome{usageStatus, "", "smf: " + stderr + "\n"}, smf(t, append(command, strings.Fields(args)...)...))
	}
	got := smf(t, "log", "read", "sales", "--dir", dir, "--skip-damage")
	require.Equal(t, usageStatus, got.status)
	require.Contains(t, got.stderr, `no topic "sales" in --dir `)
}

// Nothing says how much the last file had, whose beginning is damaged: that is told, and not passed over in silence.
func TestLogSkipDamageAtTheEnd(t *testing.T) {
	dir := newLog(t, 1, "--segment-bytes", "64K")
	lines := numbered(t, dir, 0, 20, 100)
	loseMeta(t, dir)
	repaired(t, dir) // no checkpoint knows where the log ends
	var last string
	for _, file := range segments(t, dir, 0) {
		if _, offset := lastRecords(t, file); offset > 0 {
			last = file
		}
	}
	first := firstRecords(t, last, 0).FirstOffset
	for _, file := range segments(t, dir, 0) {
		if file > last { // made ready, and empty
			require.NoError(t, os.Remove(file))
		}
	}
	damage(t, last, 40)
	got := smf(t, "log", "read", "orders", "--dir", dir, "--skip-damage")
	require.Zero(t, got.status, got.stderr)
	require.Equal(t, strings.Join(lines[:first], "\n")+"\n", got.stdout)
	relative, err := filepath.Rel(dir, last)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("smf: orders/0: what was written from offset %d on, if anything, can't be read: %s: byte 0, offset %d: block 0: damaged header\n",
		first, relative, first), got.stderr)
}
