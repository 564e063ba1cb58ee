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

func TestFlushesAreSlowedDown(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, c := range contenders {
		t.Run(c.Name, func(t *testing.T) {
			log, err := c.Open(walcheck.Folder(t), walload.Options{SegmentBytes: 16 << 20, FlushDelay: delay})
			require.NoError(t, err)
			start := time.Now()
			require.NoError(t, log.Append(walload.NewRecords(0, 1, 100).Next()))
			require.GreaterOrEqual(t, time.Since(start), delay)
			require.NoError(t, log.Close())
		})
	}
}
