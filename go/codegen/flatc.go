package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/internal/bfbs"
)

const (
	schemaSuffix = ".fbs"
	flatcHint    = "what is needed is the FlatBuffers compiler flatc, version 2.0.8 or newer" +
		" (Debian, Ubuntu: apt install flatbuffers-compiler)"
)

// oldestFlatc is the oldest version that names the file of every declaration in its binary schema.
var oldestFlatc = version{2, 0, 8}

type version [3]int

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

// flatc is a FlatBuffers compiler that is known to run.
type flatc struct {
	path    string
	version version
}

// compiled is what flatc made of one schema.
type compiled struct {
	goFiles  map[string][]byte // one per type, by path below the output folder
	binary   []byte            // the binary schema
	schema   *bfbs.Schema
	warnings []string
}

// What flatc is asked for.
var (
	goCode       = []string{"--go", "--gen-object-api"}
	binarySchema = []string{"--binary", "--schema", "--bfbs-comments", "--bfbs-builtins"}
)

var versionPattern = regexp.MustCompile(`flatc version (\d+)\.(\d+)(?:\.(\d+))?`)

func findFlatc(ctx context.Context, name string) (*flatc, error) {
	if name == "" {
		name = "flatc"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, fmt.Errorf("%s was not found: %s", name, flatcHint)
	}
	output, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w: %s", path, err, flatcHint)
	}
	match := versionPattern.FindSubmatch(output)
	if match == nil {
		return nil, fmt.Errorf("%s --version does not say a version: %s", path, flatcHint)
	}
	found := &flatc{path: path}
	for i := range found.version {
		found.version[i], _ = strconv.Atoi(string(match[i+1])) // digits, or empty: 0
	}
	if found.version.before(oldestFlatc) {
		return nil, fmt.Errorf("%s is version %s: %s", path, found.version, flatcHint)
	}
	return found, nil
}

// compile runs flatc on one schema and reads what it wrote: a binary schema, and what else it is asked for.
func (f *flatc) compile(ctx context.Context, schema string, includes []string, also ...string) (*compiled, error) {
	if _, err := os.Stat(schema); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(schema)
	if err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp("", "smfc-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)

	args := append(slices.Concat(also, binarySchema), "--bfbs-filenames", filepath.Dir(absolute), "-o", temporary)
	for _, folder := range includes {
		args = append(args, "-I", folder)
	}
	var output bytes.Buffer
	command := exec.CommandContext(ctx, f.path, append(args, absolute)...)
	command.Stdout, command.Stderr = &output, &output
	failure := command.Run()
	errs, warnings := parseDiagnostics(output.String(), absolute, schema)
	if failure != nil {
		if len(errs) > 0 {
			return nil, errors.New(strings.Join(errs, "\n"))
		}
		return nil, fmt.Errorf("%s: flatc failed: %w", schema, failure)
	}
	result, err := readOutput(temporary, absolute)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", schema, err)
	}
	result.warnings = warnings
	return result, nil
}

func readOutput(folder, schema string) (*compiled, error) {
	result := &compiled{goFiles: make(map[string][]byte)}
	stem := strings.TrimSuffix(filepath.Base(schema), schemaSuffix)
	var err error
	if result.binary, err = os.ReadFile(filepath.Join(folder, stem+".bfbs")); err != nil {
		return nil, fmt.Errorf("flatc wrote no binary schema: %w", err)
	}
	if result.schema, err = bfbs.Parse(result.binary); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		result.goFiles[name], err = os.ReadFile(path)
		return err
	})
	return result, err
}

// flatc prints "error:" on a line of its own and then "  path:line: column: error: text". Where it
// found out only at the file's end, it adds ", originally at: path:line".
var (
	diagnosticPattern = regexp.MustCompile(`^\s*(.+?):(\d+): *\d+: (error|warning): (.*)$`)
	originPattern     = regexp.MustCompile(`^(.*), originally at: *(.+):(\d+)$`)
)

// parseDiagnostics turns flatc's output into lines of "file:line: message". The schema is named as
// the user named it, other files relative to the current folder where they are below it.
func parseDiagnostics(output, absolute, schema string) (errs, warnings []string) {
	name := func(path string) string {
		if path == absolute || path == filepath.Base(absolute) {
			return schema
		}
		if here, err := os.Getwd(); err == nil {
			if relative, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(relative) {
				return relative
			}
		}
		return path
	}
	var kind string
	for _, line := range strings.Split(output, "\n") {
		match := diagnosticPattern.FindStringSubmatch(line)
		switch text := strings.TrimSpace(line); {
		case match != nil:
			path, number, message := match[1], match[2], match[4]
			if origin := originPattern.FindStringSubmatch(message); origin != nil {
				message, path, number = origin[1], origin[2], origin[3]
			}
			text = fmt.Sprintf("%s:%s: %s", name(path), number, message)
			if _, name, found := strings.Cut(message, "must be declared before use: "); found &&
				slices.Contains([]string{"slow", "idempotent", "timeout"}, name) {
				text += fmt.Sprintf("; add: attribute %q;", name)
			}
			if match[3] == "warning" {
				warnings = append(warnings, text)
			} else {
				errs = append(errs, text)
			}
		case text == "error:" || text == "warning:":
			kind = text
		case kind == "error:" && text != "":
			errs = append(errs, schema+": "+text)
			kind = ""
		}
	}
	sort.Strings(warnings)
	return compact(errs), compact(warnings)
}

// compact drops lines that repeat the one before.
func compact(lines []string) []string {
	var out []string
	for i, line := range lines {
		if i == 0 || line != lines[i-1] {
			out = append(out, line)
		}
	}
	return out
}
