package c

import (
	"math/rand/v2"
	"slices"
	"strings"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// writer makes payloads of a schema by chance.
type writer struct {
	*rand.Rand
	*flatbuffers.Builder
}

func newWriter(seed uint64) *writer {
	return &writer{Rand: rand.New(rand.NewPCG(seed, 0)), Builder: flatbuffers.NewBuilder(0)}
}

const (
	depthMax = 3
	countMax = 4
)

func (w *writer) payload(table *model.Table) []byte {
	w.Reset()
	w.Finish(w.table(table, 1))
	return slices.Clone(w.FinishedBytes())
}

// place puts a scalar or a struct where the builder is.
func (w *writer) place(t *model.Type) {
	w.Prep(t.Align(), t.Size())
	bytes := make([]byte, t.Size())
	w.fill(bytes, t)
	for _, b := range slices.Backward(bytes) {
		w.PlaceByte(b)
	}
}

// fill writes a value; what is padding stays 0.
func (w *writer) fill(to []byte, t *model.Type) {
	switch t.Kind {
	case model.StructOf:
		for _, f := range t.Struct.Fields {
			w.fill(to[f.Offset:], &f.Type)
		}
	case model.Array:
		for i := range t.Length {
			w.fill(to[i*t.Elem.Size():], t.Elem)
		}
	default:
		switch {
		case t.Scalar == model.Bool:
			to[0] = byte(w.IntN(2))
		case t.Enum != nil && !t.Enum.BitFlags:
			value := t.Enum.Values[w.IntN(len(t.Enum.Values))].Number
			for i := range t.Scalar.Size() {
				to[i] = byte(value >> (8 * i))
			}
		default:
			for i := range t.Scalar.Size() {
				to[i] = byte(w.Uint32()) & 0x7f // no float that is not a number
			}
		}
	}
}

// filled is a field whose parts are built.
type filled struct {
	slot int
	add  func()
}

func (w *writer) table(t *model.Table, depth int) flatbuffers.UOffsetT {
	var fields []filled
	top := 2
	for _, f := range t.Fields {
		top = f.Slot
		skip := depth > depthMax && !f.Type.Inline() || w.IntN(3) == 0
		if f.Deprecated || f.TagOf != nil || skip && !f.Required {
			continue
		}
		fields = append(fields, w.field(f, depth)...)
	}
	w.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	w.StartObject((top - 2) / 2)
	for _, f := range fields {
		f.add()
		w.Slot((f.slot - 4) / 2)
	}
	return w.EndObject()
}

func (w *writer) field(f *model.Field, depth int) []filled {
	offset := func(to flatbuffers.UOffsetT) func() { return func() { w.PrependUOffsetT(to) } }
	t := &f.Type
	switch {
	case t.Inline():
		return []filled{{f.Slot, func() { w.place(t) }}}
	case f.Nested != nil:
		inner := &writer{w.Rand, flatbuffers.NewBuilder(0)}
		return []filled{{f.Slot, offset(w.CreateByteVector(inner.payload(f.Nested)))}}
	case t.Kind == model.Union:
		value := t.Enum.Values[1+w.IntN(len(t.Enum.Values)-1)]
		return []filled{
			{f.Slot, offset(w.target(&value.Member, depth))},
			{f.Tag.Slot, func() { w.PrependByte(byte(value.Number)) }},
		}
	case t.Kind == model.Vector && t.Elem.Kind == model.Union:
		var types []byte
		var targets []flatbuffers.UOffsetT
		for range w.IntN(countMax) {
			value := t.Elem.Enum.Values[1+w.IntN(len(t.Elem.Enum.Values)-1)]
			types, targets = append(types, byte(value.Number)), append(targets, w.target(&value.Member, depth))
		}
		return []filled{{f.Tag.Slot, offset(w.CreateByteVector(types))}, {f.Slot, offset(w.vector(targets))}}
	case t.Kind == model.Vector && t.Elem.Inline():
		count := w.IntN(countMax)
		w.StartVector(t.Elem.Size(), count, t.Elem.Align())
		for range count {
			bytes := make([]byte, t.Elem.Size())
			w.fill(bytes, t.Elem)
			for _, b := range slices.Backward(bytes) {
				w.PlaceByte(b)
			}
		}
		return []filled{{f.Slot, offset(w.EndVector(count))}}
	case t.Kind == model.Vector:
		var targets []flatbuffers.UOffsetT
		for range w.IntN(countMax) {
			targets = append(targets, w.target(t.Elem, depth))
		}
		return []filled{{f.Slot, offset(w.vector(targets))}}
	default:
		return []filled{{f.Slot, offset(w.target(t, depth))}}
	}
}

func (w *writer) target(t *model.Type, depth int) flatbuffers.UOffsetT {
	switch t.Kind {
	case model.Text:
		return w.CreateString(strings.Repeat("é", w.IntN(9)))
	case model.StructOf:
		w.place(t)
		return w.Offset()
	default:
		return w.table(t.Table, depth+1)
	}
}

func (w *writer) vector(targets []flatbuffers.UOffsetT) flatbuffers.UOffsetT {
	w.StartVector(4, len(targets), 4)
	for _, target := range slices.Backward(targets) {
		w.PrependUOffsetT(target)
	}
	return w.EndVector(len(targets))
}
