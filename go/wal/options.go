package wal

import (
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/walbody"
)

// Options of a log. The zero value opens one that is there, to append and to read.
type Options struct {
	ReadOnly bool // beside a process that writes; nothing in the folder is changed
	Create   bool // the folder and the log, where there is none

	// Cores is how many cores of the native library serve the log, each for partitions of its own. Files do
	// not depend on it: a log that was written with eight opens with two, also to be read only. 0: 1, which
	// is enough until one processor is busy with the log alone. At most 256.
	Cores int

	// MemoryBytes bounds what waits on each core to be written: three quarters are the native library's buffers,
	// three sixteenths what is staged for it, outside of Go's heap. 0: 64 MiB. Less than 8 MiB counts as 8 MiB.
	// With less than 45 MiB an append is limited to less than the 32 MiB that the format allows.
	MemoryBytes int64

	// Linger is how long Buffered appends wait for their write. 0: 10 ms. At most a minute.
	Linger time.Duration

	// PageCache writes through the system's page cache, for file systems that are bad at doing without.
	PageCache bool

	// Disk is how the log gets to its files: "uring", "posix" (threads), or "", the better of those that
	// this machine allows.
	Disk string

	// SlowDiskForTests makes the disk slower than it is, for tests and benchmarks. Nothing gets better by it.
	SlowDiskForTests SlowDisk
}

// SlowDisk is by how much operations of a disk end later than they do. Delays run side by side. At most a
// minute.
type SlowDisk struct {
	Flush time.Duration // of flushes and durable writes
	Write time.Duration // of other writes
}

// What Options has when it does not say.
const (
	coresMax      = 256
	memoryDefault = 64 << 20
	memoryMin     = 8 << 20
	lingerDefault = 10 * time.Millisecond
	lingerMax     = time.Minute
	delayMax      = time.Minute
)

// withDefaults fills in what is zero, and refuses what makes no sense.
func (o Options) withDefaults() (Options, error) {
	if o.Cores < 0 || o.Cores > coresMax {
		return o, errorf(ErrInvalid, "Cores is %d; there can be 1 to %d, and 0 means 1", o.Cores, coresMax)
	}
	o.Cores = max(o.Cores, 1)
	if o.MemoryBytes < 0 {
		return o, errorf(ErrInvalid, "MemoryBytes is %d; it can't be negative, and 0 means %d", o.MemoryBytes, memoryDefault)
	}
	if o.Linger < 0 || o.Linger > lingerMax {
		return o, errorf(ErrInvalid, "Linger is %v; it is at most %v, and 0 means %v", o.Linger, lingerMax, lingerDefault)
	}
	for _, delay := range []time.Duration{o.SlowDiskForTests.Flush, o.SlowDiskForTests.Write} {
		if delay < 0 || delay > delayMax {
			return o, errorf(ErrInvalid, "SlowDiskForTests has %v; a delay is from 0 to %v", delay, delayMax)
		}
	}
	if o.ReadOnly && o.Create {
		return o, errorf(ErrInvalid, "a log that is opened to be read only can't be created: take one of ReadOnly and Create")
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = memoryDefault
	}
	if o.Linger == 0 {
		o.Linger = lingerDefault
	}
	o.MemoryBytes = max(o.MemoryBytes, memoryMin)
	return o, nil
}

// nativeBytes is the share of the native library's buffers.
func (o Options) nativeBytes() int64 { return o.MemoryBytes / 4 * 3 }

// stagedBytes is the share of what is staged. The rest is for what keeps account of both.
func (o Options) stagedBytes() int64 { return o.MemoryBytes / 16 * 3 }

// batchMax is how large an append may be, encoded: the format's limit, or what the native library has
// buffers for, beside those that it needs itself.
func (o Options) batchMax() int {
	const reserve = 9 * 128 << 10
	return int(min(walbody.BodySizeMax, o.nativeBytes()-reserve))
}

// TopicConfig are the settings of a topic, fixed when it is created. Zero means the default.
type TopicConfig struct {
	Partitions     int   // 1 to 65536; default 1
	SegmentBytes   int64 // of a file, 64 KiB to 2 GiB; default 256 MiB
	RecordBytesMax int   // of a record as it is encoded; default and at most 16 MiB
}

// TopicInfo is a topic of a log.
type TopicInfo struct {
	Name string
	TopicConfig
}

// Ack is what an append waits for; the package's comment says what each means.
type Ack uint8

// The kinds of acknowledgement, the strongest first.
const (
	Durable Ack = iota
	Written
	Buffered
)

// String is the name.
func (a Ack) String() string {
	switch a {
	case Durable:
		return "durable"
	case Written:
		return "written"
	case Buffered:
		return "buffered"
	}
	return "unknown"
}

func (a Ack) check() error {
	if a > Buffered {
		return errorf(ErrInvalid, "ack %d: there are Durable (0), Written (1) and Buffered (2)", a)
	}
	return nil
}

// native is what the native library calls it.
func (a Ack) native() native.WalAck {
	switch a {
	case Durable:
		return native.WalDurable
	case Written:
		return native.WalWritten
	}
	return native.WalBuffered
}

func (c TopicConfig) native() native.WalTopic {
	return native.WalTopic{Partitions: c.Partitions, SegmentBytes: c.SegmentBytes, RecordBytesMax: c.RecordBytesMax}
}

func configOf(t native.WalTopic) TopicConfig {
	return TopicConfig{Partitions: t.Partitions, SegmentBytes: t.SegmentBytes, RecordBytesMax: t.RecordBytesMax}
}
