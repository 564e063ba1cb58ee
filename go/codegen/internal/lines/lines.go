// Package lines finds the lines of a schema's text that things are declared in, and defaults as they are
// written: a binary schema does not say them. It knows as much of the language as that takes, of texts that flatc has accepted; of others it
// finds what it can.
package lines

import (
	"path"
	"strings"
)

// Index is where things are declared in one text.
type Index struct {
	lines    map[key]int
	defaults map[key]string
	includes map[string]int
}

type key struct{ declaration, member string }

// Line is the line of a declaration, called by its full name, or of one of its fields, values or methods;
// of neither: that of the first thing in the text. 0: it is not in the text.
func (x *Index) Line(declaration, member string) int {
	if line, found := x.lines[key{declaration, member}]; found {
		return line
	}
	// flatc adds a field to each union's.
	if line, found := x.lines[key{declaration, strings.TrimSuffix(member, "_type")}]; found {
		return line
	}
	return x.lines[key{declaration, ""}]
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
		index:   &Index{lines: make(map[key]int), defaults: make(map[key]string), includes: make(map[string]int)},
	}
	p.next()
	if p.token.kind != end {
		p.note("", "", p.token.line)
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
func (p *parser) note(declaration, member string, line int) {
	at := key{declaration, member}
	if p.index.lines[at] == 0 {
		p.index.lines[at] = line
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
		p.namespace = p.dotted()
	case "include", "native_include":
		if file := p.token.value; p.token.kind == quoted && p.index.includes[file] == 0 {
			p.index.includes[file] = word.line
		}
	case "table", "struct", "rpc_service":
		p.body(";")
		return
	case "enum", "union":
		p.body(",")
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

// body reads a declaration behind its keyword. Members begin behind its brace, and behind a separator that
// is in no other brackets.
func (p *parser) body(separator string) {
	if p.token.kind != name {
		return
	}
	declaration := p.token.text
	if p.namespace != "" {
		declaration = p.namespace + "." + declaration
	}
	p.note(declaration, "", p.token.line)
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
			p.note(declaration, member, line)
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
