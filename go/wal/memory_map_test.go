//go:build !race

package wal

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is given up goes back to the system at once, and not when Go's collector comes.
func TestMemoryGoesBack(t *testing.T) {
	const size, count = 1 << 20, 64
	mapped := func() (bytes uint64) {
		status, err := os.ReadFile("/proc/self/status")
		require.NoError(t, err)
		_, rest, found := strings.Cut(string(status), "VmSize:")
		require.True(t, found)
		_, err = fmt.Sscanf(rest, "%d kB", &bytes)
		require.NoError(t, err)
		return bytes << 10
	}
	before := mapped()
	var all [][]byte
	for range count {
		all = append(all, mapMemory(size))
	}
	require.GreaterOrEqual(t, mapped(), before+count*size)
	for _, memory := range all {
		unmapMemory(append(memory, 1))
	}
	require.Less(t, mapped(), before+count*size/2)
	unmapMemory(make([]byte, 0, size)) // Go's, which it was where the system had none
}
