// Package walload drives write-ahead logs and measures them. A program hands its contenders to Main; the
// runner starts that program once for every measurement.
//
// A contender is another log behind the same few functions, so that all of them get the same work, are
// checked for the same promises, and are measured by the same clock.
package walload

import "time"

// Log is an open log, as much of it as is measured.
type Log interface {
	// Append adds records, in this order and with nothing between them, and returns when all of them are
	// durable. Any number of goroutines at a time. The log keeps nothing of the memory.
	Append(batch [][]byte) error
	// Write is Append without the wait: it returns when the log has taken the records.
	Write(batch [][]byte) error
	// Sync returns when all that was taken before is durable.
	Sync() error
	Close() error
}

// Options are what every contender is opened with.
type Options struct {
	// SegmentBytes is how large the log's files are, about.
	SegmentBytes int64
	// Recycle: what is older than the last two files or so may go, and its room is to be used again.
	// Else everything is kept.
	Recycle bool
	// FlushDelay makes every flush take so much longer.
	FlushDelay time.Duration
}

// Contender is a kind of log.
type Contender struct {
	Name string
	// Open makes a log in an empty folder, or opens the one that is there, after a kill too.
	Open func(folder string, options Options) (Log, error)
	// Read opens the log of a folder, calls visit for every record from the oldest on, having checked its
	// checksum, and closes it. Of logs that were written without Recycle. visit keeps nothing of the memory.
	Read func(folder string, options Options, visit func(record []byte) error) error
	// EmptiesAtOpen says why Read finds nothing of before an Open, or is "".
	EmptiesAtOpen string
}
