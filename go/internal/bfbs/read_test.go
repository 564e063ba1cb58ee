package bfbs_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// shop reads testdata/shop.bfbs, made by flatc 2.0.8 in testdata with
// flatc --binary --schema --bfbs-comments --bfbs-builtins --bfbs-filenames . shop.fbs
func shop(t testing.TB) (*bfbs.Schema, []byte) {
	p, err := os.ReadFile("testdata/shop.bfbs")
	require.NoError(t, err)
	schema, err := bfbs.Parse(p)
	require.NoError(t, err)
	return schema, p
}

func TestObjects(t *testing.T) {
	schema, _ := shop(t)
	names := make([]string, len(schema.Objects))
	for i, o := range schema.Objects {
		names[i] = o.Name + " " + o.File
	}
	require.Equal(t, []string{
		"shop.Item //shop.fbs", "shop.Money //shop_money.fbs", "shop.Order //shop.fbs",
		"shop.Place //shop.fbs",
	}, names)

	place := schema.Objects[3]
	require.True(t, place.IsStruct)
	require.Equal(t, 16, place.Size)
	require.Equal(t, 8, place.Align)
	require.Equal(t, []string{" Where."}, place.Doc)
	require.Equal(t, 8, place.Fields[1].Offset)
}

func TestFields(t *testing.T) {
	schema, _ := shop(t)
	item, order := schema.Objects[0], schema.Objects[2]

	require.Len(t, item.Fields, 3)
	require.Equal(t, bfbs.Field{
		Name: "name", Type: bfbs.Type{Base: bfbs.String, Index: -1}, ID: 0, Offset: 4, Required: true,
		Attributes: bfbs.Attributes{"id": "0", "required": "0"},
		Doc:        []string{" What it is called.", " At most a line."},
	}, item.Fields[0])
	require.Equal(t, "price2", item.Fields[1].Name)
	require.Equal(t, bfbs.Type{Base: bfbs.Obj, Index: 1}, item.Fields[1].Type)
	require.True(t, item.Fields[2].Deprecated)
	require.Equal(t, 8, item.Fields[2].Offset)

	require.Equal(t, bfbs.Type{Base: bfbs.Vector, Element: bfbs.Obj, Index: 0}, order.Fields[0].Type)
	require.Equal(t, bfbs.Type{Base: bfbs.Byte, Index: 0}, order.Fields[1].Type)
	require.Equal(t, bfbs.ULong, order.Fields[4].Type.Base)
	require.True(t, order.Fields[4].Optional)
}

func TestEnums(t *testing.T) {
	schema, _ := shop(t)
	require.Len(t, schema.Enums, 1)
	parcel := schema.Enums[0]
	require.Equal(t, "shop.Parcel", parcel.Name)
	require.Equal(t, []string{" How it is sent."}, parcel.Doc)
	require.False(t, parcel.IsUnion)
	require.Len(t, parcel.Values, 2)
	require.Equal(t, "Letter", parcel.Values[0].Name)
	require.Equal(t, int64(-1), parcel.Values[0].Value)
	require.Equal(t, int64(2), parcel.Values[1].Value)
}

func TestServices(t *testing.T) {
	schema, _ := shop(t)
	require.Len(t, schema.Services, 1)
	service := schema.Services[0]
	require.Equal(t, "shop.Shop", service.Name)
	require.Equal(t, []string{" Sells."}, service.Doc)
	require.Equal(t, "//shop.fbs", service.File)
	require.Len(t, service.Calls, 2)
	require.Equal(t, bfbs.Call{
		Name: "Buy", Request: "shop.Order", Response: "shop.Item",
		Attributes: bfbs.Attributes{"slow": "0", "streaming": "none"},
		Doc:        []string{" Buys."},
	}, service.Calls[0])
	require.Equal(t, "Ask", service.Calls[1].Name)
}

func TestFiles(t *testing.T) {
	schema, _ := shop(t)
	require.Equal(t, []bfbs.File{
		{Name: "//shop.fbs", Includes: []string{"//shop_money.fbs"}},
		{Name: "//shop_money.fbs", Includes: []string{}},
	}, schema.Files)
}

func TestNotASchema(t *testing.T) {
	_, p := shop(t)
	for name, bad := range map[string][]byte{
		"empty": nil, "short": p[:7], "half": p[:len(p)/2], "text": []byte("table Request { }"),
	} {
		_, err := bfbs.Parse(bad)
		require.ErrorIs(t, err, bfbs.ErrNotSchema, name)
	}
}

// Whatever one changed byte makes of a schema, reading it ends with a schema or an error, and the
// indexes of a schema can be used.
func TestEveryByteChanged(t *testing.T) {
	_, p := shop(t)
	outOfRange := false
	for at := range p {
		for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			old := p[at]
			p[at] = value
			_, err := bfbs.Parse(p)
			if err == nil {
				useIndexes(p)
			} else if !errors.Is(err, bfbs.ErrNotSchema) {
				require.ErrorIs(t, err, bfbs.ErrIndex)
				outOfRange = true
			}
			p[at] = old
		}
	}
	require.True(t, outOfRange)
}

func FuzzParse(f *testing.F) {
	_, p := shop(f)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) { useIndexes(p) })
}

// useIndexes reads p and looks up every type by its index.
func useIndexes(p []byte) {
	schema, err := bfbs.Parse(p)
	if err != nil {
		return
	}
	for _, o := range schema.Objects {
		for _, f := range o.Fields {
			switch {
			case f.Type.Base == bfbs.Obj || f.Type.Element == bfbs.Obj:
				_ = schema.Objects[f.Type.Index]
			case f.Type.Index >= 0:
				_ = schema.Enums[f.Type.Index]
			}
		}
	}
}
