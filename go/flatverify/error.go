package flatverify

import "fmt"

const reachProblem = "offsets point at the same data too often"

// Error says what is wrong with a payload, and where.
type Error struct {
	Table    string // name of the table
	Field    string // name of the field; empty where the table itself is wrong
	Position int    // in bytes from the payload's beginning
	Problem  string // a short sentence without position
}

// Error returns one line: "Request.name: string runs past the payload's end (at byte 20)".
func (e *Error) Error() string {
	name := e.Table
	if e.Field != "" {
		name += "." + e.Field
	}
	return fmt.Sprintf("%s: %s (at byte %d)", name, e.Problem, e.Position)
}

// newError is kept out of line so that the walk stays small and free of allocations.
//
//go:noinline
func newError(t *Table, f *Field, position int, problem string) error {
	e := &Error{Table: t.Name, Position: position, Problem: problem}
	if f != nil {
		e.Field = f.Name
	}
	return e
}
