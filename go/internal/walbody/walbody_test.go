package walbody

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimits(t *testing.T) {
	var b Builder
	require.NoError(t, b.Add(&Record{Value: make([]byte, RecordSizeMax-RecordHeaderSize)}))
	require.Len(t, b.Body(), RecordSizeMax)
	require.NoError(t, b.Add(&Record{Key: make([]byte, RecordSizeMax-RecordHeaderSize)}))
	require.Len(t, b.Body(), BodySizeMax)
	require.ErrorIs(t, b.Add(&Record{}), ErrFull)
	require.EqualValues(t, 2, b.Count())

	b.Reset(nil)
	require.ErrorIs(t, b.Add(&Record{Value: make([]byte, RecordSizeMax-RecordHeaderSize+1)}), ErrRecordTooLarge)
	require.ErrorIs(t, b.Add(&Record{Value: make([]byte, RecordSizeMax-RecordHeaderSize), Key: []byte{1}}), ErrRecordTooLarge)
	require.ErrorContains(t, b.Add(&Record{Key: make([]byte, RecordSizeMax+1)}), "16777216 bytes")
	name := make([]byte, HeadersSizeMax-headerHeaderSize)
	require.NoError(t, b.Add(&Record{Headers: []Header{{Name: name}}}))
	require.ErrorIs(t, b.Add(&Record{Headers: []Header{{Name: name}, {}}}), ErrRecordTooLarge)
	require.ErrorIs(t, b.Add(&Record{Headers: []Header{{Value: make([]byte, HeadersSizeMax+1)}}}), ErrRecordTooLarge)
	require.EqualValues(t, 1, b.Count())
}

func TestTimes(t *testing.T) {
	var b Builder
	require.ErrorIs(t, b.Add(&Record{Time: math.MinInt64}), ErrTime)
	require.ErrorIs(t, b.Add(&Record{Time: TimeMax + 1}), ErrTime)
	require.Zero(t, b.Count())
	now := time.Now().UnixMicro()
	require.NoError(t, b.Add(&Record{Time: now}))
	require.ErrorIs(t, b.Add(&Record{Time: now + DeltaMax + 1}), ErrTime)
	require.NoError(t, b.Add(&Record{Time: now - DeltaMax}))
	require.NoError(t, b.Add(&Record{Time: now + DeltaMax}))
	base, latest := b.Times()
	require.Equal(t, now, base)
	require.Equal(t, now+DeltaMax, latest)
	b.Reset(b.Body())
	require.NoError(t, b.Add(&Record{Time: -5}), "another batch, another base")
	base, latest = b.Times()
	require.EqualValues(t, -5, base)
	require.EqualValues(t, -5, latest)
}

// What a reader is given can't be extended into its neighbours.
func TestViewsAreClosed(t *testing.T) {
	var b Builder
	require.NoError(t, b.Add(&Record{Key: []byte("k"), Value: []byte("v"), Headers: []Header{{[]byte("n"), []byte("h")}}}))
	before := bytes.Clone(b.Body())
	var v View
	_, err := Next(b.Body(), 0, &v)
	require.NoError(t, err)
	var h Header
	_, err = NextHeader(v.Headers, &h)
	require.NoError(t, err)
	for _, lent := range [][]byte{v.Key, v.Value, v.Headers, h.Name, h.Value} {
		_ = append(lent, "something longer than what there is"...)
	}
	require.Equal(t, before, b.Body())
}

func TestCutBodies(t *testing.T) {
	g := readGolden(t, "body_headers.hex")
	var v View
	rest, err := Next(g.bytes, 0, &v)
	require.NoError(t, err)
	first := len(g.bytes) - len(rest)
	for size := range g.bytes {
		_, ok := read(bytes.Clone(g.bytes[:size]), 0)
		require.Equal(t, size == 0 || size == first, ok, "%d bytes", size)
	}
}

func TestCutHeaders(t *testing.T) {
	g := readGolden(t, "body_headers.hex")
	var v View
	_, err := Next(g.bytes, 0, &v)
	require.NoError(t, err)
	ends := map[int]bool{0: true}
	for left := v.Headers; len(left) > 0; ends[len(v.Headers)-len(left)] = true {
		var h Header
		left, err = NextHeader(left, &h)
		require.NoError(t, err)
	}
	for size := range v.Headers {
		left, ok := v.Headers[:size:size], true
		for ok && len(left) > 0 {
			var h Header
			left, err = NextHeader(left, &h)
			ok = err == nil
		}
		require.Equal(t, ends[size], ok, "%d bytes", size)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	memory := make([]byte, 0, 4096)
	r := Record{Key: []byte("key"), Value: make([]byte, 100), Headers: []Header{{[]byte("name"), []byte("value")}}}
	var b Builder
	var sum uint32
	count := 0
	allocations := testing.AllocsPerRun(100, func() {
		b.Reset(memory)
		for range 10 {
			if b.Add(&r) != nil {
				return
			}
		}
		sum += Checksum(b.Body())
		base, _ := b.Times()
		for rest := b.Body(); len(rest) > 0; count++ {
			var v View
			var h Header
			rest, _ = Next(rest, base, &v)
			_, _ = NextHeader(v.Headers, &h)
		}
	})
	require.Zero(t, allocations)
	require.NotZero(t, sum)
	require.NotZero(t, count)
}

// Random records come back, and their values are aligned.
func TestRandomRecords(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	some := func() []byte {
		switch random.IntN(8) {
		case 0:
			return nil
		case 1:
			return []byte{}
		}
		b := make([]byte, random.IntN(100))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	var b Builder
	var want []Record
	for range 1000 {
		r := Record{Key: some(), Value: some(), Time: random.Int64N(1 << 46)}
		for range random.IntN(3) {
			r.Headers = append(r.Headers, Header{Name: append([]byte{}, some()...), Value: some()})
		}
		require.NoError(t, b.Add(&r))
		want = append(want, r)
	}
	base, _ := b.Times()
	got, ok := read(b.Body(), base)
	require.True(t, ok)
	require.Equal(t, want, got)
	at := 0
	for rest := b.Body(); len(rest) > 0; {
		var v View
		next, err := Next(rest, base, &v)
		require.NoError(t, err)
		require.Zero(t, at%8)
		at += len(rest) - len(next)
		rest = next
	}
}

// Any bytes are read without a panic; what is read can be written, and is the same when it is read again.
func FuzzNext(f *testing.F) {
	for _, name := range goldenNames(f, "body_*.hex", 5) {
		g := readGolden(f, name)
		f.Add(g.bytes, g.number(f, "base_us"))
	}
	f.Add(binary.LittleEndian.AppendUint64(bytes.Repeat([]byte{0xff}, 8), 0), int64(0))
	f.Fuzz(func(t *testing.T, body []byte, base int64) {
		base %= TimeMax / 2
		records, ok := read(body, base)
		if !ok || len(records) == 0 {
			return
		}
		var b Builder
		for i := range records {
			if b.Add(&records[i]) != nil { // not every base is the first record's time
				return
			}
		}
		require.Len(t, b.Body(), len(body))
		base, _ = b.Times()
		again, ok := read(b.Body(), base)
		require.True(t, ok)
		require.Equal(t, records, again)
	})
}
