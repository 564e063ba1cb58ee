package walfile

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// badSector is a file of zeroes that can't be read from a position on.
type badSector struct{ position int64 }

var errSector = errors.New("a bad sector")

func (b badSector) ReadAt(data []byte, position int64) (int, error) {
	n := min(int64(len(data)), max(0, b.position-position))
	clear(data[:n])
	if n < int64(len(data)) {
		return int(n), errSector
	}
	return int(n), nil
}

// A sector that can't be read says nothing of what is before it.
func TestWhatIsBeforeABadSectorIsRead(t *testing.T) {
	const bad, size = 10_000, 1 << 20
	w := window{from: badSector{bad}, size: size}
	for _, position := range []int64{0, 4096, bad - 512} {
		data, err := w.at(position, 512)
		require.NoError(t, err)
		require.Equal(t, make([]byte, 512), data[:512])
	}
	_, err := w.at(bad-100, 512)
	require.ErrorIs(t, err, errSector)
	_, err = w.at(bad+512, 512)
	require.ErrorIs(t, err, errSector)
	data, err := w.at(0, bad)
	require.NoError(t, err)
	require.Len(t, data, bad)
}
