package rpc

import (
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/internal/loop"
)

// Bounds of what an error says on the wire.
const (
	errorMessageMax     = 4 << 10
	errorDetailsTypeMax = 255
	errorTableMore      = 128      // what a table has beside its texts, at most
	refusalMax          = 64 << 10 // of a table in a reset, which goes in one frame
)

// failed makes out the answer that an error is. ran says that a handler has begun with the call: at level 2, what
// none saw is refused by a reset.
func failed(err error, level uint8, payloadMax int, ran bool, out *native.Reply) {
	out.Status, out.Flags, out.Compression, out.Payload = uint32(CodeOf(err)), native.MayPad, 0, loop.EmptyTable
	out.InLoan, out.Deferred = false, false
	switch {
	case level < 2:
	case ran:
		out.Payload = errorTable(err, payloadMax, true)
	default:
		out.Flags = native.FlagReset
		out.Payload = errorTable(err, min(payloadMax, refusalMax), false)
	}
}

// errorTable is what is sent of an error. Of one that is no *Error its text is not: it was not written for
// the caller.
func errorTable(err error, payloadMax int, ran bool) []byte {
	table := frame.Error{MayHaveRun: ran}
	var e *Error
	if errors.As(err, &e) {
		table.Message = cut(e.Message, errorMessageMax)
		table.DetailsType = cut(e.DetailsType, errorDetailsTypeMax)
		table.RetryAfterMS = retryMillis(e.RetryAfter)
		if len(e.Details)+len(table.Message)+len(table.DetailsType)+errorTableMore <= payloadMax {
			table.Details = e.Details
		}
	}
	return table.Append(nil)
}

// cut leaves whole runes of a text.
func cut(text string, sizeMax int) string {
	if len(text) <= sizeMax {
		return text
	}
	for sizeMax > 0 && !utf8.RuneStart(text[sizeMax]) {
		sizeMax--
	}
	return text[:sizeMax]
}

// retryMillis rounds up: less would be too early.
func retryMillis(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((int64(d)-1)/int64(time.Millisecond)+1, math.MaxUint32))
}

func malformedRequest(why error) *Error {
	return &Error{Code: CodeBadRequest, Message: "the request is malformed: " + why.Error(), Cause: why}
}

func tooLarge(size, sizeMax int) *Error {
	return &Error{Code: CodeTooLarge, Message: fmt.Sprintf("the reply has %d bytes; at most %d", size, sizeMax)}
}
