package walfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
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

// What can't be read for another reason than the disk says nothing of what is before it.
func TestWhatIsBeforeAnErrorIsRead(t *testing.T) {
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
	require.Empty(t, w.bad)
}

// stretch is one that can't be read, for a test.
func stretch(from, to int64) Stretch { return Stretch{from, to, syscall.EIO} }

// badDisk is a file with pages that the disk does not give, as the page cache reads it: what is before them comes.
type badDisk struct {
	io.ReaderAt
	bad           []Stretch
	reads, failed int
}

func (b *badDisk) ReadAt(data []byte, position int64) (int, error) {
	b.reads++
	end := position + int64(len(data))
	for _, s := range b.bad {
		if s.From < end && s.To > position {
			b.failed++
			n := 0
			if s.From > position {
				n, _ = b.ReaderAt.ReadAt(data[:s.From-position], position)
			}
			return n, &os.PathError{Op: "read", Path: "x", Err: s.Reason}
		}
	}
	return b.ReaderAt.ReadAt(data, position)
}

// ones is a file of 0xff.
type ones struct{ size int64 }

func (o ones) ReadAt(data []byte, position int64) (int, error) {
	n := min(int64(len(data)), max(0, o.size-position))
	for i := range data[:n] {
		data[i] = 0xff
	}
	if n < int64(len(data)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// readWhole reads a file through a window, in pieces, and verifies that zeroes are where it can't be read.
func readWhole(t *testing.T, d *badDisk, size, piece int64) *window {
	t.Helper()
	w := &window{from: d, size: size}
	for position := int64(0); position < size; position += piece {
		data, err := w.at(position, min(piece, size-position))
		require.NoError(t, err)
		require.GreaterOrEqual(t, int64(len(data)), min(piece, size-position))
		for _, at := range []int64{0, min(piece, size-position) - 1} {
			want := byte(0xff)
			if len(w.unreadable(position+at, position+at+1)) > 0 {
				want = 0
			}
			require.Equal(t, want, data[at], "byte %d", position+at)
		}
	}
	data, err := w.at(size, 512)
	require.NoError(t, err)
	require.Empty(t, data)
	return w
}

// Just those pages are given up that can't be read, and nothing is read twice for that.
func TestPagesThatCantBeRead(t *testing.T) {
	const size = 20<<20 + 1000
	for name, bad := range map[string][]Stretch{
		"one":             {stretch(5*pageSize, 6*pageSize)},
		"the first":       {stretch(0, pageSize)},
		"the last":        {stretch(size&^(pageSize-1), size)},
		"two in a window": {stretch(5*pageSize, 6*pageSize), stretch(700*pageSize, 702*pageSize)},
		"over the end of a window, and far": {stretch(windowSize-pageSize, windowSize+2*pageSize),
			stretch(16<<20, 16<<20+pageSize)},
		"long":                {stretch(3*pageSize, 17<<20+7*pageSize)},
		"all":                 {stretch(0, size)},
		"all behind the page": {stretch(pageSize, size)},
	} {
		for _, piece := range []int64{512, 4 << 20, 5<<20 + 8} {
			d := &badDisk{ReaderAt: ones{size}, bad: bad}
			w := readWhole(t, d, size, piece)
			require.Equal(t, bad, w.bad, name)
			failed := d.failed
			_, err := w.at(0, size)
			require.NoError(t, err)
			require.Equal(t, failed, d.failed, "%s: asked again", name)
		}
	}
}

// What is told of a page does not depend on where reading begins, and ends with the file.
func TestPagesFromAnywhere(t *testing.T) {
	const size = 20*pageSize + 1000
	d := &badDisk{ReaderAt: ones{size}, bad: []Stretch{stretch(5*pageSize, 6*pageSize), stretch(20*pageSize, size)}}
	w := &window{from: d, size: size}
	data, err := w.at(5*pageSize+1000, 512)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 512), data[:512])
	require.Equal(t, d.bad, w.bad)
	w = &window{from: d, size: size}
	data, err = w.at(size-100, 512)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 100), data)
	require.Equal(t, d.bad[1:], w.bad)
}

// Pages between bad ones are read, however many of these there are.
func TestEverySecondPage(t *testing.T) {
	const size = 4000 * pageSize
	d := &badDisk{ReaderAt: ones{size}}
	for at := int64(0); at < size; at += 2 * pageSize {
		d.bad = append(d.bad, stretch(at, at+pageSize))
	}
	require.Equal(t, d.bad, readWhole(t, d, size, windowSize).bad)
}

// A disk that gives nothing of gigabytes is not asked for each page, and one with many bad pages is.
func TestReadsOfABadDisk(t *testing.T) {
	const size = 2 << 30
	d := &badDisk{ReaderAt: ones{size}, bad: []Stretch{stretch(0, size)}}
	w := readWhole(t, d, size, windowSize)
	require.Equal(t, d.bad, w.bad)
	t.Logf("%d reads", d.reads)
	require.Less(t, d.reads, 2200)

	d = &badDisk{ReaderAt: ones{64 << 20}}
	for at := int64(0); at < 64<<20; at += 100 * pageSize {
		d.bad = append(d.bad, stretch(at, at+pageSize))
	}
	w = readWhole(t, d, 64<<20, windowSize)
	require.Equal(t, d.bad, w.bad)
	require.Less(t, d.failed, 20*len(d.bad))
}

// spoil has files of some names lack some bytes, for the rest of a test.
func spoil(t *testing.T, name string, bad ...Stretch) {
	t.Helper()
	before := readFrom
	readFrom = func(file *os.File) io.ReaderAt {
		from := before(file)
		if filepath.Base(file.Name()) != filepath.Base(name) {
			return from
		}
		return &badDisk{ReaderAt: from, bad: slices.Clone(bad)}
	}
	t.Cleanup(func() { readFrom = before })
}
