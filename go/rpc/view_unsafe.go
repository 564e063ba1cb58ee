package rpc

import (
	"unsafe"

	flatbuffers "github.com/google/flatbuffers/go"
)

// Viewer is a payload that can be looked at as a table: *Request and *Message.
type Viewer interface {
	table() *flatbuffers.Table
}

// View looks at a payload as its root table, without a copy or an allocation. T is a table type that
// flatc generated: a struct with nothing in it but a flatbuffers.Table. The view is valid as long as
// the payload.
//
// It panics when T is something else, or when the payload is too short to have a root (verified
// payloads are not).
func View[T any](v Viewer) *T {
	var t T
	if unsafe.Sizeof(t) != unsafe.Sizeof(flatbuffers.Table{}) {
		panic("rpc: View wants a FlatBuffers table type")
	}
	return (*T)(unsafe.Pointer(v.table()))
}
