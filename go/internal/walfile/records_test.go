package walfile

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// offsets lists what Check finds of records, damaged or not.
func (w *writer) offsets() (found []uint64, p *Partition) {
	w.t.Helper()
	m, _, err := ReadMeta(w.folder)
	require.NoError(w.t, err)
	reading := Reading{Folder: w.folder, Records: func(_ *Partition, f *Found, until uint64) {
		require.Equal(w.t, Good, f.CheckBody(f.Data))
		for i := range uint64(f.Count) {
			if f.FirstOffset+i < until {
				found = append(found, f.FirstOffset+i)
			}
		}
	}}
	p, err = reading.Check(m, m.Topic("orders"), 0)
	require.NoError(w.t, err)
	return found, p
}

func without(count uint64, missing ...uint64) (offsets []uint64) {
	gone := map[uint64]bool{}
	for _, m := range missing {
		gone[m] = true
	}
	for i := range count {
		if !gone[i] {
			offsets = append(offsets, i)
		}
	}
	return offsets
}

// Batches of one flush stand back to back: those behind a damaged header are found though they begin in the middle
// of a block.
func TestRecordsBehindDamage(t *testing.T) {
	for name, at := range map[string]int64{"header": 20, "body": BatchHeaderSize + 5} {
		t.Run(name, func(t *testing.T) {
			w := newWriter(t)
			for range 2 {
				s := w.segment()
				w.records(s, 1, true)
				for range 4 {
					w.records(s, 1, false)
				}
				w.records(s, 1, true)
			}
			w.write()
			s := w.segs[0]
			require.NotZero(t, s.at[3]%blockSize)
			flip(t, w.path(s), s.at[3]+at)
			found, p := w.offsets()
			require.Equal(t, without(12, 2), found)
			require.EqualValues(t, 2, p.Next)
			require.EqualValues(t, 9, p.LostRecords)
		})
	}
}

// What a cut of the tail has taken out of the log does not come back.
func TestRecordsThatWereCut(t *testing.T) {
	w := newWriter(t)
	s := w.segment()
	w.records(s, 5, true)
	end, prev := s.end, s.prev
	w.records(s, 5, true)
	w.next = 3 // in the middle of the first batch
	last := w.segment()
	last.file.Follows, last.file.FollowsCRC = At(1, end), prev
	last.file.DurableBefore = last.file.Follows
	last.at = nil
	last.begin(w)
	w.records(last, 4, true)
	w.records(last, 4, true)
	w.write()
	found, p := w.offsets()
	require.Equal(t, without(11), found)
	require.Empty(t, lines(p.Damages))
	flip(t, w.path(last), last.at[1]+BatchHeaderSize+5)
	found, p = w.offsets()
	require.Equal(t, without(11, 3, 4, 5, 6), found)
	require.NotEmpty(t, p.Damages)
}
