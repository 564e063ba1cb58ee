package wal_test

import (
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/wal"
)

// What a log that may crash has to have kept. Orders are carried out one after the other, so after a crash
// a partition is as it was after some of them: after the last one that is certain, or a later one. Its
// head is durable by itself, so it is looked at by itself.

// kept is a partition with everything that a crash may leave.
type kept struct {
	tails []tail // after each order since the last one that is certain, which is the first
	heads []uint64
	// How many are in front of these, given up.
	tailsBefore, headsBefore int
}

// tail is what was appended, from offset 0 on, and how it came to be.
type tail struct {
	records wal.Batch
	cut     bool // by giving up records of the tail before
}

func newKept() *kept { return &kept{tails: []tail{{}}, heads: []uint64{0}} }

// The partition as it is when everything has been carried out.
func (k *kept) records() wal.Batch { return k.tails[len(k.tails)-1].records }
func (k *kept) next() uint64       { return uint64(len(k.records())) }
func (k *kept) head() uint64       { return k.heads[len(k.heads)-1] }

// mark is a state that can become certain.
type mark struct{ tail, head int }

func (k *kept) mark() mark {
	return mark{k.tailsBefore + len(k.tails) - 1, k.headsBefore + len(k.heads) - 1}
}

func (k *kept) append(batch wal.Batch) mark {
	records := slices.Clip(k.records())
	for _, r := range batch {
		r.Offset = uint64(len(records))
		records = append(records, r)
	}
	k.tails = append(k.tails, tail{records: records})
	return k.mark()
}

func (k *kept) cutTail(offset uint64) mark {
	k.tails = append(k.tails, tail{records: k.records()[:offset], cut: true})
	return k.mark()
}

func (k *kept) cutHead(offset uint64) mark {
	k.heads = append(k.heads, max(offset, k.head()))
	return k.mark()
}

// tailIsCertain says that no crash brings a state back that was before.
func (k *kept) tailIsCertain(m mark) {
	if more := m.tail - k.tailsBefore; more > 0 {
		k.tails, k.tailsBefore = k.tails[more:], m.tail
	}
}

func (k *kept) headIsCertain(m mark) {
	if more := m.head - k.headsBefore; more > 0 {
		k.heads, k.headsBefore = k.heads[more:], m.head
	}
}

func (k *kept) isCertain(m mark) {
	k.tailIsCertain(m)
	k.headIsCertain(m)
}

// wasSeen says that a reader who sees what is durable has seen records up to an offset.
func (k *kept) wasSeen(next uint64) {
	i := len(k.tails) - 1
	for i > 0 && !k.tails[i].cut && uint64(len(k.tails[i-1].records)) >= next {
		i--
	}
	k.tailIsCertain(mark{tail: k.tailsBefore + i})
}

// isRead compares records that were read from an offset on.
func isRead(t require.TestingT, want wal.Batch, from uint64, got wal.Batch) {
	require.LessOrEqual(t, from+uint64(len(got)), uint64(len(want)), "more than was appended")
	for i, r := range got {
		w := want[from+uint64(i)]
		require.True(t, w.Time.Equal(r.Time), "%v and %v", w.Time, r.Time)
		r.Time = w.Time
		require.Equal(t, w, r)
	}
}

// recovered says what is there after a crash: all of it is certain now.
func (k *kept) recovered(t require.TestingT, found content) {
	require.Empty(t, found.Error)
	require.Contains(t, k.heads, found.Head, "the head is none of these")
	require.LessOrEqual(t, found.Head, found.Next)
	require.Len(t, found.Records, int(found.Next-found.Head), "what is there can be read")
	for _, version := range k.tails {
		if uint64(len(version.records)) == found.Next && isPart(version.records, found) {
			k.tails, k.heads = []tail{{records: version.records}}, []uint64{found.Head}
			k.tailsBefore, k.headsBefore = 0, 0
			return
		}
	}
	// None fits: compared with the last one, to see where.
	lengths := []int{}
	for _, version := range k.tails {
		lengths = append(lengths, len(version.records))
	}
	require.Contains(t, lengths, int(found.Next), "it ends where it never ended since the last thing that is certain")
	isRead(t, k.records(), found.Head, found.Records)
	require.Fail(t, "other records than were appended")
}

func isPart(want wal.Batch, found content) bool {
	return slices.EqualFunc(want[found.Head:], found.Records, sameRecord)
}

func sameRecord(a, b wal.Record) bool {
	bTime := b.Time
	b.Time = a.Time
	return a.Time.Equal(bTime) && assert.ObjectsAreEqual(a, b)
}

// firstSince is the first record of that time or a later one.
func (k *kept) firstSince(micros int64) uint64 {
	for _, r := range k.records()[k.head():] {
		if !r.Time.Before(time.UnixMicro(micros)) {
			return r.Offset
		}
	}
	return k.next()
}
