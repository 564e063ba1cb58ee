package wal

import (
	"errors"
	"fmt"

	native "github.com/smf-go/smf/cgo"
)

// What errors.Is finds in this package's errors. Their texts are one line that says what to do.
var (
	ErrClosed     = errors.New("wal: the log is closed")
	ErrLocked     = errors.New("wal: another process writes to the log")
	ErrNoSpace    = errors.New("wal: the disk is full")
	ErrNotFound   = errors.New("wal: not found")
	ErrExists     = errors.New("wal: exists already")
	ErrOutOfRange = errors.New("wal: offset out of range")
	ErrTooLarge   = errors.New("wal: too large")
	ErrReadOnly   = errors.New("wal: read only")
	ErrDamaged    = errors.New("wal: damaged, or its disk failed")
	ErrTooNew     = errors.New("wal: written in a later format, or not supported by this machine")
	ErrInvalid    = errors.New("wal: invalid argument")
	ErrPermission = errors.New("wal: permission denied")

	// ErrLost says that records of Buffered appends were lost; beside it stands why.
	ErrLost = errors.New("wal: buffered records were lost")

	// ErrMayHaveHappened says, beside a context's error, that an append may succeed yet.
	ErrMayHaveHappened = errors.New("wal: the append was handed over, and may be in the log")
)

// Error is an error of this package. errors.Is finds Kind, which is one of the variables above, and what
// caused it.
type Error struct {
	Kind  error
	Text  string
	Cause error // or nil
}

func (e *Error) Error() string { return "wal: " + e.Text }

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// RangeError is an offset that is not there: a reader may begin at Head up to Next. It is ErrOutOfRange.
type RangeError struct {
	Offset     uint64
	Head, Next uint64
	What       string // topic and partition
}

func (e *RangeError) Error() string {
	return fmt.Sprintf("wal: %s has no offset %d: use one from %d to %d", e.What, e.Offset, e.Head, e.Next)
}

// Is makes it ErrOutOfRange.
func (e *RangeError) Is(target error) bool { return target == ErrOutOfRange }

// LimitError is a record, or a batch, that is over a limit. It is ErrTooLarge.
type LimitError struct {
	What         string // "record 3 of the batch", "the batch"
	Bytes, Limit int64  // encoded
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("wal: %s: %d bytes, at most %d are allowed; split it, or store it elsewhere and append where it is",
		e.What, e.Bytes, e.Limit)
}

// Is makes it ErrTooLarge.
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }

func errorf(kind error, format string, args ...any) error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

var kinds = map[native.Status]error{
	native.StatusInvalid: ErrInvalid, native.StatusPermission: ErrPermission, native.StatusClosed: ErrClosed,
	native.StatusUnsupported: ErrTooNew, native.StatusIO: ErrDamaged, native.StatusNoSpace: ErrNoSpace,
	native.StatusQuota: ErrNoSpace, native.StatusReadOnly: ErrReadOnly, native.StatusNotFound: ErrNotFound,
	native.StatusExists: ErrExists, native.StatusLocked: ErrLocked, native.StatusSystem: ErrDamaged,
}

// fromNative makes an error of the border one of this package. nil stays nil.
func fromNative(err error) error {
	var e *native.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := kinds[e.Status]
	if kind == nil {
		return fmt.Errorf("wal: %w", err)
	}
	return &Error{Kind: kind, Text: e.Text, Cause: err}
}
