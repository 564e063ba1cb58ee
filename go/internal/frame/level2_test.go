package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
)

// level2Files runs check for every file of schema/golden-level2 that matches.
func level2Files(t *testing.T, pattern string, countMin int, check func(*testing.T, golden)) {
	t.Helper()
	eachGolden(t, "../golden-level2/"+pattern, countMin, check)
}

func TestGoldenLevel2Frames(t *testing.T) {
	level2Files(t, "frame_*.hex", 30, func(t *testing.T, g golden) {
		h := checkHeader(t, g)
		require.Equal(t, Good, h.CheckLevel2())
		payload := g.bytes[HeaderSize:]
		require.Len(t, payload, int(h.Size))
		require.Equal(t, h.Checksum, h.ChecksumLevel2(payload))
		if h.Flags&FlagMetadata != 0 {
			m, fault := ReadMetadata(payload)
			require.Equal(t, MetadataGood, fault)
			require.Equal(t, g.number(t, "metadata_size"), uint32(m.Size()))
			payload = payload[m.Size():]
		}
		switch {
		case h.Flags&FlagCredit != 0:
			require.Equal(t, g.number(t, "credit"), binary.LittleEndian.Uint32(payload))
		case h.Flags&FlagControl != 0 && h.Meta == ControlGoaway:
			require.Equal(t, Goaway{g.number(t, "why"), g.number(t, "last")}, ReadGoaway(payload))
		case h.Flags&FlagMore != 0 && g.fields["message_size"] != "":
			require.Equal(t, g.number(t, "message_size"), binary.LittleEndian.Uint32(payload))
		case h.Meta >= 400 && h.Meta < 600:
			_, err := ReadError(payload)
			require.NoError(t, err)
		}
		// Any flipped bit of the frame is found; where it makes no header of it, by the rules.
		for bit := range len(g.bytes) * 8 {
			g.bytes[bit/8] ^= 1 << (bit % 8)
			flipped := Decode(g.bytes)
			require.NotEqual(t, flipped.Checksum, flipped.ChecksumLevel2(g.bytes[HeaderSize:]), "bit %d flipped", bit)
			g.bytes[bit/8] ^= 1 << (bit % 8)
		}
	})
}

func TestGoldenLevel2Headers(t *testing.T) {
	seen := map[Fault]bool{}
	level2Files(t, "header_*.hex", 25, func(t *testing.T, g golden) {
		require.Len(t, g.bytes, HeaderSize)
		fault := checkHeader(t, g).CheckLevel2()
		require.Equal(t, g.fields["fault"], strings.ReplaceAll(fault.String(), " ", "_"))
		seen[fault] = true
	})
	require.Len(t, seen, len(faultNames)-2, "every fault of level 2 has a golden")
}

func TestGoldenMetadata(t *testing.T) {
	seen := map[MetadataFault]bool{}
	level2Files(t, "metadata_*.hex", 20, func(t *testing.T, g golden) {
		m, fault := ReadMetadata(g.bytes)
		require.Equal(t, g.fields["fault"], strings.ReplaceAll(fault.String(), " ", "_"))
		seen[fault] = true
		if fault == MetadataGood {
			require.Equal(t, g.number(t, "metadata_size"), uint32(m.Size()))
			require.Equal(t, g.number(t, "deadline_us"), m.DeadlineUS())
			require.Equal(t, g.bytes[:m.Size()], rewrite(t, m), "written again it is the same")
		}
	})
	require.Len(t, seen, len(metadataFaultNames), "every fault has a golden")
}

// rewrite writes the entries of a block into another.
func rewrite(t *testing.T, m Metadata) []byte {
	w := BeginMetadata(nil, uint64(m.DeadlineUS()))
	for key, value := range m.All() {
		require.NoError(t, w.Add(string(key), string(value)))
	}
	block, err := w.End()
	require.NoError(t, err)
	return block
}

func TestGoldenHello(t *testing.T) {
	level2Files(t, "table_hello_*.hex", 10, func(t *testing.T, g golden) {
		h, err := ReadHello(g.bytes)
		if problem := g.fields["problem"]; problem != "" {
			require.EqualError(t, err, problem)
			require.Zero(t, h)
			return
		}
		require.NoError(t, err)
		require.Equal(t, g.bytes, h.Append(nil))
		require.Equal(t, g.number(t, "frame_size_bytes_max"), h.FrameSizeMax)
		require.Equal(t, g.fields["features"], fmt.Sprint(h.Features))
	})
	require.Equal(t, uint32(HelloMethodID), MethodID("smf", "Hello", "smf::HelloRequest", "smf::HelloReply"))
	for i, name := range []string{"request", "reply"} {
		g := readGolden(t, goldenLevel2Dir+"/hello_"+name+".hex")
		h := checkHeader(t, g)
		require.Equal(t, Good, h.CheckLevel1())
		require.Equal(t, h.Checksum, Checksum(g.bytes[HeaderSize:]))
		hello, err := ReadHello(g.bytes[HeaderSize:])
		require.NoError(t, err)
		require.Equal(t, []Hello{goldenOffer, goldenOffer.Agree(goldenOurs)}[i], hello)
	}
}

func TestHelloAgrees(t *testing.T) {
	want := Hello{Level: 2, Features: 4, Compressions: 4, FrameSizeMax: 1 << 20, CallsMax: 4096, Credit: 64 << 10, MessageSizeMax: 64 << 20}
	require.Equal(t, want, goldenOffer.Agree(goldenOurs))
	require.Equal(t, want, goldenOurs.Agree(goldenOffer))
}

func TestGoldenErrors(t *testing.T) {
	level2Files(t, "table_error*.hex", 4, func(t *testing.T, g golden) {
		e, err := ReadError(g.bytes)
		require.NoError(t, err)
		require.Equal(t, g.fields["message"], hex.EncodeToString([]byte(e.Message)))
		require.Equal(t, g.fields["details"], hex.EncodeToString(e.Details))
		require.Equal(t, g.fields["details_type"], hex.EncodeToString([]byte(e.DetailsType)))
		require.Equal(t, g.number(t, "retry_after_ms"), e.RetryAfterMS)
		require.Equal(t, g.fields["may_have_run"] == "1", e.MayHaveRun)
		if len(g.bytes) != 0 {
			require.Equal(t, g.bytes, e.Append(nil))
		}
	})
	empty := []byte("\x08\x00\x00\x00\x04\x00\x04\x00\x04\x00\x00\x00")
	e, err := ReadError(empty) // the empty table of level 1
	require.NoError(t, err)
	require.Equal(t, Error{MayHaveRun: true}, e)
	e, err = ReadError([]byte("not a table"))
	require.Error(t, err)
	require.Equal(t, Error{MayHaveRun: true}, e)
}

// Every set of flags there is, against a list of those that are frames.
func TestFlagsStandTogetherOrNot(t *testing.T) {
	const m, s, f, r, c, o, w, x = FlagMetadata, FlagStream, FlagFin, FlagReset, FlagCredit, FlagMore, FlagOneWay, FlagControl
	legal := []uint8{
		0, m, s, s | m, s | f, s | f | m, // calls and streams
		o, o | m, o | s, o | s | m, // slices
		r, r | m, r | s, r | s | m, // cancelled, refused
		c, w, w | m, x,
	}
	for flags := range 256 {
		h := Header{Flags: uint8(flags), Session: 7, Size: 100, Meta: 1}
		if flags&(w|x) != 0 {
			h.Session = 0
		}
		if flags&c != 0 {
			h.Size = 4
		}
		if flags&x != 0 {
			h.Size = 8
		}
		want := BadFlags
		if bytes.IndexByte(legal, uint8(flags)) >= 0 {
			want = Good
		}
		require.Equal(t, want, h.CheckLevel2(), "%#x", flags)
	}
}

func TestChecksumLevel2ByDefinition(t *testing.T) {
	h := Header{Compression: 3, Flags: 0x21, Session: 0x4321, Size: 5, Checksum: 99, Meta: 0x80000001}
	head := binary.LittleEndian.Uint64(h.Append(nil))
	var meta uint64 = 0x80000001
	digest := xxhash.NewWithSeed(head ^ meta*0x9E3779B97F4A7C15)
	digest.Write([]byte("bytes"))
	require.Equal(t, uint32(digest.Sum64()), h.ChecksumLevel2([]byte("bytes")))
	require.Equal(t, h.ChecksumLevel2(nil), h.ChecksumLevel2([]byte{}))
}

func TestMetadataFind(t *testing.T) {
	m, fault := ReadMetadata(entries(5, "a", "", "key", "one", "a", "two"))
	require.Equal(t, MetadataGood, fault)
	value, ok := m.Find("a")
	require.True(t, ok)
	require.Empty(t, value)
	value, ok = m.Find("key")
	require.True(t, ok)
	require.Equal(t, "one", string(value))
	_, ok = m.Find("ke")
	require.False(t, ok)
	_, ok = Metadata{}.Find("a")
	require.False(t, ok)
	require.Zero(t, Metadata{}.Size())
	require.Zero(t, Metadata{}.DeadlineUS())
	for key := range m.All() { // leaving early is allowed
		require.Equal(t, "a", string(key))
		break
	}
}

// Views end where what they show ends: appending to one changes nothing behind it.
func TestMetadataViewsAreClosed(t *testing.T) {
	block := entries(0, "a", "b", "c", "d")
	was := bytes.Clone(block)
	m, _ := ReadMetadata(block)
	for key, value := range m.All() {
		key, value = append(key, 'x'), append(value, 'x')
		require.Equal(t, "xx", string([]byte{key[len(key)-1], value[len(value)-1]}))
	}
	require.Equal(t, was, block)
}

func TestMetadataDeadlines(t *testing.T) {
	for us, want := range map[uint64]uint32{0: 0, 1: 1, math.MaxUint32: math.MaxUint32, math.MaxUint32 + 1: 0, math.MaxUint64: 0} {
		m, fault := ReadMetadata(entries(us))
		require.Equal(t, MetadataGood, fault)
		require.Equal(t, want, m.DeadlineUS(), us)
	}
}

func TestMetadataLimits(t *testing.T) {
	full := entries(0, "k", strings.Repeat("v", MetadataSizeMax-MetadataSizeMin-entryHeadSize-1))
	require.Len(t, full, MetadataSizeMax)
	_, fault := ReadMetadata(full)
	require.Equal(t, MetadataGood, fault)

	w := BeginMetadata([]byte("before"), 0)
	require.NoError(t, w.Add("a", "b"))
	require.ErrorIs(t, w.Add("k", string(make([]byte, MetadataSizeMax-MetadataSizeMin-2*entryHeadSize-2))), ErrMetadataSize)
	require.ErrorIs(t, w.Add("a", "b"), ErrMetadataSize, "it sticks")
	b, err := w.End()
	require.ErrorIs(t, err, ErrMetadataSize)
	require.Equal(t, "before", string(b))

	for key, good := range map[string]bool{
		"": false, "a": true, "A": false, "a b": false, "é": false, "a:": false, "0-_.z": true, "a\x00": false,
		strings.Repeat("k", 255): true, strings.Repeat("k", 256): false,
	} {
		w := BeginMetadata(nil, 0)
		require.Equal(t, good, w.Add(key, "v") == nil, key)
		require.Equal(t, good, IsMetadataKey(key), key)
		_, err := w.End()
		require.Equal(t, !good, errorIsKey(err), key)
	}
}

func errorIsKey(err error) bool {
	return err != nil && strings.Contains(err.Error(), ErrMetadataKey.Error())
}

func TestMetadataTruncatedAndChanged(t *testing.T) {
	block := entries(250000, "traceparent", parent, "a", "", "user.id_9-x", "one", "a", "two")
	for cut := range len(block) {
		_, fault := ReadMetadata(block[:cut:cut])
		require.Equal(t, MetadataTruncated, fault, cut)
	}
	seen := map[MetadataFault]bool{}
	for at := range block {
		was := block[at]
		for value := range 256 {
			block[at] = uint8(value)
			seen[walk(t, block)] = true
		}
		block[at] = was
	}
	require.Len(t, seen, len(metadataFaultNames))
}

// walk reads a block of any bytes, and all that is in it.
func walk(t *testing.T, payload []byte) MetadataFault {
	m, fault := ReadMetadata(payload)
	size := MetadataSizeMin
	for key, value := range m.All() {
		if !isKey(key) {
			t.Fatalf("%q got through", key)
		}
		size += entryHeadSize + len(key) + len(value)
	}
	if fault == MetadataGood && (m.Size() > len(payload) || m.Size()%8 != 0 || m.Size()-size >= 8 || m.Size() < size) {
		t.Fatalf("a block of %d bytes has entries of %d", m.Size(), size)
	}
	if fault != MetadataGood && m.Size() != 0 {
		t.Fatal("a bad block has a size")
	}
	return fault
}

func TestLevel2AllocatesNothing(t *testing.T) {
	buffer := make([]byte, 0, 512)
	payload := append(entries(250000, "traceparent", parent, "a", "b"), "message"...)
	var sum int
	allocations := testing.AllocsPerRun(100, func() {
		h := Header{Flags: FlagMetadata, Session: 1, Size: uint32(len(payload)), Meta: 200}
		sum += int(h.ChecksumLevel2(payload)) + int(h.CheckLevel2())
		m, _ := ReadMetadata(payload)
		for key, value := range m.All() {
			sum += len(key) + len(value)
		}
		value, _ := m.Find("a")
		w := BeginMetadata(buffer, 5)
		w.Add("traceparent", parent)
		block, _ := w.End()
		sum += len(value) + len(block)
	})
	require.Zero(t, allocations)
	require.NotZero(t, sum)
}

func TestLevel2FaultNames(t *testing.T) {
	require.Equal(t, "bad control", BadControl.String())
	require.Equal(t, "bad padding", MetadataBadPadding.String())
	require.Equal(t, "fault 6", MetadataFault(6).String())
	require.Panics(t, func() { ReadGoaway(make([]byte, 7, 8)) })
}

func FuzzLevel2(f *testing.F) {
	for _, g := range goldenFrames() {
		f.Add(g.bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderSize {
			return
		}
		h := Decode(data)
		payload := data[HeaderSize:]
		sum := h.ChecksumLevel2(payload)
		moved := append([]byte{0}, payload...)
		require.Equal(t, sum, h.ChecksumLevel2(moved[1:]))
		h.Checksum++
		require.Equal(t, sum, h.ChecksumLevel2(payload))
		if h.CheckLevel2() == Good {
			h.Flags ^= FlagControl
			require.NotEqual(t, Good, h.CheckLevel2(), "nothing else is also a control frame")
		}
	})
}

func FuzzMetadata(f *testing.F) {
	for _, g := range goldenBlocks() {
		f.Add(g.bytes)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if walk(t, payload) == MetadataGood {
			m, _ := ReadMetadata(payload)
			require.Equal(t, payload[:m.Size()], rewrite(t, m), "there is one way to write it")
		}
	})
}

func FuzzTables(f *testing.F) {
	for _, g := range goldenTables() {
		f.Add(g.bytes)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := ReadHello(payload); err == nil {
			again, err := ReadHello(h.Append(nil))
			require.NoError(t, err)
			require.Equal(t, h, again)
		}
		if e, err := ReadError(payload); err == nil {
			again, err := ReadError(e.Append(nil))
			require.NoError(t, err)
			require.Equal(t, e.Message, again.Message)
			require.True(t, bytes.Equal(e.Details, again.Details))
			require.Equal(t, e.DetailsType, again.DetailsType)
			require.Equal(t, []any{e.RetryAfterMS, e.MayHaveRun}, []any{again.RetryAfterMS, again.MayHaveRun})
		}
	})
}
