package schema

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/smf-go/smf/go/internal/bfbs"
)

// generator makes random documents. They have no value that is the default (builders leave it out),
// vectors with keys are sorted (as flatc and FromJSON make them), and floats are short: flatc 2.0.8
// prints 6 digits of a float and 12 of a double behind the point, and ToJSON as few as say which it is.
type generator struct {
	*rand.Rand
	plain bool // without what only one of the two programs takes
}

const (
	generatedDepth  = 2
	generatedLength = 3
)

// object is a JSON object for a table or a struct.
func (g *generator) object(o *object, depth int) string {
	var members []string
	add := func(f *field, text string) { members = append(members, fmt.Sprintf("%q:%s", f.name, text)) }
	for _, f := range o.fields {
		if f.holds != nil || !o.isStruct && !f.required && (depth > generatedDepth || g.IntN(3) == 0) {
			continue
		}
		switch {
		case f.kind == kindUnion:
			kind, text := g.union(f.enum, depth)
			add(f.types, kind)
			add(f, text)
		case f.kind == kindVector && f.elem.kind == kindUnion:
			var kinds, texts []string
			for range g.IntN(generatedLength) {
				kind, text := g.union(f.elem.enum, depth)
				kinds, texts = append(kinds, kind), append(texts, text)
			}
			add(f.types, array(kinds))
			add(f, array(texts))
		case f.kind == kindScalar && !o.isStruct:
			if text := g.unusual(f); text != "" {
				add(f, text)
			}
		default:
			add(f, g.value(f.shape, depth))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func array(elements []string) string { return "[" + strings.Join(elements, ",") + "]" }

// unusual is a value that is not the default; empty: this time there is none.
func (g *generator) unusual(f *field) string {
	text := g.scalar(f.shape)
	bits, err := parseScalar(f.shape, token(text))
	if err != nil {
		panic(err)
	}
	if !f.optional && !f.key && same(f.base, bits, f.initial) {
		return ""
	}
	return text
}

// token is the one token of a scalar's text.
func token(text string) json.Token {
	token, err := newDocument([]byte(text)).Token()
	if err != nil {
		panic(err)
	}
	return token
}

func (g *generator) union(e *enum, depth int) (kind, text string) {
	for {
		at := g.IntN(len(e.values))
		member := e.members[uint8(e.values[at])]
		if member == nil || depth > generatedDepth && member.kind == kindTable && len(member.object.required) > 0 {
			continue
		}
		return fmt.Sprintf("%q", e.names[at]), g.value(member, depth+1)
	}
}

func (g *generator) value(s *shape, depth int) string {
	switch s.kind {
	case kindScalar:
		return g.scalar(s)
	case kindString:
		return g.text()
	case kindVector:
		return g.vector(s.elem, g.IntN(generatedLength), depth)
	case kindArray:
		return g.vector(s.elem, s.length, depth)
	default:
		return g.object(s.object, depth+1)
	}
}

func (g *generator) vector(elem *shape, count, depth int) string {
	var texts []string
	for i := range count {
		text := g.value(elem, depth)
		if elem.object != nil && elem.object.key != nil {
			text = keyed(elem.object, text, i)
		}
		texts = append(texts, text)
	}
	return array(texts)
}

// keyed replaces the key of an element, so that elements are sorted.
func keyed(o *object, text string, i int) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		panic(err)
	}
	key := fmt.Sprint(10 * i)
	switch {
	case o.key.kind == kindString:
		key = fmt.Sprintf(`"key %c"`, 'a'+i)
	case o.key.base == bfbs.Int:
		key = fmt.Sprint(10*i - 10)
	}
	members[o.key.name] = json.RawMessage(key)
	out, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// alphabet is of characters that are written in different ways.
var alphabet = []string{"a", "Z", " ", `\"`, `\\`, `\/`, `\n`, `\t`, `\u0001`, `\u00e9`, "é", "€", "😀", `\ud83d\ude00`, "<", "&", "\u2028", "\u007f"}

func (g *generator) text() string {
	var text strings.Builder
	for range g.IntN(12) {
		text.WriteString(alphabet[g.IntN(len(alphabet))])
	}
	return `"` + text.String() + `"`
}

func (g *generator) scalar(s *shape) string {
	switch {
	case s.enum != nil && s.enum.flags && g.IntN(2) == 0:
		var names []string
		for _, name := range s.enum.names {
			if g.IntN(2) == 0 {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			return fmt.Sprintf("%q", strings.Join(names, " "))
		}
		return fmt.Sprintf("%q", s.enum.names[0])
	case s.enum != nil:
		return fmt.Sprintf("%q", s.enum.names[g.IntN(len(s.enum.names))])
	case s.base == bfbs.Bool:
		return fmt.Sprint(g.IntN(2) == 0)
	case s.base == bfbs.Float || s.base == bfbs.Double:
		if !g.plain && g.IntN(8) == 0 {
			return []string{`"nan"`, `"inf"`, `"-inf"`, "1e-30", "-1.5e30"}[g.IntN(5)]
		}
		return fmt.Sprint(float64(g.IntN(1<<13)-1<<12) / 8)
	}
	bits := truncate(s.base, g.Uint64())
	switch g.IntN(4) { // the ends
	case 0:
		bits = truncate(s.base, 1<<63>>(64-8*s.size))
	case 1:
		bits = truncate(s.base, 1<<63>>(64-8*s.size)-1)
	}
	return string(appendJSON(nil, s, bits))
}
