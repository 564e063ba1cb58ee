package compress_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// goldenDir has what stock libraries make of payloads; README.md there describes the files.
const goldenDir = "../../../../schema/golden-compression"

type golden struct {
	bytes  []byte
	fields map[string]string
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	g := golden{fields: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := strings.Cut(line, ": "); ok {
			g.fields[name] = value
			continue
		}
		bytes, err := hex.DecodeString(line)
		require.NoError(t, err, "%s: %q", path, line)
		g.bytes = append(g.bytes, bytes...)
	}
	return g
}

// goldens are the files that match; so many there are at least.
func goldens(t testing.TB, pattern string, countMin int) map[string]golden {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenDir, pattern))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), countMin)
	found := map[string]golden{}
	for _, path := range paths {
		found[filepath.Base(path)] = readGolden(t, path)
	}
	return found
}

// want is what comes of a compressed payload.
func (g golden) want(t *testing.T) []byte {
	if name, ok := g.fields["payload"]; ok {
		return readGolden(t, filepath.Join(goldenDir, name+".hex")).bytes
	}
	size, err := strconv.Atoi(g.fields["zeros"])
	require.NoError(t, err)
	return make([]byte, size)
}

func (g golden) limit(t *testing.T) int64 {
	text, ok := g.fields["limit"]
	if !ok {
		return compress.MaxBytesDefault
	}
	limit, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return limit
}

func newZstd(t testing.TB) compress.Codec {
	c, err := zstd.New(zstd.LevelDefault)
	require.NoError(t, err)
	return c
}

func newLZ4(t testing.TB) compress.Codec {
	c, err := lz4.New(lz4.LevelFast)
	require.NoError(t, err)
	return c
}

func codecNamed(t testing.TB, name string) compress.Codec {
	if name == "zstd" {
		return newZstd(t)
	}
	require.Equal(t, "lz4", name)
	return newLZ4(t)
}

// decompress does what the filter does, without memory for what can't be.
func decompress(codec compress.Codec, b []byte, limit int64) ([]byte, rpc.Code) {
	size, err := codec.Size(b)
	if err != nil {
		return nil, rpc.CodeBadRequest
	}
	if size > uint64(limit) {
		return nil, rpc.CodeTooLarge
	}
	if codec.Check(b, size) != nil {
		return nil, rpc.CodeBadRequest
	}
	payload := make([]byte, size)
	if codec.Decompress(payload, b) != nil {
		return nil, rpc.CodeBadRequest
	}
	return payload, rpc.CodeOK
}

func TestGoldenPayloadsOfStockLibraries(t *testing.T) {
	for _, pattern := range []string{"zstd_*.hex", "lz4_*.hex"} {
		for name, g := range goldens(t, pattern, 4) {
			t.Run(name, func(t *testing.T) {
				payload, code := decompress(codecNamed(t, g.fields["compression"]), g.bytes, g.limit(t))
				require.Equal(t, rpc.CodeOK, code)
				require.Equal(t, g.want(t), payload)
			})
		}
	}
}

func TestGoldenPayloadsThatAreRefused(t *testing.T) {
	for name, g := range goldens(t, "bad_*.hex", 10) {
		t.Run(name, func(t *testing.T) {
			payload, code := decompress(codecNamed(t, g.fields["compression"]), g.bytes, g.limit(t))
			require.Nil(t, payload)
			require.Equal(t, g.fields["code"], strconv.Itoa(int(code)))
		})
	}
}

func TestGoldenFramesOfLevelOne(t *testing.T) {
	for name, g := range goldens(t, "frame_*.hex", 4) {
		t.Run(name, func(t *testing.T) {
			h := frame.Decode(g.bytes)
			body := g.bytes[frame.HeaderSize:]
			require.Equal(t, frame.Good, h.CheckLevel1())
			require.Equal(t, uint32(len(body)), h.Size)
			require.Equal(t, frame.Checksum(body), h.Checksum)
			require.Equal(t, g.fields["compression"], rpc.Compression(h.Compression).String())
			payload, code := decompress(codecNamed(t, g.fields["compression"]), body, g.limit(t))
			require.Equal(t, rpc.CodeOK, code)
			require.Equal(t, g.want(t), payload)
		})
	}
}

func itoa(code rpc.Code) string { return strconv.Itoa(int(code)) }

// randomText does not get smaller by any compression.
func randomText(size int) string {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return string(b)
}

// What so few bytes can't become is found without memory for it.
func TestBoastsAreFoundBeforeMemoryIsSpent(t *testing.T) {
	for name, g := range goldens(t, "bad_*_boast.hex", 2) {
		codec := codecNamed(t, g.fields["compression"])
		size, err := codec.Size(g.bytes)
		require.NoError(t, err, name)
		require.Error(t, codec.Check(g.bytes, size), name)
	}
}

// The library would step over a frame that decompresses to nothing.
func TestNothingMayFollowAFrame(t *testing.T) {
	whole := readGolden(t, filepath.Join(goldenDir, "zstd_text.hex")).bytes
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	for _, both := range [][]byte{append(bytes.Clone(whole), skippable...), append(bytes.Clone(skippable), whole...)} {
		_, code := decompress(newZstd(t), both, compress.MaxBytesDefault)
		require.Equal(t, rpc.CodeBadRequest, code)
	}
}
