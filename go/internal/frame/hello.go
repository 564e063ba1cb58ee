package frame

import (
	"fmt"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/flatverify"
)

// HelloMethodID is the method id of smf.Hello (schema/smf/hello.fbs), with which a connection is asked for
// level 2: the id of service smf, method Hello, types smf::HelloRequest and smf::HelloReply.
const HelloMethodID = 980267836

// Limits of what a Hello may say when its level is 2.
const (
	HelloCreditMin    = 64 * 1024                                          // bytes
	HelloFrameSizeMin = HelloCreditMin + MetadataSizeMax + MessageSizeSize // a slice with everything in front
)

// Hello is what a peer offers, or what two of them agreed on: HelloRequest and HelloReply.
type Hello struct {
	Level          uint32 // the highest
	Features       uint64 // a bit each
	Compressions   uint32 // bit 1 << compression
	FrameSizeMax   uint32 // payload of a frame, in bytes
	CallsMax       uint32 // in flight
	Credit         uint32 // of each direction of a session, in bytes
	MessageSizeMax uint64 // of a message in slices, in bytes
}

// Slots of a Hello's fields.
const (
	helloLevel          = 4
	helloFeatures       = 6
	helloCompressions   = 8
	helloFrameSizeMax   = 10
	helloCallsMax       = 12
	helloCredit         = 14
	helloMessageSizeMax = 16
	helloFieldCount     = 7
)

var helloSchema = flatverify.Schema{{
	Name: "Hello",
	Fields: []flatverify.Field{
		{Name: "level", Slot: helloLevel, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "features", Slot: helloFeatures, Kind: flatverify.Inline, Align: 8, Size: 8},
		{Name: "compressions", Slot: helloCompressions, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "frame_size_bytes_max", Slot: helloFrameSizeMax, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "calls_max", Slot: helloCallsMax, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "credit_bytes", Slot: helloCredit, Kind: flatverify.Inline, Align: 4, Size: 4},
		{Name: "message_size_bytes_max", Slot: helloMessageSizeMax, Kind: flatverify.Inline, Align: 8, Size: 8},
	},
}}

// flatTable is the root of a payload that was verified.
type flatTable struct{ flatbuffers.Table }

func rootOf(payload []byte) flatTable {
	return flatTable{flatbuffers.Table{Bytes: payload, Pos: flatbuffers.GetUOffsetT(payload)}}
}

// bytes are those of a string or a vector of bytes, a view of the payload; nil: it is not there.
func (t flatTable) bytes(slot flatbuffers.VOffsetT) []byte {
	if at := t.Offset(slot); at != 0 {
		return t.ByteVector(t.Pos + flatbuffers.UOffsetT(at))
	}
	return nil
}

// ReadHello verifies and reads a Hello. An error says what is wrong with it, and what a peer that asks for
// level 2 has to offer.
func ReadHello(payload []byte) (Hello, error) {
	if err := helloSchema.Verify(0, payload); err != nil {
		return Hello{}, err
	}
	table := rootOf(payload)
	h := Hello{
		Level:          table.GetUint32Slot(helloLevel, 0),
		Features:       table.GetUint64Slot(helloFeatures, 0),
		Compressions:   table.GetUint32Slot(helloCompressions, 0),
		FrameSizeMax:   table.GetUint32Slot(helloFrameSizeMax, 0),
		CallsMax:       table.GetUint32Slot(helloCallsMax, 0),
		Credit:         table.GetUint32Slot(helloCredit, 0),
		MessageSizeMax: table.GetUint64Slot(helloMessageSizeMax, 0),
	}
	if err := h.check(); err != nil {
		return Hello{}, err
	}
	return h, nil
}

// check says what keeps level 2 from working with these limits. Of level 1 they mean nothing.
func (h Hello) check() error {
	switch {
	case h.Level == 0:
		return fmt.Errorf("%s: 0 is no level: the lowest is 1", "Hello.level")
	case h.Level == 1:
		return nil
	case h.FrameSizeMax < HelloFrameSizeMin:
		return tooSmall("frame_size_bytes_max", h.FrameSizeMax, HelloFrameSizeMin)
	case h.CallsMax == 0:
		return tooSmall("calls_max", 0, 1)
	case h.Credit < HelloCreditMin:
		return tooSmall("credit_bytes", h.Credit, HelloCreditMin)
	case h.MessageSizeMax == 0:
		return tooSmall("message_size_bytes_max", 0, 1)
	}
	return nil
}

func tooSmall(field string, has, needs uint32) error {
	return fmt.Errorf("%s.%s: %d is too small: level 2 needs %d", "Hello", field, has, needs)
}

// Agree is what a connection uses whose ends offer h and other: the lower of each, the intersection of sets.
func (h Hello) Agree(other Hello) Hello {
	return Hello{
		Level:          min(h.Level, other.Level),
		Features:       h.Features & other.Features,
		Compressions:   h.Compressions & other.Compressions,
		FrameSizeMax:   min(h.FrameSizeMax, other.FrameSizeMax),
		CallsMax:       min(h.CallsMax, other.CallsMax),
		Credit:         min(h.Credit, other.Credit),
		MessageSizeMax: min(h.MessageSizeMax, other.MessageSizeMax),
	}
}

// Append appends the table to b and returns the longer slice.
func (h Hello) Append(b []byte) []byte {
	builder := flatbuffers.NewBuilder(64)
	builder.StartObject(helloFieldCount)
	builder.PrependUint64Slot(slot(helloMessageSizeMax), h.MessageSizeMax, 0)
	builder.PrependUint64Slot(slot(helloFeatures), h.Features, 0)
	builder.PrependUint32Slot(slot(helloCredit), h.Credit, 0)
	builder.PrependUint32Slot(slot(helloCallsMax), h.CallsMax, 0)
	builder.PrependUint32Slot(slot(helloFrameSizeMax), h.FrameSizeMax, 0)
	builder.PrependUint32Slot(slot(helloCompressions), h.Compressions, 0)
	builder.PrependUint32Slot(slot(helloLevel), h.Level, 0)
	builder.Finish(builder.EndObject())
	return append(b, builder.FinishedBytes()...)
}

// slot is how a builder counts what a vtable has at a byte offset.
func slot(offset int) int { return (offset - 4) / 2 }
