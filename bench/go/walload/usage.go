package walload

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Measurement is what a verb prints.
type Measurement struct {
	RecordsPerSecond float64 `json:"calls_per_second"`
	First            struct {
		LatencyUS Latency `json:"latency_us"` // of a call: a record or a batch
	} `json:"first"`
	Wal Figures `json:"wal"`
}

// Latency is percentiles in microseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// Figures are those that only logs have.
type Figures struct {
	MiBPerSecond   float64 `json:"mib_per_second"`
	CPUPerRecordUS float64 `json:"cpu_us_per_record"` // user and system, of the whole process
	// Bytes written per byte of records: by this process (/proc/self/io), and by the whole machine on the
	// device that the folder is on (its stat in /sys); -1 where there is no such figure.
	WrittenPerByte float64 `json:"written_per_byte"`
	DevicePerByte  float64 `json:"device_per_byte"`
	// The same while the log was filled for the first time, before it was measured.
	FillWrittenPerByte float64 `json:"fill_written_per_byte,omitempty"`
	FillDevicePerByte  float64 `json:"fill_device_per_byte,omitempty"`
	// The same of what this process wrote, per byte as the log encodes records; -1: it does not tell.
	WrittenPerEncoded     float64 `json:"written_per_encoded_byte"`
	FillWrittenPerEncoded float64 `json:"fill_written_per_encoded_byte"`
	OpenMS                float64 `json:"open_ms,omitempty"`

	// Bytes that this process read from the disk, per byte of records; -1 where there is no such figure.
	ReadPerByte float64 `json:"read_per_byte"`
	// Of a reader that follows.
	TailedPerSecond float64 `json:"tailed_per_second,omitempty"`

	// With a budget: that, and memory before the log was opened, and at most after that.
	BudgetMiB         float64 `json:"budget_mib,omitempty"`
	ResidentBeforeMiB float64 `json:"resident_before_mib,omitempty"`
	ResidentMaxMiB    float64 `json:"resident_max_mib,omitempty"`
	HeapMaxMiB        float64 `json:"go_heap_max_mib,omitempty"`
	TakenMiB          float64 `json:"taken_mib,omitempty"` // of records
}

// usage is what was used up to a moment.
type usage struct {
	at      time.Time
	cpu     time.Duration
	written int64 // by this process; -1: unknown
	read    int64 // by this process, from the disk
	device  int64
}

func takeUsage(folder string) (u usage, err error) {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return u, fmt.Errorf("getrusage: %w", err)
	}
	u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	u.written, u.read, u.device = ioOfUs("write_bytes"), ioOfUs("read_bytes"), writtenOn(folder)
	u.at = time.Now()
	return u, nil
}

// ioOfUs is what went between this process, all its threads, and disks: past the page cache, or to fill it.
func ioOfUs(what string) int64 {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return -1
	}
	for line := range bytes.Lines(text) {
		if value, found := strings.CutPrefix(string(line), what+": "); found {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

const sectorBytes = 512 // of the statistics, whatever the device has

func writtenOn(folder string) int64 {
	var s unix.Stat_t
	if err := unix.Stat(folder, &s); err != nil {
		return -1
	}
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev)))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 7 {
		return -1
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil {
		return -1
	}
	return sectors * sectorBytes
}

// result is what came of the time between two moments.
func result(before, after usage, records, payload int64) (m Measurement) {
	seconds := after.at.Sub(before.at).Seconds()
	m.RecordsPerSecond = float64(records) / seconds
	m.Wal = Figures{
		MiBPerSecond:   float64(payload) / seconds / (1 << 20),
		WrittenPerByte: perByte(before.written, after.written, payload),
		DevicePerByte:  perByte(before.device, after.device, payload),
		ReadPerByte:    perByte(before.read, after.read, payload),

		WrittenPerEncoded: -1, FillWrittenPerEncoded: -1,
	}
	if records > 0 {
		m.Wal.CPUPerRecordUS = (after.cpu - before.cpu).Seconds() * 1e6 / float64(records)
	}
	return m
}

func perByte(before, after, payload int64) float64 {
	if before < 0 || after < 0 || payload == 0 {
		return -1
	}
	return float64(after-before) / float64(payload)
}

// RefuseMemory is an error where a folder is no disk: everything is durable there at once.
func RefuseMemory(folder string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return fmt.Errorf("statfs %s: %w", folder, err)
	}
	if s.Type == unix.TMPFS_MAGIC || s.Type == unix.RAMFS_MAGIC {
		return fmt.Errorf("%s is in memory (tmpfs), where a flush costs nothing: give --dir a folder on a disk", folder)
	}
	return nil
}

// dropCaches makes the kernel forget what it has of a folder's files, so that they are read from the disk.
func dropCaches(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return fmt.Errorf("fdatasync %s: %w", path, err)
		}
		if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			return fmt.Errorf("fadvise %s: %w", path, err)
		}
		return nil
	})
}
