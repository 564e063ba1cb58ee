package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Bounds of the writes that are tried.
const (
	alignFirst = 512
	alignLast  = 64 << 10
)

var fileSystems = map[int64]string{
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.F2FS_SUPER_MAGIC: "f2fs", 0x2fc12fc1: "zfs", unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.NFS_SUPER_MAGIC: "nfs", unix.V9FS_MAGIC: "9p",
	unix.FUSE_SUPER_MAGIC: "fuse", unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs",
}

// tryDirectIO writes to a nameless file in a folder, past the cache.
func tryDirectIO(folder string) Folder {
	d := Folder{Path: folder}
	if full, err := filepath.Abs(folder); err == nil {
		d.Path = full
	}
	var system unix.Statfs_t
	if err := unix.Statfs(folder, &system); err == nil {
		d.FileSystem = fileSystems[int64(system.Type)]
		if d.FileSystem == "" {
			d.FileSystem = fmt.Sprintf("file system %#x", system.Type)
		}
	}
	fd, err := namelessFile(folder)
	if err != nil {
		d.Err = err
		return d
	}
	defer unix.Close(fd)
	if _, d.DirectErr = unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_DIRECT); d.DirectErr != nil {
		return d
	}
	var about unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &about)
	if err == nil && about.Mask&unix.STATX_DIOALIGN != 0 {
		if about.Dio_offset_align == 0 {
			d.DirectErr = unix.EINVAL
			return d
		}
		d.OffsetAlign, d.MemoryAlign = int(about.Dio_offset_align), int(about.Dio_mem_align)
		return d
	}
	d.Probed = true
	d.OffsetAlign, d.MemoryAlign, d.Err = probeAlignment(fd)
	return d
}

// namelessFile opens a file that nobody sees and that vanishes with its descriptor.
func namelessFile(folder string) (int, error) {
	const mode = 0o600
	fd, err := unix.Open(folder, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, mode)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) {
		return unnamedFile(folder)
	}
	return fd, err
}

// unnamedFile is for file systems without nameless files: it has a name for a moment.
func unnamedFile(folder string) (int, error) {
	file, err := os.CreateTemp(folder, ".smf-check-*")
	var problem *os.PathError
	if errors.As(err, &problem) {
		return -1, problem.Err // the name is nobody's business
	}
	if err != nil {
		return -1, err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return -1, err
	}
	return unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
}

// probeAlignment finds the smallest write that succeeds, and then the smallest offset in memory that one
// of that size may begin at. Writes that are not aligned fail with EINVAL.
func probeAlignment(fd int) (offsetAlign, memoryAlign int, err error) {
	memory, err := unix.Mmap(-1, 0, 2*alignLast, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = unix.Munmap(memory) }()
	for size := alignFirst; size <= alignLast && offsetAlign == 0; size *= 2 {
		switch _, err := unix.Pwrite(fd, memory[:size], int64(size)); {
		case err == nil:
			offsetAlign = size
		case !errors.Is(err, unix.EINVAL):
			return 0, 0, err
		}
	}
	for skip := 4; skip <= alignMax && offsetAlign != 0 && memoryAlign == 0; skip *= 2 {
		if _, err := unix.Pwrite(fd, memory[skip:skip+offsetAlign], 0); err == nil {
			memoryAlign = skip
		}
	}
	return offsetAlign, memoryAlign, nil
}
