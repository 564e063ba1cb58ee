package walfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// windowSize is how much is read at once. A batch that is larger is read whole.
const windowSize = 4 << 20

// pageSize is what the page cache asks the disk for at least: where a sector can't be read, all of its page can't.
const pageSize = 4096

// failuresEach is how many reads fail one behind the other, before twice as much is given up at a time: what a lone
// bad page takes to be found, several times. A file of 2 GiB of which nothing can be read takes some 2,000 reads.
const failuresEach = 64

// Stretch is bytes of a file that the disk does not give.
type Stretch struct {
	From, To int64
	Reason   error
}

// String says so.
func (s Stretch) String() string {
	return fmt.Sprintf("%d bytes at %d can't be read: %s", s.To-s.From, s.From, s.Reason)
}

// ofTheDisk are errors that say of some bytes of a file that the disk does not give them.
var ofTheDisk = []error{unix.EIO, unix.ENODATA, unix.EILSEQ, unix.EREMOTEIO, unix.EUCLEAN, unix.EBADMSG}

// diskFailed says whether reading failed for what is read, and not for how.
func diskFailed(err error) bool {
	return slices.ContainsFunc(ofTheDisk, func(reason error) bool { return errors.Is(err, reason) })
}

// reasonOf is an error without the path that it is about.
func reasonOf(err error) error {
	var problem *fs.PathError
	if errors.As(err, &problem) {
		return problem.Err
	}
	return err
}

// readFrom is how files are read; tests put bad sectors there.
var readFrom = func(file *os.File) io.ReaderAt { return file }

// window is bytes of a file that were read. In place of those that can't be read it has zeroes, of which no header
// and hardly a body verifies.
type window struct {
	from     io.ReaderAt
	data     []byte
	position int64
	size     int64             // of the file, when it was opened
	seen     func(bytes int64) // or nil

	bad      []Stretch // that were met, in order; they are not tried again
	failures uint      // since something could be read
}

// at gives size bytes from a position on, or as many as the file has; more may be there.
func (w *window) at(position, size int64) ([]byte, error) {
	if position >= w.position && position+size <= w.position+int64(len(w.data)) {
		return w.data[position-w.position:], nil
	}
	// From the beginning of a page on: whether it can be read does not depend on who asks.
	start := position &^ (pageSize - 1)
	wanted := position + size - start
	size = max(wanted, min(windowSize, w.size-start))
	if int64(cap(w.data)) < size {
		w.data = make([]byte, size)
	}
	n, err := w.load(w.data[:size], start)
	w.data, w.position = w.data[:n], start
	if w.seen != nil {
		w.seen(int64(n))
	}
	if errors.Is(err, io.EOF) || int64(n) >= wanted { // what is behind is met when it is wanted
		err = nil
	}
	return w.data[min(position-start, int64(n)):], err
}

// load reads what is not known to be unreadable.
func (w *window) load(data []byte, position int64) (n int, err error) {
	for n < len(data) && err == nil {
		rest, at, m := data[n:], position+int64(n), 0
		next := slices.IndexFunc(w.bad, func(s Stretch) bool { return s.To > at })
		if next >= 0 && w.bad[next].From <= at {
			m = int(min(int64(len(rest)), w.bad[next].To-at))
			clear(rest[:m])
		} else {
			if next >= 0 {
				rest = rest[:min(int64(len(rest)), w.bad[next].From-at)]
			}
			m, err = w.read(rest, at)
		}
		n += m
	}
	return n, err
}

// read reads, and where the disk does not give something, what is around it, down to a page. Where nothing could be
// read for long it gives up more at a time, and looks only at the end of that: a disk that is gone is not asked for
// each of its pages, and may take seconds for each.
func (w *window) read(data []byte, position int64) (int, error) {
	n, err := w.from.ReadAt(data, position)
	if n > 0 {
		w.failures = 0
	}
	if err == nil || !diskFailed(err) {
		return n, err
	}
	w.failures++
	rest, at := data[n:], position+int64(n)
	end := at + int64(len(rest))
	last := max(at, (end-1)&^(pageSize-1)) // its last page
	if int64(len(rest)) <= w.step() && (last == at || w.fails(rest[last-at:], last)) {
		return n + w.giveUp(rest, at, reasonOf(err)), w.endAt(end)
	}
	half := min((at+end)/2&^(pageSize-1), last)
	if half <= at {
		half = last
	}
	m, err := w.read(rest[:half-at], at)
	if err != nil {
		return n + m, err
	}
	k, err := w.read(rest[half-at:], half)
	return n + m + k, err
}

// step is how much is given up at a time.
func (w *window) step() int64 {
	return min(int64(pageSize)<<min(w.failures/failuresEach, 32), windowSize)
}

// fails says whether the disk fails to give these bytes.
func (w *window) fails(data []byte, position int64) bool {
	_, err := w.from.ReadAt(data, position)
	return diskFailed(err)
}

// giveUp notes bytes that can't be read, as far as the file goes, and returns how many.
func (w *window) giveUp(data []byte, position int64, reason error) int {
	n := len(data)
	if w.size > position {
		n = int(min(int64(n), w.size-position))
	}
	clear(data[:n])
	s := Stretch{position, position + int64(n), reason}
	i, _ := slices.BinarySearchFunc(w.bad, s.From, func(other Stretch, from int64) int { return cmp.Compare(other.From, from) })
	w.bad = slices.Insert(w.bad, i, s)
	for _, i := range []int{i, i - 1} { // one with those beside it
		if i >= 0 && i+1 < len(w.bad) && w.bad[i].To == w.bad[i+1].From && errors.Is(w.bad[i].Reason, w.bad[i+1].Reason) {
			w.bad[i].To = w.bad[i+1].To
			w.bad = slices.Delete(w.bad, i+1, i+2)
		}
	}
	return n
}

// endAt is what reading up to there says.
func (w *window) endAt(position int64) error {
	if position > w.size {
		return io.EOF
	}
	return nil
}

// unreadable are the stretches that some of these bytes are in, of those that were met.
func (w *window) unreadable(from, to int64) []Stretch {
	return slices.DeleteFunc(slices.Clone(w.bad), func(s Stretch) bool { return s.To <= from || s.From >= to })
}
