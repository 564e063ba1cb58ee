package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/bench/go/walload"
	"github.com/smf-go/smf/bench/go/walload/walcheck"
)

func TestContenders(t *testing.T) {
	for _, c := range contenders {
		t.Run(c.Name, func(t *testing.T) { walcheck.All(t, c) })
	}
}

func TestPebblesFlushesAreSlowedDown(t *testing.T) {
	const delay = 30 * time.Millisecond
	log, err := openPebble(walcheck.Folder(t), walload.Options{SegmentBytes: 16 << 20, FlushDelay: delay})
	require.NoError(t, err)
	start := time.Now()
	require.NoError(t, log.Append(walload.NewRecords(0, 1, 100).Next()))
	require.GreaterOrEqual(t, time.Since(start), delay)
	require.NoError(t, log.Close())
}

func TestRaftWALHasNoSlowFlushes(t *testing.T) {
	_, err := openRaftWAL(walcheck.Folder(t), walload.Options{FlushDelay: 1})
	require.EqualError(t, err, "raft-wal has no way to slow its flushes down: leave it out where there is a --delay")
}
