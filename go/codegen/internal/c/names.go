package c

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// reserved are names that can't stand alone in C or in C++, and macros that compilers or the headers
// that generated code includes define. A name that is one of them gets an underscore at its end.
var reserved = strings.Fields(`
	alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t char8_t
	class co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue
	decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
	goto if import inline int long module mutable namespace new noexcept not not_eq nullptr operator or or_eq
	private protected public register reinterpret_cast requires restrict return short signed sizeof static
	static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename
	typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq
	EOF INFINITY NAN NULL errno i386 linux offsetof stderr stdin stdout unix`)

// free makes a name that may stand alone.
func free(name string) string {
	if slices.Contains(reserved, name) {
		return name + "_"
	}
	return name
}

// What every declaration of a kind has beside its members: endings of its name. A member that is called
// like one of them gets an underscore at its end.
var (
	tableEndings   = []string{"ref", "vector", "vector_at", "vector_ref", "layout", "layout_fields", "as_root", "verify_as_root", "start_table", "end_table", "finish_root", "build_vector"}
	structEndings  = []string{"load", "store", "ref", "build", "vector", "vector_at", "vector_ref", "build_vector"}
	enumEndings    = []string{"value_name"}
	unionEndings   = []string{"type", "type_value_name", "ref", "vector", "vector_at", "vector_ref", "build_vector", "members", "member_fields"}
	serviceEndings = []string{"CRC", "service", "service_methods", "server", "dispatch", "dispatch_any", "serve"}
)

// member is the C name of a member of a declaration.
func member(of, name string, endings []string) string {
	if slices.Contains(endings, name) {
		name += "_"
	}
	return of + "_" + name
}

// thing is something that has a C name: how messages call it, and where it is declared.
type thing struct {
	what string
	model.Place
}

// thingOf is a declaration or, where member is not empty, a member of it.
func thingOf(kind string, d *model.Declaration, member string) thing {
	t := thing{kind + " " + d.FullName(), model.Place{
		File: d.File, Declaration: d.FullName(), Member: member, Service: kind == "service" || kind == "method",
	}}
	if member != "" {
		t.what += "." + member
	}
	return t
}

// its is what belongs to a thing: "the presence of field a.T.x".
func (t thing) its(what string) thing { return thing{"the " + what + " of " + t.what, t.Place} }

// Names are the C names of all schemas of a run, with what has them: they may be linked into one program. In
// C, structs and functions have spaces of their own; in C++ they share one.
type Names map[string]thing

// claim takes a name for something, or says who has it.
func (n Names) claim(name string, t thing) error {
	if other, taken := n[name]; taken {
		return &model.Error{
			Place: t.Place, What: t.what + " would have the C name of " + other.what,
			Other: &other.Place, Hint: name + "; rename one of them",
		}
	}
	n[name] = t
	return nil
}

// claimAll takes a name, and those with the endings.
func (n Names) claimAll(name string, t thing, endings []string) error {
	err := n.claim(name, t)
	for _, ending := range endings {
		if err == nil {
			err = n.claim(name+"_"+ending, t.its(ending))
		}
	}
	return err
}

// cName is the C name of a declaration: the namespace and the name, with underscores between.
func cName(d *model.Declaration) string {
	return free(strings.ReplaceAll(d.FullName(), ".", "_"))
}

// guard is the macro that a header is included once by.
func guard(namespace, stem string) string {
	name := strings.ReplaceAll(namespace, ".", "_") + "_" + stem + "_SMF_H"
	name = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToUpper(r)
		}
		return '_'
	}, strings.TrimLeft(name, "_"))
	if name[0] >= '0' && name[0] <= '9' {
		name = "SMF_" + name
	}
	return name
}

// lineMax is how long lines of generated code are, where they can be broken.
const lineMax = 100

// typeMax is how long a function's type may be to stay on its line when that is too long.
const typeMax = 24

// layout drops blank lines that follow each other, and breaks lines that are too long.
func layout(text string) []byte {
	var out strings.Builder
	blank := true
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		line = strings.TrimRight(line, " \t")
		if line == "" && blank {
			continue
		}
		blank = line == ""
		out.WriteString(breakLine(line))
		out.WriteByte('\n')
	}
	return []byte(out.String())
}

// breakLine breaks a line that is too long: a function behind a long type, then behind commas.
func breakLine(line string) string {
	if len(line) <= lineMax || strings.HasPrefix(line, "#") || strings.Contains(line, "/*") || strings.HasPrefix(line, " *") {
		return line
	}
	head := ""
	if open := strings.IndexByte(line, '('); open > 0 && line[0] != ' ' {
		if space := strings.LastIndexAny(line[:open], " *"); space > typeMax {
			head, line = strings.TrimRight(line[:space+1], " ")+"\n", line[space+1:]
		}
	}
	indent := strings.Repeat(" ", len(line)-len(strings.TrimLeft(line, " "))+4)
	var lines []string
	for len(line) > lineMax {
		cut := -1
		for _, behind := range []string{", ", " = "} {
			if cut = strings.LastIndex(line[:lineMax+1], behind); cut > len(indent) {
				cut += len(behind) - 1
				break
			}
		}
		if cut <= len(indent) {
			break
		}
		lines = append(lines, line[:cut])
		line = indent + line[cut+1:]
	}
	return head + strings.Join(append(lines, line), "\n")
}

// doc writes a comment of the schema's lines and, behind them, of our own, indented by so many spaces, with
// the end of its last line; of no lines, nothing.
func doc(indent int, lines []string, own ...string) string {
	var text []string
	for _, line := range lines {
		line = strings.TrimPrefix(line, " ")
		line = strings.NewReplacer("*/", "* /", "/*", "/ *", "??/", "?? /").Replace(line)
		text = append(text, strings.TrimRight(line, " \t\r\\"))
	}
	for len(text) > 0 && text[len(text)-1] == "" {
		text = text[:len(text)-1]
	}
	for len(text) > 0 && text[0] == "" {
		text = text[1:]
	}
	if len(text) > 0 && len(own) > 0 {

		text = append(text, "")
	}
	text = append(text, own...)
	if len(text) == 0 {
		return ""
	}
	margin := strings.Repeat(" ", indent)
	for i, line := range text {
		switch {
		case i == 0:
			text[i] = margin + "/* " + line
		case line == "":
			text[i] = margin + " *"
		default:
			text[i] = margin + " * " + line
		}
	}
	return strings.Join(text, "\n") + " */\n"
}

// quote writes a C string.
func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, b := range []byte(text) {
		switch {
		case b == '"' || b == '\\' || b == '?':
			out.WriteByte('\\')
			out.WriteByte(b)
		case b < ' ' || b > '~':
			fmt.Fprintf(&out, `\%03o`, b)
		default:
			out.WriteByte(b)
		}
	}
	out.WriteByte('"')
	return out.String()
}
