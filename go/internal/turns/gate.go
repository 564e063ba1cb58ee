package turns

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// gate lets a goroutine wait for a core's descriptor in Go's own poller. It fires once for each time
// that it was armed: while somebody drives the core, nobody is woken for what the driver sees anyway.
//
// It is an epoll set around the core's, in one-shot mode.
type gate struct {
	file *os.File
	raw  syscall.RawConn
	set  int
	core int
}

func openGate(core int) (*gate, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := unix.SetNonblock(set, true); err != nil { // or os.NewFile would not put it into the poller
		unix.Close(set)
		return nil, fmt.Errorf("fcntl: %w", err)
	}
	g := &gate{file: os.NewFile(uintptr(set), "smf client loop"), set: set, core: core}
	if g.raw, err = g.file.SyscallConn(); err == nil {
		err = g.control(unix.EPOLL_CTL_ADD, 0)
	}
	if err == nil && g.file.SetReadDeadline(time.Time{}) != nil {
		err = errors.New("no room in Go's poller for another descriptor; raise fs.epoll.max_user_watches")
	}
	if err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *gate) control(operation int, events uint32) error {
	event := unix.EpollEvent{Events: events, Fd: int32(g.core)}
	if err := unix.EpollCtl(g.set, operation, g.core, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// arm makes the gate fire when the core has something to read, or has already. The driver.
func (g *gate) arm() error { return g.control(unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLONESHOT) }

// disarm takes arm back. The gate may have fired already. The driver.
func (g *gate) disarm() error { return g.control(unix.EPOLL_CTL_MOD, 0) }

// fired is what Go's poller asks: it takes the news away.
func fired(set uintptr) bool {
	var events [1]unix.EpollEvent
	n, err := unix.EpollWait(int(set), events[:], 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// wait waits until the gate fires. False: it was closed. For one goroutine.
func (g *gate) wait() bool { return g.raw.Read(fired) == nil }

// close makes wait return. The driver's last.
func (g *gate) close() { _ = g.file.Close() }
