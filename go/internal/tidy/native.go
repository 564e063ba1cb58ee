package tidy

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The rooms of native/src from left to right: a room may include headers of itself and of rooms to
// its left. Rooms in one entry never see each other.
var roomOrder = [][]string{
	{"mem"}, {"time"}, {"frame", "flat"}, {"core"}, {"net", "disk"}, {"tcp"}, {"tls"}, {"rpc", "wal"}, {"service"}, {"compress"},
}

// rank says how far to the right a room stands; ok is false for a room without a place.
func rank(room string) (rank int, ok bool) {
	rank = slices.IndexFunc(roomOrder, func(group []string) bool { return slices.Contains(group, room) })
	return rank, rank >= 0
}

// roomOf returns the room that a file name carries: "net/net_ops.h", "net_ops.h", "net.h".
func roomOf(name string) string {
	room, _, _ := strings.Cut(strings.TrimSuffix(path.Base(name), path.Ext(name)), "_")
	return room
}

type include struct {
	line   int
	system bool // <…>, not "…"
	name   string
}

var includeLine = regexp.MustCompile(`^\s*#\s*include\s*([<"])([^>"]+)[>"]`)

func includes(text string) []include {
	var found []include
	for i, line := range strings.Split(text, "\n") {
		if m := includeLine.FindStringSubmatch(line); m != nil {
			found = append(found, include{line: i + 1, system: m[1] == "<", name: m[2]})
		}
	}
	return found
}

func checkRooms(f file) []string {
	inside, ok := strings.CutPrefix(f.path, "native/src/")
	if !ok || !f.isC() || !strings.Contains(inside, "/") { // engine.c knows every room
		return nil
	}
	room := path.Dir(inside)
	own, ok := rank(room)
	if !ok {
		return []string{fmt.Sprintf("room %s has no place in the order of rooms", room)}
	}
	var problems []string
	if roomOf(path.Base(inside)) != room {
		problems = append(problems, fmt.Sprintf("its name is neither %s nor begins with %s_", room, room))
	}
	for _, inc := range includes(f.text) {
		if inc.system {
			continue
		}
		target := roomOf(inc.name)
		other, known := rank(target)
		if target != room && (!known || other >= own) {
			problems = append(problems, fmt.Sprintf("line %d: room %s may not include %q", inc.line, room, inc.name))
		}
	}
	return problems
}

// Headers of libraries that only one transport needs, and what the names of files that may include
// them contain.
var thirdPartyHeaders = []struct {
	header *regexp.Regexp
	name   string
}{
	{regexp.MustCompile(`^liburing`), "uring"},
	{regexp.MustCompile(`^rte_`), "dpdk"},
	{regexp.MustCompile(`^(zstd|lz4)`), "compress"},
}

func checkThirdPartyHeaders(f file) []string {
	if !f.isC() {
		return nil
	}
	var problems []string
	for _, inc := range includes(f.text) {
		for _, library := range thirdPartyHeaders {
			if library.header.MatchString(inc.name) && !strings.Contains(path.Base(f.path), library.name) {
				problems = append(problems, fmt.Sprintf("line %d: <%s> belongs in files named *_%s",
					inc.line, inc.name, library.name))
			}
		}
	}
	return problems
}

// The headers of C11 itself.
var standardHeaders = strings.Fields(`assert.h complex.h ctype.h errno.h fenv.h float.h inttypes.h
	iso646.h limits.h locale.h math.h setjmp.h signal.h stdalign.h stdarg.h stdatomic.h stdbool.h
	stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h tgmath.h threads.h time.h uchar.h
	wchar.h wctype.h`)

func checkPublicIncludes(f file) []string {
	if !f.isPublicHeader() {
		return nil
	}
	var problems []string
	for _, inc := range includes(f.text) {
		if !inc.system || !strings.HasPrefix(inc.name, "smf/") && !slices.Contains(standardHeaders, inc.name) {
			problems = append(problems, fmt.Sprintf("line %d: a public header may include <smf/…> and C's own, not %s",
				inc.line, inc.name))
		}
	}
	return problems
}

// A function that is declared at the start of a line. Its comment begins the paragraph it stands in:
// functions that are described together stand together.
var declaration = regexp.MustCompile(`(?m)^[a-z][\w \t*]*[ *](smf_\w+)\(`)

func checkPublicComments(f file) []string {
	if !f.isPublicHeader() {
		return nil
	}
	var problems []string
	if !strings.HasPrefix(f.text, "/*") {
		problems = append(problems, "does not begin with a comment that says what it is for")
	}
	for _, paragraph := range strings.Split(f.text, "\n\n") {
		for _, m := range declaration.FindAllStringSubmatchIndex(paragraph, -1) {
			if !strings.Contains(paragraph[:m[0]], "*/") {
				problems = append(problems, paragraph[m[2]:m[3]]+" has no comment above it")
			}
		}
	}
	return problems
}
