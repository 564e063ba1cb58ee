package walfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Reader reads the batches of one file that belong together. One goroutine at a time.
type Reader struct {
	File File
	Size int64 // of the file, in bytes, when it was opened

	End        int64  // of the last batch that belongs to it, before any padding
	NextOffset uint64 // of the first record behind that
	PrevCRC    uint32 // header crc of that batch

	source *os.File
	window window
}

// Found is a batch where it was found.
type Found struct {
	Batch
	Position int64
	Status   Status // Good or Unsupported
	Data     []byte // header and body: the reader's, until it is used again
}

// Body is the batch's body.
func (f *Found) Body() []byte { return f.Data[f.HeaderBytes : f.HeaderBytes+f.BodyBytes] }

// Open reads block 0 of a file. The reader is there whenever the file could be opened, also when the status
// is not Good; then it has no batches. The caller closes it.
func Open(path string) (*Reader, Status, error) {
	source, err := os.Open(path)
	if diskFailed(err) { // nothing of it can be read, not even where it is
		bad := Stretch{From: 0, To: FileHeaderSize, Reason: reasonOf(err)}
		return &Reader{window: window{bad: []Stretch{bad}}}, Unreadable, nil
	}
	if err != nil {
		return nil, Good, err
	}
	info, err := source.Stat()
	if err != nil {
		_ = source.Close()
		return nil, Good, err
	}
	if !info.Mode().IsRegular() {
		_ = source.Close()
		return nil, Good, fmt.Errorf("%s: not a file", path)
	}
	r := &Reader{source: source, Size: info.Size(), window: window{from: readFrom(source), size: info.Size()}}
	data, err := r.window.at(0, FileHeaderSize)
	if err != nil {
		_ = source.Close()
		return nil, Good, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	var status Status
	r.File, status = ParseFile(data)
	if status != Good && len(r.window.unreadable(0, FileHeaderSize)) > 0 {
		status = Unreadable
	}
	r.Rewind()
	return r, status, nil
}

// Close closes the file.
func (r *Reader) Close() { _ = r.source.Close() }

// Rewind goes back to the first batch, and forgets what was read.
func (r *Reader) Rewind() {
	r.window.data = r.window.data[:0]
	r.End, r.NextOffset, r.PrevCRC = int64(r.File.BlockBytes), r.File.FirstOffset, r.File.FollowsCRC
}

// Unreadable are the stretches of the file that can't be read, of those that were met. For who reads, there are
// zeroes.
func (r *Reader) Unreadable() []Stretch { return r.window.unreadable(0, FileSizeMax) }

// Why is what is wrong with block 0.
func (r *Reader) Why(status Status) string {
	if bad := r.window.unreadable(0, FileHeaderSize); status == Unreadable && len(bad) > 0 {
		return bad[0].String()
	}
	return status.String()
}

// Next takes the next batch. Its status is Good, Unsupported, Truncated (the file ends before the batch
// does), or what is wrong there: then nothing has changed.
func (r *Reader) Next() (found Found, status Status, err error) {
	found, status, err = r.look(r.End)
	block := roundUp(r.End, int64(r.File.BlockBytes))
	if status == DamagedHeader && block != r.End && err == nil {
		found, status, err = r.look(block)
	}
	if err != nil || status != Good && status != Unsupported {
		return found, status, err
	}
	// Padding, or zeroes that are guessed right: who reads the file in another way gets no further.
	if len(r.window.unreadable(r.End, found.Position+found.Bytes())) > 0 {
		return found, Unreadable, nil
	}
	r.End = found.Position + found.Bytes()
	r.NextOffset = found.FirstOffset + uint64(found.Count)
	r.PrevCRC = found.HeaderCRC
	return found, status, nil
}

// look says whether the next batch is at this position.
func (r *Reader) look(position int64) (found Found, status Status, err error) {
	data, err := r.window.at(position, BatchHeaderSizeMax)
	if err != nil {
		return found, Good, err
	}
	found.Position = position
	found.Batch, status = ParseBatch(data, &r.File, position)
	if status != Good && status != Unsupported {
		return found, status, nil
	}
	if found.PrevCRC != r.PrevCRC || found.FirstOffset != r.NextOffset {
		return found, DamagedHeader, nil // of an earlier life, or of another place in the chain
	}
	// From the end of the last one, so that the padding between the two is there, too.
	if data, err = r.window.at(r.End, position-r.End+found.Bytes()); err != nil {
		return found, Good, err
	}
	data = data[min(position-r.End, int64(len(data))):]
	if body := found.CheckBody(data); body != Good {
		return found, body, nil
	}
	found.Status = status
	found.Data = data[:found.HeaderBytes+found.BodyBytes]
	return found, status, nil
}

// Resume goes on behind a place where nothing that belongs there verifies, with the next header that does.
// False: there is none.
func (r *Reader) Resume() (bool, error) {
	position, linked := r.End, false
	for try := 0; try < 2 && !linked; try++ { // whose body is damaged
		data, err := r.window.at(position, BatchHeaderSizeMax)
		if err != nil {
			return false, err
		}
		batch, status := ParseBatch(data, &r.File, position)
		if status == Good || status == Unsupported {
			if linked = batch.PrevCRC == r.PrevCRC && batch.FirstOffset == r.NextOffset; linked {
				whole, err := r.isWhole(&batch, position)
				if err != nil {
					return false, err
				}
				if r.End = position; whole { // only what is before it can't be read
					return true, nil
				}
				r.End += batch.Bytes()
				r.NextOffset, r.PrevCRC = batch.FirstOffset+uint64(batch.Count), batch.HeaderCRC
				return true, nil
			}
		}
		position = roundUp(position, int64(r.File.BlockBytes))
	}
	// At every place where a batch can be: those of one flush stand back to back, and not on blocks.
	for position = r.End; ; position += alignment {
		data, err := r.window.at(position, BatchHeaderSizeMax)
		if err != nil {
			return false, err
		}
		batch, status := ParseBatch(data, &r.File, position)
		switch status {
		case Truncated:
			return false, nil
		case Good, Unsupported:
			r.End, r.NextOffset, r.PrevCRC = position, batch.FirstOffset, batch.PrevCRC
			return true, nil
		}
	}
}

// isWhole says whether all of a batch can be read, and verifies.
func (r *Reader) isWhole(b *Batch, position int64) (bool, error) {
	data, err := r.window.at(position, b.Bytes())
	return err == nil && b.CheckBody(data) == Good && len(r.window.unreadable(position, position+b.Bytes())) == 0, err
}

// Behind is what stands behind the end of what was read: batches that do not count.
type Behind struct {
	Batches       int
	End           int64 // of the last one; 0: there is none
	DurableBefore Place // the most that one of them says
	Records       uint64
}

// Behind looks through the rest of the file, at headers only: they vouch for themselves.
func (r *Reader) Behind() (b Behind, err error) { return r.behind(int64(r.File.BlockBytes), nil) }

// errSaid ends looking through a file: what was wanted is known.
var errSaid = errors.New("known")

// behindUntil is Behind, but goes only as far as the first header that says that more than this place was durable: of
// many gaps most are told so by what stands close behind them.
func (r *Reader) behindUntil(durable Place) (Behind, error) {
	b, err := r.behind(int64(r.File.BlockBytes), func(found Found) error {
		if found.DurableBefore > durable {
			return errSaid
		}
		return nil
	})
	if errors.Is(err, errSaid) {
		err = nil
	}
	return b, err
}

// EachBehind calls each with the batches behind the end whose headers verify, wherever they stand. Those whose bodies
// do, too, have Data; the others are DamagedBody, or Truncated.
func (r *Reader) EachBehind(each func(Found)) error {
	_, err := r.behind(alignment, func(found Found) error {
		data, err := r.window.at(found.Position, found.Bytes())
		if err != nil {
			return err
		}
		if status := found.CheckBody(data); status == Good {
			found.Data = data[:found.HeaderBytes+found.BodyBytes]
		} else {
			found.Status = status
		}
		each(found)
		return nil
	})
	return err
}

// behind looks at the next multiple of step where no header verifies.
func (r *Reader) behind(step int64, each func(Found) error) (b Behind, err error) {
	for position := r.End; ; {
		data, err := r.window.at(position, BatchHeaderSizeMax)
		if err != nil {
			return b, err
		}
		batch, status := ParseBatch(data, &r.File, position)
		switch status {
		case Truncated:
			return b, nil
		case Good, Unsupported:
			at := position
			position += batch.Bytes()
			b.Batches++
			b.Records += uint64(batch.Count)
			b.End = position
			b.DurableBefore = max(b.DurableBefore, batch.DurableBefore)
			if each != nil {
				if err := each(Found{Batch: batch, Position: at, Status: status}); err != nil {
					return b, err
				}
			}
		default:
			position = roundUp(position+1, step)
		}
	}
}

// isZero says whether bytes of the file are zero; those behind its end are.
func (r *Reader) isZero(from, to int64) (bool, error) {
	for from < to {
		n := min(to-from, windowSize)
		data, err := r.window.at(from, n)
		if err != nil || len(data) == 0 {
			return true, err
		}
		n = min(n, int64(len(data)))
		if !isZero(data[:n]) {
			return false, nil
		}
		from += n
	}
	return true, nil
}
