package schema

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// appendString writes a text, which is UTF-8, as a JSON string.
func appendString[T string | []byte](dst []byte, text T) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	begin := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[begin:i]...)
		begin = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	dst = append(dst, text[begin:]...)
	return append(dst, '"')
}

// checkText finds what encoding/json would replace by another character without a word: bytes that
// are not UTF-8, and halves of surrogate pairs. A problem is a short sentence; empty: none.
func checkText(text []byte) (problem string, at int) {
	if !utf8.Valid(text) {
		for at < len(text) {
			r, size := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return "not UTF-8", at
	}
	for at < len(text) {
		next := bytes.IndexByte(text[at:], '\\')
		if next < 0 {
			break
		}
		at += next
		r, is := escaped(text[at:])
		switch {
		case !is:
			at += 2
		case !utf16.IsSurrogate(r):
			at += escapeSize
		default:
			second, _ := escaped(text[at+escapeSize:])
			if utf16.DecodeRune(r, second) == utf8.RuneError {
				return "half of a surrogate pair", at
			}
			at += 2 * escapeSize
		}
	}
	return "", 0
}

const escapeSize = len(`\u0000`)

// escaped reads the \u escape that a text begins with.
func escaped(text []byte) (r rune, is bool) {
	if len(text) < escapeSize || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:escapeSize]), 16, 16)
	return rune(n), err == nil
}
