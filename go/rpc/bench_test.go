package rpc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/schema/demo"
)

// Batches of 64 calls on one connection; an operation is one call.
func BenchmarkServerBatch(b *testing.B) {
	_, address := startTyped(b)
	load := newBatchLoad(b, address, demo.SmfStorageGetMethodID, string(demoRequest("Hello, smf-world!")))
	require.NoError(b, load.run(10_000))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run(b.N))
}

// 1000 goroutines on one client; an operation is one call.
func BenchmarkClient1000(b *testing.B) {
	_, address := startTyped(b)
	load := newCallerLoad(b, dial(b, address), 1000, b.N/1000+1)
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run())
}

// One caller that waits for every reply.
func BenchmarkClient1(b *testing.B) {
	_, address := startTyped(b)
	load := newCallerLoad(b, dial(b, address), 1, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run())
}
