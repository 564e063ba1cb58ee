package golang

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// layout says where the parts of a table's FlatBuffer lie when all fields are stored. It is the one
// that flatc's C++ code arrives at (CreateXDirect): root offset, padding, vtable, table, strings; in
// the table, small fields come before large ones, and of strings, the last field's comes first.
//
// Everything is static but the strings, with one exception: where a table holds eight-byte fields, it
// ends on a multiple of eight bytes from the payload's end, so that zero or four bytes of padding lie
// between table and strings. Builders count them as the table's.
type layout struct {
	head   int // bytes up to the padding and the strings
	root   int // where the table begins
	table  int // size of the table, without the padding
	vtable int // where the vtable begins
	padded bool
	at     []int // where each field lies
}

const (
	wordSize   = 8
	offsetSize = 4 // of a reference, a string's length, a vtable's offset
	slotSize   = 2
	vtableHead = 2 * slotSize
)

// width is how many bytes a field takes in its table; its alignment is the same.
func (f *fieldView) width() int {
	if f.Kind == "String" {
		return offsetSize
	}
	return f.Size
}

func alignUp(n, to int) int { return (n + to - 1) / to * to }

func newLayout(fields []fieldView) layout {
	l := layout{at: make([]int, len(fields))}
	align, slots, strings := offsetSize, 0, 0
	end := 0 // how far the field's first byte is from the table's end
	for width := wordSize; width >= 1; width /= 2 {
		for i := len(fields) - 1; i >= 0; i-- {
			if fields[i].width() == width {
				end = alignUp(end, width) + width
				l.at[i] = end
				align = max(align, width)
			}
		}
	}
	for i := range fields {
		slots = max(slots, (fields[i].Slot-vtableHead)/slotSize+1)
		if fields[i].Kind == "String" {
			strings++
		}
	}
	l.padded = strings > 0 && align > offsetSize
	l.table = alignUp(end, offsetSize) + offsetSize
	l.head = alignUp(l.table+vtableHead+slots*slotSize+offsetSize, align)
	l.root = l.head - l.table
	l.vtable = l.root - vtableHead - slots*slotSize
	for i := range l.at {
		l.at[i] = l.head - l.at[i]
	}
	return l
}

// template is the head with everything that does not depend on values.
func (l *layout) template(fields []fieldView) []byte {
	head := make([]byte, l.head)
	binary.LittleEndian.PutUint32(head, uint32(l.root))
	binary.LittleEndian.PutUint16(head[l.vtable:], uint16(l.root-l.vtable))
	if !l.padded {
		binary.LittleEndian.PutUint16(head[l.vtable+slotSize:], uint16(l.table))
	}
	for i := range fields {
		binary.LittleEndian.PutUint16(head[l.vtable+fields[i].Slot:], uint16(l.at[i]-l.root))
	}
	binary.LittleEndian.PutUint32(head[l.root:], uint32(l.root-l.vtable))
	return head
}

// piece is a value that goes into the head: a Go expression of type uint64 at a position.
type piece struct {
	at   int
	text string
}

// words composes a head of eight-byte words, the last of which may be of four bytes, and the pieces in
// it. No piece lies in two words.
func words(head []byte, pieces []piece) []string {
	var lines []string
	for at := 0; at < len(head); at += wordSize {
		width := min(wordSize, len(head)-at)
		var bits [wordSize]byte
		copy(bits[:], head[at:at+width])
		var terms []string
		if fixed := binary.LittleEndian.Uint64(bits[:]); fixed != 0 {
			terms = append(terms, fmt.Sprintf("%#x", fixed))
		}
		for _, p := range pieces {
			switch shift := 8 * (p.at - at); {
			case p.at < at || p.at >= at+width:
			case shift == 0:
				terms = append(terms, p.text)
			default:
				terms = append(terms, fmt.Sprintf("%s<<%d", p.text, shift))
			}
		}
		value := strings.Join(terms, " | ")
		if value == "" {
			value = "0"
		}
		lines = append(lines, putLine(width, at, value))
	}
	return lines
}

// putLine writes a value, of type uint64 or a constant, to a constant position.
func putLine(width, at int, value string) string {
	dst := "dst"
	if at > 0 {
		dst = fmt.Sprintf("dst[%d:]", at)
	}
	_, err := strconv.ParseUint(value, 0, 64)
	if constant := err == nil; width == offsetSize && !constant {
		value = "uint32(" + value + ")"
	}
	return fmt.Sprintf("binary.LittleEndian.PutUint%d(%s, %s)", 8*width, dst, value)
}
