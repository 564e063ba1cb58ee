// Package lines finds the lines of a schema's text that things are declared in, and defaults as they are
// written: a binary schema does not say them. It knows as much of the language as that takes, of texts that
// flatc has accepted; of others it finds what it can.
package lines

import (
	"path"
	"strings"
)

// Index is where things are declared in one text.
type Index struct {
	types, services map[key]int // lines
	namespaces      map[string]int
	within          []within
	late            []late
	defaults        map[key]string
	includes        map[string]int
}

type key struct{ declaration, member string }

// within is a statement with a namespace, of the text behind it.
type within struct {
	namespace string
	line      int
}

// late is an enum or a union: flatc wants them in front of what uses them.
type late struct {
	word, name string
	line       int
}

// Line is the line of a type, called by its full name, or of one of its fields or values; of neither: that of
// the first thing in the text. Where there is no such type, it is that of a service. 0: it is not in the text.
func (x *Index) Line(declaration, member string) int {
	if line := lineIn(x.types, declaration, member); line > 0 {
		return line
	}
	return x.ServiceLine(declaration, member)
}

// ServiceLine is the line of a service, called by its full name, or of one of its methods. A table may have the
// same name. 0: it is not in the text.
func (x *Index) ServiceLine(declaration, member string) int {
	return lineIn(x.services, declaration, member)
}

func lineIn(lines map[key]int, declaration, member string) int {
	if line, found := lines[key{declaration, member}]; found {
		return line
	}
	// flatc adds a field to each union's.
	if line, found := lines[key{declaration, strings.TrimSuffix(member, "_type")}]; found {
		return line
	}
	return lines[key{declaration, ""}]
}

// Namespace is the line of the first statement with a namespace. 0: there is none.
func (x *Index) Namespace(name string) int { return x.namespaces[name] }

// Below finds the enum or union behind a line that a name in the line is meant for, and says what it is: "enum",
// "union". 0: there is none.
func (x *Index) Below(line int, name string) (word string, at int) {
	namespace := ""
	for _, w := range x.within {
		if w.line <= line {
			namespace = w.namespace
		}
	}
	for full := namespace + "." + name; ; {
		for _, one := range x.late {
			if one.line > line && one.name == strings.TrimPrefix(full, ".") {
				return one.word, one.line
			}
		}
		if namespace == "" {
			return "", 0
		}
		namespace = namespace[:max(strings.LastIndexByte(namespace, '.'), 0)]
		full = namespace + "." + name
	}
}

// Default is what stands behind a field's "=", or an enum value's: a number without its sign, a name, or what
// is in a string. Empty: nothing does.
func (x *Index) Default(declaration, member string) string {
	return x.defaults[key{declaration, member}]
}

// Include is the line of the include that finds a file: one that names the file's path, or the end of it.
// 0: there is none.
func (x *Index) Include(file string) int {
	found := 0
	for name, line := range x.includes {
		if strings.HasSuffix("/"+file, "/"+path.Clean(name)) && (found == 0 || line < found) {
			found = line
		}
	}
	return found
}

// Scan reads a schema's text.
func Scan(text []byte) *Index {
	p := &parser{
		scanner: scanner{text: text, line: 1},
		index: &Index{
			types: make(map[key]int), services: make(map[key]int), namespaces: make(map[string]int),
			defaults: make(map[key]string), includes: make(map[string]int),
		},
	}
	p.next()
	if p.token.kind != end {
		p.note(p.index.types, key{}, p.token.line)
	}
	for p.token.kind != end {
		p.statement()
	}
	return p.index
}

// parser goes through the statements of a text. token is the one that is looked at.
type parser struct {
	scanner
	token     token
	namespace string
	index     *Index
}

func (p *parser) next() { p.token = p.scan() }

// note keeps the first line that something is in.
func (*parser) note(lines map[key]int, at key, line int) {
	if lines[at] == 0 {
		lines[at] = line
	}
}

// statement reads one statement, or skips what is none.
func (p *parser) statement() {
	word := p.token
	p.next()
	if word.kind != name {
		return
	}
	switch word.text {
	case "namespace":
		if p.namespace = p.dotted(); p.index.namespaces[p.namespace] == 0 {
			p.index.namespaces[p.namespace] = word.line
		}
		p.index.within = append(p.index.within, within{p.namespace, word.line})
	case "include", "native_include":
		if file := p.token.value; p.token.kind == quoted && p.index.includes[file] == 0 {
			p.index.includes[file] = word.line
		}
	case "table", "struct":
		p.body(p.index.types, ";")
		return
	case "rpc_service":
		p.body(p.index.services, ";")
		return
	case "enum", "union":
		if p.token.kind == name {
			p.index.late = append(p.index.late, late{word.text, p.full(p.token.text), p.token.line})
		}
		p.body(p.index.types, ",")
		return
	}
	for p.token.kind != end && p.token.text != ";" {
		p.next()
	}
}

// dotted reads "a.b.c".
func (p *parser) dotted() string {
	var parts []string
	for p.token.kind == name {
		parts = append(parts, p.token.text)
		if p.next(); p.token.text != "." {
			break
		}
		p.next()
	}
	return strings.Join(parts, ".")
}

// full is a name with the namespace.
func (p *parser) full(name string) string {
	if p.namespace == "" {
		return name
	}
	return p.namespace + "." + name
}

// body reads a declaration behind its keyword, and notes its lines. Members begin behind its brace, and behind a separator that
// is in no other brackets.
func (p *parser) body(lines map[key]int, separator string) {
	if p.token.kind != name {
		return
	}
	declaration := p.full(p.token.text)
	p.note(lines, key{declaration, ""}, p.token.line)
	for p.token.kind != end && p.token.text != "{" { // ": byte (bit_flags)"
		if p.token.text == ";" {
			return
		}
		p.next()
	}
	depth, fresh, member := 0, false, ""
	for p.token.kind != end {
		if fresh && p.token.kind == name {
			line := p.token.line
			member = strings.ReplaceAll(p.dotted(), ".", "_") // as flatc calls members of unions
			p.note(lines, key{declaration, member}, line)
			fresh = false
			continue
		}
		switch p.token.text {
		case "{", "(", "[":
			depth++
			fresh = depth == 1
		case "}", ")", "]":
			depth--
		case separator:
			fresh = depth == 1
		case "=":
			if depth == 1 {
				p.value(key{declaration, member})
				continue
			}
		}
		p.next()
		if depth == 0 {
			return
		}
	}
}

// value reads what is behind a "=".
func (p *parser) value(of key) {
	if p.next(); p.token.text == "-" || p.token.text == "+" {
		p.next()
	}
	switch p.token.kind {
	case name:
		p.index.defaults[of] = p.dotted()
	case number, quoted:
		p.index.defaults[of] = p.token.value
		p.next()
	}
}
