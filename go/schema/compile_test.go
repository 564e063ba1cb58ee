package schema

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// schemaOf is a schema with a table T of these fields, a struct S and a union U, which a change may break.
func schemaOf(change func(s *bfbs.Schema), fields ...bfbs.Field) *bfbs.Schema {
	const structIndex, tableIndex = 0, 1
	s := &bfbs.Schema{
		Objects: []bfbs.Object{
			structIndex: {Name: "a.S", IsStruct: true, Size: 4, Align: 4, Fields: []bfbs.Field{{Name: "x", Type: bfbs.Type{Base: bfbs.Int, Index: -1}}}},
			tableIndex:  {Name: "a.T", Fields: fields},
		},
		Enums: []bfbs.Enum{{Name: "a.U", IsUnion: true, Values: []bfbs.EnumValue{
			{Name: "NONE"}, {Name: "T", Value: 1, Union: bfbs.Type{Base: bfbs.Obj, Index: tableIndex}},
		}}},
	}
	if change != nil {
		change(s)
	}
	return s
}

func scalarField(name string, offset int) bfbs.Field {
	return bfbs.Field{Name: name, Offset: offset, Type: bfbs.Type{Base: bfbs.Int, Index: -1}}
}

func unionField(name string, offset int, base bfbs.Base) bfbs.Field {
	return bfbs.Field{Name: name, Offset: offset, Type: bfbs.Type{Base: base, Index: 0}}
}

func vectorOfUnions(f bfbs.Field) bfbs.Field {
	f.Type.Base, f.Type.Element = bfbs.Vector, f.Type.Base
	return f
}

// What flatc would not write, and what would mislead who reads by it.
func TestBrokenSchemas(t *testing.T) {
	const misplaced = `field "u" of a.T: the type of the union is not where it belongs`
	chain := func(count int) func(*bfbs.Schema) {
		return func(s *bfbs.Schema) { // each struct contains the next one
			for i := range count {
				s.Objects = append(s.Objects, bfbs.Object{Name: fmt.Sprintf("a.S%d", i), IsStruct: true, Size: 4, Align: 4,
					Fields: []bfbs.Field{{Name: "x", Type: bfbs.Type{Base: bfbs.Obj, Index: len(s.Objects) + 1}}}})
			}
			s.Objects = append(s.Objects, bfbs.Object{Name: "a.Last", IsStruct: true, Size: 4, Align: 4})
		}
	}
	for name, test := range map[string]struct {
		source  *bfbs.Schema
		problem string // "": none
	}{
		"fine":            {schemaOf(nil, scalarField("x", 4), unionField("u_type", 6, bfbs.UType), unionField("u", 8, bfbs.Union)), ""},
		"fine, vectors":   {schemaOf(nil, vectorOfUnions(unionField("u_type", 4, bfbs.UType)), vectorOfUnions(unionField("u", 6, bfbs.Union))), ""},
		"no type":         {schemaOf(nil, unionField("u", 4, bfbs.Union)), misplaced},
		"type is an int":  {schemaOf(nil, scalarField("x", 4), unionField("u", 6, bfbs.Union)), misplaced},
		"type elsewhere":  {schemaOf(nil, unionField("u_type", 4, bfbs.UType), unionField("u", 8, bfbs.Union)), misplaced},
		"type is vector":  {schemaOf(nil, vectorOfUnions(unionField("u_type", 4, bfbs.UType)), unionField("u", 6, bfbs.Union)), misplaced},
		"vector is not":   {schemaOf(nil, unionField("u_type", 4, bfbs.UType), vectorOfUnions(unionField("u", 6, bfbs.Union))), misplaced},
		"one slot":        {schemaOf(nil, scalarField("x", 4), scalarField("y", 4)), `field "y" of a.T: has no place in its table`},
		"odd slot":        {schemaOf(nil, scalarField("x", 5)), `field "x" of a.T: has no place in its table`},
		"vtable's head":   {schemaOf(nil, scalarField("x", 2)), `field "x" of a.T: has no place in its table`},
		"one name":        {schemaOf(nil, scalarField("x", 4), scalarField("x", 6)), `field "x" of a.T: not a name, or there are two fields of it`},
		"not a name":      {schemaOf(nil, scalarField("x\n", 4)), `field "x\n" of a.T: not a name, or there are two fields of it`},
		"types' one name": {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Name = "a.T" }), "there are two types of the name a.T"},
		"64 bits":         {schemaOf(func(s *bfbs.Schema) { s.Objects[1].Fields[0].Offset64 = true }, scalarField("x", 4)), `field "x" of a.T: offsets of 64 bits are not supported`},
		"newer type":      {schemaOf(func(s *bfbs.Schema) { s.Objects[1].Fields[0].Type.Base = 18 }, scalarField("x", 4)), `field "x" of a.T: base type 18 is not supported`},
		"overlap": {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Fields = append(s.Objects[0].Fields, scalarField("y", 2)) }),
			`field "y" of a.S: does not fit into its struct`},
		"past the end":   {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Fields[0].Offset = 1 }), `field "x" of a.S: does not fit into its struct`},
		"large struct":   {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Size = 1 << 20 }), "struct a.S has size 1048576 and alignment 4: not supported"},
		"crooked struct": {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Align = 3 }), "struct a.S has size 4 and alignment 3: not supported"},
		"struct in itself": {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Fields[0].Type = bfbs.Type{Base: bfbs.Obj, Index: 0} }),
			`field "x" of a.S: struct a.S contains itself`},
		"string in a struct": {schemaOf(func(s *bfbs.Schema) { s.Objects[0].Fields[0].Type.Base = bfbs.String }),
			`field "x" of a.S: does not fit into its struct`},
		"union of ints": {schemaOf(func(s *bfbs.Schema) { s.Enums[0].Values[1].Union = bfbs.Type{Base: bfbs.Int, Index: -1} }), "union a.U: T cannot be a member"},
		"enum's names":  {schemaOf(func(s *bfbs.Schema) { s.Enums[0].Values[1].Name = "NONE" }), `enum a.U: "NONE" is no name for a value, or is there twice`},
		"deep enough":   {schemaOf(chain(structDepthMax - 1)), ""},
		"too deep":      {schemaOf(chain(1000)), "nest deeper than 32"},
		"no table": {schemaOf(func(s *bfbs.Schema) {
			s.Services = []bfbs.Service{{Name: "a.Do", Calls: []bfbs.Call{{Name: "It", Request: "a.T", Response: "a.S"}}}}
		}), `method a.Do.It: no table "a.S"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compile(test.source)
			if test.problem == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.problem)
				require.NotContains(t, err.Error(), "\n")
			}
		})
	}
}
