package conformance

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// Of the filters of both languages: what is larger is compressed, and what becomes larger than that is refused.
const (
	compressMin       = 1000
	decompressedMax   = 1<<20 - 1
	compressionInC    = "../../../build/native/libsmf_compress.a"
	noCompressionInC  = "libsmf_compress was not built"
	compressionDefine = "-DCONFORMANCE_COMPRESS"
)

func hasCompressionInC() bool {
	_, err := os.Stat(compressionInC)
	return err == nil
}

func codecs() (map[string]compress.Codec, error) {
	z, err := zstd.New(zstd.LevelDefault)
	if err != nil {
		return nil, err
	}
	l, err := lz4.New(lz4.LevelFast)
	if err != nil {
		return nil, err
	}
	return map[string]compress.Codec{"zstd": z, "lz4": l}, nil
}

// filtersOf is a filter that compresses so, and reads everything; of "" there is none.
func filtersOf(name string) ([]rpc.Filter, error) {
	if name == "" {
		return nil, nil
	}
	all, err := codecs()
	if err != nil {
		return nil, err
	}
	filter, err := compress.New(compress.Options{
		Send: all[name], Accept: []compress.Codec{all["zstd"], all["lz4"]},
		MinBytes: compressMin, MaxBytes: decompressedMax,
	})
	return []rpc.Filter{filter}, err
}

// readBy is what these filters read, for Hello.
func readBy(filters []rpc.Filter) []rpc.Compression {
	if len(filters) == 0 {
		return nil
	}
	return []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}
}

// plain is a payload as it was before its compression, and how that is called.
func plain(t *testing.T, compression uint8, payload []byte) (name string, decompressed []byte) {
	all, err := codecs()
	require.NoError(t, err)
	for name, codec := range all {
		if uint8(codec.Compression()) != compression {
			continue
		}
		size, err := codec.Size(payload)
		require.NoError(t, err)
		decompressed = make([]byte, size)
		require.NoError(t, codec.Decompress(decompressed, payload))
		return " " + name, decompressed
	}
	return "", payload
}
