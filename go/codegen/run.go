package codegen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/smf-go/smf/go/codegen/internal/lines"
	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/internal/bfbs"
)

const schemaSuffix = ".fbs"

// schema is one of the schemas of a run.
type schema struct {
	path     string // as the user named it
	absolute string // without links
	model    *model.Schema
	binary   []byte
}

// stem is the schema's name without folder and suffix.
func (s *schema) stem() string { return strings.TrimSuffix(filepath.Base(s.path), schemaSuffix) }

// file is the absolute path of one of the files that the schema consists of.
func (s *schema) file(f *model.File) string {
	return filepath.Join(filepath.Dir(s.absolute), filepath.FromSlash(f.Name))
}

// run is one run of Generate: all schemas, and what is found out about them.
type run struct {
	options  Options
	flatc    *flatc
	schemas  []*schema
	indexes  map[string]*lines.Index // by a file's absolute path; nil: it can't be read
	problems Problems
	result   *Result
	claimed  map[claimed]*schema
}

func newRun(options Options) *run {
	r := &run{
		options: options, result: &Result{places: slices.Clone(options.Includes)},
		indexes: make(map[string]*lines.Index), claimed: make(map[claimed]*schema),
	}
	for _, path := range options.Schemas {
		if err := r.addSchema(path); err != nil {
			r.problems.add(err)
		}
	}
	return r
}

// checkPath says why a path can't be that of a schema, or what its file is called without links.
func (r *run) checkPath(path string) (string, error) {
	if filepath.Ext(path) != schemaSuffix {
		return "", fmt.Errorf("%s: not a schema: its name does not end with %s", path, schemaSuffix)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", pathProblem(path, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a file", path)
	}
	absolute, err := realPath(path)
	if err != nil {
		return "", pathProblem(path, err)
	}
	// flatc calls a file by what a link leads to, which would name the generated code as well.
	if link, err := os.Readlink(path); err == nil {
		return "", fmt.Errorf("%s: a symbolic link to %s; give that file itself", path, link)
	}
	for _, other := range r.schemas {
		if same(absolute, other.absolute) {
			return "", fmt.Errorf("%s: given twice, the first time as %s", path, other.path)
		}
	}
	return absolute, nil
}

func (r *run) addSchema(path string) error {
	absolute, err := r.checkPath(path)
	if err != nil {
		return &ArgumentError{err}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return pathProblem(path, err)
	}
	if n := invalidUTF8(text); n > 0 {
		return fmt.Errorf("%s:%d: not UTF-8; convert the file", path, n)
	}
	r.indexes[absolute] = lines.Scan(text)
	r.schemas = append(r.schemas, &schema{path: path, absolute: absolute})
	r.result.sources = append(r.result.sources, absolute)
	root := r.options.Out
	if root == "" {
		root = filepath.Dir(path)
	}
	r.result.roots = append(r.result.roots, filepath.Clean(root))
	return nil
}

// realPath is the absolute path of a file, in a folder without links: flatc has no others.
func realPath(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(absolute))
	return filepath.Join(folder, filepath.Base(absolute)), err
}

// pathProblem is an error of a file without the name of the system call.
func pathProblem(path string, err error) error {
	var detail *fs.PathError
	if errors.As(err, &detail) {
		err = detail.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// same says whether two paths lead to one file.
func same(a, b string) bool {
	if a == b {
		return true
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// invalidUTF8 is the first line that is not UTF-8; 0: all are.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return 0
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if n++; !utf8.ValidString(line) {
			break
		}
	}
	return n
}

// load makes the models of all schemas.
func (r *run) load(ctx context.Context) error {
	for _, s := range r.schemas {
		err := r.loadOne(ctx, s)
		var problems Problems
		switch {
		case errors.As(err, &problems):
			for _, problem := range problems {
				r.problems.add(r.declareFirst(s, problem))
			}
		case err != nil:
			return err
		}
	}
	if len(r.problems) > 0 {
		return r.problems
	}
	return nil
}

func (r *run) loadOne(ctx context.Context, s *schema) error {
	binary, warnings, err := r.flatc.compile(ctx, s, r.options.Includes,
		func(path string) string { return r.name(s, path) })
	if err != nil {
		return err
	}
	for _, warning := range warnings {
		r.warn(warning)
	}
	parsed, err := bfbs.Parse(binary)
	if err != nil {
		return Problems{fmt.Errorf("%s: flatc %s wrote something else than a schema: %w: %s", s.path,
			r.flatc.version, err, flatcHint)}
	}
	s.binary = binary
	if s.model, err = model.Read(parsed, filepath.Base(s.path)); err != nil {
		r.fail(s, err)
		return nil
	}
	for _, file := range s.model.Files {
		r.result.places = append(r.result.places, filepath.Dir(s.file(file)))
	}
	for _, misplaced := range s.model.Misplaced {
		r.warn(fmt.Sprintf("%s: warning: %s", r.at(s, misplaced.Place), misplaced.What))
	}
	r.restoreDefaults(s)
	return nil
}

// warn adds a warning that is not there yet: a file that several schemas include is read several times.
func (r *run) warn(text string) {
	if !slices.Contains(r.result.Warnings, text) {
		r.result.Warnings = append(r.result.Warnings, text)
	}
}

// fail notes an error of a schema, with its line if it says where it is.
func (r *run) fail(s *schema, err error) {
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		for _, one := range several.Unwrap() {
			r.fail(s, one)
		}
		return
	}
	var wrong *model.Error
	if !errors.As(err, &wrong) {
		r.problems.add(fmt.Errorf("%s: %w", s.path, err))
		return
	}
	r.problems.add(fmt.Errorf("%s: %s", r.at(s, wrong.Place), wrong.Message(func(other model.Place) string {
		return r.at(r.having(other.File, s), other)
	})))
}

// having finds the schema whose model has a file; if there is none, it is the other one.
func (r *run) having(file *model.File, other *schema) *schema {
	for _, s := range r.schemas {
		if s.model != nil && slices.Contains(s.model.Files, file) {
			return s
		}
	}
	return other
}

// at is where something is declared, as messages begin: "shop.fbs:12", or "shop.fbs" if no line is known.
func (r *run) at(s *schema, place model.Place) string {
	path := s.absolute
	if place.File != nil {
		path = s.file(place.File)
	}
	text := r.name(s, path)
	if index := r.index(path); index != nil {
		find := index.Line
		if place.Service {
			find = index.ServiceLine
		}
		if line := find(place.Declaration, place.Member); line > 0 {
			text += fmt.Sprintf(":%d", line)
		}
	}
	return text
}

// place is where something is declared.
func (s *schema) place(d *model.Declaration, member string) model.Place {
	service := slices.ContainsFunc(s.model.Services, func(one *model.Service) bool { return &one.Declaration == d })
	return model.Place{File: d.File, Declaration: d.FullName(), Service: service, Member: member}
}

// atNamespace is where a declaration's namespace begins, as messages begin; without one, the declaration is it.
func (r *run) atNamespace(s *schema, d *model.Declaration) string {
	path := s.file(d.File)
	if index := r.index(path); index != nil && d.Namespace != "" {
		if line := index.Namespace(d.Namespace); line > 0 {
			return fmt.Sprintf("%s:%d", r.name(s, path), line)
		}
	}
	return r.at(s, s.place(d, ""))
}

// index is where things are declared in a file, or nil.
func (r *run) index(path string) *lines.Index {
	index, known := r.indexes[path]
	if !known {
		if text, err := os.ReadFile(path); err == nil {
			index = lines.Scan(text)
		}
		r.indexes[path] = index
	}
	return index
}

// name is what messages call a file that a schema includes: as the user named it, or as seen from where the
// user named the schema.
func (r *run) name(s *schema, path string) string {
	if path == filepath.Base(s.absolute) { // flatc's name of the schema, here and there
		return s.path
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for _, known := range r.schemas {
		if same(absolute, known.absolute) {
			return known.path
		}
	}
	relative, err := filepath.Rel(filepath.Dir(s.absolute), absolute)
	if err != nil {
		return path
	}
	return filepath.Join(filepath.Dir(s.path), relative)
}

// checkIDs makes sure that all services can be in one server.
func (r *run) checkIDs() {
	var ids model.IDs
	for _, s := range r.schemas {
		if err := ids.Add(s.path, s.model); err != nil {
			r.fail(s, err)
		}
	}
}
