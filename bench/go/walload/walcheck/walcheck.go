// Package walcheck is the tests that every contender has to pass: a figure of a log that loses what it has
// acknowledged is worth nothing.
package walcheck

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/bench/go/walload"
)

const segmentBytes = 16 << 20

// Folder is an empty one on a disk: a test's own is in memory on some machines, and O_DIRECT may not work.
func Folder(t *testing.T) string {
	folder := t.TempDir()
	if walload.RefuseMemory(folder) == nil {
		return folder
	}
	folder, err := os.MkdirTemp(".", "log-*.tmp")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	return folder
}

// All runs every test on a contender.
func All(t *testing.T, c walload.Contender) {
	t.Run("what was acknowledged is in the file", func(t *testing.T) { acknowledged(t, c) })
	t.Run("a sync covers what was taken", func(t *testing.T) { synced(t, c) })
	t.Run("a log that is full goes on in its old files", func(t *testing.T) { recycled(t, c) })
	t.Run("it opens after its writers have stopped in the middle", func(t *testing.T) { reopened(t, c) })
	t.Run("its program measures it", func(t *testing.T) { measured(t, c) })
}

// acknowledged reads the files while the log is open: what only its Close writes is not there.
func acknowledged(t *testing.T, c walload.Contender) {
	const size, writers, each = 100, 8, 20
	folder := Folder(t)
	options := walload.Options{SegmentBytes: segmentBytes}
	log, err := c.Open(folder, options)
	require.NoError(t, err)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			records := walload.NewRecords(w, 3, size)
			for range each {
				if err := log.Append(records.Next()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	checker := walload.NewChecker(size)
	require.NoError(t, c.Read(copied(t, folder), options, checker.Visit))
	for w := range writers {
		require.EqualValues(t, 3*each, checker.Of(w), "of writer %d", w)
	}
	require.NoError(t, log.Close())
}

func synced(t *testing.T, c walload.Contender) {
	const size, count = 1000, 500
	folder := Folder(t)
	options := walload.Options{SegmentBytes: segmentBytes}
	log, err := c.Open(folder, options)
	require.NoError(t, err)
	records := walload.NewRecords(0, 1, size)
	for range count {
		require.NoError(t, log.Write(records.Next()))
	}
	require.NoError(t, log.Sync())
	checker := walload.NewChecker(size)
	require.NoError(t, c.Read(copied(t, folder), options, checker.Visit))
	require.EqualValues(t, count, checker.Of(0))
	require.NoError(t, log.Close())
}

func recycled(t *testing.T, c walload.Contender) {
	folder := Folder(t)
	log, err := c.Open(folder, walload.Options{SegmentBytes: segmentBytes, Recycle: true})
	require.NoError(t, err)
	records := walload.NewRecords(0, 128, 1024)
	for range 5 * segmentBytes / (128 * 1024) {
		require.NoError(t, log.Append(records.Next()))
	}
	require.Eventually(t, func() bool { return bytesIn(t, folder) < 5*segmentBytes }, 10*time.Second,
		10*time.Millisecond, "what is old stays for ever")
	require.NoError(t, log.Close())
}

// reopened opens a log that was never closed, appends, and finds what both have written.
func reopened(t *testing.T, c walload.Contender) {
	const size = 512
	folder := Folder(t)
	options := walload.Options{SegmentBytes: segmentBytes}
	first, err := c.Open(folder, options)
	require.NoError(t, err)
	require.NoError(t, first.Append(walload.NewRecords(0, 100, size).Next()))
	again := copied(t, folder)
	require.NoError(t, first.Close())
	second, err := c.Open(again, options)
	require.NoError(t, err)
	require.NoError(t, second.Append(walload.NewRecords(1, 50, size).Next()))
	checker := walload.NewChecker(size)
	require.NoError(t, c.Read(copied(t, again), options, checker.Visit))
	if c.EmptiesAtOpen == "" {
		require.EqualValues(t, 100, checker.Of(0))
	}
	require.EqualValues(t, 50, checker.Of(1))
	require.NoError(t, second.Close())
}

func measured(t *testing.T, c walload.Contender) {
	call := func(args ...string) (m walload.Measurement) {
		var out bytes.Buffer
		args = append(args, "--contender", c.Name, "--seconds", "0.02", "--warmup", "0", "--segment", "16777216")
		require.NoError(t, walload.Run(args, []walload.Contender{c}, &out))
		require.NoError(t, json.Unmarshal(out.Bytes(), &m), "%s", &out)
		return m
	}
	m := call("durable", "--dir", Folder(t), "--writers", "3", "--batch", "10", "--size", "100")
	require.Positive(t, m.RecordsPerSecond)
	require.GreaterOrEqual(t, m.Wal.FillWrittenPerByte, 1.0, "a log that writes less than it was given")
	require.Positive(t, call("buffered", "--dir", Folder(t), "--writers", "2").RecordsPerSecond)
	folder := Folder(t)
	var out bytes.Buffer
	fill := []string{"fill", "--contender", c.Name, "--dir", folder, "--total", "3000000"}
	require.NoError(t, walload.Run(fill, []walload.Contender{c}, &out))
	require.Equal(t, "3072\n", out.String(), "three times a mebibyte of records")
	m = call("read", "--dir", folder, "--acked", "3072")
	require.Positive(t, m.RecordsPerSecond)
	require.GreaterOrEqual(t, m.Wal.ReadPerByte, 1.0, "a cold log that is not read from the disk")
	tooMany := []string{"read", "--contender", c.Name, "--dir", folder, "--acked", "3073"}
	require.EqualError(t, walload.Run(tooMany, []walload.Contender{c}, &out),
		"3073 records were acknowledged and 3072 are there")
	require.Positive(t, call("open", "--dir", folder).Wal.OpenMS)
	m = call("durable", "--dir", Folder(t), "--delay", "3ms", "--seconds", "0.3")
	require.LessOrEqual(t, m.RecordsPerSecond, 360.0, "it is not as slow as it was told to be")
	abilities(t, c, call)
}

// abilities measures what only some can do.
func abilities(t *testing.T, c walload.Contender, call func(args ...string) walload.Measurement) {
	if c.Parted {
		m := call("durable", "--dir", Folder(t), "--partitions", "3", "--writers", "7")
		require.Positive(t, m.RecordsPerSecond)
		require.Positive(t, m.Wal.WrittenPerEncoded)
	}
	if c.Followed {
		m := call("tail", "--dir", Folder(t), "--writers", "3")
		require.Positive(t, m.RecordsPerSecond)
		require.GreaterOrEqual(t, m.Wal.TailedPerSecond, 0.0) // that all was read is part of the measurement
	}
	if c.Budget {
		m := call("stalled", "--dir", Folder(t), "--writers", "8", "--delay", "100ms", "--memory", "8388608", "--seconds", "0.3")
		require.Equal(t, 8.0, m.Wal.BudgetMiB)
		require.Positive(t, m.Wal.HeapMaxMiB)
		require.Greater(t, m.Wal.ResidentMaxMiB, m.Wal.ResidentBeforeMiB)
		require.Positive(t, m.Wal.TakenMiB)
	}
}

// copied is a folder as it is now, as a kill would leave it.
func copied(t *testing.T, folder string) string {
	to := Folder(t)
	require.NoError(t, os.CopyFS(to, os.DirFS(folder)))
	return to
}

func bytesIn(t *testing.T, folder string) (sum int64) {
	require.NoError(t, filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has gone
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	}))
	return sum
}
