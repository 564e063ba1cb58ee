package schema

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// A scalar is kept as 64 bits: an integer extended by its sign, or the bits of a float or a double.

// bases describes scalars.
var bases = map[bfbs.Base]struct {
	name   string
	size   int
	signed bool
}{
	bfbs.UType: {"ubyte", 1, false}, bfbs.Bool: {"bool", 1, false},
	bfbs.Byte: {"byte", 1, true}, bfbs.UByte: {"ubyte", 1, false},
	bfbs.Short: {"short", 2, true}, bfbs.UShort: {"ushort", 2, false},
	bfbs.Int: {"int", 4, true}, bfbs.UInt: {"uint", 4, false},
	bfbs.Long: {"long", 8, true}, bfbs.ULong: {"ulong", 8, false},
	bfbs.Float: {"float", 4, false}, bfbs.Double: {"double", 8, false},
}

// sizeOf is a scalar's size in bytes; 0: not a scalar.
func sizeOf(base bfbs.Base) int { return bases[base].size }

// truncate makes of 64 bits what a scalar of that type can hold.
func truncate(base bfbs.Base, bits uint64) uint64 {
	unused := 64 - 8*bases[base].size
	if bases[base].signed {
		return uint64(int64(bits<<unused) >> unused)
	}
	return bits << unused >> unused
}

// load reads a scalar.
func load(base bfbs.Base, p []byte) uint64 {
	var word [8]byte
	copy(word[:], p[:sizeOf(base)])
	return truncate(base, binary.LittleEndian.Uint64(word[:]))
}

// appendScalar writes a scalar behind what is there.
func appendScalar(dst []byte, base bfbs.Base, bits uint64) []byte {
	var word [8]byte
	binary.LittleEndian.PutUint64(word[:], bits)
	return append(dst, word[:sizeOf(base)]...)
}

// isFloat says whether bits are those of a float or a double; value is then what they say.
func isFloat(base bfbs.Base, bits uint64) (value float64, is bool) {
	switch base {
	case bfbs.Float:
		return float64(math.Float32frombits(uint32(bits))), true
	case bfbs.Double:
		return math.Float64frombits(bits), true
	}
	return 0, false
}

// same compares as builders do when they leave a default out: 0 is -0, and here a nan is a nan.
func same(base bfbs.Base, a, b uint64) bool {
	x, is := isFloat(base, a)
	if y, _ := isFloat(base, b); is {
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	return a == b
}

// less says which of two keys comes first.
func less(base bfbs.Base, a, b uint64) bool {
	x, is := isFloat(base, a)
	y, _ := isFloat(base, b)
	switch {
	case is:
		return x < y
	case bases[base].signed:
		return int64(a) < int64(b)
	}
	return a < b
}

// Floats that JSON has no numbers for are strings.
var unusual = map[string]float64{
	"nan": math.NaN(), "inf": math.Inf(1), "+inf": math.Inf(1), "-inf": math.Inf(-1),
	"infinity": math.Inf(1), "+infinity": math.Inf(1), "-infinity": math.Inf(-1),
}

// parseScalar reads a scalar from a JSON token. The error is a problem, without a path.
func parseScalar(s *shape, token json.Token) (uint64, error) {
	name := bases[s.base].name
	if s.enum != nil {
		name = s.enum.name
	}
	switch value := token.(type) {
	case bool:
		if s.base == bfbs.Bool && s.enum == nil {
			if value {
				return 1, nil
			}
			return 0, nil
		}
	case json.Number:
		if s.base != bfbs.Bool {
			return parseNumber(s.base, name, string(value))
		}
	case string:
		if s.enum != nil {
			return s.enum.parse(s.base, value)
		}
		if f, known := unusual[value]; known && s.base == bfbs.Float {
			return uint64(math.Float32bits(float32(f))), nil
		} else if known && s.base == bfbs.Double {
			return math.Float64bits(f), nil
		}
	}
	return 0, fmt.Errorf("expected %s, found %s", expectation(s), describe(token))
}

// expectation is what a scalar looks like in JSON.
func expectation(s *shape) string {
	switch {
	case s.enum != nil:
		return "a name of " + s.enum.name + " or a number"
	case s.base == bfbs.Bool:
		return "true or false"
	case s.base == bfbs.Float || s.base == bfbs.Double:
		return `a number, "nan", "inf" or "-inf"`
	}
	return "a number (" + bases[s.base].name + ")"
}

func parseNumber(base bfbs.Base, name, text string) (uint64, error) {
	size := bases[base].size
	if base == bfbs.Float || base == bfbs.Double {
		f, err := strconv.ParseFloat(text, 8*size)
		if err != nil {
			return 0, fmt.Errorf("%s is out of range: %s cannot hold it", shown(text), name)
		}
		if base == bfbs.Float {
			return uint64(math.Float32bits(float32(f))), nil
		}
		return math.Float64bits(f), nil
	}
	if strings.ContainsAny(text, ".eE") {
		return 0, fmt.Errorf("%s is not an integer (%s)", shown(text), name)
	}
	unused := 64 - 8*size
	if bases[base].signed {
		n, err := strconv.ParseInt(text, 10, 8*size)
		if err != nil {
			return 0, fmt.Errorf("%s is out of range: %s holds %d to %d", shown(text), name,
				int64(math.MinInt64)>>unused, int64(math.MaxInt64)>>unused)
		}
		return uint64(n), nil
	}
	if text == "-0" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 8*size)
	if err != nil {
		return 0, fmt.Errorf("%s is out of range: %s holds 0 to %d", shown(text), name, uint64(math.MaxUint64)>>unused)
	}
	return n, nil
}

// parse reads a value's name, or for bit_flags several.
func (e *enum) parse(base bfbs.Base, text string) (uint64, error) {
	if value, known := e.byName[text]; known {
		return truncate(base, uint64(value)), nil
	}
	words := strings.Fields(text)
	bits := uint64(0)
	for _, word := range words {
		value, known := e.byName[word]
		if !known {
			return 0, fmt.Errorf("%s has no value %s; it has: %s", e.name, quote(word), enumerate(e.names))
		}
		bits |= uint64(value)
	}
	switch {
	case len(words) == 0:
		return 0, fmt.Errorf("%s has no value %s; it has: %s", e.name, quote(text), enumerate(e.names))
	case len(words) > 1 && !e.flags:
		return 0, fmt.Errorf("%s is one value, not several (or the binary schema was made without --bfbs-builtins)", e.name)
	}
	return truncate(base, bits), nil
}

// appendJSON writes a scalar as JSON.
func appendJSON(dst []byte, s *shape, bits uint64) []byte {
	if s.enum != nil {
		if name := s.enum.text(bits); name != "" {
			return appendString(dst, name)
		}
	}
	switch {
	case s.base == bfbs.Bool:
		return strconv.AppendBool(dst, bits != 0)
	case s.base == bfbs.Float || s.base == bfbs.Double:
		return appendFloat(dst, s.base, bits)
	case bases[s.base].signed:
		return strconv.AppendInt(dst, int64(bits), 10)
	}
	return strconv.AppendUint(dst, bits, 10)
}

// text is the name of a value, or for bit_flags its names; empty: it has none.
func (e *enum) text(bits uint64) string {
	if name, known := e.byValue[int64(bits)]; known {
		return name
	}
	if !e.flags {
		return ""
	}
	var names []string
	covered := uint64(0)
	for i, value := range e.values {
		if uint64(value)&bits != 0 {
			names = append(names, e.names[i])
			covered |= uint64(value)
		}
	}
	if covered != bits {
		return ""
	}
	return strings.Join(names, " ")
}

// appendFloat writes the shortest number that reads back as the same; very large and very small ones
// with an exponent.
func appendFloat(dst []byte, base bfbs.Base, bits uint64) []byte {
	value, _ := isFloat(base, bits)
	switch {
	case math.IsNaN(value):
		return append(dst, `"nan"`...)
	case math.IsInf(value, 1):
		return append(dst, `"inf"`...)
	case math.IsInf(value, -1):
		return append(dst, `"-inf"`...)
	}
	format := byte('f')
	if size := math.Abs(value); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, value, format, -1, 8*sizeOf(base))
}
