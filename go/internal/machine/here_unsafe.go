package machine

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, sqCPU, sqIdle uint32
	features                                   uint32
	_                                          [24]uint32 // a ring to share, reserved words, offsets
}

// Setup flags of rings that belong to one thread.
const (
	ringSingleIssuer = 1 << 12
	ringDeferTaskrun = 1 << 13
)

// ringEntries is a small ring: what counts is whether there is one.
const ringEntries = 4

func setupRing(flags uint32) (features uint32, err error) {
	params := ringParams{flags: flags}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, ringEntries, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return 0, errno
	}
	return params.features, unix.Close(int(fd))
}

func tryRing() (r Ring) {
	r.Features, r.Err = setupRing(0)
	if r.Err == nil {
		_, r.DeferErr = setupRing(ringSingleIssuer | ringDeferTaskrun)
	}
	return r
}

// epollPwait2 waits for nothing, for no time.
func epollPwait2(fd int) error {
	var event unix.EpollEvent
	var timeout unix.Timespec
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(fd), uintptr(unsafe.Pointer(&event)), 1,
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// setIdle gives the calling thread the idle class, with the system call that the library's watcher uses.
func setIdle() error {
	var priority int32
	_, _, errno := unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_IDLE, uintptr(unsafe.Pointer(&priority)))
	if errno != 0 {
		return errno
	}
	return nil
}
