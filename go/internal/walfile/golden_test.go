package walfile

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const goldenDir = "../../../schema/golden-wal"

// golden is one file of schema/golden-wal; README.md there describes the format.
type golden struct {
	bytes  []byte
	fields map[string][]string
}

func readGolden(t testing.TB, path string) golden {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	g := golden{fields: map[string][]string{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := strings.Cut(line, ": "); ok {
			g.fields[name] = append(g.fields[name], value)
			continue
		}
		part, err := hex.DecodeString(line)
		require.NoError(t, err, "%s: %q", path, line)
		g.bytes = append(g.bytes, part...)
	}
	return g
}

func (g golden) number(t testing.TB, name string) uint64 {
	t.Helper()
	require.Len(t, g.fields[name], 1, name)
	if n, err := strconv.ParseInt(g.fields[name][0], 10, 64); err == nil {
		return uint64(n)
	}
	n, err := strconv.ParseUint(g.fields[name][0], 10, 64)
	require.NoError(t, err)
	return n
}

func (g golden) status() string { return strings.ReplaceAll(g.fields["status"][0], "_", " ") }

// compare holds what was parsed against the fields that a golden file expects.
func (g golden) compare(t *testing.T, got map[string]uint64) {
	t.Helper()
	for name := range g.fields {
		switch name {
		case "status", "topic_name", "file_id", "file_number", "position":
			continue
		case "block_bytes":
			if _, ok := got[name]; !ok {
				continue
			}
		}
		require.Contains(t, got, name)
		require.Equal(t, g.number(t, name), got[name], name)
	}
}

func eachGolden(t *testing.T, pattern string, least int, do func(t *testing.T, g golden)) {
	paths, err := filepath.Glob(filepath.Join(goldenDir, pattern))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), least)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { do(t, readGolden(t, path)) })
	}
}

func TestGoldenFiles(t *testing.T) {
	eachGolden(t, "file_*.hex", 15, func(t *testing.T, g golden) {
		f, status := ParseFile(g.bytes)
		require.Equal(t, g.status(), status.String())
		got := map[string]uint64{
			"version": uint64(f.Version), "flags": uint64(f.Flags), "kind": uint64(f.Kind), "id": f.ID,
			"number": uint64(f.Number), "block_bytes": uint64(f.BlockBytes), "first_offset": f.FirstOffset,
			"follows": uint64(f.Follows), "durable_before": uint64(f.DurableBefore),
			"follows_crc": uint64(f.FollowsCRC), "partition": uint64(f.Partition), "topic_id": f.TopicID,
			"created_us": uint64(f.Created),
		}
		if status == TooNew { // nothing else of it is known
			require.Equal(t, g.number(t, "version"), got["version"])
			return
		}
		g.compare(t, got)
		if names := g.fields["topic_name"]; names != nil {
			require.Equal(t, names[0], f.TopicName)
		}
		encoded, ok := f.Encode()
		require.Equal(t, status == Good, ok)
		if ok {
			require.Equal(t, g.bytes, encoded)
			require.True(t, f.paddingOK(g.bytes))
		}
	})
}

func TestGoldenBatches(t *testing.T) {
	eachGolden(t, "batch_*.hex", 18, func(t *testing.T, g golden) {
		file := File{ID: g.number(t, "file_id"), Number: uint32(g.number(t, "file_number")),
			BlockBytes: uint32(g.number(t, "block_bytes"))}
		position := int64(g.number(t, "position"))
		b, status := ParseBatch(g.bytes, &file, position)
		if status == Good || status == Unsupported {
			if body := b.CheckBody(g.bytes); body != Good {
				status = body
			}
		}
		require.Equal(t, g.status(), status.String())
		g.compare(t, map[string]uint64{
			"header_crc": uint64(b.HeaderCRC), "body_crc": uint64(b.BodyCRC), "body_bytes": uint64(b.BodyBytes),
			"plain_bytes": uint64(b.PlainBytes), "header_bytes": uint64(b.HeaderBytes), "kind": uint64(b.Kind),
			"compression": uint64(b.Compression), "flags": uint64(b.Flags), "count": uint64(b.Count),
			"first_offset": b.FirstOffset, "base_us": uint64(b.BaseTime), "max_us": uint64(b.MaxTime),
			"durable_before": uint64(b.DurableBefore), "producer_id": b.ProducerID,
			"producer_epoch": uint64(b.ProducerEpoch), "producer_sequence": uint64(b.ProducerSequence),
			"consensus_index": b.ConsensusIndex, "consensus_term": uint64(b.ConsensusTerm),
			"prev_crc": uint64(b.PrevCRC),
		})
		if status == Good && b.HeaderBytes == BatchHeaderSize && b.Compression == CompressionNone {
			sum := b.HeaderCRC
			encoded, ok := b.Encode(g.bytes[b.HeaderBytes:b.HeaderBytes+b.BodyBytes], &file, position)
			require.True(t, ok)
			require.Equal(t, sum, b.HeaderCRC)
			require.Equal(t, g.bytes, encoded[:len(g.bytes)])
		}
	})
}

// told is an item as a golden file tells it.
func told(i *Item) string {
	switch {
	case i.Topic != nil:
		t := i.Topic
		return fmt.Sprint("topic ", t.ID, " ", t.Created, " ", t.Partitions, " ", t.RecordBytesMax, " ", t.SegmentBytes,
			" ", t.RetentionBytes, " ", t.RetentionTime, " ", t.Name)
	case i.TopicGone != 0:
		return fmt.Sprint("topic_gone ", i.TopicGone)
	case i.Head != nil:
		return fmt.Sprint("head ", i.Head.TopicID, " ", i.Head.Partition, " ", i.Head.Offset)
	case i.Checkpoint != nil:
		c, clean := i.Checkpoint, 0
		if c.Clean {
			clean = 1
		}
		return fmt.Sprint("checkpoint ", c.TopicID, " ", c.Partition, " ", clean, " ", uint64(c.End), " ", c.NextOffset, " ", c.PrevCRC)
	}
	return fmt.Sprint("skip ", i.Type)
}

func TestGoldenWholeFiles(t *testing.T) {
	for _, pattern := range []string{"segment_*.hex", "meta_*.hex"} {
		eachGolden(t, pattern, 1, func(t *testing.T, g golden) {
			path := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(path, g.bytes, 0o600))
			r, status, err := Open(path)
			require.NoError(t, err)
			defer r.Close()
			require.Equal(t, Good, status)
			var batches, items []string
			for {
				f, status, err := r.Next()
				require.NoError(t, err)
				if status != Good {
					break
				}
				require.Empty(t, checkContents(&f))
				batches = append(batches, fmt.Sprint(f.Position, " ", f.Kind, " ", f.FirstOffset, " ", f.Count, " ",
					uint64(f.DurableBefore), " ", f.BodyBytes))
				for body := f.Body(); f.Kind == KindMeta && len(body) > 0; {
					item, rest, status := NextItem(body)
					require.Equal(t, Good, status)
					items = append(items, told(&item))
					body = rest
				}
			}
			require.Equal(t, g.fields["batch"], batches)
			require.Equal(t, g.fields["item"], items)
			behind, err := r.Behind()
			require.NoError(t, err)
			require.Zero(t, behind)
		})
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "0", "orders", "Orders.of-2026_12", "METAL", "META-1", strings.Repeat("x", 200)} {
		require.True(t, TopicNameOK(name), name)
	}
	for _, name := range []string{"", ".a", "_a", "-a", "a/b", "ä", "META", "LOCK", "META.new", "LOCK.", strings.Repeat("x", 201)} {
		require.False(t, TopicNameOK(name), name)
	}
	number, first, ok := ParseSegmentName("0000000007-00000000000000001234.seg")
	require.True(t, ok)
	require.EqualValues(t, 7, number)
	require.EqualValues(t, 1234, first)
	for _, name := range []string{"0000000000-00000000000000001234.seg", "7-1234.seg", "0000000007-00000000000000001234.seg.damaged",
		"0000000007-00000000000000001234.new", "0000000007-09223372036854775808.seg", "+000000007-00000000000000001234.seg"} {
		_, _, ok := ParseSegmentName(name)
		require.False(t, ok, name)
	}
}

// Any bytes are parsed without a panic.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(goldenDir, "*.hex"))
	require.NoError(f, err)
	for _, path := range paths {
		f.Add(readGolden(f, path).bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, status := ParseFile(data); status == Good {
			_, ok := file.Encode()
			require.True(t, ok)
		}
		file := File{ID: 1, Number: 1, BlockBytes: blockSizeMin}
		if b, status := ParseBatch(data, &file, blockSizeMin); status == Good && b.CheckBody(data) == Good {
			found := Found{Batch: b, Data: data[:b.HeaderBytes+b.BodyBytes]}
			_ = checkContents(&found)
		}
		for rest, status := data, Good; status == Good && len(rest) > 0; {
			var item Item
			if item, rest, status = NextItem(rest); status == Good {
				_ = item.paddingOK()
			}
		}
		_ = checkRecords(&Batch{Count: 1}, data)
	})
}
