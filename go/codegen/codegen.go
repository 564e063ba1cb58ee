// Package codegen turns FlatBuffers schemas into Go code: flatc's tables, joined into one file
// (<schema>.fb.go), and beside them the servers, clients and verifiers of smf (<schema>.smf.go) and the
// binary schema as a constant (<schema>.bfbs.go). The command smfc is a thin shell around it.
//
// It runs flatc for the tables and reads the binary schema that flatc writes. What this version
// cannot generate correctly (unions, several namespaces, streaming calls, …) is an error.
package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Options say what to generate.
type Options struct {
	Schemas  []string // paths of .fbs files; the code of one call shares nothing but method ids
	Includes []string // folders in which included schemas are looked for
	Package  string   // name of the Go package; empty: the namespace's last part
	Out      string   // folder of the generated files; empty: next to each schema
	Flatc    string   // the flatc to run; empty: "flatc", looked up in PATH
}

// File is one generated file.
type File struct {
	Path    string
	Content []byte
}

// Result is what Generate made.
type Result struct {
	Files    []File
	Warnings []string // of flatc, one line each
}

// Generate makes the files for all schemas, or an error of one line; it writes nothing but a
// temporary folder, which it removes. The same input gives the same bytes.
func Generate(ctx context.Context, options Options) (*Result, error) {
	compiler, err := findFlatc(ctx, options.Flatc)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	ids := make(methodIDs)
	paths := make(map[string]string)
	for _, schema := range options.Schemas {
		if err := generateOne(ctx, compiler, schema, options, ids, result); err != nil {
			return nil, err
		}
		base := outputBase(schema, options.Out)
		if other, taken := paths[base]; taken {
			return nil, fmt.Errorf("%s: would overwrite the files generated from %s", schema, other)
		}
		paths[base] = schema
	}
	return result, nil
}

// outputBase is the path of the generated files without ".fb.go" and ".smf.go".
func outputBase(schema, out string) string {
	if out == "" {
		out = filepath.Dir(schema)
	}
	return filepath.Join(out, strings.TrimSuffix(filepath.Base(schema), schemaSuffix))
}

func generateOne(ctx context.Context, compiler *flatc, schema string, options Options,
	ids methodIDs, result *Result,
) error {
	if err := checkFileName(schema); err != nil {
		return err
	}
	compiled, err := compiler.compile(ctx, schema, options.Includes, goCode...)
	if err != nil {
		return err
	}
	result.Warnings = append(result.Warnings, compiled.warnings...)

	m, err := newModel(compiled.schema, options.Out != "")
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	if err := ids.add(m); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	m.Source = filepath.Base(schema)
	m.Flatc = compiler.version.String()
	m.Stem = lowerCamel(strings.TrimSuffix(m.Source, schemaSuffix))
	if options.Package != "" {
		m.Package = options.Package
	}
	if err := checkPackageName(m.Package); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}

	declared := make(names)
	tables, err := joinTables(m, compiled.goFiles, declared)
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	calls, err := executeTemplate(m, declared)
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	base := outputBase(schema, options.Out)
	result.Files = append(result.Files,
		File{Path: base + ".fb.go", Content: tables},
		File{Path: base + ".smf.go", Content: calls})
	if name := camel(m.Stem) + "Schema"; !declared[name] {
		result.Files = append(result.Files, File{Path: base + ".bfbs.go", Content: constantFile(m, name, compiled.binary)})
	}
	return nil
}

// BinarySchema compiles a schema to a binary one, for package schema. What Generate refuses, it takes.
func BinarySchema(ctx context.Context, path string, includes ...string) ([]byte, error) {
	compiler, err := findFlatc(ctx, "")
	if err != nil {
		return nil, err
	}
	compiled, err := compiler.compile(ctx, path, includes)
	if err != nil {
		return nil, err
	}
	return compiled.binary, nil
}

// Write writes every file that is not on disk already, and makes the folders that are missing.
func (r *Result) Write() error {
	for _, file := range r.Files {
		same, err := file.onDisk()
		if err != nil {
			return err
		}
		if same {
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
