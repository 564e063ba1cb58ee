package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walfile"
)

const (
	killPartitions = 3
	killCoresMax   = 4 // the log is opened with another number of cores every time
	killsDefault   = 50
	killsShort     = 5
)

func killCount(t *testing.T) int {
	if text := os.Getenv("SMF_KILLS"); text != "" {
		count, err := strconv.Atoi(text)
		require.NoError(t, err, "SMF_KILLS")
		return count
	}
	if testing.Short() {
		return killsShort
	}
	return killsDefault
}

// killer appends, is killed, and looks at what is there.
type killer struct {
	t      *testing.T
	random *rand.Rand
	dir    string
	all    [killPartitions][]string // what is in each partition
	lines  int
}

// line is the next line, and where it goes. Some are larger than a buffer of the engine.
func (k *killer) line() (line, value string, partition int) {
	k.lines++
	size := k.random.IntN(200)
	if k.random.IntN(2000) == 0 {
		size = k.random.IntN(400 << 10)
	}
	key := strconv.Itoa(k.random.IntN(1000))
	value = fmt.Sprintf("%d.%s", k.lines, strings.Repeat(string(rune('a'+k.lines%26)), size))
	return key + "=" + value + "\n", value, int(xxhash.Sum64String(key) % killPartitions)
}

// round appends until it is killed, and returns what was sent to each partition and how much of that was
// acknowledged.
func (k *killer) round(ack string, cores int) (sent [killPartitions][]string, acknowledged [killPartitions]int) {
	t := k.t
	a := startAppending(t, "orders", "--dir", k.dir, "--key-separator", "=", "--ack", ack, "--print-offsets", "--cores", strconv.Itoa(cores))
	after := time.Duration(k.random.IntN(100)) * time.Millisecond
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		out := bufio.NewWriter(a.input)
		for {
			line, value, partition := k.line()
			sent[partition] = append(sent[partition], value)
			if _, err := out.WriteString(line); err != nil {
				return // it was killed
			}
		}
	}()
	first := true
	for {
		line, err := a.output.ReadString('\n')
		if err == io.EOF {
			break // what is behind the last newline was not said
		}
		require.NoError(t, err)
		var partition, offset int
		_, err = fmt.Sscanf(line, "%d %d\n", &partition, &offset)
		require.NoError(t, err, line)
		require.Equal(t, len(k.all[partition])+acknowledged[partition], offset, "offsets are dense, and told in their order")
		acknowledged[partition]++
		if first {
			first = false
			time.AfterFunc(after, func() { _ = a.command.Process.Signal(syscall.SIGKILL) })
		}
	}
	_ = a.input.Close()
	<-fed
	_ = a.command.Wait()
	require.Equal(t, -1, a.command.ProcessState.ExitCode(), "%s", &a.stderr)
	require.False(t, first, "nothing was acknowledged")
	return sent, acknowledged
}

// look reads what was appended since the last time.
func (k *killer) look(partition int) []string {
	got := smf(k.t, "log", "read", "orders", "--dir", k.dir, "--partition", strconv.Itoa(partition),
		"--from", strconv.Itoa(len(k.all[partition])))
	require.Zero(k.t, got.status, got.stderr)
	if got.stdout == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
}

// However often the program is killed, nothing is lost that it has acknowledged; and nothing is there that
// was not sent, or in another order. SMF_KILLS says how often.
func TestLogIsKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &killer{t: t, random: rand.New(rand.NewPCG(seed, 0)), dir: newLog(t, killPartitions, "--segment-bytes", "1M")}
	total, beyond := 0, 0
	for i := range killCount(t) {
		sent, acknowledged := k.round([]string{"durable", "written"}[i%2], 1+i%killCoresMax)
		for p := range killPartitions {
			found := k.look(p)
			require.GreaterOrEqual(t, len(found), acknowledged[p], "round %d: acknowledged records of partition %d are lost", i, p)
			require.LessOrEqual(t, len(found), len(sent[p]))
			require.True(t, strings.Join(sent[p][:len(found)], "\n") == strings.Join(found, "\n"), "round %d: partition %d has other records", i, p)
			k.all[p] = append(k.all[p], found...)
			total += acknowledged[p]
			beyond += len(found) - acknowledged[p]
		}
		k.verify()
	}
	t.Logf("%d records acknowledged, %d more found", total, beyond)
	for p := range killPartitions {
		got := smf(t, "log", "read", "orders", "--dir", k.dir, "--partition", strconv.Itoa(p))
		require.True(t, got.stdout == strings.Join(k.all[p], "\n")+"\n", "partition %d", p)
	}
}

// verify has the files read by another reader, which has to come to the same end.
func (k *killer) verify() {
	meta, damages, err := walfile.ReadMeta(k.dir)
	require.NoError(k.t, err)
	require.Empty(k.t, damages)
	for p := range killPartitions {
		partition, err := walfile.Reading{Folder: k.dir}.Check(meta, meta.Topic("orders"), uint32(p))
		require.NoError(k.t, err)
		require.Empty(k.t, partition.Damages)
		require.EqualValues(k.t, len(k.all[p]), partition.Next)
	}
}
