package codegen

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Problems are what is wrong with schemas: lines of "file:line: message", or "file: message".
type Problems []error

// OptionError is what is wrong with Options, whatever the schemas are. It may be one of Problems.
type OptionError struct{ text string }

func (e *OptionError) Error() string { return e.text }

// ArgumentError is what is wrong with one of Options.Schemas before it is read: there is no such file, for
// example. Its message begins with the path as it is there.
type ArgumentError struct{ error }

// Unwrap lets errors.Is find the system's error.
func (e *ArgumentError) Unwrap() error { return e.error }

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, err := range p {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is find what is behind a problem.
func (p Problems) Unwrap() []error { return p }

// add adds problems that are not there yet.
func (p *Problems) add(errs ...error) {
	for _, err := range errs {
		if !slices.ContainsFunc(*p, func(other error) bool { return other.Error() == err.Error() }) {
			*p = append(*p, err)
		}
	}
}

// flatc prints "error:" on a line of its own and then "  path:line: column: error: text". Where it
// found out only at the file's end, it adds ", originally at: path:line".
var (
	diagnosticPattern = regexp.MustCompile(`^\s*(.+?):(\d+): *\d+: (error|warning): (.*)$`)
	originPattern     = regexp.MustCompile(`^(.*), originally at: *(.+):(\d+)$`)
)

// diagnostics turns flatc's output into lines of "file:line: message"; what has no file is about schema.
func diagnostics(output, schema string, name func(path string) string) (problems Problems, warnings []string) {
	var kind string
	for _, line := range strings.Split(output, "\n") {
		match := diagnosticPattern.FindStringSubmatch(line)
		switch text := strings.TrimSpace(line); {
		case match != nil:
			if message := match[4]; match[3] == "warning" {
				warnings = append(warnings, located(match[1], match[2], "warning: "+message, name))
			} else {
				problems.add(errors.New(located(match[1], match[2], message, name)))
			}
		case text == "error:" || text == "warning:":
			kind = text
		case kind == "error:" && text != "":
			problems.add(fmt.Errorf("%s: %s", schema, text))
			kind = ""
		}
	}
	return problems, warnings
}

var undefinedPattern = regexp.MustCompile(`^(.+):(\d+): type referenced but not defined \(check namespace\): (\S+)$`)

// declareFirst adds to an error of flatc that a type is declared below: of enums and unions it wants to know
// before they are used.
func (r *run) declareFirst(s *schema, problem error) error {
	match := undefinedPattern.FindStringSubmatch(problem.Error())
	if match == nil || match[1] != s.path {
		return problem
	}
	used, err := strconv.Atoi(match[2])
	if err != nil {
		return problem
	}
	word, line := r.index(s.absolute).Below(used, match[3])
	if line == 0 {
		return problem
	}
	return fmt.Errorf("%w; %s %s is declared in line %d: move it in front", problem, word, match[3], line)
}

// located is one of flatc's messages in our form.
func located(path, line, message string, name func(path string) string) string {
	if origin := originPattern.FindStringSubmatch(message); origin != nil {
		message, path, line = origin[1], origin[2], origin[3]
	}
	text := fmt.Sprintf("%s:%s: %s", name(path), line, message)
	_, attribute, found := strings.Cut(message, "must be declared before use: ")
	if found && slices.Contains([]string{"slow", "idempotent", "timeout"}, attribute) {
		text += fmt.Sprintf("; add: attribute %q;", attribute)
	}
	return text
}
