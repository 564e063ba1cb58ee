package bfbs

import (
	"fmt"
	"sort"

	flatbuffers "github.com/google/flatbuffers/go"
)

// identifier is the file identifier of a binary schema, at bytes 4 to 7.
const identifier = "BFBS"

// Parse reads a binary schema.
//
// Threads: any. Ownership: the result shares no memory with p. Errors: ErrNotSchema (wrapped, with
// what is wrong), ErrIndex; never a panic. Cost: allocates a few times the size of p.
func Parse(p []byte) (*Schema, error) {
	if len(p) < 8 || string(p[4:8]) != identifier {
		return nil, fmt.Errorf("%w: no %q at its beginning", ErrNotSchema, identifier)
	}
	if err := layout.Verify(schemaTable, p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSchema, err)
	}
	r := table{flatbuffers.Table{Bytes: p, Pos: flatbuffers.GetUOffsetT(p)}}
	s := &Schema{
		Objects:  list(r, schemaObjects, readObject),
		Enums:    list(r, schemaEnums, readEnum),
		Services: list(r, schemaServices, readService),
		Files:    list(r, schemaFiles, readFile),

		Identifier: r.string(schemaIdent),
	}
	if root, ok := r.sub(schemaRoot); ok {
		s.Root = root.string(objectName)
	}
	return s, s.checkIndexes()
}

// checkIndexes makes sure that every Type.Index can be used without looking.
func (s *Schema) checkIndexes() error {
	for _, o := range s.Objects {
		for _, f := range o.Fields {
			if !s.hasIndex(f.Type) {
				return fmt.Errorf("%w: %s.%s", ErrIndex, o.Name, f.Name)
			}
		}
	}
	for _, e := range s.Enums {
		for _, v := range e.Values {
			if !s.hasIndex(v.Union) {
				return fmt.Errorf("%w: %s.%s", ErrIndex, e.Name, v.Name)
			}
		}
	}
	return nil
}

func (s *Schema) hasIndex(t Type) bool {
	if (t.Base == Obj || t.Element == Obj) && (t.Index < 0 || t.Index >= len(s.Objects)) {
		return false
	}
	if (t.Base == Union || t.Element == Union) && t.Index < 0 {
		return false
	}
	of := t.Base
	if of == Vector || of == Array {
		of = t.Element
	}
	return of == Obj || t.Index < len(s.Enums)
}

// table reads the fields of one table by their vtable slots.
type table struct{ flatbuffers.Table }

// at returns the position of a field, or 0 if it is not there.
func (t table) at(slot flatbuffers.VOffsetT) flatbuffers.UOffsetT {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return 0
	}
	return o + t.Pos
}

func (t table) string(slot flatbuffers.VOffsetT) string {
	if at := t.at(slot); at != 0 {
		return string(t.ByteVector(at))
	}
	return ""
}

func (t table) bool(slot flatbuffers.VOffsetT) bool { return t.GetBoolSlot(slot, false) }

func (t table) sub(slot flatbuffers.VOffsetT) (table, bool) {
	at := t.at(slot)
	if at == 0 {
		return table{}, false
	}
	return table{flatbuffers.Table{Bytes: t.Bytes, Pos: t.Indirect(at)}}, true
}

// list reads a vector of tables.
func list[T any](t table, slot flatbuffers.VOffsetT, read func(table) T) []T {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return nil
	}
	first, n := t.Vector(o), t.VectorLen(o)
	out := make([]T, n)
	for i := range out {
		pos := t.Indirect(first + flatbuffers.UOffsetT(i)*flatbuffers.SizeUOffsetT)
		out[i] = read(table{flatbuffers.Table{Bytes: t.Bytes, Pos: pos}})
	}
	return out
}

func (t table) strings(slot flatbuffers.VOffsetT) []string {
	o := flatbuffers.UOffsetT(t.Offset(slot))
	if o == 0 {
		return nil
	}
	first, n := t.Vector(o), t.VectorLen(o)
	out := make([]string, n)
	for i := range out {
		out[i] = string(t.ByteVector(first + flatbuffers.UOffsetT(i)*flatbuffers.SizeUOffsetT))
	}
	return out
}

func (t table) attributes(slot flatbuffers.VOffsetT) Attributes {
	type pair struct{ key, value string }
	pairs := list(t, slot, func(t table) pair { return pair{t.string(pairKey), t.string(pairValue)} })
	if len(pairs) == 0 {
		return nil
	}
	out := make(Attributes, len(pairs))
	for _, p := range pairs {
		out[p.key] = p.value
	}
	return out
}

func readObject(t table) Object {
	fields := list(t, objectFields, readField)
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].ID < fields[j].ID })
	return Object{
		Name:       t.string(objectName),
		Fields:     fields,
		IsStruct:   t.bool(objectIsStruct),
		Align:      int(t.GetInt32Slot(objectAlign, 0)),
		Size:       int(t.GetInt32Slot(objectSize, 0)),
		Attributes: t.attributes(objectAttributes),
		Doc:        t.strings(objectDoc),
		File:       t.string(objectFile),
	}
}

func readField(t table) Field {
	return Field{
		Name:       t.string(fieldName),
		Type:       t.typ(fieldType),
		ID:         int(t.GetUint16Slot(fieldID, 0)),
		Offset:     int(t.GetUint16Slot(fieldOffset, 0)),
		Deprecated: t.bool(fieldDeprecated),
		Required:   t.bool(fieldRequired),
		Optional:   t.bool(fieldOptional),
		Key:        t.bool(fieldKey),
		Offset64:   t.bool(fieldOffset64),
		Integer:    t.GetInt64Slot(fieldInteger, 0),
		Real:       t.GetFloat64Slot(fieldReal, 0),
		Attributes: t.attributes(fieldAttributes),
		Doc:        t.strings(fieldDoc),
	}
}

// typ reads a type; one that is not there is None.
func (t table) typ(slot flatbuffers.VOffsetT) Type {
	typ, ok := t.sub(slot)
	if !ok {
		return Type{Index: -1}
	}
	return Type{
		Base:    Base(typ.GetInt8Slot(typeBase, 0)),
		Element: Base(typ.GetInt8Slot(typeElement, 0)),
		Index:   int(typ.GetInt32Slot(typeIndex, -1)),
		Length:  int(typ.GetUint16Slot(typeLength, 0)),
	}
}

func readEnum(t table) Enum {
	return Enum{
		Name: t.string(enumName),
		Values: list(t, enumValues, func(t table) EnumValue {
			return EnumValue{
				Name:  t.string(valueName),
				Value: t.GetInt64Slot(valueValue, 0),
				Union: t.typ(valueUnion),
				Doc:   t.strings(valueDoc),
			}
		}),
		IsUnion:    t.bool(enumIsUnion),
		Underlying: t.typ(enumUnderlying),
		Attributes: t.attributes(enumAttributes),
		Doc:        t.strings(enumDoc),
		File:       t.string(enumFile),
	}
}

func readService(t table) Service {
	return Service{
		Name:       t.string(serviceName),
		Calls:      list(t, serviceCalls, readCall),
		Attributes: t.attributes(serviceAttributes),
		Doc:        t.strings(serviceDoc),
		File:       t.string(serviceFile),
	}
}

func readCall(t table) Call {
	c := Call{
		Name:       t.string(callName),
		Attributes: t.attributes(callAttributes),
		Doc:        t.strings(callDoc),
	}
	if request, ok := t.sub(callRequest); ok {
		c.Request = request.string(objectName)
	}
	if response, ok := t.sub(callResponse); ok {
		c.Response = response.string(objectName)
	}
	return c
}

func readFile(t table) File {
	return File{Name: t.string(fileName), Includes: t.strings(fileIncludes)}
}
