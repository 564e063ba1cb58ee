package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// FromJSON makes a finished FlatBuffer of a JSON document: an object whose members are the table's
// fields. Fields that are not there, and null, are left out; so are fields with their default value. If
// the table is the schema's root_type, the schema's file_identifier is written.
//
// Threads: any. Ownership: the result shares no memory with text. Errors: *Error, with the path of the
// value that is wrong. Cost: a few times the size of text.
func (t *Table) FromJSON(text []byte) ([]byte, error) {
	if len(text) > MaxJSON {
		return nil, path{}.errorf("the document has %d bytes, more than %d", len(text), MaxJSON)
	}
	if problem, at := checkText(text); problem != "" {
		return nil, path{}.errorf("%s (at byte %d)", problem, at+1)
	}
	m := &maker{schema: t.schema, text: newDocument(text), b: newBuffer()}
	token, err := m.token()
	if err != nil {
		return nil, err
	}
	root, err := m.table(t.object, token)
	if err != nil {
		return nil, err
	}
	end := int(m.text.InputOffset())
	if _, err := m.text.Token(); !errors.Is(err, io.EOF) {
		end += len(text[end:]) - len(bytes.TrimLeft(text[end:], " \t\r\n"))
		return nil, m.path.errorf("something follows the document (at byte %d)", end+1)
	}
	if t == t.schema.root && len(t.schema.identifier) == 4 {
		m.b.FinishWithFileIdentifier(root.at, []byte(t.schema.identifier))
	} else {
		m.b.Finish(root.at)
	}
	payload := m.b.FinishedBytes()
	if err := t.Verify(payload); err != nil { // what was made here always can be read
		return nil, m.path.errorf("readers would refuse this: %v", err)
	}
	return payload, nil
}

// document is a text that is read token by token.
type document struct {
	*json.Decoder
	text []byte
}

func newDocument(text []byte) *document {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return &document{d, text}
}

// maker reads a document and builds as it reads: what is inside a value is finished before the value.
type maker struct {
	schema *Schema
	text   *document
	b      *buffer
	path   path // to what is read
	depth  int  // tables that are under way
}

func (m *maker) token() (json.Token, error) {
	token, err := m.text.Token()
	if err != nil {
		return nil, m.notJSON(err)
	}
	return token, nil
}

// notJSON is an error of the decoder with its place.
func (m *maker) notJSON(err error) error {
	var bad *json.SyntaxError
	switch {
	case errors.As(err, &bad):
		// The decoder's own offset counts from 0 or from 1, and not always from the document's begin.
		at, message := m.text.InputOffset()+1, bad.Error()
		var first *json.SyntaxError
		if errors.As(json.Unmarshal(m.text.text, new(json.RawMessage)), &first) {
			at = first.Offset
		}
		return m.path.errorf("not JSON: %s (at byte %d)", message, at)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return m.path.errorf("not JSON: it ends too early")
	}
	return m.path.errorf("not JSON: %v", err)
}

// skip passes over a value behind its name and returns its text.
func (m *maker) skip() ([]byte, error) {
	begin := m.text.InputOffset()
	for depth := 0; ; {
		token, err := m.token()
		if err != nil {
			return nil, err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return bytes.TrimLeft(m.text.text[begin:m.text.InputOffset()], ": \t\r\n"), nil
		}
	}
}

// room makes sure that so many bytes more are not too many.
func (m *maker) room(size int) error {
	if int64(m.b.Offset())+int64(size) > MaxPayload {
		return m.path.errorf("the FlatBuffer would be larger than %d bytes", MaxPayload)
	}
	return nil
}

// open makes sure that a token opens an object or an array.
func (m *maker) open(token json.Token, delimiter json.Delim, what string) error {
	if token == delimiter {
		return nil
	}
	return m.path.errorf("expected %s of %s, found %s", describe(delimiter), what, describe(token))
}

// members reads an object behind its '{'. Each is called before the value of a member is read.
func (m *maker) members(o *object, each func(f *field) error) error {
	seen := map[*field]bool{}
	depth := len(m.path)
	for m.text.More() {
		token, err := m.token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes nothing else
		m.path = append(m.path[:depth], step{name: name})
		f := o.byName[name]
		if f == nil {
			return m.path.errorf("%s has no field %s; it has: %s", o.name, quote(name), o.enumerate())
		}
		if seen[f] {
			return m.path.errorf("field %s is given twice", quote(name))
		}
		seen[f] = true
		if err := each(f); err != nil {
			return err
		}
	}
	m.path = m.path[:depth]
	_, err := m.token()
	return err
}

// elements reads an array behind its '['.
func (m *maker) elements(each func(i int, token json.Token) error) (count int, err error) {
	depth := len(m.path)
	for ; m.text.More(); count++ {
		m.path = append(m.path[:depth], step{index: count, element: true})
		token, err := m.token()
		if err != nil {
			return 0, err
		}
		if err := each(count, token); err != nil {
			return 0, err
		}
	}
	m.path = m.path[:depth]
	_, err = m.token()
	return count, err
}

// enumerate lists the fields for an error.
func (o *object) enumerate() string {
	var names []string
	for _, f := range o.fields {
		if !f.stale {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return "no fields"
	}
	return enumerate(names)
}

// inline appends a scalar, a struct or an array to dst.
func (m *maker) inline(dst []byte, s *shape, token json.Token) ([]byte, error) {
	switch s.kind {
	case kindStruct:
		return m.structure(dst, s.object, token)
	case kindArray:
		if err := m.open(token, '[', s.object.nameOr("values")); err != nil {
			return nil, err
		}
		count, err := m.elements(func(i int, token json.Token) (err error) {
			if i >= s.length {
				return m.path.errorf("too many values: the array has %d", s.length)
			}
			dst, err = m.inline(dst, s.elem, token)
			return err
		})
		if err == nil && count < s.length {
			err = m.path.errorf("%d values are not enough: the array has %d", count, s.length)
		}
		return dst, err
	}
	bits, err := parseScalar(s, token)
	if err != nil {
		return nil, m.path.errorf("%v", err)
	}
	return appendScalar(dst, s.base, bits), nil
}

// nameOr is the object's name, or another word where there is no object.
func (o *object) nameOr(word string) string {
	if o == nil {
		return word
	}
	return o.name
}

// structure appends a struct. Structs have no defaults: all fields are there.
func (m *maker) structure(dst []byte, o *object, token json.Token) ([]byte, error) {
	if err := m.open(token, '{', o.name); err != nil {
		return nil, err
	}
	begin := len(dst)
	dst = append(dst, make([]byte, o.size)...)
	given := map[*field]bool{}
	err := m.members(o, func(f *field) error {
		token, err := m.token()
		if err != nil {
			return err
		}
		end := len(dst)
		longer, err := m.inline(dst, f.shape, token)
		if err != nil {
			return err
		}
		copy(longer[begin+f.offset:], longer[end:])
		dst = longer[:end]
		given[f] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, f := range o.fields {
		if !given[f] {
			return nil, m.path.errorf("field %s of struct %s is missing", quote(f.name), o.name)
		}
	}
	return dst, nil
}
