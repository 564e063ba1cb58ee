package walfile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/walbody"
)

// large is a log of three files of some 100 KiB with 100 batches, all of them durable.
func large(t *testing.T) *writer {
	w := newWriter(t)
	for range 3 {
		s := w.segment()
		for i := range 100 {
			w.records(s, 5+i%40, i%3 > 0)
		}
		w.records(s, 1, true)
	}
	w.checkpoint(w.segs[2])
	w.write()
	return w
}

// values reads all records that Check finds, by their offsets.
func (w *writer) values() (*Partition, map[uint64]string) {
	w.t.Helper()
	m, damages, err := ReadMeta(w.folder)
	require.NoError(w.t, err)
	require.Empty(w.t, damages)
	found := map[uint64]string{}
	reading := Reading{Folder: w.folder, Records: func(_ *Partition, f *Found, until uint64) {
		require.NoError(w.t, eachValue(f, func(offset uint64, value string) {
			if offset < until {
				found[offset] = value
			}
		}))
	}}
	p, err := reading.Check(m, m.Topic("orders"), 0)
	require.NoError(w.t, err)
	return p, found
}

func eachValue(f *Found, each func(offset uint64, value string)) error {
	offset := f.FirstOffset
	for body := f.Body(); len(body) > 0; offset++ {
		var v walbody.View
		rest, err := walbody.Next(body, f.BaseTime, &v)
		if err != nil {
			return err
		}
		each(offset, string(v.Value))
		body = rest
	}
	return nil
}

// batches are where the batches of a segment with records begin and end, and their offsets.
func (w *writer) batches(s *segment) (found []Found) {
	r, status, err := Open(w.path(s))
	require.NoError(w.t, err)
	require.Equal(w.t, Good, status)
	defer r.Close()
	for {
		f, status, err := r.Next()
		require.NoError(w.t, err)
		if status != Good {
			return found
		}
		if f.Kind == KindRecords {
			found = append(found, f)
		}
	}
}

func (f *Found) touches(s Stretch) bool { return f.Position < s.To && f.Position+f.Bytes() > s.From }

// A page in the middle: it is told as what it is, and everything around it is read.
func TestUnreadablePage(t *testing.T) {
	w := large(t)
	all := w.batches(w.segs[1])
	bad := stretch(8192, 12288)
	first := slices.IndexFunc(all, func(f Found) bool { return f.touches(bad) })
	behind := first + slices.IndexFunc(all[first:], func(f Found) bool { return !f.touches(bad) })
	spoil(t, w.path(w.segs[1]), bad)
	p, values := w.values()
	require.Len(t, p.Damages, 1)
	require.Equal(t, all[first].FirstOffset, p.Next)
	require.Equal(t, fmt.Sprintf("4096 bytes at 8192 can't be read: input/output error; reading goes on at byte %d, offset %d",
		all[behind].Position, all[behind].FirstOffset), p.Damages[0].Text)
	require.Equal(t, all[first].FirstOffset, p.Damages[0].Offset)
	require.True(t, p.Damaged)
	require.False(t, p.Damages[0].Harmless)
	require.Equal(t, w.next, p.LostNext)
	for offset := range w.next {
		value, ok := values[offset]
		require.Equal(t, offset < all[first].FirstOffset || offset >= all[behind].FirstOffset, ok, "offset %d", offset)
		require.True(t, !ok || value == fmt.Sprintf("record %d", offset))
	}
	m, _, err := ReadMeta(w.folder)
	require.NoError(t, err)
	_, err = Reading{Folder: w.folder}.Cut(m, p)
	require.NoError(t, err)
	p, values = w.values()
	require.Empty(t, lines(p.Damages), "nobody reads it any more")
	require.Len(t, values, int(all[first].FirstOffset))
}

// Any pages of any files: of each batch that they don't touch, all records are read.
func TestUnreadablePages(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := large(t)
	rounds := 100
	if testing.Short() {
		rounds = 20
	}
	for range rounds {
		t.Run("", func(t *testing.T) {
			want := map[uint64]bool{}
			for _, s := range w.segs {
				all := w.batches(s)
				var bad []Stretch
				for at := pageSize * (1 + random.Int64N(20)); at < s.end && len(bad) < 4; at += pageSize * (1 + random.Int64N(20)) {
					size := pageSize * (1 + random.Int64N(3))
					bad = append(bad, stretch(at, at+size))
					at += size
				}
				for _, f := range all {
					for i := range f.Count {
						want[f.FirstOffset+uint64(i)] = !slices.ContainsFunc(bad, f.touches)
					}
				}
				spoil(t, w.path(s), bad...)
			}
			_, values := w.values()
			for offset := range w.next {
				_, ok := values[offset]
				require.Equal(t, want[offset], ok, "offset %d", offset)
			}
		})
	}
}

// What a later file would have said of a damaged batch can't be read: then that batch may have been durable.
func TestUnreadableEvidence(t *testing.T) {
	w := newWriter(t)
	for range 2 {
		s := w.segment()
		s.file.DurableBefore = 0 // nobody knows of anything durable
		head, ok := s.file.Encode()
		require.True(t, ok)
		copy(s.bytes, head)
		for range 100 {
			w.records(s, 5, false)
		}
	}
	first, second := w.segs[0], w.segs[1]
	first.bytes[first.at[len(first.at)-1]+BatchHeaderSize] ^= 1
	w.write()
	p, _ := w.values()
	require.Empty(t, lines(p.Damages), "a crash may have left it so")
	spoil(t, w.path(second), stretch(4096, 8192))
	p, _ = w.values()
	require.True(t, p.Damaged)
	require.Contains(t, p.Damages[0].Text, "was durable, perhaps: not all of orders/0/"+filepath.Base(w.path(second))+" can be read")
	require.Contains(t, strings.Join(lines(p.Damages), "\n"), "4096 bytes at 4096 can't be read", "reading goes on, and tells why")
}

// Behind the end of the last file nothing can tell what was there: that is damage, and can be cut.
func TestUnreadableBehindTheEnd(t *testing.T) {
	w := large(t)
	last := w.segs[2]
	room := roundUp(last.end, pageSize) + pageSize
	require.NoError(t, os.Truncate(w.path(last), room+16*pageSize))
	p, values := w.values()
	require.Empty(t, lines(p.Damages))
	require.Len(t, values, int(w.next))
	spoil(t, w.path(last), stretch(room, room+2*pageSize))
	p, values = w.values()
	require.Equal(t, []string{fmt.Sprintf("orders/0/%s: byte %d, offset %d: 8192 bytes at %d can't be read: input/output error",
		filepath.Base(w.path(last)), last.end, w.next, room)}, lines(p.Damages))
	require.True(t, p.Damaged)
	require.Len(t, values, int(w.next))
	require.Equal(t, w.next, p.Next)
	require.Equal(t, w.next, p.LostNext)
	m, _, err := ReadMeta(w.folder)
	require.NoError(t, err)
	torn, err := Reading{Folder: w.folder}.Torn(m, m.Topic("orders"), 0)
	require.NoError(t, err)
	require.Zero(t, torn)
	aside, err := Reading{Folder: w.folder}.Cut(m, p)
	require.NoError(t, err)
	require.Empty(t, aside)
	p, _ = w.values()
	require.Empty(t, lines(p.Damages))
}

// A file of which block 0 can't be read is one whose head is damaged.
func TestUnreadableBlockZero(t *testing.T) {
	w := large(t)
	second := filepath.Base(w.path(w.segs[1]))
	spoil(t, second, stretch(0, pageSize))
	p, values := w.values()
	text := "block 0: 4096 bytes at 0 can't be read: input/output error"
	require.Equal(t, []string{fmt.Sprintf("orders/0/%s: byte 0, offset %d: %s", second, w.segs[1].file.FirstOffset, text)}, lines(p.Damages))
	require.Equal(t, w.segs[1].file.FirstOffset, p.Next)
	require.Len(t, values, int(w.next-w.segs[2].file.FirstOffset+w.segs[1].file.FirstOffset))

	require.NoError(t, os.Remove(filepath.Join(w.folder, MetaName)))
	plan, err := Reading{Folder: w.folder}.PlanMeta(NoMeta())
	require.NoError(t, err)
	require.Equal(t, []FoundTopic{{Topic: &w.topic}}, plan.Found)
	require.Equal(t, []string{fmt.Sprintf("orders/0/%s: %s", second, text)}, plan.Unreadable)
}

// META with a page that can't be read, wherever that is, is one to be written anew.
func TestUnreadableMeta(t *testing.T) {
	w := large(t)
	path := filepath.Join(w.folder, MetaName)
	require.NoError(t, os.Truncate(path, 16*pageSize))
	for _, test := range []struct {
		bad    Stretch
		line   string
		topics int
	}{
		{stretch(0, pageSize), "META: byte 0, offset 0: block 0: 4096 bytes at 0 can't be read: input/output error", 0},
		{stretch(9*pageSize, 10*pageSize), fmt.Sprintf("META: byte %d, offset 0: 4096 bytes at 36864 can't be read: input/output error", w.metaAt), 1},
	} {
		t.Run("", func(t *testing.T) {
			spoil(t, MetaName, test.bad)
			m, damages, err := ReadMeta(w.folder)
			require.NoError(t, err)
			require.Equal(t, []string{test.line}, lines(damages))
			require.False(t, damages[0].Harmless)
			require.Len(t, m.Topics, test.topics)
			plan, err := Reading{Folder: w.folder}.PlanMeta(m)
			require.NoError(t, err)
			require.Equal(t, 1, plan.Topics())
		})
	}
}

// Only padding can't be read: nothing counts behind it, and all of it is read.
func TestUnreadablePadding(t *testing.T) {
	const block = 16384
	file := File{Kind: KindSegment, ID: 7, Number: 1, BlockBytes: block, TopicID: 77, TopicName: "orders"}
	head, ok := file.Encode()
	require.True(t, ok)
	data := make([]byte, 3*block)
	copy(data, head)
	prev := uint32(0)
	for _, position := range []int64{block, 2 * block} {
		b := Batch{Kind: KindStamp, PrevCRC: prev}
		batch, ok := b.Encode(nil, &file, position)
		require.True(t, ok)
		copy(data[position:], batch)
		prev = b.HeaderCRC
	}
	path := filepath.Join(t.TempDir(), "x.seg")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	spoil(t, path, stretch(block+2*pageSize, block+3*pageSize))
	r, status, err := Open(path)
	require.NoError(t, err)
	require.Equal(t, Good, status)
	defer r.Close()
	next := func() (int64, Status) {
		found, status, err := r.Next()
		require.NoError(t, err)
		return found.Position, status
	}
	position, status := next()
	require.Equal(t, Good, status)
	require.EqualValues(t, block, position)
	_, status = next()
	require.Equal(t, Unreadable, status)
	more, err := r.Resume()
	require.NoError(t, err)
	require.True(t, more)
	position, status = next()
	require.Equal(t, Good, status)
	require.EqualValues(t, 2*block, position)
	require.Equal(t, []Stretch{stretch(block+2*pageSize, block+3*pageSize)}, r.Unreadable())
}

// What else the disk says of bytes that it does not give, and what is no matter of the disk.
func TestReasonsOfTheDisk(t *testing.T) {
	w := large(t)
	for _, reason := range []error{syscall.EIO, syscall.ENODATA, syscall.EUCLEAN, syscall.ENOMEM} {
		t.Run("", func(t *testing.T) {
			bad := stretch(8192, 12288)
			bad.Reason = reason
			spoil(t, w.path(w.segs[1]), bad)
			p, _ := w.values()
			require.Len(t, p.Damages, 1)
			if reason == syscall.ENOMEM {
				require.Equal(t, "can't be read: "+reason.Error(), p.Damages[0].Text)
				return
			}
			require.Contains(t, p.Damages[0].Text, "4096 bytes at 8192 can't be read: "+reason.Error()+"; reading goes on")
		})
	}
}

// long is a log of three files of some MiB, of batches of 64 KiB. Nobody but batches themselves says what was durable,
// and with stamped false they neither.
func long(t *testing.T, stamped bool) *writer {
	w := newWriter(t)
	for range 3 {
		s := w.segment()
		s.file.DurableBefore = 0
		head, ok := s.file.Encode()
		require.True(t, ok)
		copy(s.bytes, head)
		for range 200 {
			var body walbody.Builder
			require.NoError(t, body.Add(&walbody.Record{Value: make([]byte, 60<<10), Time: 1000}))
			b := Batch{Kind: KindRecords, FirstOffset: w.next, Count: 1, BaseTime: 1000, MaxTime: 1000}
			if stamped {
				b.DurableBefore = At(s.file.Number, s.end)
			}
			s.bytes = append(s.bytes, make([]byte, roundUp(int64(len(s.bytes)), blockSize)-int64(len(s.bytes)))...)
			s.append(w, b, body.Body())
			w.next++
		}
	}
	w.write()
	return w
}

// Of a disk with many bad sectors each file is read a few times, and not once for each of them. Each stretch is told
// once.
func TestManyUnreadablePages(t *testing.T) {
	for _, stamped := range []bool{true, false} {
		t.Run(fmt.Sprint(stamped), func(t *testing.T) {
			w := long(t, stamped)
			var sizes, read int64
			want := map[string]int{}
			for i, s := range w.segs {
				info, err := os.Stat(w.path(s))
				require.NoError(t, err)
				sizes += info.Size()
				if i > 0 {
					continue
				}
				var bad []Stretch
				for j := 3; j < len(s.at); j += 4 {
					at := roundUp(s.at[j], pageSize) + pageSize
					bad = append(bad, stretch(at, at+pageSize))
					want[fmt.Sprintf("4096 bytes at %d can't be read", at)]++
				}
				spoil(t, w.path(s), bad...)
			}
			m, _, err := ReadMeta(w.folder)
			require.NoError(t, err)
			p, err := Reading{Folder: w.folder, Seen: func(bytes int64) { read += bytes }}.Check(m, m.Topic("orders"), 0)
			require.NoError(t, err)
			told := map[string]int{}
			for _, d := range p.Damages {
				text, _, _ := strings.Cut(d.Text, ":")
				told[text]++
			}
			require.Equal(t, want, told)
			t.Logf("%d bytes read of %d, with %d bad pages", read, sizes, len(want))
			require.Less(t, read, 4*sizes)
		})
	}
}
