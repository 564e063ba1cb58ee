package c

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// scalars are the C type of each scalar, and what its functions in <smf/flat.h> are called.
var scalars = map[model.Scalar]struct{ typ, name string }{
	model.Bool: {"bool", "bool"},
	model.Byte: {"int8_t", "i8"}, model.UByte: {"uint8_t", "u8"},
	model.Short: {"int16_t", "i16"}, model.UShort: {"uint16_t", "u16"},
	model.Int: {"int32_t", "i32"}, model.UInt: {"uint32_t", "u32"},
	model.Long: {"int64_t", "i64"}, model.ULong: {"uint64_t", "u64"},
	model.Float: {"float", "f32"}, model.Double: {"double", "f64"},
}

// plain is the C type of a scalar or an enum.
func plain(t *model.Type) string {
	if t.Enum != nil {
		return enumType(t.Enum)
	}
	return scalars[t.Scalar].typ
}

// enumType is the type of an enum's values, or of what says which member a union holds.
func enumType(e *model.Enum) string {
	if e.IsUnion {
		return cName(&e.Declaration) + "_type"
	}
	return cName(&e.Declaration)
}

// integer writes a C constant of a type.
func integer(scalar model.Scalar, bits int64) string {
	switch {
	case scalar == model.Bool:
		return strconv.FormatBool(bits != 0)
	case scalar == model.ULong:
		return fmt.Sprintf("UINT64_C(%d)", uint64(bits))
	case scalar == model.UInt:
		return fmt.Sprintf("%du", uint32(bits))
	case scalar == model.Long && bits == math.MinInt64:
		return fmt.Sprintf("(-INT64_C(%d) - 1)", math.MaxInt64)
	case scalar == model.Long:
		return fmt.Sprintf("INT64_C(%d)", bits)
	case scalar == model.Int && bits == math.MinInt32:
		return fmt.Sprintf("(-%d - 1)", math.MaxInt32)
	default:
		return strconv.FormatInt(bits, 10)
	}
}

// constant writes the default of a field.
func (v *view) constant(f *model.Field) string {
	t := &f.Type
	if f.Optional {
		f.Default = model.Default{}
	}
	if !t.Scalar.IsFloat() {
		if t.Enum != nil {
			for _, value := range t.Enum.Values {
				if value.Number == f.Default.Integer {
					return constantName(t.Enum, value)
				}
			}
		}
		return integer(t.Scalar, f.Default.Integer)
	}
	bits, ending := 64, ""
	if t.Scalar == model.Float {
		bits, ending = 32, "f"
	}
	real := f.Default.Real
	if math.IsNaN(real) || math.IsInf(real, 0) {
		v.NeedMath = true
		number := "NAN"
		switch {
		case math.IsInf(real, 1):
			number = "INFINITY"
		case math.IsInf(real, -1):
			number = "-INFINITY"
		}
		return "(" + plain(t) + ")" + number
	}
	text := strconv.FormatFloat(real, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text + ending
}

// constantName is the C name of an enum's value.
func constantName(e *model.Enum, value *model.Value) string {
	endings := enumEndings
	if e.IsUnion {
		endings = unionEndings
	}
	return member(cName(&e.Declaration), value.Name, endings)
}

func (v *view) addEnum(n Names, e *model.Enum) error {
	name, kind, of, endings := cName(&e.Declaration), "enum", "value", enumEndings
	if e.IsUnion {
		kind, of, endings = "union", "member", unionEndings
	}
	out := enumView{Enum: e, C: enumType(e), Type: scalars[e.Scalar].typ}
	if err := n.claimAll(name, thingOf(kind, &e.Declaration, ""), endings); err != nil {
		return err
	}
	for _, value := range e.Values {
		constant := valueView{Value: value, C: constantName(e, value), Number: integer(e.Scalar, value.Number)}
		if err := n.claim(constant.C, thingOf(of, &e.Declaration, value.Name)); err != nil {
			return err
		}
		for _, other := range out.Values {
			constant.Again = constant.Again || other.Value.Number == value.Number
		}
		out.Values = append(out.Values, constant)
	}
	v.Enums = append(v.Enums, out)
	if !e.IsUnion {
		return nil
	}

	union := unionView{Enum: e, C: name}
	for _, value := range e.Values {
		if value.Member.Kind == model.None {
			continue
		}
		m := memberView{Name: value.Name, As: name + "_as_" + value.Name, Of: name + "_of_" + value.Name,
			Number: value.Number, Constant: constantName(e, value)}
		for _, function := range []string{m.As, m.Of} {
			if err := n.claim(function, thingOf(of, &e.Declaration, value.Name)); err != nil {
				return err
			}
		}

		m.describe(value)
		union.Members = append(union.Members, m)
	}
	v.Unions = append(v.Unions, union)
	return nil
}

// describe fills in what a union's member is.
func (m *memberView) describe(value *model.Value) {
	row := row{name: value.Name, slot: int(value.Number)}
	switch t := &value.Member; t.Kind {
	case model.Text:
		m.Kind, row.kind = "string", "STRING"
	case model.StructOf:
		m.Kind, m.Target = "struct", cName(&t.Struct.Declaration)
		row.kind, row.size, row.align = "INLINE", t.Struct.Size, t.Struct.Align
	default:
		m.Kind, m.Target = "table", cName(&t.Table.Declaration)
		row.kind, row.table = "TABLE", m.Target+"_layout"
	}
	m.Field = row.String()
}

// row is one line of a description: a struct smf_flat_field.
type row struct {
	name              string
	table             string
	kind              string
	size, slot, align int
	required          bool
}

func (r row) String() string {
	table, required := "NULL", 0
	if r.table != "" {
		table = "&" + r.table
	}
	if r.required {
		required = 1
	}
	return fmt.Sprintf("{%s, %s, %d, %d, SMF_FLAT_%s, %d, %d, {0, 0, 0}},",
		quote(r.name), table, r.size, r.slot, r.kind, r.align, required)
}

func (v *view) addStruct(n Names, s *model.Struct) error {
	out := structView{Struct: s, C: cName(&s.Declaration)}
	if err := n.claimAll(out.C, thingOf("struct", &s.Declaration, ""), structEndings); err != nil {
		return err
	}
	members := make(Names)
	for _, f := range s.Fields {
		m := memberOfStruct{Name: free(f.Name), Doc: f.Doc, Offset: f.Offset}
		if err := members.claim(m.Name, thingOf("field", &s.Declaration, f.Name)); err != nil {
			return err
		}
		t := &f.Type
		if t.Kind == model.Array {
			m.Length, t = t.Length, t.Elem
		}
		m.Size = t.Size()
		if t.Kind == model.StructOf {
			name := cName(&t.Struct.Declaration)
			m.C, m.Load, m.Store, m.IsBlock = "struct "+name, name+"_load", name+"_store", true
		} else {
			name := scalars[t.Scalar].name
			m.C, m.Load, m.Store = plain(t), "smf_flat_load_"+name, "smf_flat_store_"+name
		}
		out.Fields = append(out.Fields, m)
	}
	v.Structs = append(v.Structs, out)
	return nil
}
