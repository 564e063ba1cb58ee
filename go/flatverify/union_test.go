package flatverify_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
)

// Tables of schemas with unions, as one would write
//
//	struct Tiny { b: ubyte; }
//	table Leaf { name: string (required); }
//	union Thing { Leaf, Text: string, Tiny, Root }
//	table Root { thing: Thing; things: [Thing]; inner: [ubyte] (nested_flatbuffer: "Root"); }
const (
	rootTable = iota
	leafTable
	thingUnion
)

var unions = flatverify.Schema{
	rootTable: {Name: "Root", Fields: []flatverify.Field{
		{Name: "thing_type", Slot: 4, Kind: flatverify.Inline, Size: 1, Align: 1},
		{Name: "thing", Slot: 6, Kind: flatverify.Union, Table: thingUnion},
		{Name: "things_type", Slot: 8, Kind: flatverify.InlineVector, Size: 1, Align: 1},
		{Name: "things", Slot: 10, Kind: flatverify.UnionVector, Table: thingUnion},
		{Name: "inner", Slot: 12, Kind: flatverify.Nested, Table: rootTable},
	}},
	leafTable: {Name: "Leaf", Fields: []flatverify.Field{
		{Name: "name", Slot: 4, Kind: flatverify.String, Required: true},
	}},
	thingUnion: {Name: "Thing", Fields: []flatverify.Field{
		{Name: "Leaf", Slot: 1, Kind: flatverify.SubTable, Table: leafTable},
		{Name: "Text", Slot: 2, Kind: flatverify.String},
		{Name: "Tiny", Slot: 3, Kind: flatverify.Inline, Size: 1, Align: 1},
		{Name: "Root", Slot: 4, Kind: flatverify.SubTable, Table: rootTable},
	}},
}

// makeRoot builds a Root of what the functions return; 0 leaves a field out.
type makeRoot struct {
	kind          byte
	thing         func(b *flatbuffers.Builder) flatbuffers.UOffsetT
	kinds, things func(b *flatbuffers.Builder) flatbuffers.UOffsetT
	inner         []byte
}

func (m makeRoot) bytes() []byte {
	b := flatbuffers.NewBuilder(0)
	b.Finish(m.table(b))
	return b.FinishedBytes()
}

func (m makeRoot) table(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	made := map[int]flatbuffers.UOffsetT{}
	for slot, make := range map[int]func(*flatbuffers.Builder) flatbuffers.UOffsetT{1: m.thing, 2: m.kinds, 3: m.things} {
		if make != nil {
			made[slot] = make(b)
		}
	}
	if m.inner != nil {
		made[4] = b.CreateByteVector(m.inner)
	}
	b.StartObject(5)
	b.PrependByteSlot(0, m.kind, 0)
	for slot := 1; slot < 5; slot++ {
		b.PrependUOffsetTSlot(slot, made[slot], 0)
	}
	return b.EndObject()
}

func leaf(named bool) func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	return func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		name := b.CreateString("name")
		b.StartObject(1)
		if named {
			b.PrependUOffsetTSlot(0, name, 0)
		}
		return b.EndObject()
	}
}

func text(b *flatbuffers.Builder) flatbuffers.UOffsetT { return b.CreateString("text") }

// tiny is a struct at an odd place.
func tiny(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	b.Prep(4, 3)
	b.PlaceByte(9)
	b.Pad(0)
	return b.Offset()
}

func kinds(of ...byte) func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	return func(b *flatbuffers.Builder) flatbuffers.UOffsetT { return b.CreateByteVector(of) }
}

// vector is a vector of offsets; nil: a zero.
func vector(of ...func(b *flatbuffers.Builder) flatbuffers.UOffsetT) func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
	return func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
		made := make([]flatbuffers.UOffsetT, len(of))
		for i, make := range of {
			if make != nil {
				made[i] = make(b)
			}
		}
		b.StartVector(4, len(of), 4)
		for i := len(of) - 1; i >= 0; i-- {
			if made[i] == 0 {
				b.PlaceUOffsetT(0)
			} else {
				b.PrependUOffsetT(made[i])
			}
		}
		return b.EndVector(len(of))
	}
}

func TestUnions(t *testing.T) {
	deep := []byte(nil)
	for range flatverify.MaxDepth + 1 {
		deep = makeRoot{inner: deep}.bytes()
	}
	inside := makeRoot{kind: 2, thing: text}.bytes()
	for name, test := range map[string]struct {
		root    makeRoot
		problem string // "": none
	}{
		"nothing":                 {makeRoot{}, ""},
		"table":                   {makeRoot{kind: 1, thing: leaf(true)}, ""},
		"string":                  {makeRoot{kind: 2, thing: text}, ""},
		"struct":                  {makeRoot{kind: 3, thing: tiny}, ""},
		"type without a value":    {makeRoot{kind: 1}, ""},
		"value without a type":    {makeRoot{thing: leaf(false)}, ""},
		"type of a newer schema":  {makeRoot{kind: 5, thing: leaf(false)}, ""},
		"bad table":               {makeRoot{kind: 1, thing: leaf(false)}, "Leaf.name: required field is missing (at byte "},
		"struct as a table":       {makeRoot{kind: 1, thing: tiny}, "Root.thing: offset is out of range or not aligned (at byte "},
		"vector":                  {makeRoot{kinds: kinds(1, 2, 3, 0, 77), things: vector(leaf(true), text, tiny, nil, nil)}, ""},
		"empty vector":            {makeRoot{kinds: kinds(), things: vector()}, ""},
		"type without a struct":   {makeRoot{kind: 3}, "Root.thing: the union's struct is missing (at byte "},
		"types without values":    {makeRoot{kinds: kinds(1)}, "Root.things: there are types, but no unions (at byte "},
		"no types without values": {makeRoot{kinds: kinds()}, "Root.things: there are types, but no unions (at byte "},
		"values without types":    {makeRoot{things: vector(text)}, "Root.things: there are unions, but no types (at byte "},
		"nothing without types":   {makeRoot{things: vector()}, "Root.things: there are unions, but no types (at byte "},
		"too few types":           {makeRoot{kinds: kinds(2), things: vector(text, text)}, "Root.things: there are not as many unions as types (at byte "},
		"bad table in a vector":   {makeRoot{kinds: kinds(2, 1), things: vector(text, leaf(false))}, "Leaf.name: required field is missing"},
		"no table in a vector":    {makeRoot{kinds: kinds(1), things: vector(nil)}, "Root.things: offset is out of range or not aligned"},
		"nested":                  {makeRoot{inner: inside}, ""},
		"nested, empty":           {makeRoot{inner: []byte{}}, "Root.inner: nested payload is too small"},
		"nested, nearly empty":    {makeRoot{inner: inside[:3]}, "Root.inner: nested payload is too small"},
		"nested, cut":             {makeRoot{inner: inside[:len(inside)-4]}, "Root.thing: string runs past the payload's end"},
		"nested, root is outside": {makeRoot{inner: []byte{200, 0, 0, 0}}, "Root.inner: root offset is out of range"},
		"nested too deep":         {makeRoot{inner: deep}, "Root: tables nest too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			err := unions.Verify(rootTable, test.root.bytes())
			if test.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.problem)
			}
		})
	}
}

// An error inside a nested payload says where that is in the whole one.
func TestPositionInNested(t *testing.T) {
	inner := makeRoot{kind: 2, thing: text}.bytes()
	payload := makeRoot{inner: inner}.bytes()
	begin := len(payload) - len(inner)
	payload[len(payload)-4] = 'x' // where the string's zero was
	var problem *flatverify.Error
	require.ErrorAs(t, unions.Verify(rootTable, payload), &problem)
	require.Equal(t, "string does not end with a zero byte", problem.Problem)
	require.Equal(t, len(payload)-4, problem.Position)
	require.Less(t, begin, problem.Position)
}

// Nested payloads, like everything else, may not stand for much more than they are.
func TestReachOfNested(t *testing.T) {
	const times, size = 200, 100_000
	inner := makeRoot{
		kinds: kinds(bytes.Repeat([]byte{2}, times)...),
		things: func(b *flatbuffers.Builder) flatbuffers.UOffsetT {
			shared := b.CreateString(strings.Repeat("x", size))
			b.StartVector(4, times, 4)
			for range times {
				b.PrependUOffsetT(shared)
			}
			return b.EndVector(times)
		},
	}.bytes()
	nested := makeRoot{inner: inner}.table
	for count, problem := range map[int]string{1: "", 6: "Root.things: offsets point at the same data too often"} {
		all := slices.Repeat([]func(*flatbuffers.Builder) flatbuffers.UOffsetT{nested}, count)
		payload := makeRoot{kinds: kinds(bytes.Repeat([]byte{4}, count)...), things: vector(all...)}.bytes()
		err := unions.Verify(rootTable, payload)
		if problem == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, problem)
		}
	}
}

// Whatever bytes say, a union is read inside the payload or not at all.
func TestUnionsOfEveryByteChanged(t *testing.T) {
	good := makeRoot{
		kind: 3, thing: tiny, kinds: kinds(1, 2, 3), things: vector(leaf(true), text, tiny),
		inner: makeRoot{kind: 1, thing: leaf(true)}.bytes(),
	}.bytes()
	require.NoError(t, unions.Verify(rootTable, good))
	bad := 0
	for at := range good {
		for _, value := range []byte{0, 1, 2, 4, 8, 0x7f, 0x80, 0xff} {
			changed := append([]byte(nil), good...)
			changed[at] = value
			if unions.Verify(rootTable, changed) != nil {
				bad++
			}
		}
		_ = unions.Verify(rootTable, good[:at:at])
	}
	require.Greater(t, bad, len(good))
}

func FuzzUnions(f *testing.F) {
	inner := makeRoot{kind: 1, thing: leaf(true)}.bytes()
	f.Add(makeRoot{kind: 3, thing: tiny, kinds: kinds(1, 2, 3), things: vector(leaf(true), text, tiny), inner: inner}.bytes())
	f.Add(binary.LittleEndian.AppendUint32(nil, 4))
	f.Fuzz(func(_ *testing.T, payload []byte) { _ = unions.Verify(rootTable, payload) })
}
