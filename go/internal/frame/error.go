package frame

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/flatverify"
)

// Error is what a reply of level 2 carries whose status is not 200 (schema/smf/error.fbs).
type Error struct {
	Message      string // for people
	Details      []byte // for programs: bytes of the type DetailsType
	DetailsType  string // the full name of a table, or whatever both sides know
	RetryAfterMS uint32 // when it is worth another try, in ms from now; 0: nothing is known
	MayHaveRun   bool   // false: no handler has begun with the call
}

// Slots of an error's fields.
const (
	errorMessage      = 4
	errorDetails      = 6
	errorDetailsType  = 8
	errorRetryAfterMS = 10
	errorMayHaveRun   = 12
	errorFieldCount   = 5
)

var errorSchema = flatverify.Schema{{
	Name: "Error",
	Fields: []flatverify.Field{
		{Name: "message", Slot: errorMessage, Kind: flatverify.String},
		{Name: "details", Slot: errorDetails, Kind: flatverify.InlineVector, Align: 1, Size: 1},
		{Name: "details_type", Slot: errorDetailsType, Kind: flatverify.String},
		{Name: "retry_after_ms", Slot: errorRetryAfterMS, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "may_have_run", Slot: errorMayHaveRun, Kind: flatverify.Inline, Align: 1, Size: 1},
	},
}}

// ReadError verifies and reads an Error; an empty payload is one that says nothing. Details is a view of
// the payload, the texts are copies. With an error, what is returned is an Error that says nothing: it
// may have run.
func ReadError(payload []byte) (Error, error) {
	if len(payload) == 0 {
		return Error{MayHaveRun: true}, nil
	}
	if err := errorSchema.Verify(0, payload); err != nil {
		return Error{MayHaveRun: true}, err
	}
	table := rootOf(payload)
	return Error{
		Message:      string(table.bytes(errorMessage)),
		Details:      table.bytes(errorDetails),
		DetailsType:  string(table.bytes(errorDetailsType)),
		RetryAfterMS: table.GetUint32Slot(errorRetryAfterMS, 0),
		MayHaveRun:   table.GetBoolSlot(errorMayHaveRun, true),
	}, nil
}

// Append appends the table to b and returns the longer slice. Empty fields are left out.
func (e *Error) Append(b []byte) []byte {
	builder := flatbuffers.NewBuilder(64 + len(e.Message) + len(e.Details) + len(e.DetailsType))
	var message, details, detailsType flatbuffers.UOffsetT
	if e.DetailsType != "" {
		detailsType = builder.CreateString(e.DetailsType)
	}
	if len(e.Details) != 0 {
		details = builder.CreateByteVector(e.Details)
	}
	if e.Message != "" {
		message = builder.CreateString(e.Message)
	}
	builder.StartObject(errorFieldCount)
	builder.PrependUint32Slot(slot(errorRetryAfterMS), e.RetryAfterMS, 0)
	builder.PrependUOffsetTSlot(slot(errorDetailsType), detailsType, 0)
	builder.PrependUOffsetTSlot(slot(errorDetails), details, 0)
	builder.PrependUOffsetTSlot(slot(errorMessage), message, 0)
	builder.PrependBoolSlot(slot(errorMayHaveRun), e.MayHaveRun, true)
	builder.Finish(builder.EndObject())
	return append(b, builder.FinishedBytes()...)
}
