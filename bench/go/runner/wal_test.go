package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/bench/go/walload"
)

// logs is a cell of logs that were measured once.
func logRounds(rate, p50us, mib, cpu float64) rounds {
	return rounds{{CallsPerSecond: rate, First: method{LatencyUS: latency{P50: p50us}},
		Wal: &walload.Figures{MiBPerSecond: mib, CPUPerRecordUS: cpu, WrittenPerByte: 1, FillWrittenPerByte: 2, DevicePerByte: -1,
			FillDevicePerByte: 3, WrittenPerEncoded: 0.5, FillWrittenPerEncoded: -1}}}
}

func TestBarsOfLogsAreComparedWithTheBestOfTheOthers(t *testing.T) {
	cells := map[string]rounds{
		walSMF:    logRounds(300, 10, 70, 2),
		walFsync:  logRounds(200, 30, 40, 3),
		walDsync:  logRounds(250, 20, 50, 4),
		walPebble: logRounds(100, 50, 20, 9),
		walDevice: logRounds(999, 8, 100, 0),
	}
	type bar struct {
		value   float64
		atLeast bool
		met     bool
	}
	barsOf := func(size, writers int) (all []bar) {
		for _, t := range durableTargets(walLoad{verb: "durable", size: size, writers: writers, batch: 1}, cells) {
			all = append(all, bar{t.Value.Median, t.AtLeast, t.met()})
		}
		return all
	}
	require.Equal(t, []bar{{1.25, false, false}}, barsOf(100, 1), "p50 of a bare write")
	require.Equal(t, []bar{{3, true, true}, {1.2, true, true}, {2.0 / 3, false, true}}, barsOf(1<<10, 64))
	require.Equal(t, []bar{{3, true, true}, {1.2, true, true}}, barsOf(1<<10, 256))
	require.Equal(t, []bar{{3, true, true}, {0.7, true, true}}, barsOf(16<<10, 64))
	require.Empty(t, barsOf(100, 64))
	delete(cells, walSMF)
	require.Empty(t, barsOf(1<<10, 64), "without ours there is nothing to be reached")
}

func TestRowsOfLogs(t *testing.T) {
	l := walLoad{verb: "durable", size: 100, writers: 1, batch: 1}
	cells := map[string]rounds{walFsync: logRounds(200, 30, 40, 3), walDevice: logRounds(999, 8, 100, 0), walRaft: {nil}}
	made := walTable("h", "x", []walLoad{l}, walDurables, []map[string]rounds{cells})
	require.Equal(t, [][]string{
		{"1 × 100 B", "plain Go, O_DIRECT + fdatasync", "200 (200 to 200)", "40.0", "30.0 (30.0 to 30.0)", "0.00", "0.00",
			"3.00", "1.00 (2.00)", "0.50 (?)", "? (3.00)", "", ""},
		{"1 × 100 B", "the device, 1 × 4 KiB", "999 (999 to 999)", "100", "8.00 (8.00 to 8.00)", "0.00", "0.00",
			"", "", "", "", "", ""},
	}, made.Rows)
}

func TestTheDeviceDoesWhatALogWould(t *testing.T) {
	for _, test := range []struct {
		log, device walLoad
	}{
		{walLoad{verb: "durable", size: 100, writers: 1, batch: 1}, walLoad{verb: "durable", size: 4096, writers: 1}},
		{walLoad{verb: "durable", size: 16 << 10, writers: 1}, walLoad{verb: "durable", size: 16 << 10, writers: 1}},
		{walLoad{verb: "durable", size: 100, writers: 1, batch: 2}, walLoad{verb: "durable", size: 128 << 10, writers: 8}},
		{walLoad{verb: "buffered", size: 100, writers: 1}, walLoad{verb: "plain", size: 128 << 10, writers: 8}},
		{walLoad{verb: "read", size: 100, writers: 1}, walLoad{verb: "read", size: 1 << 20, writers: 32}},
	} {
		require.Equal(t, test.device, test.log.ofDevice())
	}
}

// What a log's program prints is what the runner reads.
func TestFiguresOfLogsAreRead(t *testing.T) {
	printed := walload.Measurement{RecordsPerSecond: 3, Wal: walload.Figures{OpenMS: 7}}
	printed.First.LatencyUS.P99 = 5
	text, err := json.Marshal(printed)
	require.NoError(t, err)
	var m measurement
	require.NoError(t, json.Unmarshal(text, &m))
	require.Equal(t, 3.0, callsPerSecond(&m))
	require.Equal(t, 5.0, p99(&m))
	require.Equal(t, 7.0, openMS(&m))
	_, err = decodeLog(&measurement{}, nil)
	require.EqualError(t, err, "the program printed no figures of a log")
}

// A whole run, as short as can be, over logs of this module.
func TestAKilledLogIsOpenedAgain(t *testing.T) {
	folder := t.TempDir()
	if walload.RefuseMemory(folder) != nil {
		t.Skip("the folder of tests is in memory here")
	}
	root, err := findRoot()
	require.NoError(t, err)
	cpus, err := usableCPUs()
	if err != nil {
		t.Skip(err)
	}
	b := &bench{ctx: context.Background(), log: io.Discard, root: root, cpus: cpus, rounds: 1, seconds: 0.01}
	program := contender{program: "smf-bench-wal-test", packagePath: "./bench/go/wal"}
	require.NoError(t, b.goBuild(program))
	t.Cleanup(func() { require.NoError(t, os.Remove(b.program(program.program))) })
	w := &walBench{bench: b, folder: folder, homes: map[string]string{walFsync: program.program}}
	cells, err := w.walGrid(1, []walLoad{{verb: "open", size: 1 << 10, writers: 1, batch: 4096}}, []string{walFsync, walPebble},
		w.measureReopen)
	require.NoError(t, err)
	require.Empty(t, w.failures)
	require.Len(t, cells[0], 1, "a log that its program does not have is left out")
	require.Positive(t, openMS(cells[0][walFsync][0]))
	require.Positive(t, mibPerSecond(cells[0][walFsync][0]))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left, "files are removed")
}

func TestTheDeviceIsMeasured(t *testing.T) {
	folder := t.TempDir()
	if walload.RefuseMemory(folder) != nil {
		t.Skip("the folder of tests is in memory here")
	}
	root, err := findRoot()
	require.NoError(t, err)
	cpus, err := usableCPUs()
	if err != nil {
		t.Skip(err)
	}
	w := &walBench{bench: &bench{ctx: context.Background(), root: root, cpus: cpus, seconds: 0.05}, folder: folder}
	for _, what := range []string{"durable", "plain", "read"} {
		m, err := w.measureDevice(walLoad{verb: what, size: 8192, writers: 4})
		require.NoError(t, err)
		require.InDelta(t, m.CallsPerSecond*8192, m.Wal.MiBPerSecond*(1<<20), m.CallsPerSecond*100+1e5, what)
	}
	_, err = w.measureDevice(walLoad{verb: "durable", size: 1000, writers: 1})
	require.ErrorContains(t, err, "--size: '1000' is not a number from 4096 to 16777216")
}

func TestADiskInMemoryIsRefused(t *testing.T) {
	if walload.RefuseMemory("/dev/shm") == nil {
		t.Skip("/dev/shm is not in memory here")
	}
	require.ErrorContains(t, refuseFolder("/dev/shm"), "/dev/shm is in memory (tmpfs), where a flush costs nothing")
}

func TestArgumentsOfLogs(t *testing.T) {
	l := walLoad{verb: "durable", size: 100, writers: 3}
	require.Equal(t, []string{"--size", "100", "--writers", "3", "--batch", "1", "--delay", "0s", "--partitions", "1"}, l.args())
	l = walLoad{verb: "stalled", size: 1 << 10, writers: 64, batch: 1, partitions: 64, segment: 5, memory: 64 << 20, delay: time.Second}
	require.Equal(t, []string{"--size", "1024", "--writers", "64", "--batch", "1", "--delay", "1s", "--partitions", "64",
		"--segment", "5", "--memory", "67108864"}, l.args())
	require.Equal(t, "64 × 1 KiB over 64 partitions, stalled, 64 MiB, +1s", l.name())
}

// A program in place of the logs' own, so that tables are made of figures that are known.
func pretendLogs(t *testing.T, shell string) *walBench {
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "build", "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "build", "bin", "pretend"), []byte("#!/bin/sh\n"+shell), 0o755))
	cpus, err := usableCPUs()
	if err != nil {
		t.Skip(err)
	}
	homes := map[string]string{walSMF: "pretend", walFsync: "pretend", walDsync: "pretend"}
	return &walBench{folder: t.TempDir(), homes: homes,
		bench: &bench{ctx: context.Background(), log: io.Discard, root: root, cpus: cpus, rounds: 3, seconds: 0.1}}
}

func TestPartitionsAreComparedWithOne(t *testing.T) {
	w := pretendLogs(t, `rate=200; case "$*" in *"--partitions 64"*) rate=150; esac
case "$*" in *plain*) rate=100; esac
echo "{\"calls_per_second\":$rate,\"wal\":{}}"`)
	made, err := w.measurePartitions()
	require.NoError(t, err)
	require.Empty(t, w.failures)
	require.Len(t, made.Rows, 6)
	last := len(made.Columns) - 1
	require.Equal(t, "of one partition", made.Columns[last])
	require.Empty(t, made.Rows[0][last])
	require.Equal(t, "0.75 (0.75 to 0.75)", made.Rows[3][last])
	require.Equal(t, "1.50", made.Rows[3][last-1], "of the baseline")
	require.Len(t, made.Targets, 1)
	require.False(t, made.Targets[0].met())
}

func TestTailsMustNotRead(t *testing.T) {
	w := pretendLogs(t, `echo '{"calls_per_second":9,"wal":{"tailed_per_second":8,"read_per_byte":0}}'`)
	made, err := w.measureTails()
	require.NoError(t, err)
	require.Equal(t, []string{"1 × 1 KiB, tail", "9.00 (9.00 to 9.00)", "0.00", "8.00 (8.00 to 8.00)", "0.00 (0.00 to 0.00)", "0.00", "0.00", "0.00"},
		made.Rows[0])
	require.Len(t, made.Targets, 3)
	require.True(t, made.Targets[0].met())
	// Once is enough.
	w = pretendLogs(t, `dir=$(dirname "$0"); if [ -e "$dir/again" ]; then read=0; else read=0.5; fi; touch "$dir/again"
echo "{\"calls_per_second\":9,\"wal\":{\"read_per_byte\":$read}}"`)
	made, err = w.measureTails()
	require.NoError(t, err)
	require.False(t, made.Targets[0].met())
	require.True(t, made.Targets[1].met())
}

func TestMemoryIsHeldAgainstTheBudget(t *testing.T) {
	w := pretendLogs(t, `most=80; case "$*" in *"--partitions 64"*) most=90; esac
echo "{\"calls_per_second\":9,\"wal\":{\"resident_before_mib\":10,\"resident_max_mib\":$most,\"go_heap_max_mib\":5,\"taken_mib\":7}}"`)
	made, err := w.measureMemory()
	require.NoError(t, err)
	require.Equal(t, []string{"64 × 1 KiB, stalled, 64 MiB, +500ms", "64", "10.0", "80.0 (80.0 to 80.0)", "70.0 (70.0 to 70.0)", "5.00 (5.00 to 5.00)", "7.00", "0.00"},
		made.Rows[0])
	require.True(t, made.Targets[0].met())
	require.False(t, made.Targets[1].met())
	require.InDelta(t, 0.1, w.seconds, 1e-9, "for the tables that follow")
}
