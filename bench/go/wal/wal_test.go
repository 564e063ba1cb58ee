package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/bench/go/walload"
	"github.com/smf-go/smf/bench/go/walload/walcheck"
)

func TestContenders(t *testing.T) {
	for _, c := range contenders {
		t.Run(c.Name, func(t *testing.T) { walcheck.All(t, c) })
	}
}

func openTest(t *testing.T, folder string, recycle bool) *plainLog {
	log, err := openPlain(folder, walload.Options{SegmentBytes: 2 * groupBytes, Recycle: recycle}, false)
	require.NoError(t, err)
	return log
}

// What a file held in its former life is not part of the log.
func TestFilesThatAreUsedAgainEndWhereTheyWereWritten(t *testing.T) {
	folder := walcheck.Folder(t)
	log := openTest(t, folder, true)
	records := walload.NewRecords(0, 1000, 1024)
	for range 2*9 + 3 {
		require.NoError(t, log.Append(records.Next()))
	}
	sequence, offset := log.files.sequence, log.files.offset
	require.NoError(t, log.Close())
	again := openTest(t, folder, true)
	require.Equal(t, sequence, again.files.sequence)
	require.Equal(t, offset, again.files.offset)
	require.NoError(t, again.Append(records.Next()))
	require.NoError(t, again.Close())
}

func TestDamagedGroupsEndTheLog(t *testing.T) {
	folder := walcheck.Folder(t)
	log := openTest(t, folder, false)
	records := walload.NewRecords(0, 1, 5000)
	for range 3 {
		require.NoError(t, log.Append(records.Next()))
	}
	require.NoError(t, log.Close())
	path := filepath.Join(folder, "00000000")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[2*8192+5000] ^= 1 // in the third group
	require.NoError(t, os.WriteFile(path, data, 0o600))
	checker := walload.NewChecker(5000)
	require.NoError(t, readPlain(folder, walload.Options{}, checker.Visit))
	require.EqualValues(t, 2, checker.Records)
}

// A write that fails is nobody's, and nothing comes after it.
func TestAFailedWriteEndsTheLog(t *testing.T) {
	log := openTest(t, walcheck.Folder(t), false)
	records := walload.NewRecords(0, 1, 100)
	require.NoError(t, log.Append(records.Next()))
	good := log.files.fds
	log.files.fds = []int{-1}
	require.ErrorContains(t, log.Append(records.Next()), "bad file descriptor")
	log.files.fds = good
	require.ErrorContains(t, log.Append(records.Next()), "bad file descriptor")
	require.ErrorContains(t, log.Close(), "bad file descriptor")
}

func TestABatchThatNeverFitsIsRefused(t *testing.T) {
	log := openTest(t, walcheck.Folder(t), false)
	err := log.Append([][]byte{make([]byte, groupBytes)})
	require.EqualError(t, err, "a batch of 4194312 bytes is larger than a group")
	require.NoError(t, log.Close())
}

// Zeroes are written before records: a first fill costs twice what is in it, the first file's included.
func TestTheFirstFillHasItsZeroes(t *testing.T) {
	var out bytes.Buffer
	args := []string{"durable", "--contender", "plain-dsync", "--dir", walcheck.Folder(t), "--segment", "16777216", "--seconds", "0.01"}
	require.NoError(t, walload.Run(args, contenders, &out))
	var m walload.Measurement
	require.NoError(t, json.Unmarshal(out.Bytes(), &m))
	require.GreaterOrEqual(t, m.Wal.FillWrittenPerByte, 1.99)
}
