// Package codegen turns FlatBuffers schemas into code: tables with accessors and objects, verifiers, and
// servers and clients of their services. The command smfc is a thin shell around it.
//
// flatc parses the schemas; what is generated from them is made of the binary schemas that it writes. What
// smfc makes of a schema, and where it goes, is in docs/smfc.md.
package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/module"
)

// Options say what to generate.
type Options struct {
	Schemas   []string // paths of .fbs files; all that one server serves should be in one call
	Languages []string // "go", "c"; empty: Go
	Includes  []string // folders in which included schemas are looked for
	Out       string   // folder of the generated files; empty: next to each schema
	Package   string   // name of the Go package; empty: the namespace's last part
	GoImport  string   // import path of the folder Out; empty: as go.mod says
	Flatc     string   // the flatc to run; empty: "flatc", looked up in PATH
}

// File is one generated file.
type File struct {
	Path    string
	Content []byte
}

// Result is what Generate made.
type Result struct {
	Files    []File
	Warnings []string // one line each

	roots    []string // folders that hold all generated files, some of them below
	suffixes []string // of generated files
	sources  []string // paths of the schemas
	places   []string // folders that schemas are in, or looked for in
}

// Generate makes the files for all schemas; it writes nothing but a temporary folder, which it removes.
// What is wrong with the schemas is an error of the type Problems. The same input gives the same bytes.
//
// Threads: any. Cost: runs flatc once for its version, and once for each schema.
func Generate(ctx context.Context, options Options) (*Result, error) {
	chosen, err := chooseLanguages(options.Languages)
	if err != nil {
		return nil, err
	}
	if options.GoImport != "" {
		if err := module.CheckImportPath(options.GoImport); err != nil {
			return nil, &OptionError{"--go-import: " + err.Error()}
		}
	}
	if options.Package != "" {
		if err := checkPackageName(options.Package); err != nil {
			return nil, &OptionError{fmt.Sprintf("--package: %q cannot be the name of a Go package", options.Package)}
		}
	}
	r := newRun(options)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	if r.flatc, err = findFlatc(ctx, options.Flatc); err != nil {
		return nil, err
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	r.checkIDs()
	for _, l := range chosen {
		r.generate(l)
	}
	r.warnOfNothing()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return r.result, nil
}

// BinarySchema compiles a schema to a binary one, for package schema. What Generate refuses, it takes.
func BinarySchema(ctx context.Context, path string, includes ...string) ([]byte, error) {
	r := newRun(Options{Schemas: []string{path}, Includes: includes})
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	compiler, err := findFlatc(ctx, "")
	if err != nil {
		return nil, err
	}
	s := r.schemas[0]
	binary, _, err := compiler.compile(ctx, s, includes, func(path string) string { return r.name(s, path) })
	return binary, err
}

// Write writes every file that is not on disk already, and makes the folders that are missing. It looks at all
// of them before it writes the first. Files that smfc has not generated it does not overwrite: it writes
// nothing then, and the error is of the type Problems.
func (r *Result) Write() error {
	stale, err := r.Stale()
	if err != nil {
		return err
	}
	if err := refuseForeign(stale); err != nil {
		return err
	}
	for _, file := range r.Files {
		if !slices.Contains(stale, file.Path) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file.Path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(file.Path, file.Content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// refuseForeign says which of the files that are to be written are there and not smfc's. One without
// content is no loss.
func refuseForeign(paths []string) error {
	var problems Problems
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if len(content) > 0 && !ourLine.Match(content) {
			problems.add(fmt.Errorf("%s: is not overwritten: its first line does not say that smfc generated it; move"+
				" it away, or choose another folder with --out", path))
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// Stale returns the paths of the files that are missing on disk or differ.
func (r *Result) Stale() ([]string, error) {
	var stale []string
	for _, file := range r.Files {
		same, err := file.onDisk()
		if err != nil {
			return nil, err
		}
		if !same {
			stale = append(stale, file.Path)
		}
	}
	return stale, nil
}

func (f *File) onDisk() (bool, error) {
	content, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return bytes.Equal(content, f.Content), err
}
