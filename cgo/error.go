package native

import (
	"fmt"
	"syscall"
)

// Status is a code of smf/status.h.
type Status int

// The codes that callers tell apart.
const (
	StatusOK          Status = 0
	StatusInvalid     Status = -1
	StatusNoMemory    Status = -2
	StatusAddrInUse   Status = -3
	StatusAddress     Status = -4
	StatusPermission  Status = -5
	StatusClosed      Status = -6
	StatusLimit       Status = -7
	StatusSystem      Status = -8
	StatusRefused     Status = -9
	StatusTimeout     Status = -10
	StatusUnsupported Status = -11
)

// Error is a failure of the native library, with the sentence that it has for people.
type Error struct {
	Status Status
	Errno  syscall.Errno // of the system call that failed, or 0
	Text   string
}

func (e *Error) Error() string { return e.Text }

// Unwrap gives the system's error number, so that errors.Is(err, syscall.EADDRINUSE) works.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// NoAddress says that a text is no address: nothing was tried with it.
func (e *Error) NoAddress() bool { return e.Status == StatusAddress && e.Errno == 0 }

// LayoutError says that the linked library is not the one that this Go code was written for.
type LayoutError struct {
	What      string
	Want, Got uint32
}

func (e *LayoutError) Error() string {
	return fmt.Sprintf("the native library does not fit this Go code (%s: Go has %d, the library %d): "+
		"run ./build.sh build (or install, with -tags smf_system) from the same commit", e.What, e.Want, e.Got)
}
