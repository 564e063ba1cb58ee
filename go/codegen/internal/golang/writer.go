package golang

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// writable says whether a writer can be made for the table.
func (t *tableView) writable() bool {
	for i := range t.Fields {
		if f := &t.Fields[i]; f.Kind == "Inline" && (f.Optional || f.GoType == "") {
			return false
		}
	}
	return t.Straight()
}

// writerView is the text of a table's writers. The outer functions are generic in the strings' types
// and thin; the inner ones get the strings' lengths and write everything but their bytes. (What is
// generic is compiled where it is used, with less inlining.)
type writerView struct {
	Types  string   // type parameters, or nothing: "[S ~string | ~[]byte]"
	Params string   // "name S, size uint16"
	Sized  string   // the parameters of the inner functions: "name int, size uint16"
	Args   string   // and the arguments for them: "len(name), size"
	Texts  string   // the lengths only, as parameters: "name int"
	Sizes  string   // and as arguments: "len(name)"
	Size   []string // statements that return the size
	Begins string   // where strings begin, as results: "at0, at3"
	Result string   // and their types: " (at0, at3 int)"
	Lines  []string // statements that write dst
	Copies []string // statements that copy the strings
}

func (g *generator) newWriter(t *tableView) *writerView {
	names, taken := make([]string, len(t.Fields)), make(map[string]bool)
	for i := range t.Fields {
		names[i] = g.parameter(t.Fields[i].Name, taken, writerLocals)
	}
	l := newLayout(t.Fields)
	w := &writerView{}
	letter := typeParameter(t.Fields)
	var types, params, sized, args, texts []string
	for i := range t.Fields {
		name, goType := names[i], t.Fields[i].GoType
		if t.Fields[i].Kind == "String" {
			texts = append(texts, name)
			goType = fmt.Sprintf("%s%d", letter, len(texts))
			types = append(types, goType)
			sized = append(sized, name+" int")
			args = append(args, "len("+name+")")
		} else {
			sized = append(sized, name+" "+goType)
			args = append(args, name)
		}
		params = append(params, name+" "+goType)
	}
	if len(types) > 0 {
		w.Types = "[" + strings.Join(types, ", ") + " ~string | ~[]byte]"
		w.Texts = strings.Join(texts, ", ") + " int"
		w.Sizes = "len(" + strings.Join(texts, "), len(") + ")"
	}
	w.Params, w.Sized, w.Args = strings.Join(params, ", "), strings.Join(sized, ", "), strings.Join(args, ", ")
	if len(types) == 1 { // needs no number
		one := letter + "1"
		w.Types = strings.Replace(w.Types, one, letter, 1)
		w.Params = strings.Replace(w.Params, " "+one, " "+letter, 1)
	}
	w.Size = l.size(texts)
	l.write(w, t.Fields, names)
	return w
}

// typeParameter is how the strings' types are called: S, unless an enum's name begins like that.
func typeParameter(fields []fieldView) string {
	name := "S"
	for i := 0; i < len(fields); i++ {
		if strings.HasPrefix(fields[i].GoType, name) {
			name += "S"
			i = -1
		}
	}
	return name
}

// block is what a string takes: its length, its bytes, a zero byte, and padding to four bytes.
func block(name string) string { return fmt.Sprintf("int64(%s)&^3", name) }

// size returns the statements that return the size of all. It is the lengths' sum in 64 bits: it does
// not overflow where an int has 32.
func (l *layout) size(texts []string) []string {
	sum := fmt.Sprint(l.head + len(texts)*wordSize)
	for _, name := range texts {
		sum += " + " + block(name)
	}
	if !l.padded {
		return []string{"return " + sum}
	}
	return []string{"size := " + sum, "return size + size&4 // to a multiple of eight"}
}

// write makes the statements that write all of dst, and those that copy the strings.
func (l *layout) write(w *writerView, fields []fieldView, names []string) {
	var texts []int // fields that are strings, in the order in which they lie in memory
	for i := len(fields) - 1; i >= 0; i-- {
		if fields[i].Kind == "String" {
			texts = append(texts, i)
		}
	}
	w.Lines = []string{fmt.Sprintf("_ = dst[%d]", l.head+len(texts)*wordSize-1)}
	begins, lines := l.begins(texts, names)
	w.Lines = append(w.Lines, lines...)

	pieces := make([]piece, 0, len(fields)+2)
	if l.padded {
		pieces = append(pieces, piece{l.vtable + slotSize, fmt.Sprintf("uint64(%d+pad)", l.table)})
	}
	head := l.template(fields)
	for i := range fields {
		f, at := &fields[i], l.at[i]
		switch begin, fixed := begins[i].fixed(); {
		case f.Kind == "String" && fixed:
			binary.LittleEndian.PutUint32(head[at:], uint32(begin-at))
		case f.Kind == "String":
			pieces = append(pieces, piece{at, fmt.Sprintf("uint64(%s-%d)", begins[i], at)})
		case f.Bool:
			bit := fmt.Sprintf("bit%d", i)
			w.Lines = append(w.Lines, "var "+bit+" uint64", "if "+names[i]+" {", bit+" = 1", "}")
			pieces = append(pieces, piece{at, bit})
		default:
			pieces = append(pieces, piece{at, bits(f, names[i])})
		}
	}
	if len(texts) > 0 && !l.padded { // the first string's length follows the table
		pieces = append(pieces, piece{l.head, "uint64(" + names[texts[0]] + ")"})
		head = append(head, make([]byte, offsetSize)...)
	}
	w.Lines = append(w.Lines, words(head, pieces)...)
	if l.padded {
		w.Lines = append(w.Lines, putLine(offsetSize, l.head, "0")+" // padding, if there is any")
	}
	w.putStrings(l, texts, begins, names)
}

// putStrings completes Lines with the strings' lengths and ends, and says how the strings are copied.
func (w *writerView) putStrings(l *layout, texts []int, begins map[int]begin, names []string) {
	var results []string
	for n, i := range texts {
		at, name := begins[i], names[i]
		if n > 0 || l.padded {
			w.Lines = append(w.Lines,
				fmt.Sprintf("binary.LittleEndian.PutUint32(dst[%s:], uint32(%s))", at, name))
		}
		end := "len(dst)-4"
		if n < len(texts)-1 {
			end = fmt.Sprintf("%s+%s&^3", at.plus(offsetSize), name)
		}
		// The zero byte and the padding behind it, before the string comes.
		w.Lines = append(w.Lines, fmt.Sprintf("binary.LittleEndian.PutUint32(dst[%s:], 0)", end))
		w.Copies = append(w.Copies, fmt.Sprintf("copy(dst[%s:], %s)", at.plus(offsetSize), name))
		if _, fixed := at.fixed(); !fixed {
			results = append(results, string(at))
		}
	}
	if len(results) > 0 {
		w.Begins = strings.Join(results, ", ")
		w.Result = "(" + w.Begins + " int)"
		w.Lines = append(w.Lines, "return "+w.Begins)
	}
}

// begin is where a string begins: an expression, a number when that is known.
type begin string

func (b begin) fixed() (int, bool) {
	n, err := strconv.Atoi(string(b))
	return n, err == nil
}

func (b begin) plus(n int) string {
	if fixed, ok := b.fixed(); ok {
		return fmt.Sprint(fixed + n)
	}
	return fmt.Sprintf("%s+%d", b, n)
}

// begins returns for each field that is a string where it begins, and the statements that compute it.
func (l *layout) begins(texts []int, names []string) (map[int]begin, []string) {
	begins := make(map[int]begin)
	var lines []string
	if l.padded {
		blocks := make([]string, len(texts))
		for n, i := range texts {
			blocks[n] = names[i] + "&^3"
		}
		// Everything else is a multiple of eight.
		lines = append(lines, "pad := ("+strings.Join(blocks, " + ")+") & 4")
	}
	for n, i := range texts {
		name := begin(fmt.Sprintf("at%d", i))
		switch {
		case n > 0:
			before := texts[n-1]
			lines = append(lines, fmt.Sprintf("%s = %s + %s&^3", name, begins[before].plus(wordSize),
				names[before]))
		case l.padded:
			lines = append(lines, fmt.Sprintf("%s = %d + pad", name, l.head))
		default:
			name = begin(strconv.Itoa(l.head))
		}
		begins[i] = name
	}
	return begins, lines
}

// bits is a scalar as an uint64 with zeros above it.
func bits(f *fieldView, name string) string {
	if f.Float {
		name = fmt.Sprintf("math.Float%dbits(%s)", 8*f.Size, name)
		if f.Size == wordSize {
			return name
		}
		return "uint64(" + name + ")"
	}
	if f.Size == wordSize && f.GoType == "uint64" {
		return name
	}
	if f.Size == wordSize || strings.HasPrefix(f.GoType, "uint") || f.GoType == "byte" {
		return "uint64(" + name + ")"
	}
	return fmt.Sprintf("uint64(uint%d(%s))", 8*f.Size, name) // a sign must not spread
}
