package codegen_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// flatc's binary schemas hold defaults as int64: the others are taken from the text, of included schemas too.
func TestDefaultsThatFlatcLoses(t *testing.T) {
	needFlatc(t)
	result, err := generate(t, map[string]string{
		"x.fbs": `include "y.fbs"; namespace a;
			table T { most: ulong = 18446744073709551615; hex: ulong = 0xF000000000000000; below: ulong = 9223372036854775807;
				none: ulong; zero: ulong = 0; null: ulong = null; name: E = Most; flags: F = "Low High"; low: F = Low; }`,
		"y.fbs": `namespace a; enum E : ulong { None, Most = 18446744073709551615 }
			enum F : ulong (bit_flags) { Low, High = 63 }`,
	})
	require.NoError(t, err)
	text := string(result.Files[0].Content)
	for _, want := range []string{
		"Uint64Slot(4, 18446744073709551615)", "Uint64Slot(6, 17293822569102704640)", "Uint64Slot(8, 9223372036854775807)",
		"Uint64Slot(10, 0)", "Uint64Slot(12, 0)", "Uint64Slot(16, uint64(EMost))", "Uint64Slot(18, 9223372036854775809)",
		"Uint64Slot(20, uint64(FLow))", "PrependUint64Slot(0, most, 18446744073709551615)",
	} {
		require.Contains(t, text, want)
	}
}
