package flatverify_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
)

// Tables that share a vtable, as one would write
//
//	table Row { kind: ubyte; number: ulong; thing: Thing; name: string; }
//	table Rows { rows: [Row]; }
//	struct Tiny { b: ubyte; }
//	union Thing { Row, Tiny }
var rows = flatverify.Schema{
	{Name: "Rows", Fields: []flatverify.Field{{Name: "rows", Slot: 4, Kind: flatverify.TableVector, Table: 1}}},
	{Name: "Row", Fields: []flatverify.Field{
		{Name: "kind", Slot: 4, Kind: flatverify.Inline, Size: 1, Align: 1},
		{Name: "number", Slot: 6, Kind: flatverify.Inline, Size: 8, Align: 8},
		{Name: "thing_type", Slot: 8, Kind: flatverify.Inline, Size: 1, Align: 1},
		{Name: "thing", Slot: 10, Kind: flatverify.Union, Table: 2},
		{Name: "name", Slot: 12, Kind: flatverify.String},
	}},
	{Name: "Thing", Fields: []flatverify.Field{
		{Name: "Row", Slot: 1, Kind: flatverify.SubTable, Table: 1},
		{Name: "Tiny", Slot: 2, Kind: flatverify.Inline, Size: 1, Align: 1},
	}},
}

// share makes Rows of rows with one vtable; each begins with its offset to it, which is filled in.
func share(vtable []uint16, rows ...[]byte) []byte {
	var p []byte
	number := func(n int) { p = binary.LittleEndian.AppendUint32(p, uint32(n)) }
	number(12)
	p = append(p, 0, 0, 6, 0, 8, 0, 4, 0)
	number(6)
	number(4)
	number(len(rows))
	vector := len(p)
	p = append(p, make([]byte, 4*len(rows))...)
	start := len(p)
	for _, entry := range append([]uint16{uint16(2*len(vtable) + 2)}, vtable...) {
		p = binary.LittleEndian.AppendUint16(p, entry)
	}
	for len(p)%8 != 0 {
		p = append(p, 0)
	}
	for i, row := range rows {
		binary.LittleEndian.PutUint32(p[vector+4*i:], uint32(len(p)-vector-4*i))
		at := len(p)
		p = append(p, row...)
		binary.LittleEndian.PutUint32(p[at:], uint32(at-start))
	}
	return p
}

// row is a table of that many bytes, some of them given.
func row(size int, bytes map[int]byte) []byte {
	out := make([]byte, size)
	for at, b := range bytes {
		out[at] = b
	}
	return out
}

// What one table passes with is not good for the next one, where it is elsewhere or holds something else.
func TestTablesThatShareAVtable(t *testing.T) {
	plain := row(8, nil)
	named := row(16, map[int]byte{4: 4, 8: 3}) // its name is the three zeroes behind
	for name, test := range map[string]struct {
		payload []byte
		problem string // "": none
	}{
		"all are good":     {share([]uint16{8, 4}, plain, plain, plain, plain), ""},
		"size":             {share([]uint16{8}, plain, plain, row(4, nil)), "Row: table size is out of range"},
		"scalar":           {share([]uint16{4, 4}, plain, plain, row(4, nil)), "Row.kind: field is outside the payload"},
		"eight bytes":      {share([]uint16{4, 0, 8}, row(16, nil), row(16, nil), row(12, nil)), "Row.number: field is outside the payload"},
		"not aligned":      {share([]uint16{4, 0, 8}, row(16, nil), row(20, nil), row(16, nil)), "Row.number: field is not aligned"},
		"aligned again":    {share([]uint16{4, 0, 8}, row(16, nil), row(16, nil), row(16, nil)), ""},
		"names":            {share([]uint16{4, 0, 0, 0, 0, 4}, named, named, named), ""},
		"offset":           {share([]uint16{4, 0, 0, 0, 0, 4}, named, named, row(4, nil)), "Row.name: field is outside the payload"},
		"name":             {share([]uint16{4, 0, 0, 0, 0, 4}, named, named, row(16, map[int]byte{4: 4, 8: 3, 15: 1})), "Row.name: string does not end with a zero byte"},
		"type alone":       {share([]uint16{8, 0, 0, 4}, plain, plain, row(8, map[int]byte{4: 1})), ""},
		"type of a struct": {share([]uint16{8, 0, 0, 4}, plain, plain, row(8, map[int]byte{4: 2})), "Row.thing: the union's struct is missing"},
		"struct":           {share([]uint16{12, 0, 0, 4, 8}, row(12, map[int]byte{4: 2, 8: 1}), row(12, map[int]byte{4: 2, 8: 1}), row(12, map[int]byte{4: 2, 8: 3})), ""},
		"struct elsewhere": {share([]uint16{12, 0, 0, 4, 8}, row(12, map[int]byte{4: 2, 8: 1}), row(12, map[int]byte{4: 2, 8: 1}), row(12, map[int]byte{4: 2, 8: 4})), "Row.thing: offset is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			err := rows.Verify(0, test.payload)
			if test.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.problem)
			}
		})
	}
}
