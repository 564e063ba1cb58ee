package native

import (
	"fmt"
	"strings"
)

// WalAck is what an append waits for; the values of enum smf_wal_ack.
type WalAck uint32

// The kinds of acknowledgement.
const (
	WalBuffered WalAck = 0
	WalWritten  WalAck = 1
	WalDurable  WalAck = 2
)

// EventWal has an array of WalDone as its payload.
const EventWal EventKind = 5

// What a WalDone tells; the values of enum smf_wal_done_kind.
const (
	WalAppended uint32 = 1
	WalReadable uint32 = 2
	WalRetry    uint32 = 3
)

// WalConfig is smf_wal_config; zero means the default.
type WalConfig struct {
	Folder       string
	ReadOnly     bool
	Create       bool
	PageCache    bool
	Disk         string // "", "auto", "uring" or "posix"
	MemoryBytes  int64
	LingerMicros int
	Cores        int // that it is spread over, with JoinWal

	// For tests and benchmarks: what flushes, and other writes, take longer.
	FlushDelayMicros, WriteDelayMicros int
}

// WalTopic is smf_wal_topic; zero means the default.
type WalTopic struct {
	Partitions     int
	SegmentBytes   int64
	RecordBytesMax int
}

// WalInfo is smf_wal_info.
type WalInfo struct {
	Status                                       Status
	Text                                         string
	Head, Next, Written, Durable                 uint64
	Segments, Bytes                              uint64
	AppendedRecords, AppendedBytes, WrittenBytes uint64
	CutBytes                                     uint64
}

// The codes of the disk and of the log.
const (
	StatusIO       Status = -12
	StatusNoSpace  Status = -13
	StatusQuota    Status = -14
	StatusReadOnly Status = -15
	StatusNotFound Status = -16
	StatusExists   Status = -17
	StatusLocked   Status = -18
)

// check refuses what has no place in the C structure.
func (c *WalConfig) check() error {
	if c.MemoryBytes < 0 || c.LingerMicros < 0 || int64(c.LingerMicros) > maxUint32 {
		return &Error{Status: StatusInvalid, Text: "memory and linger can't be negative, and linger is at most 4294 s; 0 means the default"}
	}
	for _, delay := range []int{c.FlushDelayMicros, c.WriteDelayMicros} {
		if delay < 0 || int64(delay) > maxUint32 {
			return &Error{Status: StatusInvalid, Text: "the delays of a disk can't be negative, and are at most a minute"}
		}
	}
	if c.Cores < 0 || c.Cores > maxUint32 {
		return &Error{Status: StatusInvalid, Text: "cores can't be negative; at most 256, and 0 means 1"}
	}
	switch c.Disk {
	case "", "auto", "uring", "posix":
		return checkText("folder", c.Folder)
	}
	return &Error{Status: StatusInvalid, Text: fmt.Sprintf("disk %q: this build knows auto, uring and posix", c.Disk)}
}

const maxUint32 = 1<<32 - 1

func (t *WalTopic) check() error {
	for _, n := range []int64{int64(t.Partitions), t.SegmentBytes, int64(t.RecordBytesMax)} {
		if n < 0 {
			return &Error{Status: StatusInvalid, Text: "partitions and sizes can't be negative; 0 means the default"}
		}
	}
	if t.Partitions > maxUint32 || t.RecordBytesMax > maxUint32 {
		return &Error{Status: StatusInvalid, Text: "too many partitions, or too large a record: at most 65536, and 16 MiB"}
	}
	return nil
}

// checkText refuses what C would take for the end of the text.
func checkText(what, text string) error {
	if strings.IndexByte(text, 0) < 0 {
		return nil
	}
	return &Error{Status: StatusInvalid, Text: fmt.Sprintf("%s %q: no zero bytes, please", what, text)}
}
