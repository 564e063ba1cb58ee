package frame

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShortHeaderPanics(t *testing.T) {
	short := make([]byte, HeaderSize-1, 2*HeaderSize) // the capacity behind it is somebody else's
	require.Panics(t, func() { Decode(short) })
	require.Panics(t, func() { Header{}.Put(short) })
}

func TestMethodIDLimits(t *testing.T) {
	long := strings.Repeat("x", NameSizeMax)
	require.NotZero(t, MethodID(long, "M", "I", "O"))
	require.NotZero(t, MethodID("S", "M", "I", long))
	long += "x"
	require.Zero(t, MethodID(long, "M", "I", "O"))
	require.Zero(t, MethodID("S", long, "I", "O"))
	require.Zero(t, MethodID("S", "M", long, "O"))
	require.Zero(t, MethodID("S", "M", "I", long))
	require.Zero(t, MethodID("M:I:O", "M", "I", "O"), "the two halves cancel each other out")
}

func TestFaultNames(t *testing.T) {
	require.Equal(t, "good", Good.String())
	require.Equal(t, "meta zero", MetaZero.String())
	require.Equal(t, "fault 9", Fault(9).String())
}

func TestNothingIsAllocated(t *testing.T) {
	buffer := make([]byte, 0, HeaderSize)
	payload := make([]byte, 100)
	var sum uint32
	allocations := testing.AllocsPerRun(100, func() {
		h := Header{Session: 1, Size: uint32(len(payload)), Checksum: Checksum(payload), Meta: 200}
		sum += Decode(h.Append(buffer)).Checksum
	})
	require.Zero(t, allocations)
	require.NotZero(t, sum)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x00\x00\x01\x00\x03\x00\x00\x00\x3b\x4d\xee\x60\x3d\x02\xd4\x6asmf"))
	f.Add(make([]byte, HeaderSize))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < HeaderSize {
			require.Panics(t, func() { Decode(data) })
			return
		}
		h := Decode(data)
		require.Equal(t, data[:HeaderSize], h.Append(nil))
		legal := data[0] <= CompressionMax && data[1] == 0 && h.Size != 0 && h.Checksum != 0 && h.Meta != 0
		require.Equal(t, legal, h.CheckLevel1() == Good)
		payload := data[HeaderSize:]
		moved := append([]byte{0}, payload...)
		require.Equal(t, Checksum(payload), Checksum(moved[1:]))
	})
}
