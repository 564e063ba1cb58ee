package rpc_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// allocationsMax is per call, of the whole process. Not zero: the runtime has some of its own.
const allocationsMax = 0.01

func allocations(run func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

func TestAServerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const calls = 200_000
	_, address := startTyped(t)
	load := newBatchLoad(t, address, demo.SmfStorageGetMethodID, string(demoRequest("Hello, smf-world!")))
	require.NoError(t, load.run(10_000))
	var err error
	count := allocations(func() { err = load.run(calls) })
	require.NoError(t, err)
	require.Less(t, count/calls, allocationsMax, "%v allocations in %d calls", count, calls)
}

func TestAClientDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	// So many calls that what a thousand callers need when all of them wait for the first time at once (a
	// message, its channel, its payload) is not taken for a call's own.
	const callers, calls = 1000, 1000
	_, address := startTyped(t)
	load := newCallerLoad(t, dial(t, address), callers, calls)
	var err error
	count := allocations(func() { err = load.run() })
	require.NoError(t, err)
	require.Less(t, count/callers/calls, allocationsMax, "%v allocations in %d calls", count, callers*calls)
}

// A batch of calls is few system calls and few crossings of the border, whatever the machine.
func TestBatchesAreFewSystemCalls(t *testing.T) {
	const calls = 64_000
	server, address := startTyped(t)
	load := newBatchLoad(t, address, demo.SmfStorageGetMethodID, string(demoRequest("Hello, smf-world!")))
	before := core(server)
	require.NoError(t, load.run(calls))
	var after rpc.CoreStats
	eventually(t, "all are counted", func() bool {
		after = core(server)
		return after.Replies-before.Replies == calls
	})
	per := func(after, before uint64) float64 { return float64(after-before) / calls }
	require.Less(t, per(after.Reads+after.Writes, before.Reads+before.Writes), 0.1)
	require.Less(t, per(after.Turns, before.Turns), 0.1)
}
