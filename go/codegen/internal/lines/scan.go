package lines

import "bytes"

type kind int

const (
	end    kind = iota
	name        // a word: "table", "Request"
	quoted      // a string
	number      // digits, and letters behind them
	other       // one character that is none of these
)

type token struct {
	kind  kind
	text  string // of a name, or the one character of an other
	value string // of a quoted: what is between the quotes; of a number: the number
	line  int
}

// scanner cuts a text into tokens. Comments and white space are none.
type scanner struct {
	text []byte
	at   int
	line int
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (s *scanner) scan() token {
	s.skip()
	out := token{line: s.line}
	if s.at == len(s.text) {
		return out
	}
	begin := s.at
	switch c := s.text[s.at]; {
	case isLetter(c):
		s.word()
		out.kind, out.text = name, string(s.text[begin:s.at])
	case isDigit(c):
		s.word()
		out.kind, out.value = number, string(s.text[begin:s.at])
	case c == '"' || c == '\'':
		out.kind, out.value = quoted, s.quoted(c)
	default:
		s.at++
		out.kind, out.text = other, string(rune(c))
	}
	return out
}

// word goes behind letters and digits.
func (s *scanner) word() {
	for s.at < len(s.text) && (isLetter(s.text[s.at]) || isDigit(s.text[s.at])) {
		s.at++
	}
}

// skip goes to where the next token begins.
func (s *scanner) skip() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case rest[0] == '\n':
			s.line++
			s.at++
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r':
			s.at++
		case bytes.HasPrefix(rest, byteOrderMark):
			s.at += len(byteOrderMark)
		case bytes.HasPrefix(rest, lineComment):
			s.to(rest, "\n", 0)
		case bytes.HasPrefix(rest, comment):
			s.to(rest, "*/", len("*/"))
		default:
			return
		}
	}
}

var (
	byteOrderMark = []byte("\xef\xbb\xbf")
	lineComment   = []byte("//")
	comment       = []byte("/*")
)

// to goes to where a comment ends, or to the end of the text.
func (s *scanner) to(rest []byte, mark string, length int) {
	n := bytes.Index(rest, []byte(mark))
	if n < 0 {
		n, length = len(rest), 0
	}
	s.line += bytes.Count(rest[:n], []byte("\n"))
	s.at += n + length
}

// quoted reads a string, and goes behind it. Escapes stay as they are.
func (s *scanner) quoted(quote byte) string {
	s.at++
	begin := s.at
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case quote:
			s.at++
			return string(s.text[begin : s.at-1])
		case '\\':
			s.at++
		case '\n':
			s.line++
		}
	}
	s.at = len(s.text) // behind a backslash that is the last byte
	return string(s.text[begin:])
}
