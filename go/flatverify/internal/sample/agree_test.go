package sample

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"
)

// straight are the verifiers in straight lines, by table.
var straight = map[int]func([]byte) bool{
	sampleTableEmpty: sampleIsEmpty, sampleTableWide: sampleIsWide, sampleTableNarrow: sampleIsNarrow,
	sampleTableNames: sampleIsNames, sampleTableNumbers: sampleIsNumbers, sampleTableLoose: sampleIsLoose,
}

// agree fails the test where the two verifiers of a table do not say the same. It returns how many
// tables the payload is one of.
func agree(t *testing.T, payload []byte) (good int) {
	for table, check := range straight {
		err := sampleTables.Verify(table, payload)
		if got := check(payload); got != (err == nil) {
			t.Fatalf("%s of %x: in straight lines: %v; by the table: %v",
				sampleTables[table].Name, payload, got, err)
		}
		if err == nil {
			good++
			readAgree(t, table, payload)
		}
	}
	return good
}

// readers read every field of a table.
var readers = map[int]func(payload []byte, root flatbuffers.UOffsetT) string{
	sampleTableWide: func(p []byte, root flatbuffers.UOffsetT) string {
		var v Wide
		v.Init(p, root)
		return fmt.Sprintf("%+v", *v.UnPack())
	},
	sampleTableNarrow: func(p []byte, root flatbuffers.UOffsetT) string {
		var v Narrow
		v.Init(p, root)
		return fmt.Sprintf("%+v", *v.UnPack())
	},
	sampleTableNames: func(p []byte, root flatbuffers.UOffsetT) string {
		var v Names
		v.Init(p, root)
		return fmt.Sprintf("%+v", *v.UnPack())
	},
	sampleTableNumbers: func(p []byte, root flatbuffers.UOffsetT) string {
		var v Numbers
		v.Init(p, root)
		return fmt.Sprintf("%+v", *v.UnPack())
	},
}

// readAgree fails the test where accessors do not find what flatc's own would: they have no shortcut to
// a table that lies elsewhere.
func readAgree(t *testing.T, table int, payload []byte) {
	read := readers[table]
	if read == nil {
		return
	}
	root := flatbuffers.GetUOffsetT(payload)
	elsewhere := append(make([]byte, 8, 8+len(payload)), payload...)
	if got, want := read(payload, root), read(elsewhere, root+8); got != want {
		t.Fatalf("%s of %x: read %s, want %s", sampleTables[table].Name, payload, got, want)
	}
}

// seeds are payloads of every table, with the fields where writers put them and elsewhere.
func seeds() [][]byte {
	maybe := int32(7)
	return [][]byte{
		EmptyBytes(nil),
		WideBytes(nil, true, "first", -1, 2.5, 1<<63, ColorBlue, "", -2),
		WideBytes(nil, false, "one", -1, 2.5, 1, ColorBlue, "four", -2),
		NarrowBytes(nil, true, 1, 2, 3, "text", 4, 5, "more"),
		NamesBytes(nil, "type", "len", 7, "rpc", 9, true),
		NumbersBytes(nil, -1, RightsOwn),
		packed(&WideT{First: "first", Ratio: 3}),
		packed(&NarrowT{Text: "required"}),
		packed(&NarrowT{Text: "text", More: "more", Port: 1, Off: true}),
		{4, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 4, 0, 4, 0},    // the vtable is the last thing
		{4, 0, 0, 0, 0xfb, 0xff, 0xff, 0xff, 0, 4, 0, 4, 0}, // and at an odd byte
		packed(&LooseT{Mark: &MarkT{Weight: 1, At: &PointT{}}, Maybe: &maybe, Name: "name"}),
	}
}

func FuzzVerifyAgree(f *testing.F) {
	for _, payload := range seeds() {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) { agree(t, payload) })
}

func TestVerifiersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	good, bad := 0, 0
	try := func(payload []byte) {
		n := agree(t, payload)
		good += n
		bad += len(straight) - n
	}
	for _, payload := range seeds() {
		for cut := range len(payload) {
			try(payload[:cut:cut])
		}
		for at := range payload {
			for _, value := range []byte{0, 1, 2, 3, 4, 5, 6, 8, 0x7f, 0x80, 0xfc, 0xff, payload[at] ^ 1, payload[at] + 4} {
				changed := slices.Clone(payload)
				changed[at] = value
				try(changed)
			}
		}
		for range 5000 {
			changed := slices.Clone(payload)
			for range 2 + random.IntN(3) {
				changed[random.IntN(len(changed))] = byte(random.IntN(16) * 2)
			}
			try(changed)
		}
	}
	require.Greater(t, good, 10_000)
	require.Greater(t, bad, 10_000)
}
