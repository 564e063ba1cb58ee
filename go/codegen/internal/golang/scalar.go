package golang

import (
	"fmt"
	"math"
	"strconv"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// scalarNames are a scalar's type in Go and what it is called in names of package flatbuffers.
var scalarNames = [...]struct{ goType, runtime string }{
	model.Bool: {"bool", "Bool"}, model.Byte: {"int8", "Int8"}, model.UByte: {"byte", "Byte"},
	model.Short: {"int16", "Int16"}, model.UShort: {"uint16", "Uint16"},
	model.Int: {"int32", "Int32"}, model.UInt: {"uint32", "Uint32"},
	model.Long: {"int64", "Int64"}, model.ULong: {"uint64", "Uint64"},
	model.Float: {"float32", "Float32"}, model.Double: {"float64", "Float64"},
}

// runtime is what the scalar of a type is called in package flatbuffers: "Uint16".
func runtime(t *model.Type) string { return scalarNames[t.Scalar].runtime }

// ref is the name of a declaration, with its package where that is another one.
func (g *generator) ref(d *model.Declaration) string {
	if alias := g.local[g.PackageOf(d).Path]; alias != "" {
		return alias + "." + typeName(d.Name)
	}
	return typeName(d.Name)
}

// qualify is ref for a name that is made from a declaration's: "units.CreateLength".
func (g *generator) qualify(d *model.Declaration, prefix, suffix string) string {
	name := prefix + typeName(d.Name) + suffix
	if alias := g.local[g.PackageOf(d).Path]; alias != "" {
		return alias + "." + name
	}
	return name
}

// plain is the Go type of a scalar or an enum.
func (g *generator) plain(t *model.Type) string {
	if t.Enum != nil {
		return g.ref(&t.Enum.Declaration)
	}
	return scalarNames[t.Scalar].goType
}

// fromScalar turns a value of the scalar's own type into one of the field's.
func (g *generator) fromScalar(t *model.Type, value string) string {
	if t.Enum == nil {
		return value
	}
	return g.plain(t) + "(" + value + ")"
}

// toScalar is the other direction.
func (g *generator) toScalar(t *model.Type, value string) string {
	if t.Enum == nil {
		return value
	}
	return scalarNames[t.Scalar].goType + "(" + value + ")"
}

// literal is a default as an expression of the scalar's own type.
func (g *generator) literal(f *model.Field) string {
	t, d := &f.Type, f.Default
	switch {
	case t.Enum != nil:
		for _, v := range t.Enum.Values {
			if v.Number == d.Integer {
				return g.toScalar(t, g.qualify(&t.Enum.Declaration, "", valueName(v)))
			}
		}
		return integer(t.Scalar, d.Integer)
	case t.Scalar == model.Bool:
		return strconv.FormatBool(d.Integer != 0)
	case t.Scalar.IsFloat():
		return float(t.Scalar, d.Real)
	default:
		return integer(t.Scalar, d.Integer)
	}
}

func integer(s model.Scalar, n int64) string {
	if s == model.ULong {
		return strconv.FormatUint(uint64(n), 10)
	}
	return strconv.FormatInt(n, 10)
}

// float is a default as the nearest value that the scalar has: of a float, 1e39 is infinite, as for flatc.
func float(s model.Scalar, x float64) string {
	if s == model.Float {
		x = float64(float32(x))
	}
	var text string
	switch {
	case math.IsNaN(x):
		text = "math.NaN()"
	case math.IsInf(x, 1):
		text = "math.Inf(1)"
	case math.IsInf(x, -1):
		text = "math.Inf(-1)"
	case x == 0 && math.Signbit(x):
		text = "math.Copysign(0, -1)"
	default:
		return strconv.FormatFloat(x, 'g', -1, 8*s.Size())
	}
	if s == model.Float {
		return fmt.Sprintf("float32(%s)", text)
	}
	return text
}
