package walload

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestCheckerFindsWhatIsWrong(t *testing.T) {
	r := NewRecords(3, 4, 64)
	at := func(i int) []byte { return bytes.Clone(r.records[i]) }
	r.Next()
	c := NewChecker(64)
	require.NoError(t, c.Visit(at(0)))
	require.EqualError(t, c.Visit(at(2)), "record 1 is number 2 of writer 3 instead of 1")
	require.EqualError(t, c.Visit(at(0)), "record 1 is number 0 of writer 3 instead of 1")
	require.EqualError(t, c.Visit(at(1)[:63]), "record 1 has 63 bytes instead of 64")
	damaged := at(1)
	damaged[63] ^= 1
	require.EqualError(t, c.Visit(damaged), "record 1, number 1 of writer 3, is not what was written")
	require.NoError(t, c.Visit(at(1)))
	require.EqualValues(t, 2, c.Of(3))
	require.EqualValues(t, 2, c.Records)
}

func TestCommandLinesAreChecked(t *testing.T) {
	all := []Contender{{Name: "one"}, {Name: "two", Budget: true}}
	for _, test := range []struct {
		args []string
		says string
	}{
		{nil, "usage: list|durable|buffered|fill|read|open|tail|stalled [options]"},
		{[]string{"go"}, `no verb "go"; there are list, durable, buffered, fill, read, open, tail, stalled`},
		{[]string{"read", "--contender", "three"}, `no contender "three"; there are one, two`},
		{[]string{"read", "--contender", "one"}, "--dir is missing: the folder of the log"},
		{[]string{"read", "--contender", "one", "--dir", ".", "x"}, `unknown argument "x"`},
		{[]string{"read", "--contender", "one", "--dir", ".", "--size", "15"}, "--size: a record has 16 to 1048576 bytes"},
		{[]string{"durable", "--contender", "one", "--dir", ".", "--writers", "0"},
			"--writers, --batch and --seconds must be above 0, --warmup and --total not below"},
		{[]string{"durable", "--contender", "one", "--dir", ".", "--partitions", "0"}, "--partitions must be above 0, --memory not below"},
		{[]string{"durable", "--contender", "one", "--dir", ".", "--partitions", "2"}, "--partitions: one has no partitions"},
		{[]string{"tail", "--contender", "one", "--dir", "."}, "tail: one can't be read while it is written"},
		{[]string{"durable", "--contender", "one", "--dir", ".", "--memory", "2"}, "durable: nobody can tell one how much memory it may take"},
		{[]string{"stalled", "--contender", "two", "--dir", ".", "--memory", "2"}, "stalled: --delay and --memory have to be above 0"},
		{[]string{"read", "--contender", "one", "--dir", "/nowhere"}, "statfs /nowhere: no such file or directory"},
	} {
		require.EqualError(t, Run(test.args, all, &bytes.Buffer{}), test.says)
	}
	var out bytes.Buffer
	require.NoError(t, Run([]string{"list"}, all, &out))
	require.Equal(t, "one\ntwo\n", out.String())
}

func TestMemoryIsNoDisk(t *testing.T) {
	const folder = "/dev/shm"
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil || s.Type != unix.TMPFS_MAGIC {
		t.Skip(folder + " is not in memory here")
	}
	require.EqualError(t, RefuseMemory(folder),
		"/dev/shm is in memory (tmpfs), where a flush costs nothing: give --dir a folder on a disk")
	require.NoError(t, RefuseMemory("."))
}

func TestWrittenBytesAreCounted(t *testing.T) {
	folder := t.TempDir()
	if RefuseMemory(folder) != nil {
		t.Skip("the folder of tests is in memory here")
	}
	before := ioOfUs("write_bytes")
	require.GreaterOrEqual(t, before, int64(0))
	file, err := os.CreateTemp(folder, "")
	require.NoError(t, err)
	_, err = file.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.GreaterOrEqual(t, ioOfUs("write_bytes")-before, int64(1<<20))
}
