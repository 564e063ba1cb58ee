package compress_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// fuzzLimit keeps what a fuzzer may ask for small.
const fuzzLimit = 1 << 20

// fuzz has any bytes decompressed: what is taken can be compressed, and comes back.
func fuzz(f *testing.F, codec compress.Codec) {
	for _, pattern := range []string{codec.Compression().String() + "_*.hex", "bad_" + codec.Compression().String() + "_*.hex"} {
		for _, g := range goldens(f, pattern, 4) {
			f.Add(g.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		payload, code := decompress(codec, b, fuzzLimit)
		require.Equal(t, before, b)
		if code != rpc.CodeOK {
			return
		}
		require.NotEmpty(t, payload)
		again := make([]byte, codec.Bound(len(payload)))
		n, err := codec.Compress(again, payload)
		require.NoError(t, err)
		back, code := decompress(codec, again[:n], fuzzLimit)
		require.Equal(t, rpc.CodeOK, code)
		require.Equal(t, payload, back)
	})
}

func FuzzDecompressZstd(f *testing.F) { fuzz(f, newZstd(f)) }
func FuzzDecompressLZ4(f *testing.F)  { fuzz(f, newLZ4(f)) }

// everyLevel is a codec of each level.
func everyLevel(t *testing.T) []compress.Codec {
	var codecs []compress.Codec
	for level := zstd.LevelMin; level <= zstd.LevelMax; level++ {
		c, err := zstd.New(level)
		require.NoError(t, err)
		codecs = append(codecs, c)
	}
	for level := lz4.LevelFast; level <= lz4.LevelMax; level++ {
		c, err := lz4.New(level)
		require.NoError(t, err)
		codecs = append(codecs, c)
	}
	return codecs
}

// What is compressed comes back, at every level, and what is not the whole of it is refused.
func TestWhatIsCompressedComesBack(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, codec := range everyLevel(t) {
		for _, size := range []int{1, 2, 11, 12, 13, 255, 256, 257, 4096, 65535, 65536, 70000, 400_000} {
			payload := make([]byte, size)
			for i := range payload { // half of it noise, half repeated
				if payload[i] = byte(random.Uint32()); i > size/2 {
					payload[i] = payload[i%(1+size/7)]
				}
			}
			room := make([]byte, codec.Bound(size))
			n, err := codec.Compress(room, payload)
			require.NoError(t, err)
			back, code := decompress(codec, room[:n], fuzzLimit)
			require.Equal(t, rpc.CodeOK, code, "%s, %d bytes", codec.Compression(), size)
			require.Equal(t, payload, back)
			_, code = decompress(codec, room[:n-1], fuzzLimit)
			require.Equal(t, rpc.CodeBadRequest, code, "%s, %d bytes", codec.Compression(), size)
			_, err = codec.Compress(room[:codec.Bound(size)-1], payload)
			require.Error(t, err, "too little room")
		}
	}
	for _, level := range []int{-1, 0, 20} {
		_, err := zstd.New(level)
		require.Error(t, err)
	}
	for _, level := range []int{-1, 10} {
		_, err := lz4.New(level)
		require.Error(t, err)
	}
}

// The stock zstd reads what was compressed, and says of it what it says of its own.
func TestTheStockToolReadsWhatWasCompressed(t *testing.T) {
	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("no zstd: apt-get install zstd")
	}
	for name, g := range goldens(t, "payload_*.hex", 3) {
		t.Run(name, func(t *testing.T) {
			codec := newZstd(t)
			room := make([]byte, codec.Bound(len(g.bytes)))
			n, err := codec.Compress(room, g.bytes)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "payload.zst")
			require.NoError(t, os.WriteFile(path, room[:n], 0o600))
			payload, err := exec.Command(tool, "-dc", path).Output()
			require.NoError(t, err)
			require.Equal(t, g.bytes, payload)
		})
	}
}
