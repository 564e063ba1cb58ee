package model

// Place is where something is declared.
type Place struct {
	Schema      string // of IDs.Add: which schema; of Read: empty, it is the one that is read
	File        *File  // nil: the schema itself
	Declaration string // full name; empty: no declaration in particular
	Service     bool   // it is a service's name: a table may have the same
	Member      string // field, value or method of the declaration, or empty
}

// Error is what is wrong with a declaration. The model knows no lines: who has the schema's text finds the
// Place in it, and writes the line in front of Message.
type Error struct {
	Place
	What  string // "method S.Go: its id 3 is that of T.Go"
	Other *Place // what it clashes with, or nil; What ends with its name
	Hint  string // what to do, or empty
}

// Message is one line without the Place; where names that of Other.
func (e *Error) Message(where func(Place) string) string {
	text := e.What
	if e.Other != nil {
		text += " in " + where(*e.Other)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Error is the message for those who have no text of the schema.
func (e *Error) Error() string {
	return e.Message(func(p Place) string { return p.Schema })
}

// wrong makes an error of a declaration; what is wrong with it comes from another error.
func wrong(d *Declaration, member, what string, err error) *Error {
	return &Error{
		Place: Place{File: d.File, Declaration: d.FullName(), Member: member},
		What:  what + ": " + err.Error(),
	}
}

// wrongService is wrong for a service or one of its methods.
func wrongService(s *Service, method, what string, err error) *Error {
	out := wrong(&s.Declaration, method, what, err)
	out.Service = true
	return out
}
