package rpc_test

import (
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pinnedThreads counts the process's threads that may not run on every CPU of it.
func pinnedThreads(t testing.TB) (pinned int) {
	list, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, entry := range list {
		tid, err := strconv.Atoi(entry.Name())
		require.NoError(t, err)
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) == nil && set.Count() < runtime.NumCPU() {
			pinned++
		}
	}
	return pinned
}
