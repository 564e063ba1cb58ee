// Package tidy holds the rules of the house that a program can check: who may know whom, where the
// language's sharp tools may be used, how long a file may be. Its test runs them over the tree.
package tidy

import (
	"fmt"
	"regexp"
	"strings"
)

// A file of the tree: its path from the root, with slashes, and what is in it.
type file struct {
	path string
	text string
}

// A rule looks at one file and says what is wrong with it.
type rule struct {
	name  string
	check func(file) []string
}

var rules = []rule{
	{"rooms", checkRooms},
	{"third-party headers", checkThirdPartyHeaders},
	{"public header includes", checkPublicIncludes},
	{"public header comments", checkPublicComments},
	{"import C", checkImportC},
	{"cgo preamble", checkPreamble},
	{"import unsafe", checkImportUnsafe},
	{"who imports cgo", checkBorder},
	{"length", checkLength},
	{"size", checkSize},
	{"foreign names", checkForeignNames},
}

// Limits of the style guide. Over one of them means a missing noun.
const (
	linesMaxC            = 800
	linesMaxGo           = 600
	linesMaxPublicHeader = 300
	sizeMaxBytes         = 1 << 20
)

func (f file) isC() bool  { return strings.HasSuffix(f.path, ".c") || strings.HasSuffix(f.path, ".h") }
func (f file) isGo() bool { return strings.HasSuffix(f.path, ".go") }

func (f file) isPublicHeader() bool {
	return strings.HasPrefix(f.path, "native/include/smf/") && strings.HasSuffix(f.path, ".h")
}

var generatedLine = regexp.MustCompile(`(?m)^(//|/\*) Code generated .* DO NOT EDIT\.`)

func (f file) isGenerated() bool { return generatedLine.MatchString(f.text) }

func checkLength(f file) []string {
	limit := 0
	switch {
	case f.isPublicHeader():
		limit = linesMaxPublicHeader
	case f.isC():
		limit = linesMaxC
	case f.isGo():
		limit = linesMaxGo
	}
	lines := strings.Count(f.text, "\n")
	if limit == 0 || lines <= limit || f.isGenerated() {
		return nil
	}
	return []string{fmt.Sprintf("%d lines, more than %d: which noun is missing?", lines, limit)}
}

func checkSize(f file) []string {
	if len(f.text) <= sizeMaxBytes {
		return nil
	}
	return []string{fmt.Sprintf("%d bytes, more than %d", len(f.text), sizeMaxBytes)}
}

// Names that belong to a machine or a service, not to this project. Put together from pieces, so
// that this file does not break its own rule.
var foreignNames = regexp.MustCompile(`(^|[^\w.}])/` + `work(/|\b)|` +
	`(proxy|sum)\.` + `golang\.org|` + `(deb|security)\.` + `debian\.org|` + `registry\.` + `npmjs\.org`)

func checkForeignNames(f file) []string {
	var problems []string
	for i, line := range strings.Split(f.text, "\n") {
		if name := foreignNames.FindString(line); name != "" {
			problems = append(problems, fmt.Sprintf("line %d names a machine or a registry: %q", i+1, name))
		}
	}
	return problems
}
