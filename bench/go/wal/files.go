package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/walload"
)

// A file is groups one after another, each from a multiple of blockBytes on. Group: CRC-32C of what follows
// up to the records, 4 zero bytes, sequence, size, number of records. Record: size, CRC-32C, bytes.
// Sequences count up by one without end: that is how what a file held in its former life is told apart.
const (
	blockBytes        = 4096
	groupHeaderBytes  = 32
	recordHeaderBytes = 8
	zeroBytes         = 1 << 20 // are written at once
)

// files are a log's, written one after the other; with recycle two, in turns.
type files struct {
	folder   string
	size     int64
	flags    int
	recycle  bool
	fds      []int // open ones, the one that is written last
	made     int
	offset   int64  // in the file that is written
	sequence uint64 // of the next group
	encoded  atomic.Int64
}

func alignedMemory(size int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of %d bytes: %w", size, err)
	}
	return memory, nil
}

func putRecordHeader(to, record []byte) {
	binary.LittleEndian.PutUint32(to, uint32(len(record)))
	binary.LittleEndian.PutUint32(to[4:], crc32.Checksum(record, castagnoli))
}

func openFiles(folder string, o walload.Options, dsync bool) (*files, error) {
	f := &files{folder: folder, size: max(o.SegmentBytes&^(zeroBytes-1), 2*groupBytes), recycle: o.Recycle, sequence: 1,
		flags: unix.O_RDWR | unix.O_DIRECT | unix.O_CLOEXEC}
	if dsync {
		f.flags |= unix.O_DSYNC
	}
	there, err := scan(folder)
	if err != nil {
		return nil, err
	}
	for _, found := range there {
		fd, err := unix.Open(found.path, f.flags, 0)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", found.path, err), f.close())
		}
		f.fds = append(f.fds, fd)
		f.made = max(f.made, found.index+1)
		f.offset, f.sequence, f.size = found.end, max(f.sequence, found.next), found.size
	}
	if len(there) == 0 {
		return f, f.add()
	}
	return f, nil
}

// add makes the next file, full of durable zeroes.
func (f *files) add() error {
	path := filepath.Join(f.folder, fmt.Sprintf("%08d", f.made))
	// Zeroes are flushed once, not write by write.
	fd, err := unix.Open(path, f.flags&^unix.O_DSYNC|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer unix.Close(fd)
	zeroes, err := alignedMemory(zeroBytes)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(zeroes) }()
	for at := int64(0); at < f.size; at += int64(len(zeroes)) {
		if err := writeAll(fd, zeroes, at); err != nil {
			return err
		}
	}
	parent, err := os.Open(f.folder)
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := errors.Join(unix.Fsync(fd), parent.Sync()); err != nil {
		return fmt.Errorf("fsync %s: %w", path, err)
	}
	again, err := unix.Open(path, f.flags, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f.fds = append(f.fds, again)
	f.made++
	f.offset = 0
	return nil
}

func writeAll(fd int, data []byte, at int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(fd, data, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("pwrite: %w", err)
		}
		data, at = data[n:], at+int64(n)
	}
	return nil
}

func (f *files) write(memory []byte, used int, records uint32) error {
	padded := (used + blockBytes - 1) &^ (blockBytes - 1)
	clear(memory[used:padded])
	if f.offset+int64(padded) > f.size {
		if err := f.turn(); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(memory[4:], 0)
	binary.LittleEndian.PutUint64(memory[8:], f.sequence)
	binary.LittleEndian.PutUint64(memory[16:], uint64(used))
	binary.LittleEndian.PutUint64(memory[24:], uint64(records))
	binary.LittleEndian.PutUint32(memory, crc32.Checksum(memory[4:groupHeaderBytes], castagnoli))
	if err := writeAll(f.last(), memory[:padded], f.offset); err != nil {
		return err
	}
	f.offset += int64(padded)
	f.sequence++
	f.encoded.Add(int64(used))
	return nil
}

// turn goes to the next file: a new one, or the older of two.
func (f *files) turn() error {
	// All that is in the full one is durable before the next one begins: every group was flushed.
	if !f.recycle || len(f.fds) < 2 {
		return f.add()
	}
	f.fds = append(f.fds[1:], f.fds[0])
	f.offset = 0
	return nil
}

func (f *files) last() int { return f.fds[len(f.fds)-1] }

func (f *files) flush() error {
	if err := unix.Fdatasync(f.last()); err != nil {
		return fmt.Errorf("fdatasync: %w", err)
	}
	return nil
}

func (f *files) close() (err error) {
	for _, fd := range f.fds {
		err = errors.Join(err, unix.Close(fd))
	}
	return err
}
