package walbody

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goldenDir = "../../../schema/golden-wal"

type field struct{ name, value string }

// golden is one file of schema/golden-wal; README.md there describes the format.
type golden struct {
	bytes  []byte
	fields []field
}

func readGolden(t testing.TB, name string) golden {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldenDir, name))
	require.NoError(t, err)
	var g golden
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := strings.Cut(line, ": "); ok {
			g.fields = append(g.fields, field{name, value})
			continue
		}
		bytes, err := hex.DecodeString(line)
		require.NoError(t, err, "%s: %q", name, line)
		g.bytes = append(g.bytes, bytes...)
	}
	return g
}

// all returns the values of every field of this name.
func (g golden) all(name string) []string {
	var values []string
	for _, f := range g.fields {
		if f.name == name {
			values = append(values, f.value)
		}
	}
	return values
}

func (g golden) number(t testing.TB, name string) int64 {
	t.Helper()
	values := g.all(name)
	require.Len(t, values, 1, name)
	number, err := strconv.ParseInt(values[0], 10, 64)
	require.NoError(t, err)
	return number
}

func goldenNames(t testing.TB, pattern string, countMin int) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenDir, pattern))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), countMin)
	for i := range paths {
		paths[i] = filepath.Base(paths[i])
	}
	return paths
}

// told reads "-" (none), "." (empty) or hex.
func told(t testing.TB, text string) []byte {
	t.Helper()
	switch text {
	case "-":
		return nil
	case ".":
		return []byte{}
	}
	bytes, err := hex.DecodeString(text)
	require.NoError(t, err)
	return bytes
}

// toldRecord reads "TIME KEY VALUE NAME=VALUE …".
func toldRecord(t testing.TB, line string) Record {
	t.Helper()
	words := strings.Fields(line)
	time, err := strconv.ParseInt(words[0], 10, 64)
	require.NoError(t, err)
	r := Record{Time: time, Key: told(t, words[1]), Value: told(t, words[2])}
	for _, word := range words[3:] {
		name, value, ok := strings.Cut(word, "=")
		require.True(t, ok)
		r.Headers = append(r.Headers, Header{Name: told(t, name), Value: told(t, value)})
	}
	return r
}

// read reads a whole body; ok is false when it is damaged.
func read(body []byte, base int64) (records []Record, ok bool) {
	for len(body) > 0 {
		var v View
		rest, err := Next(body, base, &v)
		if err != nil {
			return records, false
		}
		r := Record{Key: v.Key, Value: v.Value, Time: v.Time}
		for left := v.Headers; len(left) > 0; {
			var h Header
			if left, err = NextHeader(left, &h); err != nil {
				return records, false
			}
			r.Headers = append(r.Headers, h)
		}
		records = append(records, r)
		body = rest
	}
	return records, true
}

func TestGoldenBodies(t *testing.T) {
	for _, name := range goldenNames(t, "body_*.hex", 5) {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, name)
			var want []Record
			var b Builder
			for _, line := range g.all("record") {
				r := toldRecord(t, line)
				require.NoError(t, b.Add(&r))
				want = append(want, r)
			}
			require.Equal(t, g.bytes, b.Body())
			base, latest := b.Times()
			require.Equal(t, g.number(t, "base_us"), base)
			require.Equal(t, g.number(t, "max_us"), latest)
			require.EqualValues(t, len(want), b.Count())
			require.EqualValues(t, g.number(t, "crc"), Checksum(b.Body()))
			got, ok := read(g.bytes, base)
			require.True(t, ok)
			require.Equal(t, want, got)
		})
	}
}

// The rest of the format as docs/wal-format.md tells it, written a second time: what the native side
// takes for a whole file is one.

type fileHeader struct{ id, number, block, first, prev uint64 }

func readFile(t *testing.T, b []byte) fileHeader {
	t.Helper()
	require.Equal(t, "\x89smfwal\n", string(b[:8]))
	sum := crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:512])
	require.Equal(t, sum, binary.LittleEndian.Uint32(b[12:]))
	return fileHeader{
		id:     binary.LittleEndian.Uint64(b[24:]),
		number: uint64(binary.LittleEndian.Uint32(b[32:])),
		block:  uint64(binary.LittleEndian.Uint32(b[36:])),
		first:  binary.LittleEndian.Uint64(b[40:]),
		prev:   uint64(binary.LittleEndian.Uint32(b[64:])),
	}
}

// headerSum is the checksum of a batch's header, from what stands in it and around it.
func headerSum(b []byte, id, position uint64) uint32 {
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], id)
	binary.LittleEndian.PutUint64(seed[8:], position)
	size := binary.LittleEndian.Uint16(b[12:])
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, b[4:size])
}

func TestGoldenFiles(t *testing.T) {
	for _, name := range append(goldenNames(t, "segment_*.hex", 1), goldenNames(t, "meta_*.hex", 1)...) {
		t.Run(name, func(t *testing.T) {
			g := readGolden(t, name)
			file := readFile(t, g.bytes)
			next, prev := file.first, uint32(file.prev)
			for _, line := range g.all("batch") {
				var position, kind, first, count, durable, size uint64
				_, err := fmt.Sscan(line, &position, &kind, &first, &count, &durable, &size)
				require.NoError(t, err)
				b := g.bytes[position:]
				sum := binary.LittleEndian.Uint32(b)
				require.Equal(t, headerSum(b, file.id, position), sum)
				require.Equal(t, uint64(b[14]), kind)
				require.Equal(t, prev, binary.LittleEndian.Uint32(b[88:]), "prev_crc")
				require.Equal(t, next, first)
				require.Equal(t, first, binary.LittleEndian.Uint64(b[24:]))
				require.Equal(t, count, uint64(binary.LittleEndian.Uint32(b[20:])))
				require.Equal(t, durable, binary.LittleEndian.Uint64(b[48:]))
				require.Less(t, durable, file.number<<32|position)
				body := b[96 : 96+binary.LittleEndian.Uint32(b[8:])]
				require.Len(t, body, int(size))
				require.Equal(t, Checksum(body), binary.LittleEndian.Uint32(b[4:]))
				if kind == 1 {
					records, ok := read(body, int64(binary.LittleEndian.Uint64(b[32:])))
					require.True(t, ok)
					require.Len(t, records, int(count))
				}
				next, prev = first+count, sum
			}
			require.Zero(t, uint64(len(g.bytes))%file.block)
		})
	}
}
