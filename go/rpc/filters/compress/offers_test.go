package compress_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

// At level 2 payloads are compressed, both ways, where both sides have said that they take it; at level 1 always.
// Whatever is said, calls are whole.
func TestOnlyWhatBothSidesTakeIsSentCompressed(t *testing.T) {
	zstd, lz4 := newZstd(t), newLZ4(t)
	filter := newFilter(t, compress.Options{Send: zstd, Accept: []compress.Codec{lz4}})
	store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
		d, name := reply.Defer(), string(req.Name())
		go d.Object(&demo.ResponseT{Name: name})
		return nil
	}}
	both := []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}
	for _, c := range []struct {
		server, client []rpc.Compression
		level          int
		compressed     int64 // of the payloads of two calls
	}{
		{both, both, rpc.RequireLevel2, 4},
		{both[:1], both[:1], rpc.RequireLevel2, 4},
		{both, both[:1], rpc.RequireLevel2, 4},
		{nil, both, rpc.RequireLevel2, 0},
		{both, nil, rpc.RequireLevel2, 0},
		{nil, nil, rpc.RequireLevel2, 0},
		{both[1:], both, rpc.RequireLevel2, 0}, // lz4, which nobody sends here
		{both, both[1:], rpc.RequireLevel2, 0},
		{both, both, 1, 4},
		{nil, nil, 1, 4},
	} {
		t.Run(fmt.Sprint(c.server, c.client, c.level), func(t *testing.T) {
			w := new(wire)
			address := filtertest.ServeWith(t, store, rpc.ServerOptions{Filters: []rpc.Filter{filter}, Compressions: c.server})
			client := filtertest.DialWith(t, address,
				rpc.ClientOptions{Filters: []rpc.Filter{filter, w.filter}, Compressions: c.client, Level: c.level})
			name := strings.Repeat("what is said again and again ", 10_000)
			for _, call := range []func(testing.TB, rpc.Caller, string, ...rpc.ServiceOption) (string, error){filtertest.Put, filtertest.Get} {
				reply, err := call(t, client, name)
				require.NoError(t, err)
				require.Equal(t, name, reply)
			}
			require.Equal(t, c.compressed, w.compressed.Load())
			require.Equal(t, c.compressed == 0, w.requests.Load() > int64(2*len(name)))
			require.Equal(t, c.compressed == 0, w.replies.Load() > int64(2*len(name)))
		})
	}
}

func TestWhatAFilterTakes(t *testing.T) {
	zstd, lz4 := newZstd(t), newLZ4(t)
	for _, c := range []struct {
		options compress.Options
		want    []rpc.Compression
	}{
		{compress.Options{}, nil},
		{compress.Options{Send: lz4}, []rpc.Compression{rpc.CompressionLZ4}},
		{compress.Options{Accept: []compress.Codec{lz4, zstd}}, []rpc.Compression{rpc.CompressionLZ4, rpc.CompressionZstd}},
		{compress.Options{Send: zstd, Accept: []compress.Codec{zstd, lz4, nil}}, []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}},
	} {
		require.Equal(t, c.want, c.options.Compressions())
	}
}
