package bfbs

import "strings"

// InlineSize is the size and the alignment of a scalar, or of a struct, which index is the object of; 0: it
// is something that offsets lead to.
func (s *Schema) InlineSize(base Base, index int) (size, align int) {
	switch base {
	case UType, Bool, Byte, UByte:
		return 1, 1
	case Short, UShort:
		return 2, 2
	case Int, UInt, Float:
		return 4, 4
	case Long, ULong, Double:
		return 8, 8
	case Obj:
		if o := &s.Objects[index]; o.IsStruct {
			return o.Size, o.Align
		}
	}
	return 0, 0
}

// Member is what a union holds if its type is kind; None: nothing that is known.
func (s *Schema) Member(union, kind int) Type {
	for _, value := range s.Enums[union].Values {
		if value.Value == int64(kind) && kind != 0 {
			return value.Union
		}
	}
	return Type{}
}

// Nested is the table that the bytes of an object's field are a payload of, by its full name or from the
// object's namespace; negative: there is none.
func (s *Schema) Nested(object int, f *Field) int {
	name, user := f.Attributes["nested_flatbuffer"], s.Objects[object].Name
	space := user[:strings.LastIndexByte(user, '.')+1]
	for i := range s.Objects {
		if full := s.Objects[i].Name; full == space+name || full == name {
			return i
		}
	}
	return -1
}
