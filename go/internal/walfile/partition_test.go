package walfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walbody"
)

const blockSize = 512

// writer writes a log as docs/wal-format.md tells it, for tests.
type writer struct {
	t       *testing.T
	folder  string
	meta    File
	metaEnd []byte // its bytes
	metaAt  int64  // the end of its last batch
	prev    uint32
	topic   Topic
	segs    []*segment
	next    uint64
}

type segment struct {
	file  File
	bytes []byte
	end   int64 // of the last batch
	prev  uint32
	at    []int64 // batches
}

func newWriter(t *testing.T) *writer {
	w := &writer{t: t, folder: t.TempDir(), topic: Topic{ID: 77, Partitions: 1, SegmentBytes: 1 << 20, Name: "orders"}}
	w.meta = File{Kind: KindMetadata, ID: 5, Number: 1, BlockBytes: blockSize, TopicID: 99}
	w.metaEnd = make([]byte, blockSize)
	head, ok := w.meta.Encode()
	require.True(t, ok)
	copy(w.metaEnd, head)
	w.item(w.topicItem())
	require.NoError(t, os.MkdirAll(filepath.Join(w.folder, "orders", "0"), 0o700))
	return w
}

func (w *writer) topicItem() []byte {
	payload := make(bytes, 56+len(w.topic.Name))
	payload.put64(0, w.topic.ID)
	payload.put32(16, w.topic.Partitions)
	payload.put64(24, w.topic.SegmentBytes)
	payload.put32(48, 56)
	payload.put32(52, uint32(len(w.topic.Name)))
	copy(payload[56:], w.topic.Name)
	return encodeItem(ItemTopic, payload)
}

func encodeItem(kind uint16, payload []byte) []byte {
	item := make(bytes, 8+roundUp(int64(len(payload)), 8))
	item.put32(0, uint32(len(payload)))
	item.put16(4, kind)
	copy(item[8:], payload)
	return item
}

// item appends an item to META.
func (w *writer) item(item []byte) {
	position := int64(len(w.metaEnd))
	b := Batch{Kind: KindMeta, PrevCRC: w.prev}
	data, ok := b.Encode(item, &w.meta, position)
	require.True(w.t, ok)
	w.prev = b.HeaderCRC
	w.metaEnd = append(w.metaEnd, data...)
	w.metaAt = int64(len(w.metaEnd))
	w.metaEnd = append(w.metaEnd, make([]byte, roundUp(int64(len(w.metaEnd)), blockSize)-int64(len(w.metaEnd)))...)
}

func (w *writer) checkpoint(s *segment) {
	payload := make(bytes, 40)
	payload.put64(0, w.topic.ID)
	payload.put64(16, uint64(At(s.file.Number, s.end)))
	payload.put64(24, w.next)
	payload.put32(32, s.prev)
	w.item(encodeItem(ItemCheckpoint, payload))
}

func (w *writer) head(offset uint64) {
	payload := make(bytes, 24)
	payload.put64(0, w.topic.ID)
	payload.put64(16, offset)
	w.item(encodeItem(ItemHead, payload))
}

// segment begins a file that follows the one before.
func (w *writer) segment() *segment {
	s := &segment{file: File{Kind: KindSegment, ID: uint64(1000 + len(w.segs)), Number: uint32(len(w.segs) + 1),
		BlockBytes: blockSize, FirstOffset: w.next, TopicID: w.topic.ID, TopicName: w.topic.Name}}
	if len(w.segs) > 0 {
		last := w.segs[len(w.segs)-1]
		s.file.Follows, s.file.FollowsCRC = At(last.file.Number, last.end), last.prev
		s.file.DurableBefore = s.file.Follows
	}
	s.begin(w)
	w.segs = append(w.segs, s)
	return s
}

func (s *segment) begin(w *writer) {
	head, ok := s.file.Encode()
	require.True(w.t, ok)
	s.bytes = make([]byte, blockSize)
	copy(s.bytes, head)
	s.end, s.prev = blockSize, s.file.FollowsCRC
	s.append(w, Batch{Kind: KindState, FirstOffset: s.file.FirstOffset}, w.topicItem())
}

func (s *segment) append(w *writer, b Batch, body []byte) {
	position := int64(len(s.bytes))
	b.PrevCRC = s.prev
	data, ok := b.Encode(body, &s.file, position)
	require.True(w.t, ok)
	s.bytes = append(s.bytes, data...)
	s.at = append(s.at, position)
	s.prev, s.end = b.HeaderCRC, int64(len(s.bytes))
}

// records appends a batch; flushed: padded to a block, and so the one before it was durable.
func (w *writer) records(s *segment, count int, flushed bool) {
	var body walbody.Builder
	for i := range count {
		require.NoError(w.t, body.Add(&walbody.Record{Value: fmt.Appendf(nil, "record %d", w.next+uint64(i)), Time: 1000}))
	}
	b := Batch{Kind: KindRecords, FirstOffset: w.next, Count: uint32(count), BaseTime: 1000, MaxTime: 1000}
	if flushed {
		b.DurableBefore = At(s.file.Number, s.end)
		s.bytes = append(s.bytes, make([]byte, roundUp(int64(len(s.bytes)), blockSize)-int64(len(s.bytes)))...)
	}
	s.append(w, b, body.Body())
	w.next += uint64(count)
}

func (w *writer) path(s *segment) string {
	return filepath.Join(w.folder, "orders", "0", SegmentName(s.file.Number, s.file.FirstOffset))
}

// write writes the files, with room behind the last batches.
func (w *writer) write() {
	require.NoError(w.t, os.WriteFile(filepath.Join(w.folder, MetaName), w.metaEnd, 0o600))
	for _, s := range w.segs {
		room := make([]byte, 8*blockSize)
		require.NoError(w.t, os.WriteFile(w.path(s), append(append([]byte{}, s.bytes...), room...), 0o600))
	}
}

func (w *writer) check() (*Meta, *Partition) {
	w.t.Helper()
	m, damages, err := ReadMeta(w.folder)
	require.NoError(w.t, err)
	require.Empty(w.t, damages)
	require.NotNil(w.t, m.Topic("orders"))
	p, err := Reading{Folder: w.folder}.Check(m, m.Topic("orders"), 0)
	require.NoError(w.t, err)
	return m, p
}

// three is a log of three files with 5 batches of 2 records each, all of them durable.
func three(t *testing.T) *writer {
	w := newWriter(t)
	for range 3 {
		s := w.segment()
		for range 5 {
			w.records(s, 2, true)
		}
	}
	w.checkpoint(w.segs[2])
	w.write()
	return w
}

func lines(damages []Damage) (text []string) {
	for _, d := range damages {
		text = append(text, d.String())
	}
	return text
}

func TestWholeLog(t *testing.T) {
	w := three(t)
	_, p := w.check()
	require.Empty(t, lines(p.Damages))
	require.Len(t, p.Segments, 3)
	require.EqualValues(t, 30, p.Next)
	require.Equal(t, At(3, w.segs[2].end), p.End)
	require.EqualValues(t, 10, p.Segments[1].Records)
	require.EqualValues(t, 6, p.Segments[1].Batches)
	require.Zero(t, p.Torn)
	require.False(t, p.Damaged)
}

func TestEmptyLog(t *testing.T) {
	w := newWriter(t)
	w.write()
	_, p := w.check()
	require.Empty(t, p.Damages)
	require.Zero(t, p.Next)
	require.Zero(t, p.End)
	require.NoError(t, os.RemoveAll(filepath.Join(w.folder, "orders")))
	_, p = w.check()
	require.Empty(t, p.Damages, "a crash came before the first folder")
	_, _, err := ReadMeta(t.TempDir())
	require.ErrorIs(t, err, ErrNoLog)
}

// overwrite changes bytes of a file.
func overwrite(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(with, at)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func flip(t *testing.T, path string, at int64) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	overwrite(t, path, at, []byte{data[at] ^ 1})
}

func TestDamage(t *testing.T) {
	const second = "orders/0/0000000002-00000000000000000010.seg"
	for _, test := range []struct {
		name    string
		damage  func(t *testing.T, w *writer)
		lines   []string
		next    uint64
		damaged bool
		lost    uint64
	}{
		{"body", func(t *testing.T, w *writer) { flip(t, w.path(w.segs[1]), w.segs[1].at[3]+100) },
			[]string{second + ": byte 2048, offset 14: damaged body: a batch that was durable is not there; reading goes on at byte 2208, offset 16"},
			14, true, 14},
		{"header", func(t *testing.T, w *writer) { flip(t, w.path(w.segs[1]), w.segs[1].at[3]+20) },
			[]string{second + ": byte 1696, offset 14: damaged header: a batch that was durable is not there; reading goes on at byte 2560, offset 16"},
			14, true, 14},
		{"two bodies", func(t *testing.T, w *writer) {
			flip(t, w.path(w.segs[1]), w.segs[1].at[2]+100)
			flip(t, w.path(w.segs[2]), w.segs[2].at[2]+100)
		}, []string{
			second + ": byte 1536, offset 12: damaged body: a batch that was durable is not there; reading goes on at byte 1696, offset 14",
			"orders/0/0000000003-00000000000000000020.seg: byte 1536, offset 22: damaged body: a batch that was durable is not there; reading goes on at byte 1696, offset 24",
		}, 12, true, 14},
		{"the last batch, which META knows", func(t *testing.T, w *writer) { flip(t, w.path(w.segs[2]), w.segs[2].at[5]+100) },
			[]string{"orders/0/0000000003-00000000000000000020.seg: byte 3072, offset 28: damaged body: a batch that was durable is not there; reading goes on at byte 3232, offset 30"},
			28, true, 0},
		{"block 0 of the middle", func(t *testing.T, w *writer) { flip(t, w.path(w.segs[1]), 30) },
			[]string{second + ": byte 0, offset 10: block 0: damaged header"}, 10, true, 10},
		{"block 0 of the last", func(t *testing.T, w *writer) { flip(t, w.path(w.segs[2]), 30) },
			[]string{"orders/0/0000000003-00000000000000000020.seg: byte 0, offset 20: block 0: damaged header"}, 20, true, 0},
		{"a missing file", func(t *testing.T, w *writer) { require.NoError(t, os.Remove(w.path(w.segs[1]))) },
			[]string{"orders/0/0000000003-00000000000000000020.seg: byte 0, offset 10: it follows segment 2, and that file is not there"}, 10, true, 10},
		{"the first file is missing", func(t *testing.T, w *writer) { require.NoError(t, os.Remove(w.path(w.segs[0]))) },
			[]string{second + ": byte 0, offset 0: it follows segment 1, and that file is not there"}, 0, true, 20},
		{"all files are missing", func(t *testing.T, w *writer) {
			for _, s := range w.segs {
				require.NoError(t, os.Remove(w.path(s)))
			}
		}, []string{"orders/0: byte 0, offset 0: META knows of records, and there is no file"}, 0, true, 0},
		{"a file is cut off", func(t *testing.T, w *writer) { require.NoError(t, os.Truncate(w.path(w.segs[1]), w.segs[1].at[4])) },
			[]string{second + ": byte 2208, offset 16: truncated: a batch that was durable is not there"}, 16, true, 10},
		{"a file in another's place", func(t *testing.T, w *writer) {
			data, err := os.ReadFile(w.path(w.segs[0]))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(w.path(w.segs[1]), data, 0o600))
		}, []string{second + ": byte 0, offset 10: block 0: misplaced"}, 10, true, 10},
		{"padding", func(t *testing.T, w *writer) { overwrite(t, w.path(w.segs[1]), w.segs[1].at[3]-1, []byte{1}) },
			[]string{second + ": byte 1696, offset 14: padding is not zero (to byte 2048)"}, 30, false, 0},
		{"padding of block 0", func(t *testing.T, w *writer) {
			data, err := os.ReadFile(w.path(w.segs[1]))
			require.NoError(t, err)
			data[300] = 1
			bytes(data).put32(fileCRC, fileSum(data)) // by a program with a fault
			require.NoError(t, os.WriteFile(w.path(w.segs[1]), data, 0o600))
		}, []string{second + ": byte 0, offset 10: reserved bytes of block 0 are not zero"}, 30, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := three(t)
			test.damage(t, w)
			_, p := w.check()
			require.Equal(t, test.lines, lines(p.Damages))
			require.Equal(t, test.next, p.Next)
			require.Equal(t, test.damaged, p.Damaged)
			require.Equal(t, test.lost, p.LostRecords)
			if test.damaged {
				require.EqualValues(t, 30, p.LostNext)
			}
		})
	}
}

// Wherever a log is changed, it is noticed, or what is gone was not known to be durable.
func TestEveryByte(t *testing.T) {
	w := three(t)
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for _, s := range w.segs {
		for at := int64(0); at < s.end; at += step {
			flip(t, w.path(s), at)
			_, p := w.check()
			require.NotEmpty(t, p.Damages, "segment %d, byte %d", s.file.Number, at)
			flip(t, w.path(s), at)
		}
	}
	path := filepath.Join(w.folder, MetaName)
	for at := int64(0); at < w.metaAt; at += step {
		flip(t, path, at)
		m, damages, err := ReadMeta(w.folder)
		torn := err == nil && m.TornBytes > 0 // nothing behind it says that it was durable
		short := err == nil && (m.Topic("orders") == nil || m.Checkpoint(m.Topic("orders"), 0) == nil)
		require.True(t, err != nil || len(damages) > 0 || torn || short, "byte %d", at)
		flip(t, path, at)
	}
}

// What nobody was told to be durable is no damage when it is not there.
func TestTornTail(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 1, true)
	for range 4 { // of one flush
		w.records(s, 1, false)
	}
	w.write()
	flip(t, w.path(s), s.at[3]+100)
	_, p := w.check()
	require.Empty(t, p.Damages)
	require.EqualValues(t, 2, p.Next)
	require.Equal(t, s.end-s.at[3], p.Torn)
}

// Writes were under way in two files: the last one is left behind with what was cut.
func TestTornBeforeTheLastFile(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 1, true)
	w.records(s, 1, false)
	last := w.segment()
	last.file.DurableBefore = At(1, s.at[1])
	last.begin(w)
	w.records(last, 1, false)
	w.write()
	flip(t, w.path(s), s.at[2]+100)
	_, p := w.check()
	require.Empty(t, p.Damages)
	require.EqualValues(t, 1, p.Next)
	require.Equal(t, At(1, s.at[2]), p.End)
	require.Len(t, p.Segments, 1)
	require.Positive(t, p.Torn)
}

// A cut of the tail, in the middle of a batch: its files stay until they are deleted, and do not count.
func TestCutTail(t *testing.T) {
	w := three(t)
	s := &segment{file: File{Kind: KindSegment, ID: 4, Number: 4, BlockBytes: blockSize, FirstOffset: 13,
		TopicID: w.topic.ID, TopicName: w.topic.Name, Follows: At(2, w.segs[1].at[2]+160), DurableBefore: At(2, blockSize)}}
	b, status := ParseBatch(w.segs[1].bytes[w.segs[1].at[2]:], &w.segs[1].file, w.segs[1].at[2])
	require.Equal(t, Good, status)
	require.EqualValues(t, 160, b.Bytes())
	s.file.FollowsCRC = b.HeaderCRC
	w.next = 13
	s.begin(w)
	w.segs = append(w.segs, s)
	w.records(s, 3, true)
	w.write()
	_, p := w.check()
	require.Empty(t, lines(p.Damages))
	require.EqualValues(t, 16, p.Next)
	require.Len(t, p.Segments, 3)
}

// What is before the head may be gone.
func TestHead(t *testing.T) {
	w := three(t)
	w.head(13)
	w.write()
	require.NoError(t, os.Remove(w.path(w.segs[0])))
	_, p := w.check()
	require.Empty(t, lines(p.Damages))
	require.EqualValues(t, 13, p.Head)
	require.Len(t, p.Segments, 2)
}

func TestLaterFormat(t *testing.T) {
	w := three(t)
	data, err := os.ReadFile(w.path(w.segs[2]))
	require.NoError(t, err)
	bytes(data).put32(fileVersion, 2)
	bytes(data).put32(fileCRC, fileSum(data))
	require.NoError(t, os.WriteFile(w.path(w.segs[2]), data, 0o600))
	m, p := w.check()
	require.EqualError(t, p.Later, "orders/0/0000000003-00000000000000000020.seg is of a later format (version 2; too new): read it with a newer program")
	_, err = Reading{Folder: w.folder}.Cut(m, p)
	require.ErrorIs(t, err, p.Later, "nothing is cut that may be whole")

	copy(w.metaEnd, data[:16]) // its version
	bytes(w.metaEnd).put32(fileCRC, fileSum(w.metaEnd))
	w.write()
	_, _, err = ReadMeta(w.folder)
	require.EqualError(t, err, "META is of a later format (version 2; too new): read it with a newer program")
}

// After a cut the log is whole, goes on where the damage was, and nothing of what was cut is gone.
func TestCut(t *testing.T) {
	for name, damage := range map[string]func(w *writer){
		"body in the middle":   func(w *writer) { flip(t, w.path(w.segs[1]), w.segs[1].at[3]+100) },
		"block 0 of the first": func(w *writer) { flip(t, w.path(w.segs[0]), 30) },
		"block 0 of the last":  func(w *writer) { flip(t, w.path(w.segs[2]), 30) },
		"a missing file":       func(w *writer) { require.NoError(t, os.Remove(w.path(w.segs[1]))) },
		"no folder":            func(w *writer) { require.NoError(t, os.RemoveAll(filepath.Join(w.folder, "orders"))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := three(t)
			damage(w)
			before := map[string][]byte{}
			for _, s := range w.segs {
				if data, err := os.ReadFile(w.path(s)); err == nil {
					before[w.path(s)] = data
				}
			}
			m, p := w.check()
			require.True(t, p.Damaged)
			aside, err := Reading{Folder: w.folder}.Cut(m, p)
			require.NoError(t, err)
			require.Len(t, aside, len(p.Behind))
			_, again := w.check()
			require.Empty(t, lines(again.Damages))
			require.Equal(t, p.Next, again.Next)
			require.Equal(t, p.Head, again.Head)
			require.EqualValues(t, 4, again.End.Number())
			for path, data := range before {
				now, err := os.ReadFile(path)
				if os.IsNotExist(err) {
					now, err = os.ReadFile(path + asideEnd)
				}
				require.NoError(t, err)
				require.Equal(t, data, now)
			}
			_, err = Reading{Folder: w.folder}.Cut(m, again)
			require.EqualError(t, err, "orders/0 is not damaged")
		})
	}
}

// A cut that was begun and not ended is done again; names that are taken are left alone.
func TestCutAgain(t *testing.T) {
	w := three(t)
	flip(t, w.path(w.segs[0]), w.segs[0].at[3]+100)
	m, p := w.check()
	require.NoError(t, os.Link(w.path(w.segs[1]), w.path(w.segs[1])+asideEnd))
	require.NoError(t, os.WriteFile(w.path(w.segs[2])+asideEnd, []byte("of somebody else"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.folder, "orders", "0", "0000000004.new"), make([]byte, 1<<20), 0o600))
	aside, err := Reading{Folder: w.folder}.Cut(m, p)
	require.NoError(t, err)
	require.Equal(t, []string{
		"orders/0/0000000002-00000000000000000010.seg.damaged",
		"orders/0/0000000003-00000000000000000020.seg.damaged2",
	}, aside)
	_, again := w.check()
	require.Empty(t, lines(again.Damages))
	require.Equal(t, p.Next, again.Next)
	kept, err := os.ReadFile(w.path(w.segs[2]) + asideEnd)
	require.NoError(t, err)
	require.Equal(t, "of somebody else", string(kept))
}

// Up to its rename a cut changes nothing that counts: what a crash left is the log as it was.
func TestCutFails(t *testing.T) {
	w := three(t)
	flip(t, w.path(w.segs[0]), w.segs[0].at[3]+100)
	m, p := w.check()
	require.NoError(t, os.Mkdir(filepath.Join(w.folder, "orders", "0", "0000000004.new"), 0o700))
	_, err := Reading{Folder: w.folder}.Cut(m, p)
	require.Error(t, err)
	_, again := w.check()
	require.Equal(t, p, again)
}

func TestLock(t *testing.T) {
	folder := t.TempDir()
	held, err := Lock(folder)
	require.NoError(t, err)
	_, err = Lock(folder)
	require.ErrorIs(t, err, ErrLocked)
	_, err = LockToRead(folder)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, held.Close())
	held, err = Lock(folder)
	require.NoError(t, err)
	require.NoError(t, held.Close())
}

// The same, but a batch in the last file says that what is missing had been durable.
func TestDamageBeforeTheLastFile(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 1, true)
	w.records(s, 1, false)
	last := w.segment()
	last.file.DurableBefore = At(1, s.at[1])
	last.begin(w)
	w.records(last, 1, true)
	w.write()
	flip(t, w.path(s), s.at[2]+100)
	_, p := w.check()
	require.Equal(t, []string{fmt.Sprintf("orders/0/0000000001-00000000000000000000.seg: byte %d, offset 1: damaged body: "+
		"a batch that was durable is not there; reading goes on at byte %d, offset 2", s.at[2], s.end)}, lines(p.Damages))
	require.EqualValues(t, 1, p.Next)
	require.EqualValues(t, 1, p.LostRecords)
}

// A batch that is whole, but does not link to the one before it, is of another life of the log.
func TestUnlinkedBatch(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 1, true)
	s.prev++
	w.records(s, 1, false)
	w.write()
	_, p := w.check()
	require.Empty(t, p.Damages)
	require.EqualValues(t, 1, p.Next)
	require.Positive(t, p.Torn)
}

// Padding that is not zero, inside of batches whose checksums match: a program with a fault has written it.
func TestContents(t *testing.T) {
	var b walbody.Builder
	require.NoError(t, b.Add(&walbody.Record{Value: []byte("12345"), Key: []byte("k"), Time: 7, Headers: []walbody.Header{{Name: []byte("n")}}}))
	batch := Batch{Count: 1, BaseTime: 7, MaxTime: 7}
	require.Empty(t, checkRecords(&batch, b.Body()))
	for at, want := range map[int]string{22: "the padding of record 0 is not zero", 35: "record 0: the padding of a header is not zero"} {
		body := append([]byte{}, b.Body()...)
		require.Zero(t, body[at])
		body[at] = 1
		require.Equal(t, want, checkRecords(&batch, body))
	}
	batch.Count = 2
	require.Equal(t, "its header says 2 records, its body has 1", checkRecords(&batch, b.Body()))
	batch.Count, batch.MaxTime = 1, 8
	require.Equal(t, "its header's latest time is not that of its records", checkRecords(&batch, b.Body()))
	require.Equal(t, "record 1 has sizes that can't be", checkRecords(&batch, append(append([]byte{}, b.Body()...), 1)))

	item := encodeItem(ItemTopicGone, []byte{1, 0, 0, 0, 0, 0, 0, 0, 9})
	require.Empty(t, checkItems(item))
	item[20] = 1
	require.Equal(t, "the padding of item 0 is not zero", checkItems(item))
	require.Equal(t, "item 0 says what can't be", checkItems(encodeItem(ItemTopicGone, make([]byte, 8))))
}

// A checkpoint that names another batch fences the partition: Cut begins a file that vouches for what is there.
func TestCheckpointThatLies(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 3, true)
	w.records(s, 2, true)
	payload := make(bytes, 40)
	payload.put64(0, w.topic.ID)
	payload.put64(16, uint64(At(s.file.Number, s.end)))
	payload.put64(24, w.next)
	payload.put32(32, s.prev+1)
	w.item(encodeItem(ItemCheckpoint, payload))
	w.write()
	check := func() (*Meta, *Partition) {
		meta, damages, err := ReadMeta(w.folder)
		require.NoError(t, err)
		require.Empty(t, damages)
		p, err := Reading{Folder: w.folder}.Check(meta, meta.Topics[0], 0)
		require.NoError(t, err)
		return meta, p
	}
	meta, p := check()
	require.True(t, p.Damaged)
	require.Len(t, p.Damages, 1)
	require.Contains(t, p.Damages[0].Text, "the checkpoint in META")
	require.EqualValues(t, 5, p.Next)
	aside, err := Reading{Folder: w.folder}.Cut(meta, p)
	require.NoError(t, err)
	require.Empty(t, aside)
	_, p = check()
	require.False(t, p.Damaged)
	require.Empty(t, p.Damages)
	require.EqualValues(t, 5, p.Next)
}
