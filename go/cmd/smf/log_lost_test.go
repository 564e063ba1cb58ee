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

// loseMeta removes META. From then on every command says that, and changes nothing.
func loseMeta(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(dir, walfile.MetaName)))
	before := contents(t, dir)
	want := outcome{1, "", "smf: --dir " + dir + ": there are segments of a log in this folder, but no META; smf log repair --dir " + dir + " says what can be saved\n"}
	for _, command := range []string{"read orders", "read orders --skip-damage", "append orders", "topics", "stat", "dump", "verify"} {
		require.Equal(t, want, smf(t, append(append([]string{"log"}, strings.Fields(command)...), "--dir", dir)...), command)
	}
	got := smf(t, "log", "create", "orders", "--dir", dir)
	require.Equal(t, 1, got.status)
	require.Contains(t, got.stderr, " but no META: ")
	require.Contains(t, got.stderr, "smf log repair")
	require.Equal(t, before, contents(t, dir))
}

// repaired runs repair, first without --yes, and returns the plan. All files that were there still are.
func repaired(t *testing.T, dir string, args ...string) (plan string) {
	t.Helper()
	args = append([]string{"log", "repair", "--dir", dir}, args...)
	before := contents(t, dir)
	dry := smf(t, args...)
	require.Equal(t, 1, dry.status)
	require.Equal(t, "smf: nothing was changed: with --yes META is written anew like that\n", dry.stderr)
	require.Equal(t, before, contents(t, dir))
	got := smf(t, append(args, "--yes")...)
	require.Zero(t, got.status, got.stdout+got.stderr)
	require.Equal(t, dry.stdout+"nothing to repair\n", got.stdout)
	after := contents(t, dir)
	delete(after, filepath.Join(dir, walfile.MetaName))
	require.Equal(t, before, after)
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	return dry.stdout
}

const lostMetaEnd = "  heads that were moved within a file, and topics that were deleted, may come back\n" +
	"  how far partitions were durable is not known without it: records that are missing at an end look torn by a crash\n"

// keyed are lines with keys.
func keyed(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "key%d\t%0100d\n", i%97, i)
	}
	return b.String()
}

// META is gone: segments tell all of the topics that have some. Ids, limits and where keys go are as before.
func TestLogLostMeta(t *testing.T) {
	const partitions = 4
	dir := newLog(t, partitions, "--segment-bytes", "64K", "--record-bytes-max", "1K")
	for _, topic := range []string{"other", "empty"} {
		require.Zero(t, smf(t, "log", "create", topic, "--dir", dir).status)
	}
	appendKeys := []string{"log", "append", "orders", "--dir", dir, "--key-separator", `\t`}
	require.Zero(t, smfWith(t, keyed(0, 5000), appendKeys...).status)
	require.Zero(t, smfWith(t, "y\n", "log", "append", "other", "--dir", dir).status)
	read := func(partition int) string {
		got := smf(t, "log", "read", "orders", "--dir", dir, "--partition", fmt.Sprint(partition), "--key-separator", `\t`, "--print-offsets")
		require.Zero(t, got.status, got.stderr)
		return got.stdout
	}
	var want [partitions]string
	for p := range want {
		want[p] = read(p)
	}
	meta, _, err := walfile.ReadMeta(dir)
	require.NoError(t, err)

	loseMeta(t, dir)
	require.Equal(t, "META is not there\n  topic orders: 4 partitions, as its segments say\n  topic other: 1 partition, as its segments say\n"+
		"  empty: no segment says which topic it was: it is left out\n"+lostMetaEnd, repaired(t, dir))
	again, _, err := walfile.ReadMeta(dir)
	require.NoError(t, err)
	require.Equal(t, []*walfile.Topic{meta.Topic("orders"), meta.Topic("other")}, again.Topics)
	for p := range want {
		require.True(t, want[p] == read(p), "partition %d", p)
	}
	require.Equal(t, outcome{0, "y\n", ""}, smf(t, "log", "read", "other", "--dir", dir))
	require.Zero(t, smf(t, "log", "create", "empty", "--dir", dir).status)

	// Appends go on where the records of their keys are, at the next offsets.
	require.Zero(t, smfWith(t, keyed(5000, 5097), appendKeys...).status)
	require.NotZero(t, smfWith(t, strings.Repeat("x", 2000), appendKeys...).status, "its limit")
	where := map[string]int{}
	for p := range want {
		got := read(p)
		require.True(t, strings.HasPrefix(got, want[p]), "partition %d", p)
		for i, line := range strings.Split(strings.TrimSuffix(got, "\n"), "\n") {
			fields := strings.Fields(line)
			require.Equal(t, []string{fmt.Sprint(p), fmt.Sprint(i)}, fields[:2])
			if at, seen := where[fields[2]]; seen {
				require.Equal(t, at, p, fields[2])
			}
			where[fields[2]] = p
		}
	}
	require.Len(t, where, 97)
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}

// The same after the process that wrote was killed: what it had acknowledged is there.
func TestLogLostMetaAfterACrash(t *testing.T) {
	dir := newLog(t, 1)
	a := startAppending(t, "orders", "--dir", dir, "--print-offsets")
	for i := range 50 {
		require.Equal(t, fmt.Sprintf("0 %d\n", i), a.say(t, fmt.Sprint(i)))
	}
	locked := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Equal(t, 1, locked.status)
	require.NoError(t, a.command.Process.Kill())
	_ = a.command.Wait()
	loseMeta(t, dir)
	repaired(t, dir)
	require.Equal(t, outcome{0, numbers(0, 50), ""}, smf(t, "log", "read", "orders", "--dir", dir))
	require.Equal(t, outcome{0, "0 50\n", ""}, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir, "--print-offsets"))
	require.Equal(t, outcome{0, numbers(0, 50) + "x\n", ""}, smf(t, "log", "read", "orders", "--dir", dir))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}

// Files that a moved head has deleted don't come back: the log begins with the first that is there.
func TestLogLostMetaAfterAMovedHead(t *testing.T) {
	const head = 3000
	dir := newLog(t, 1, "--segment-bytes", "64K")
	var input strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&input, "%0100d\n", i)
	}
	appendPieces(t, input.String(), "log", "append", "orders", "--dir", dir)
	log, err := wal.Open(dir, wal.Options{})
	require.NoError(t, err)
	p, err := log.Partition("orders", 0)
	require.NoError(t, err)
	require.NoError(t, p.TruncateHead(t.Context(), head))
	require.NoError(t, log.Close())
	loseMeta(t, dir)
	_, first, ok := walfile.ParseSegmentName(filepath.Base(segments(t, dir, 0)[0]))
	require.True(t, ok)
	require.Positive(t, first)
	require.LessOrEqual(t, first, uint64(head))
	plan := repaired(t, dir)
	require.Contains(t, plan, fmt.Sprintf("\n  orders/0 begins at offset %d: the file before is not there\n", first))
	want := strings.Join(strings.SplitAfter(input.String(), "\n")[first:], "")
	got := smf(t, "log", "read", "orders", "--dir", dir)
	require.Zero(t, got.status, got.stderr)
	require.True(t, want == got.stdout)
	require.Equal(t, outcome{0, "0 5000\n", ""}, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir, "--print-offsets"))
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
}

// Neither META nor the states of segments can be read. Block 0 tells the name, folders how many partitions there are
// at least; and all records can be printed, before the partitions are cut where their states are damaged.
func TestLogLostMetaAndStates(t *testing.T) {
	dir := newLog(t, 4)
	for p := range 3 {
		require.Zero(t, smfWith(t, numbers(p*1000, (p+1)*1000), "log", "append", "orders", "--dir", dir, "--partition", fmt.Sprint(p)).status)
		r, _, err := walfile.Open(segments(t, dir, p)[0])
		require.NoError(t, err)
		state, status, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, walfile.Good, status)
		require.EqualValues(t, walfile.KindState, state.Kind)
		r.Close()
		damage(t, segments(t, dir, p)[0], state.Position+walfile.BatchHeaderSize+20)
	}
	require.NoError(t, os.Remove(filepath.Join(dir, walfile.MetaName)))
	const guess = "as many as are found; nothing tells its limits, so it gets the usual ones: if it had more partitions, add --partitions orders=N\n"
	repair := []string{"log", "repair", "--dir", dir}
	require.Contains(t, smf(t, repair...).stdout, "  topic orders: 4 partitions, "+guess, "the last one was never written to")
	for value, reason := range map[string]string{
		"orders=3":     "orders has 4 partitions at least",
		"orders=65537": "a topic has at most 65536 partitions",
		"sales=2":      `there is no topic "sales"`,
		"orders":       "it has to be a topic and a number, orders=4",
		"orders=-1":    "it has to be a topic and a number, orders=4",
	} {
		got := smf(t, append(repair, "--partitions", value)...)
		require.Equal(t, usageStatus, got.status)
		require.Equal(t, "smf: --partitions "+value+": "+reason+"\n", got.stderr)
	}
	mended := smf(t, append(repair, "--partitions", "orders=6", "--yes")...)
	require.Equal(t, 1, mended.status)
	require.Contains(t, mended.stdout, "  topic orders: 6 partitions, "+guess)
	require.Contains(t, mended.stdout, fmt.Sprintf("\n  smf log read orders --partition 1 --from 0 --skip-damage --print-offsets --dir %s prints those that are readable\n", dir))
	require.Equal(t, "smf: META was written anew; then nothing was changed: with --yes 3 partitions are cut like that\n", mended.stderr)
	require.Equal(t, outcome{0, numbers(0, 3000), ""}, smf(t, "log", "read", "orders", "--skip-damage", "--dir", dir))
	require.Zero(t, smf(t, append(repair, "--yes")...).status)
	require.Zero(t, smf(t, "log", "verify", "--dir", dir).status)
	require.Contains(t, smf(t, "log", "topics", "--dir", dir).stdout, "orders  6           256MiB         16MiB\n")
	require.Equal(t, outcome{usageStatus, "", "smf: --partitions is for a META that is made anew, and this one is whole\n"},
		smf(t, append(repair, "--partitions", "orders=9")...))
}

// Segments that nothing can be told of.
func TestLogLostMetaAndBlocks(t *testing.T) {
	dir := newLog(t, 1)
	require.Zero(t, smfWith(t, "x\n", "log", "append", "orders", "--dir", dir).status)
	damage(t, segments(t, dir, 0)[0], 100)
	require.NoError(t, os.Remove(filepath.Join(dir, walfile.MetaName)))
	before := contents(t, dir)
	got := smf(t, "log", "repair", "--dir", dir, "--yes")
	require.Equal(t, outcome{1, "META is not there\n  orders: no segment says which topic it was: it is left out\n",
		"smf: no segment says which topic it belongs to, so that no META can be made: take a copy of the log\n"}, got)
	require.Equal(t, before, contents(t, dir))
}
