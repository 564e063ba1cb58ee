package frame

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goldenDir = "../../../schema/golden"

// golden is one file of schema/golden; README.md there describes the format.
type golden struct {
	bytes  []byte
	fields map[string]string
}

func readGolden(t *testing.T, path string) golden {
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

func (g golden) number(t *testing.T, name string) uint32 {
	t.Helper()
	require.Contains(t, g.fields, name)
	value, err := strconv.ParseUint(g.fields[name], 10, 32)
	require.NoError(t, err)
	return uint32(value)
}

// eachGolden runs check for every file that matches. There must be so many at least, or the goldens
// went astray.
func eachGolden(t *testing.T, pattern string, countMin int, check func(*testing.T, golden)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenDir, pattern))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), countMin)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { check(t, readGolden(t, path)) })
	}
}

// checkHeader decodes, compares every field, and encodes again.
func checkHeader(t *testing.T, g golden) Header {
	t.Helper()
	h := Decode(g.bytes)
	require.Equal(t, g.number(t, "compression"), uint32(h.Compression))
	require.Equal(t, g.number(t, "flags"), uint32(h.Flags))
	require.Equal(t, g.number(t, "session"), uint32(h.Session))
	require.Equal(t, g.number(t, "size"), h.Size)
	require.Equal(t, g.number(t, "checksum"), h.Checksum)
	require.Equal(t, g.number(t, "meta"), h.Meta)

	require.Equal(t, append([]byte("before"), g.bytes[:HeaderSize]...), h.Append([]byte("before")))
	put := bytes.Repeat([]byte{0xee}, HeaderSize+1)
	h.Put(put)
	require.Equal(t, append(bytes.Clone(g.bytes[:HeaderSize]), 0xee), put)
	return h
}

func TestGoldenFrames(t *testing.T) {
	eachGolden(t, "frame_*.hex", 5, func(t *testing.T, g golden) {
		h := checkHeader(t, g)
		require.Equal(t, Good, h.CheckLevel1())
		payload := g.bytes[HeaderSize:]
		require.Len(t, payload, int(h.Size))
		require.Equal(t, h.Checksum, Checksum(payload))
		for bit := range len(payload) * 8 {
			payload[bit/8] ^= 1 << (bit % 8)
			require.NotEqual(t, h.Checksum, Checksum(payload), "bit %d flipped", bit)
			payload[bit/8] ^= 1 << (bit % 8)
		}
	})
}

func TestGoldenHeaders(t *testing.T) {
	seen := map[Fault]bool{}
	eachGolden(t, "header_*.hex", 14, func(t *testing.T, g golden) {
		require.Len(t, g.bytes, HeaderSize)
		fault := checkHeader(t, g).CheckLevel1()
		require.Equal(t, g.fields["fault"], strings.ReplaceAll(fault.String(), " ", "_"))
		seen[fault] = true
	})
	require.Len(t, seen, int(MetaZero)+1, "every fault of level 1 has a golden")
}

func TestGoldenPayloads(t *testing.T) {
	eachGolden(t, "payload_*.hex", 4, func(t *testing.T, g golden) {
		require.Len(t, g.bytes, int(g.number(t, "size")))
		require.Equal(t, g.number(t, "checksum"), Checksum(g.bytes))
	})
	zero := readGolden(t, filepath.Join(goldenDir, "payload_checksum_zero.hex"))
	require.NotEmpty(t, zero.bytes)
	require.Zero(t, Checksum(zero.bytes))
}

func TestGoldenMethodIDs(t *testing.T) {
	file, err := os.Open(filepath.Join(goldenDir, "method_ids.txt"))
	require.NoError(t, err)
	defer file.Close()
	count := 0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if line := lines.Text(); line != "" && line[0] != '#' {
			words := strings.Fields(line)
			require.Len(t, words, 5)
			id := MethodID(words[0], words[1], words[2], words[3])
			require.Equal(t, words[4], strconv.FormatUint(uint64(id), 10), line)
			count++
		}
	}
	require.NoError(t, lines.Err())
	require.GreaterOrEqual(t, count, 5)
}
