package flatverify_test

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/flatverify/internal/sample"
)

// demo is the layout of the demo service's request.
var demo = flatverify.Schema{{
	Name:   "Request",
	Fields: []flatverify.Field{{Name: "name", Slot: 4, Kind: flatverify.String}},
}}

// demoHex is {name: "Hello, smf-world!"} as the wire document shows it:
//
//	at  0  root offset 12
//	at  4  padding, vtable at 6: its size 6, table size 8, name at 4
//	at 12  table: vtable 6 before it, name 4 after 16
//	at 20  string of 17 bytes, zero byte at 41, padding
const demoHex = "0c000000" + "0000" + "060008000400" + "06000000" + "04000000" +
	"11000000" + "48656c6c6f2c20736d662d776f726c6421" + "000000"

func demoPayload(t testing.TB) []byte {
	p, err := hex.DecodeString(demoHex)
	require.NoError(t, err)
	return p
}

func TestGoodPayloads(t *testing.T) {
	require.NoError(t, demo.Verify(0, demoPayload(t)))
	require.NoError(t, sample.VerifyNode(build(fullNode())))
	require.NoError(t, sample.VerifyNode(build(&sample.NodeT{})))
	require.NoError(t, sample.VerifyNode(build(&sample.NodeT{
		Names: []string{}, Numbers: []int64{}, Marks: []*sample.MarkT{}, Children: []*sample.NodeT{},
	})))

	builder := flatbuffers.NewBuilder(0)
	builder.Finish((&sample.EmptyT{}).Pack(builder))
	require.NoError(t, sample.VerifyEmpty(builder.FinishedBytes()))
}

// A reader of an old schema gets payloads of a newer one, and the other way round.
func TestOtherVersionsOfTheSchemaAreGood(t *testing.T) {
	require.NoError(t, sample.VerifyEmpty(build(fullNode())), "unknown fields are passed over")
	require.NoError(t, sample.VerifyNode(demoPayload(t)), "missing fields are allowed")
}

func TestAlignmentIsThatOfThePayloadNotOfMemory(t *testing.T) {
	payload := build(fullNode())
	for shift := range 8 {
		moved := append(make([]byte, shift), payload...)[shift:]
		require.NoError(t, sample.VerifyNode(moved), "moved by %d", shift)
	}
}

func TestLiesAboutTheDemoRequest(t *testing.T) {
	for name, test := range map[string]struct {
		at    int
		bytes []byte
		want  string
	}{
		"root offset zero":       {0, []byte{0, 0, 0, 0}, "Request: root offset is out of range (at byte 0)"},
		"root past the end":      {0, []byte{44, 0, 0, 0}, "Request: root offset is out of range (at byte 0)"},
		"root offset huge":       {0, []byte{255, 255, 255, 255}, "Request: root offset is out of range (at byte 0)"},
		"root not aligned":       {0, []byte{13}, "Request: root offset is out of range (at byte 0)"},
		"vtable before payload":  {12, []byte{16}, "Request: vtable is outside the payload (at byte 12)"},
		"vtable behind payload":  {12, []byte{0, 0, 0, 0x80}, "Request: vtable is outside the payload (at byte 12)"},
		"vtable half outside":    {12, []byte{0xe2, 0xff, 0xff, 0xff}, "Request: vtable is outside the payload (at byte 12)"},
		"vtable at odd byte":     {12, []byte{5}, "Request: vtable is not aligned (at byte 12)"},
		"vtable of odd size":     {6, []byte{5}, "Request: vtable is not aligned (at byte 12)"},
		"vtable too small":       {6, []byte{2}, "Request: vtable size is out of range (at byte 12)"},
		"vtable too large":       {6, []byte{40}, "Request: vtable size is out of range (at byte 12)"},
		"table too small":        {8, []byte{2}, "Request: table size is out of range (at byte 12)"},
		"table past the end":     {8, []byte{33}, "Request: table size is out of range (at byte 12)"},
		"field on vtable offset": {10, []byte{2}, "Request.name: field is outside the payload (at byte 12)"},
		"field past the end":     {10, []byte{32}, "Request.name: field is outside the payload (at byte 12)"},
		"field half outside":     {10, []byte{30}, "Request.name: field is outside the payload (at byte 12)"},
		"string offset zero":     {16, []byte{0}, "Request.name: offset is out of range or not aligned (at byte 16)"},
		"string past the end":    {16, []byte{28}, "Request.name: offset is out of range or not aligned (at byte 16)"},
		"string not aligned":     {16, []byte{5}, "Request.name: offset is out of range or not aligned (at byte 16)"},
		"string too long":        {20, []byte{20}, "Request.name: string runs past the payload's end (at byte 20)"},
		"string length huge":     {20, []byte{255, 255, 255, 255}, "Request.name: string runs past the payload's end (at byte 20)"},
		"string without zero":    {41, []byte{'!'}, "Request.name: string does not end with a zero byte (at byte 41)"},
	} {
		t.Run(name, func(t *testing.T) {
			payload := demoPayload(t)
			copy(payload[test.at:], test.bytes)
			require.EqualError(t, demo.Verify(0, payload), test.want)
		})
	}
}

// Go's builder compares vtables without the size of their tables: of two tables whose fields begin at the
// same places, the one that is built later has the size of the other.
func TestTablesOfAnotherSizeThatShareAVtable(t *testing.T) {
	schema := flatverify.Schema{
		{Name: "Both", Fields: []flatverify.Field{
			{Name: "small", Slot: 4, Kind: flatverify.SubTable, Table: 1},
			{Name: "large", Slot: 6, Kind: flatverify.SubTable, Table: 2},
		}},
		{Name: "Small", Fields: []flatverify.Field{{Name: "value", Slot: 4, Kind: flatverify.Inline, Size: 4, Align: 4}}},
		{Name: "Large", Fields: []flatverify.Field{{Name: "value", Slot: 4, Kind: flatverify.Inline, Size: 8, Align: 8}}},
	}
	b := flatbuffers.NewBuilder(0)
	b.StartObject(1)
	b.PrependInt32Slot(0, 1, 0)
	small := b.EndObject()
	b.StartObject(1)
	b.PrependInt64Slot(0, 2, 0)
	large := b.EndObject()
	b.StartObject(2)
	b.PrependUOffsetTSlot(0, small, 0)
	b.PrependUOffsetTSlot(1, large, 0)
	b.Finish(b.EndObject())
	require.NoError(t, schema.Verify(0, b.FinishedBytes()))
}

func TestFieldNotAligned(t *testing.T) {
	payload := demoPayload(t)
	payload[8], payload[10] = 12, 6 // a larger table, the field between two words
	require.EqualError(t, demo.Verify(0, payload), "Request.name: field is not aligned (at byte 18)")
}

func TestTooShort(t *testing.T) {
	for n := range 4 {
		require.EqualError(t, demo.Verify(0, make([]byte, n)),
			"Request: payload size is out of range (at byte 0)")
	}
}

func TestRequiredFieldMissing(t *testing.T) {
	builder := flatbuffers.NewBuilder(0)
	sample.NodeStart(builder)
	builder.Finish(sample.NodeEnd(builder))
	require.EqualError(t, sample.VerifyNode(builder.FinishedBytes()),
		"Node.name: required field is missing (at byte 8)")
}

// findVector returns where a vector with this length and first element bytes begins.
func findVector(t *testing.T, payload []byte, length uint32, first ...byte) int {
	want := binary.LittleEndian.AppendUint32(nil, length)
	at := strings.Index(string(payload), string(append(want, first...)))
	require.Positive(t, at)
	return at
}

func TestVectorsThatLie(t *testing.T) {
	node := &sample.NodeT{Numbers: []int64{0x1122334455667788, 2}}
	payload := build(node)
	at := findVector(t, payload, 2, 0x88, 0x77)

	tooMany := uint32(len(payload)-at-4)/8 + 1
	for _, length := range []uint32{tooMany, 3000, 1<<29 + 1, 1<<32 - 1} {
		lie := slices.Clone(payload)
		binary.LittleEndian.PutUint32(lie[at:], length)
		require.ErrorContains(t, sample.VerifyNode(lie), "Node.numbers: vector runs past the payload's end")
	}

	// Begun four bytes further on, its elements are no longer on a multiple of eight.
	moved := slices.Clone(payload)
	binary.LittleEndian.PutUint32(moved[at+4:], 1)
	slot := offsetField(t, moved, 22)
	binary.LittleEndian.PutUint32(moved[slot:], uint32(at+4-slot))
	require.ErrorContains(t, sample.VerifyNode(moved), "Node.numbers: vector is not aligned")

	// With no element there is nothing to align, and builders differ.
	binary.LittleEndian.PutUint32(moved[at+4:], 0)
	require.NoError(t, sample.VerifyNode(moved))
}

// offsetField returns the position of the root's field with that vtable slot.
func offsetField(t *testing.T, payload []byte, slot int) int {
	root := int(binary.LittleEndian.Uint32(payload))
	vtable := root - int(int32(binary.LittleEndian.Uint32(payload[root:])))
	offset := int(binary.LittleEndian.Uint16(payload[vtable+slot:]))
	require.Positive(t, offset)
	return root + offset
}

func TestVectorsOfOffsetsThatLie(t *testing.T) {
	payload := build(&sample.NodeT{Names: []string{"a", "b"}, Children: []*sample.NodeT{{}}})

	strings := slices.Clone(payload)
	slot := offsetField(t, strings, 18)
	first := slot + int(binary.LittleEndian.Uint32(strings[slot:])) + 4
	binary.LittleEndian.PutUint32(strings[first+4:], 1<<20)
	require.ErrorContains(t, sample.VerifyNode(strings),
		"Node.names: offset in a vector is out of range or not aligned")

	tables := slices.Clone(payload)
	slot = offsetField(t, tables, 16)
	first = slot + int(binary.LittleEndian.Uint32(tables[slot:])) + 4
	child := first + int(binary.LittleEndian.Uint32(tables[first:]))
	binary.LittleEndian.PutUint32(tables[child:], 1<<20)
	require.ErrorContains(t, sample.VerifyNode(tables), "Node: vtable is outside the payload")
}

func TestDepth(t *testing.T) {
	chain := func(depth int) []byte {
		node := &sample.NodeT{}
		for range depth - 1 {
			node = &sample.NodeT{Children: []*sample.NodeT{node}}
		}
		return build(node)
	}
	require.NoError(t, sample.VerifyNode(chain(flatverify.MaxDepth)))
	require.ErrorContains(t, sample.VerifyNode(chain(flatverify.MaxDepth+1)), "tables nest too deep")
}

// Thirty levels of two references to one table each are a few hundred bytes and 2^30 visits.
func TestTablesThatManyPointTo(t *testing.T) {
	builder := flatbuffers.NewBuilder(0)
	name := builder.CreateString("x")
	var below flatbuffers.UOffsetT
	for level := range 30 {
		var children flatbuffers.UOffsetT
		if level > 0 {
			sample.NodeStartChildrenVector(builder, 2)
			builder.PrependUOffsetT(below)
			builder.PrependUOffsetT(below)
			children = builder.EndVector(2)
		}
		sample.NodeStart(builder)
		sample.NodeAddName(builder, name)
		if level > 0 {
			sample.NodeAddChildren(builder, children)
		}
		below = sample.NodeEnd(builder)
	}
	builder.Finish(below)
	require.ErrorContains(t, sample.VerifyNode(builder.FinishedBytes()), "too many tables")
}

func sharedNames(size, count int) []byte {
	builder := flatbuffers.NewBuilder(0)
	shared := builder.CreateString(strings.Repeat("x", size))
	sample.NodeStartNamesVector(builder, count)
	for range count {
		builder.PrependUOffsetT(shared)
	}
	names := builder.EndVector(count)
	sample.NodeStart(builder)
	sample.NodeAddName(builder, shared)
	sample.NodeAddNames(builder, names)
	builder.Finish(sample.NodeEnd(builder))
	return builder.FinishedBytes()
}

func TestSharedStringsWithinReason(t *testing.T) {
	require.NoError(t, sample.VerifyNode(sharedNames(500, 10_000)))
	require.ErrorContains(t, sample.VerifyNode(sharedNames(1<<20, 1000)),
		"Node.names: offsets point at the same data too often")
}

// A node of many leaves that are all the same one.
func sharedLeaves(dataSize, count int) []byte {
	builder := flatbuffers.NewBuilder(0)
	name := builder.CreateString(strings.Repeat("x", 1<<16)) // behind the leaf, see below
	leaf := (&sample.LeafT{Data: make([]byte, dataSize)}).Pack(builder)
	sample.NodeStartLeavesVector(builder, count)
	for range count {
		builder.PrependUOffsetT(leaf)
	}
	leaves := builder.EndVector(count)
	sample.NodeStart(builder)
	sample.NodeAddName(builder, name)
	sample.NodeAddLeaves(builder, leaves)
	builder.Finish(sample.NodeEnd(builder))
	return builder.FinishedBytes()
}

func TestSharedVectorsAndTablesWithinReason(t *testing.T) {
	require.NoError(t, sample.VerifyNode(sharedLeaves(100, 1000)))
	require.ErrorContains(t, sample.VerifyNode(sharedLeaves(1<<20, 100)),
		"Leaf.data: offsets point at the same data too often")

	// A table that says to be 60000 bytes large counts as much.
	payload := sharedLeaves(0, 2000)
	slot := offsetField(t, payload, 36)
	first := slot + int(binary.LittleEndian.Uint32(payload[slot:])) + 4
	leaf := first + int(binary.LittleEndian.Uint32(payload[first:]))
	vtable := leaf - int(int32(binary.LittleEndian.Uint32(payload[leaf:])))
	binary.LittleEndian.PutUint16(payload[vtable+2:], 60000)
	require.ErrorContains(t, sample.VerifyNode(payload), "Leaf: offsets point at the same data too often")
}

// Whatever one changed byte or a cut does to a payload: the verifier answers, and what it lets
// through can be read.
func TestEveryByteChangedAndEveryCut(t *testing.T) {
	payload := build(fullNode())
	refused := 0
	try := func(p []byte) {
		if sample.VerifyNode(p) != nil {
			refused++
			return
		}
		root := sample.GetRootAsNode(p, 0)
		walkNode(root)
		root.UnPack()
	}
	for at := range payload {
		try(payload[:at:at])
		for _, value := range []byte{0, 1, 2, 3, 4, 0x7f, 0x80, 0xfe, 0xff, payload[at] ^ 4} {
			changed := slices.Clone(payload)
			changed[at] = value
			try(changed)
		}
	}
	require.Greater(t, refused, len(payload), "every cut and many changes are refused")
}

func TestNoAllocation(t *testing.T) {
	small, large := demoPayload(t), build(fullNode())
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() { err = demo.Verify(0, small) }))
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { err = sample.VerifyNode(large) }))
	require.NoError(t, err)
}

func FuzzVerify(f *testing.F) {
	f.Add(demoPayload(f))
	f.Add(build(fullNode()))
	f.Add(build(&sample.NodeT{Children: []*sample.NodeT{{Names: []string{"x"}}}}))
	f.Add(sharedNames(4, 3))
	f.Fuzz(func(t *testing.T, p []byte) {
		if sample.VerifyNode(p) == nil {
			root := sample.GetRootAsNode(p, 0)
			walkNode(root)
			root.UnPack()
		}
		if sample.VerifyLeaf(p) == nil {
			walkLeaf(sample.GetRootAsLeaf(p, 0))
		}
		_ = sample.VerifyEmpty(p)
	})
}

func BenchmarkVerifyDemoRequest(b *testing.B) {
	payload := demoPayload(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := demo.Verify(0, payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyFullNode(b *testing.B) {
	payload := build(fullNode())
	b.ReportAllocs()
	for b.Loop() {
		if err := sample.VerifyNode(payload); err != nil {
			b.Fatal(err)
		}
	}
}
