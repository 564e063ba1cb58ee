package codegen

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// language is what smfc writes code in. A value is used for one run.
type language interface {
	// suffixes end the names of all files, behind the schema's name without its own.
	suffixes() []string
	// generate makes the files of all schemas with run.claim and run.write. What is wrong it notes with run.fail.
	generate(r *run)
	// home is the file with the code of a declaration, in this run or another.
	home(r *run, s *schema, d *model.Declaration) string
}

// languages are all that there are.
var languages = []struct {
	name string
	make func() language
}{
	{"go", func() language { return &goLanguage{} }},
	{"c", func() language { return cLanguage{} }},
}

// chooseLanguages finds languages by their names.
func chooseLanguages(names []string) ([]language, error) {
	if len(names) == 0 {
		names = []string{"go"}
	}
	var chosen []language
	var known []string
	for _, l := range languages {
		known = append(known, l.name)
		if slices.Contains(names, l.name) {
			chosen = append(chosen, l.make())
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			hint := ""
			if name == "cpp" || name == "c++" {
				hint = "; in C++, flatc --cpp makes the tables, and the C API calls"
			}
			return nil, &OptionError{"there is no language " + strconv.Quote(name) + "; known: " +
				strings.Join(known, ", ") + hint}
		}
	}
	return chosen, nil
}

// generate runs one language.
func (r *run) generate(l language) {
	r.result.suffixes = append(r.result.suffixes, l.suffixes()...)
	l.generate(r)
	r.warnOfMissing(l)
}

// claim takes the beginning of generated files' paths for a schema. No two schemas make one file.
func (r *run) claim(l language, s *schema, base string) bool {
	at := claimed{l, base}
	if other := r.claimed[at]; other != nil {
		r.fail(s, fmt.Errorf("its code would overwrite that of %s in %s; rename one of the schemas, or generate"+
			" them into different folders", other.path, filepath.Dir(base)))
		return false
	}
	r.claimed[at] = s
	return true
}

// claimed is the path of a language's files without what their names end with.
type claimed struct {
	language language
	base     string
}

// write adds a file to the result.
func (r *run) write(path string, content []byte) {
	r.result.Files = append(r.result.Files, File{path, content})
}

// folder is a folder of generated files.
type folder struct {
	path  string // absolute
	shown string // as the user named it
}

func (f folder) below(parts ...string) folder {
	return folder{
		filepath.Join(append([]string{f.path}, parts...)...),
		filepath.Join(append([]string{f.shown}, parts...)...),
	}
}

// folderOf is where the code of one of a schema's files goes: next to it, or where all goes.
func (r *run) folderOf(s *schema, f *model.File) folder {
	if r.options.Out == "" {
		path := s.file(f)
		return folder{filepath.Dir(path), filepath.Dir(r.name(s, path))}
	}
	path, err := filepath.Abs(r.options.Out)
	if err != nil { // there is no working folder: what is written will say so
		path = r.options.Out
	}
	return folder{path, r.options.Out}
}

// ours says whether a file is one of the schemas of the run.
func (r *run) ours(path string) bool {
	return slices.ContainsFunc(r.schemas, func(s *schema) bool { return s.absolute == path })
}

// own is something that the schema itself declares, or nil.
func (s *schema) own() *model.Declaration {
	for _, d := range s.model.Declarations() {
		if d.File == s.model.Main {
			return d
		}
	}
	return nil
}

// declared says whether a schema itself declares anything.
func (s *schema) declared() bool {
	return s.own() != nil
}

// warnOfNothing says what is generated from schemas where it is less than one may think.
func (r *run) warnOfNothing() {
	var silent, plain []string
	for _, s := range r.schemas {
		switch {
		case !s.declared():
			silent = append(silent, s.path)
		case len(s.model.Services) == 0:
			plain = append(plain, s.path)
		}
	}
	if len(silent) == len(r.schemas) {
		for _, s := range r.schemas {
			r.fail(s, errors.New("nothing to generate: the schema declares no type and no service"))
		}
		return
	}
	for _, path := range silent {
		r.warn(path + ": warning: declares no type and no service: nothing is generated from it")
	}
	if len(plain)+len(silent) == len(r.schemas) {
		for _, path := range plain {
			r.warn(path + ": warning: has no rpc_service: types and verifiers are generated, no server and no client")
		}
	}
}

// warnOfMissing says which included schemas' code is needed but neither generated nor there.
func (r *run) warnOfMissing(l language) {
	var missing, warnings []string
	onePackage := true
	seen := make(map[string]bool)
	for _, s := range r.schemas {
		for _, d := range r.needed(s) {
			path := s.file(d.File)
			if seen[path] {
				continue
			}
			seen[path] = true
			home := l.home(r, s, d)
			if exists(home) {
				continue
			}
			onePackage = onePackage && filepath.Dir(home) == filepath.Dir(l.home(r, s, s.own()))
			name := r.name(s, path)
			missing = append(missing, name)
			warnings = append(warnings, fmt.Sprintf("%s: warning: %s is included, but neither generated here nor is"+
				" there a file %s", r.includeOf(s, path), name, home))
		}
	}
	for _, warning := range warnings {
		r.warn(warning + "; generate them together: " + r.command(missing, onePackage))
	}
}

// command is the run's own command line, with more schemas. Where they are of another package, the one name
// that is given for one does not fit.
func (r *run) command(more []string, onePackage bool) string {
	words := []string{"smfc"}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, quoted(value))
		}
	}
	if languages := strings.Join(r.options.Languages, ","); languages != "go" {
		add("--lang", languages)
	}
	add("--out", r.options.Out)
	if onePackage {
		add("--package", r.options.Package)
	}
	add("--go-import", r.options.GoImport)
	for _, folder := range r.options.Includes {
		add("-I", folder)
	}
	if r.options.Flatc != "flatc" {
		add("--flatc", r.options.Flatc)
	}
	for _, s := range r.schemas {
		words = append(words, quoted(s.path))
	}
	for _, path := range more {
		words = append(words, quoted(path))
	}
	return strings.Join(words, " ")
}

var unquoted = regexp.MustCompile(`^[\w./,:=+@%-]+$`)

// quoted is a word as a shell wants it.
func quoted(word string) string {
	if unquoted.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// needed lists declarations of included files that the schema's own code leads to.
func (r *run) needed(s *schema) []*model.Declaration {
	references := make(map[*model.Declaration][]*model.Declaration)
	for _, reference := range s.model.References() {
		references[reference.From] = append(references[reference.From], reference.To)
	}
	var next, found []*model.Declaration
	for _, d := range s.model.Declarations() {
		if d.File == s.model.Main {
			next = append(next, d)
		}
	}
	seen := make(map[*model.Declaration]bool)
	for len(next) > 0 {
		d := next[0]
		next = next[1:]
		if seen[d] {
			continue
		}
		seen[d] = true
		if !r.ours(s.file(d.File)) {
			found = append(found, d)
		}
		next = append(next, references[d]...)
	}
	return found
}

// includeOf is where a file is included: the first line in one of the run's schemas that says so; if there is
// none, because it comes with another include, the schema.
func (r *run) includeOf(s *schema, path string) string {
	for _, other := range r.schemas {
		for _, included := range other.model.Main.Includes {
			if other.file(included) != path {
				continue
			}
			if line := r.index(other.absolute).Include(included.Name); line > 0 {
				return fmt.Sprintf("%s:%d", other.path, line)
			}
			return other.path
		}
	}
	return s.path
}
