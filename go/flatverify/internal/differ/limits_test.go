package differ

import (
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
)

// find finds a table by its name.
func find(t *testing.T, documents []*document, name string) *table {
	for _, d := range documents {
		for _, table := range d.tables {
			if table.name() == name {
				return table
			}
		}
	}
	require.Fail(t, "no table "+name)
	return nil
}

// with makes a table with a single field that is an offset; 0: none.
func with(b *flatbuffers.Builder, slot int, offset flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	b.StartObject(slot + 1)
	b.PrependUOffsetTSlot(slot, offset, 0)
	return b.EndObject()
}

// chain is a table in a table in a table.
func chain(slot, depth int) []byte {
	b := flatbuffers.NewBuilder(0)
	var inner flatbuffers.UOffsetT
	for range depth {
		inner = with(b, slot, inner)
	}
	b.Finish(inner)
	return b.FinishedBytes()
}

// many is a table with a vector of offsets to one thing.
func many(slot, count int, thing func(b *flatbuffers.Builder) flatbuffers.UOffsetT) []byte {
	b := flatbuffers.NewBuilder(0)
	one := thing(b)
	b.StartVector(4, count, 4)
	for range count {
		b.PrependUOffsetT(one)
	}
	b.Finish(with(b, slot, b.EndVector(count)))
	return b.FinishedBytes()
}

// large is a table with offsets to one that says that it is large, and has the room for it.
func large(slot, count, size int) []byte {
	p := many(slot, count, func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		b.CreateByteVector(make([]byte, size))
		return with(b, 0, 0)
	})
	table := flatbuffers.Table{Bytes: p, Pos: flatbuffers.GetUOffsetT(p)}
	table.Pos = table.Indirect(table.Vector(flatbuffers.UOffsetT(table.Offset(flatbuffers.VOffsetT(4 + 2*slot)))))
	vtable := table.Pos - flatbuffers.UOffsetT(table.GetSOffsetT(table.Pos))
	flatbuffers.WriteVOffsetT(p[vtable+2:], flatbuffers.VOffsetT(size))
	return p
}

// nest is a payload in a payload in a payload.
func nest(slot, depth int) []byte {
	var inner []byte
	for range depth {
		b := flatbuffers.NewBuilder(0)
		var bytes flatbuffers.UOffsetT
		if inner != nil {
			b.StartVector(1, len(inner), 8)
			b.Pad(len(inner))
			copy(b.Bytes[b.Head():], inner)
			bytes = b.EndVector(len(inner))
		}
		b.Finish(with(b, slot, bytes))
		inner = b.FinishedBytes()
	}
	return inner
}

// What random changes do not reach: how deep, how many, how much.
func testLimits(t *testing.T, documents []*document, program string) {
	s := startStock(t, program)
	leaf := func(b *flatbuffers.Builder) flatbuffers.UOffsetT { return with(b, 0, 0) }
	text := func(b *flatbuffers.Builder) flatbuffers.UOffsetT { return b.CreateString(strings.Repeat("x", 100_000)) }
	// The slots are those of left, again, children and names.
	branch := find(t, documents, "smf_test.nested_tables.Branch")
	tree := find(t, documents, "smf_test.nested_tables.Tree")
	inner := find(t, documents, "smf_test.nested.Inner")
	vectors := find(t, documents, "smf_test.vectors.Vectors")
	tests := []struct {
		subject
		stock, ours bool
	}{
		{subject{table: branch, buffer: chain(1, flatverify.MaxDepth), made: "deep"}, true, true},
		{subject{table: branch, buffer: chain(1, flatverify.MaxDepth+1), made: "too deep"}, false, false},
		{subject{table: inner, buffer: nest(3, flatverify.MaxDepth), made: "nested"}, true, true},
		{subject{table: inner, buffer: nest(3, flatverify.MaxDepth+1), made: "nested too deep"}, true, false},
		{subject{table: tree, buffer: many(2, flatverify.MaxTables-1, leaf), made: "many"}, true, true},
		{subject{table: tree, buffer: many(2, flatverify.MaxTables, leaf), made: "too many"}, false, false},
		{subject{table: vectors, buffer: many(13, 600, text), made: "much"}, true, true},
		{subject{table: vectors, buffer: many(13, 700, text), made: "too much"}, true, false},
		{subject{table: tree, buffer: large(2, 1000, 60_000), made: "large"}, true, true},
		{subject{table: tree, buffer: large(2, 1200, 60_000), made: "too large"}, true, false},
	}
	for _, test := range tests {
		require.NoError(t, s.ask([]subject{test.subject}))
		answers, err := s.answer(1)
		require.NoError(t, err)
		require.Equal(t, test.stock, answers[0].stock, "%s", test.made)
		v := judge(&test.subject)
		require.Equal(t, test.ours, v.ours == nil, "%s: %v", test.made, v.ours)
		require.Empty(t, new(counts).compare(&v, answers[0]), "%s", test.made)
	}
}

// All schemas are there, and have tables.
func TestSchemas(t *testing.T) {
	documents := compileSchemas(t, t.TempDir())
	require.Greater(t, len(documents), 20)
	for name := range generatedCode {
		find(t, documents, name)
	}
	var names []string
	for _, d := range documents {
		require.NotEmpty(t, d.tables)
		names = append(names, d.name)
	}
	for _, name := range []string{"smf_demo", "zoo", "sample", "union_vectors", "nested", "consensus", "log"} {
		require.True(t, slices.Contains(names, name), "%s", name)
	}
}
