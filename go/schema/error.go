package schema

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"unicode/utf8"
)

// Error says what is wrong with a document or a buffer, and where.
type Error struct {
	Path    string // "$.items[2].name"
	Problem string // one line
}

// Error is path and problem on one line.
func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// step leads from a value to one inside it.
type step struct {
	name    string
	index   int
	element bool // and not a field
}

// path leads from the root to a value.
type path []step

var plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

func (p path) String() string {
	text := "$"
	for _, s := range p {
		switch {
		case s.element:
			text += "[" + strconv.Itoa(s.index) + "]"
		case plainName.MatchString(s.name):
			text += "." + s.name
		default:
			text += "[" + quote(s.name) + "]"
		}
	}
	return text
}

func (p path) errorf(format string, args ...any) error {
	return &Error{Path: p.String(), Problem: fmt.Sprintf(format, args...)}
}

const shownMax = 64 // bytes of a value that an error repeats

// shown is a text, or its beginning.
func shown(text string) string {
	if len(text) <= shownMax {
		return text
	}
	end := shownMax
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func quote(text string) string { return strconv.Quote(shown(text)) }

// describe says what a token is, for people.
func describe(token json.Token) string {
	switch value := token.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(value)
	case json.Number:
		return "the number " + shown(string(value))
	case string:
		return "the string " + quote(value)
	case json.Delim:
		if value == '{' {
			return "an object"
		}
		return "an array"
	}
	return fmt.Sprint(token)
}
