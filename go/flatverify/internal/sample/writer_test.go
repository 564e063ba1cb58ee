package sample

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"
)

type packer interface {
	Pack(*flatbuffers.Builder) flatbuffers.UOffsetT
}

func packed(object packer) []byte {
	builder := flatbuffers.NewBuilder(0)
	builder.Finish(object.Pack(builder))
	return builder.FinishedBytes()
}

// values are arguments for every writer. None is a default, which builders leave out.
type values struct {
	texts [3]string
	bits  uint64
	float float64
	color Color
}

func randomValues(random *rand.Rand) values {
	bits := random.Uint64()&^0x10 | 0x0101_0101_0101_0101 // so that no part of it is 0 or -7
	v := values{bits: bits, float: -1 - random.Float64(), color: ColorBlue}
	for i := range v.texts {
		v.texts[i] = strings.Repeat(string(rune('a'+i)), random.IntN(20))
	}
	return v
}

// The order of the calls is that of flatc's CreateX in C++: strings in the order of the fields, then
// fields by size, of one size the last first.
func builtWide(v *values) []byte {
	b := flatbuffers.NewBuilder(0)
	first, second := b.CreateString(v.texts[0]), b.CreateString(v.texts[1])
	WideStart(b)
	WideAddId(b, v.bits)
	WideAddRatio(b, v.float)
	WideAddSecond(b, second)
	WideAddFirst(b, first)
	WideAddLevel(b, int16(v.bits))
	WideAddColor(b, v.color)
	WideAddTiny(b, int8(v.bits))
	WideAddOn(b, false)
	b.Finish(WideEnd(b))
	return b.FinishedBytes()
}

func builtNarrow(v *values) []byte {
	b := flatbuffers.NewBuilder(0)
	text, more := b.CreateString(v.texts[0]), b.CreateString(v.texts[1])
	NarrowStart(b)
	NarrowAddMore(b, more)
	NarrowAddUnsigned(b, uint32(v.bits))
	NarrowAddText(b, text)
	NarrowAddSigned(b, int32(v.bits))
	NarrowAddWeight(b, float32(v.float))
	NarrowAddPort(b, uint16(v.bits))
	NarrowAddSmall(b, byte(v.bits))
	NarrowAddOff(b, true)
	b.Finish(NarrowEnd(b))
	return b.FinishedBytes()
}

func builtNames(v *values) []byte {
	b := flatbuffers.NewBuilder(0)
	kind, length, call := b.CreateString(v.texts[0]), b.CreateString(v.texts[1]), b.CreateString(v.texts[2])
	NamesStart(b)
	NamesAddRpc(b, call)
	NamesAddDst(b, uint32(v.bits))
	NamesAddLen(b, length)
	NamesAddType(b, kind)
	NamesAddAt0(b, int16(v.bits))
	NamesAddStringValue(b, true)
	b.Finish(NamesEnd(b))
	return b.FinishedBytes()
}

func builtNumbers(v *values) []byte {
	b := flatbuffers.NewBuilder(0)
	NumbersStart(b)
	NumbersAddRights(b, Rights(v.bits))
	NumbersAddCount(b, int64(v.bits))
	b.Finish(NumbersEnd(b))
	return b.FinishedBytes()
}

func TestWritersMakeWhatBuildersMake(t *testing.T) {
	space := make([]byte, 512)
	dirty := func() []byte { // every byte is written, padding too
		for i := range space {
			space[i] = 0xaa
		}
		return space[:0]
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		v := randomValues(random)
		u := v.bits
		require.Equal(t, builtWide(&v), WideBytes(dirty(), false, v.texts[0], int8(u), v.float, u, v.color, v.texts[1],
			int16(u)))
		require.Equal(t, builtNarrow(&v), NarrowBytes(dirty(), true, byte(u), float32(v.float), int32(u), v.texts[0],
			uint32(u), uint16(u), []byte(v.texts[1])))
		require.Equal(t, builtNames(&v), NamesBytes(dirty(), v.texts[0], v.texts[1], uint32(u), v.texts[2], int16(u), true))
		require.Equal(t, builtNumbers(&v), NumbersBytes(dirty(), int64(u), Rights(u)))
	}
	require.Equal(t, packed(&EmptyT{}), EmptyBytes(dirty()))
}

// Values of all kinds, defaults too, come back from the accessors and from the object API.
func TestWhatIsWrittenCanBeRead(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	text := func() string { return strings.Repeat("t", random.IntN(40)) }
	flip := func() bool { return random.IntN(2) == 0 }
	for range 2000 {
		wide := WideT{
			On: flip(), First: text(), Tiny: int8(random.Uint64()), Ratio: random.NormFloat64(),
			Id: random.Uint64(), Color: Color(random.IntN(3)), Second: text(), Level: int16(random.Uint64()),
		}
		payload := WideBytes(nil, wide.On, wide.First, wide.Tiny, wide.Ratio, wide.Id, wide.Color, wide.Second, wide.Level)
		require.NoError(t, VerifyWide(payload))
		require.Equal(t, &wide, GetRootAsWide(payload, 0).UnPack())

		narrow := NarrowT{
			Off: flip(), Small: byte(random.Uint64()), Weight: random.Float32(), Signed: int32(random.Uint64()),
			Text: text(), Unsigned: random.Uint32(), Port: uint16(random.Uint64()), More: text(),
		}
		payload = NarrowBytes(nil, narrow.Off, narrow.Small, narrow.Weight, narrow.Signed, narrow.Text, narrow.Unsigned,
			narrow.Port, narrow.More)
		require.NoError(t, VerifyNarrow(payload))
		require.Equal(t, &narrow, GetRootAsNarrow(payload, 0).UnPack())
	}
	for _, wide := range []WideT{{}, {On: true, Ratio: 0.5, Color: ColorGreen, Level: -7}, {Ratio: math.Inf(-1), Level: math.MinInt16, Tiny: -128}} {
		payload := WideBytes(nil, wide.On, "", wide.Tiny, wide.Ratio, wide.Id, wide.Color, "", wide.Level)
		require.Equal(t, &wide, GetRootAsWide(payload, 0).UnPack())
	}
}

// Sizes are counted in 64 bits and refused before anything is written.
func TestTooLargeToWrite(t *testing.T) {
	require.EqualValues(t, 72+2*((int64(1)<<31)-4), sampleSizeNarrow(math.MaxInt32, math.MaxInt32))
	require.Zero(t, sampleSizeWide(1<<30, 5)%8)
}
