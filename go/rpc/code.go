package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Code is a reply's status. It follows HTTP.
type Code uint32

// The codes of docs/wire.md.
const (
	CodeOK              Code = 200
	CodeBadRequest      Code = 400
	CodeUnauthenticated Code = 401
	CodePermission      Code = 403
	CodeNotFound        Code = 404 // no such method, or what a handler did not find
	CodeDeadline        Code = 408
	CodeConflict        Code = 409
	CodePrecondition    Code = 412
	CodeTooLarge        Code = 413
	CodeMisdirected     Code = 421
	CodeLimit           Code = 429
	CodeCancelled       Code = 499
	CodeInternal        Code = 500 // the handler failed
	CodeNotImplemented  Code = 501
	CodeUnavailable     Code = 503 // draining, or not connected
	CodeLevel           Code = 505
	CodeOutOfSpace      Code = 507
)

var codeTexts = map[Code]string{
	CodeOK: "ok", CodeBadRequest: "malformed request", CodeUnauthenticated: "not authenticated",
	CodePermission: "not permitted", CodeNotFound: "not found", CodeDeadline: "deadline passed",
	CodeConflict: "conflict", CodePrecondition: "precondition failed", CodeTooLarge: "too large",
	CodeMisdirected: "not served here", CodeLimit: "over a limit", CodeCancelled: "cancelled",
	CodeInternal: "handler failed", CodeNotImplemented: "not implemented",
	CodeUnavailable: "unavailable", CodeLevel: "level not supported", CodeOutOfSpace: "out of space",
}

// String is the code's meaning in words.
func (c Code) String() string {
	if text, ok := codeTexts[c]; ok {
		return text
	}
	return fmt.Sprintf("status %d", uint32(c))
}

// Error is how a call failed: what a handler or a filter returns in a server, and what a call returns in
// a client. docs/errors.md says what each code means, and who answers it.
//
// At level 1 of the wire format only the code reaches the other side. At level 2 all of it does but Cause,
// which stays where it is.
type Error struct {
	// Code is the status. 0 and CodeOK are CodeInternal when a handler returns them.
	Code Code
	// Message is for people. In a server it is sent to the caller, so it says nothing that he is not to
	// know; what is longer than 4 KiB is cut.
	Message string
	// Details is what programs read of the error, in a form that both sides know, often a FlatBuffer: any
	// bytes, as many as a reply may have. Details that do not fit are left out.
	Details []byte
	// DetailsType says what Details is, as a rule its table's full name: "smf_gen.demo.Quota". Empty:
	// nothing is said. Up to 255 bytes.
	DetailsType string
	// RetryAfter is how long a caller had better wait before he tries again; 0: nothing is said. In
	// milliseconds, rounded up.
	RetryAfter time.Duration
	// MayHaveRun says in a client that the request may have reached a handler. In a server it is not
	// looked at: what a handler returns has run.
	MayHaveRun bool
	// Cause is what it comes from, for errors.Is and errors.As, or nil. It is never sent.
	Cause error
}

// Errorf makes an error for a handler to return.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error is the code and the message in one line.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("rpc: %d %s", uint32(e.Code), e.Code)
	}
	return fmt.Sprintf("rpc: %d %s: %s", uint32(e.Code), e.Code, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrNotImplemented) and its like compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Code == e.Code
}

// Errors to return, and to compare with errors.Is: any error with the same code matches.
var (
	ErrNotImplemented = &Error{Code: CodeNotImplemented}
	ErrNotFound       = &Error{Code: CodeNotFound}
	ErrUnavailable    = &Error{Code: CodeUnavailable}
	ErrLimit          = &Error{Code: CodeLimit}
	ErrDeadline       = &Error{Code: CodeDeadline}
	ErrCancelled      = &Error{Code: CodeCancelled}
)

// ErrClosed says that the server or client was closed. It is the context.Cause of a handler's context
// that ended for that.
var ErrClosed = errors.New("rpc: closed")

// ErrDisconnected is the context.Cause of a handler's context that ended because the connection of its
// caller did, at level 2 of the wire format. Nobody gets the reply. At level 1 handlers are not told.
var ErrDisconnected = errors.New("rpc: the caller's connection has ended")

// ErrAddress is found by errors.Is in what Dial and Server.Listen return for a text that is no address:
// nothing was tried, and another attempt would not help.
var ErrAddress = errors.New("rpc: malformed address")

// Why a server is not ready, beside ErrClosed.
var (
	ErrNotServing = errors.New("rpc: not serving yet")
	ErrDraining   = errors.New("rpc: draining")
)

// CodeOf is the status that an error stands for: CodeOK for nil, an *Error's code, those of a context that
// has ended, and CodeInternal for what else a handler may return.
func CodeOf(err error) Code {
	if err == nil {
		return CodeOK
	}
	var e *Error // behind that: it is an allocation
	switch {
	case errors.As(err, &e) && e.Code != 0 && e.Code != CodeOK:
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadline
	case errors.Is(err, context.Canceled):
		return CodeCancelled
	}
	return CodeInternal
}
