package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/walload"
)

// scanned is a file of a log that is there.
type scanned struct {
	path        string
	index       int
	size        int64
	first, next uint64 // sequences: of its first group, and of what follows its last; 0: it has none
	end         int64  // of its last group
}

// list is a log's files in the order in which they were made.
func list(folder string) (all []scanned, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		f := scanned{path: filepath.Join(folder, entry.Name())}
		if _, err := fmt.Sscanf(entry.Name(), "%08d", &f.index); err != nil {
			return nil, fmt.Errorf("%s is no file of a log", f.path)
		}
		all = append(all, f)
	}
	return all, nil
}

// scan looks how far a log goes: its files in the order in which they were written.
func scan(folder string) ([]scanned, error) {
	all, err := list(folder)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].read(func([]byte) error { return nil }); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(all, func(a, b scanned) int {
		return cmp.Compare(a.first-1, b.first-1) // those without a group come last
	})
	return all, nil
}

func readPlain(folder string, _ walload.Options, visit func([]byte) error) error {
	all, err := list(folder)
	if err != nil {
		return err
	}
	for i := range all {
		if err := all[i].read(visit); err != nil {
			return err
		}
		if i > 0 && all[i].first != 0 && all[i].first != all[i-1].next {
			return fmt.Errorf("%s begins with group %d instead of %d", all[i].path, all[i].first, all[i-1].next)
		}
	}
	return nil
}

// window is a part of a file, read ahead.
type window struct {
	fd     int
	memory []byte // aligned
	start  int64
	filled int
}

// at is size bytes from an offset, a multiple of blockBytes, on; fewer where the file ends.
func (w *window) at(offset int64, size int) ([]byte, error) {
	if offset < w.start || offset+int64(size) > w.start+int64(w.filled) {
		n, err := unix.Pread(w.fd, w.memory, offset)
		for err == unix.EINTR {
			n, err = unix.Pread(w.fd, w.memory, offset)
		}
		if err != nil {
			return nil, fmt.Errorf("pread: %w", err)
		}
		w.start, w.filled = offset, n
	}
	from := int(offset - w.start)
	return w.memory[from:min(from+size, w.filled)], nil
}

// read goes through a file's groups, up to where none follows.
func (f *scanned) read(visit func([]byte) error) (err error) {
	fd, err := unix.Open(f.path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	defer unix.Close(fd)
	w := window{fd: fd}
	if w.memory, err = alignedMemory(2 * groupBytes); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Munmap(w.memory)) }()
	if f.size, err = unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	for {
		group, err := w.at(f.end, groupHeaderBytes)
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		sequence, size, ok := groupHeader(group)
		if !ok || (f.next != 0 && sequence != f.next) {
			return nil
		}
		if group, err = w.at(f.end, size); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		// A group that was cut off by a kill has records that are not what their checksums say.
		if whole(group, size) {
			if err := visitGroup(group, visit); err != nil {
				return err
			}
		} else {
			return nil
		}
		if f.first == 0 {
			f.first = sequence
		}
		f.next = sequence + 1
		f.end += int64((size + blockBytes - 1) &^ (blockBytes - 1))
	}
}

func groupHeader(group []byte) (sequence uint64, size int, ok bool) {
	if len(group) < groupHeaderBytes {
		return 0, 0, false
	}
	sequence = binary.LittleEndian.Uint64(group[8:])
	bytes := binary.LittleEndian.Uint64(group[16:])
	if sequence == 0 || bytes < groupHeaderBytes || bytes > groupBytes ||
		binary.LittleEndian.Uint32(group) != crc32.Checksum(group[4:groupHeaderBytes], castagnoli) {
		return 0, 0, false
	}
	return sequence, int(bytes), true
}

// whole says whether every record of a group is what was written.
func whole(group []byte, size int) bool {
	return len(group) == size && eachRecord(group, func(record []byte, sum uint32) error {
		if crc32.Checksum(record, castagnoli) != sum {
			return errors.New("damaged")
		}
		return nil
	}) == nil
}

func visitGroup(group []byte, visit func([]byte) error) error {
	return eachRecord(group, func(record []byte, _ uint32) error { return visit(record) })
}

func eachRecord(group []byte, visit func(record []byte, sum uint32) error) error {
	for at := groupHeaderBytes; at < len(group); {
		if at+recordHeaderBytes > len(group) {
			return errors.New("a record's header is cut off")
		}
		size := int(binary.LittleEndian.Uint32(group[at:]))
		sum := binary.LittleEndian.Uint32(group[at+4:])
		at += recordHeaderBytes
		if size > len(group)-at {
			return errors.New("a record is cut off")
		}
		if err := visit(group[at:at+size], sum); err != nil {
			return err
		}
		at += size
	}
	return nil
}
