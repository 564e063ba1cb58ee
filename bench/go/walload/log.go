// Package walload drives write-ahead logs and measures them. A program hands its contenders to Main; the
// runner starts that program once for every measurement.
//
// A contender is another log behind the same few functions, so that all of them get the same work, are
// checked for the same promises, and are measured by the same clock.
package walload

import (
	"context"
	"time"
)

// Appender is what takes records: a log, or a partition of one.
type Appender interface {
	// Append adds records, in this order and with nothing between them, and returns when all of them are
	// durable. Any number of goroutines at a time. The log keeps nothing of the memory.
	Append(batch [][]byte) error
	// Write is Append without the wait: it returns when the log has taken the records.
	Write(batch [][]byte) error
}

// Log is an open log, as much of it as is measured.
type Log interface {
	Appender
	// Sync returns when all that was taken before is durable.
	Sync() error
	Close() error
}

// Parted is a log that was opened with partitions. Its own Append is that of the first one.
type Parted interface {
	Part(number int) Appender
}

// Followed is a log whose records can be read while it is written.
type Followed interface {
	// Follow begins behind what was appended so far. What it returns calls visit for every record as soon as
	// it is durable, with the time of its append, until the context ends.
	Follow(ctx context.Context) (run func(visit func(record []byte, appended time.Time) error) error, err error)
}

// Bounded is a log that keeps its memory in a budget.
type Bounded interface {
	Waits() uint64 // appends that had to wait for memory, so far
}

// Counted is a log that counts what it writes for records: them, what it puts around them, and no padding.
type Counted interface {
	EncodedBytes() (int64, error) // since it was opened, of what is durable
}

// Options are what every contender is opened with.
type Options struct {
	// SegmentBytes is how large the log's files are, about.
	SegmentBytes int64
	// Recycle: what is older than the last two files or so may go, and its room is to be used again.
	// Else everything is kept.
	Recycle bool
	// FlushDelay makes every flush take so much longer, and WriteDelay every other write.
	FlushDelay, WriteDelay time.Duration
	// Partitions of the log; 1 of those that are not Parted.
	Partitions int
	// MemoryBytes is what a log that has a Budget is allowed; 0: what it takes without being told.
	MemoryBytes int64
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
	// What it can be asked for: more than one partition, to be followed, to keep in its memory's bounds
	// beside a disk whose writes are delayed.
	Parted, Followed, Budget bool
}
