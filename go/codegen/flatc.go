package codegen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

const flatcHint = "what is needed is the FlatBuffers compiler flatc, version 2.0.8 or newer" +
	" (Debian, Ubuntu: apt install flatbuffers-compiler)"

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

var versionPattern = regexp.MustCompile(`flatc version (\d+)\.(\d+)(?:\.(\d+))?`)

func findFlatc(ctx context.Context, name string) (*flatc, error) {
	if name == "" {
		name = "flatc"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		what := "was not found"
		if errors.Is(err, fs.ErrPermission) {
			what = "is not executable"
		}
		return nil, fmt.Errorf("%s %s: %s", name, what, flatcHint)
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

// compile runs flatc on a schema, for its binary schema. In messages, files are called what name makes of
// their paths. Errors of the schema are Problems.
func (f *flatc) compile(ctx context.Context, s *schema, includes []string, name func(path string) string,
) (binary []byte, warnings []string, err error) {
	temporary, err := os.MkdirTemp("", "smfc-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(temporary)

	args := []string{
		"--binary", "--schema", "--bfbs-comments", "--bfbs-builtins",
		"--bfbs-filenames", filepath.Dir(s.absolute), "-o", temporary,
	}
	for _, folder := range includes {
		if folder, err = filepath.Abs(folder); err != nil {
			return nil, nil, err
		}
		args = append(args, "-I", folder)
	}
	var output bytes.Buffer
	command := exec.CommandContext(ctx, f.path, append(args, s.absolute)...)
	command.Stdout, command.Stderr = &output, &output
	failure := command.Run()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	problems, warnings := diagnostics(output.String(), s.path, name)
	if failure != nil {
		if len(problems) == 0 {
			problems = Problems{fmt.Errorf("%s: %w", s.path, f.silent(failure, output.String()))}
		}
		return nil, nil, problems
	}
	binary, err = os.ReadFile(filepath.Join(temporary, s.stem()+".bfbs"))
	if err != nil {
		return nil, nil, Problems{fmt.Errorf("%s: flatc %s wrote no binary schema: %s", s.path, f.version, flatcHint)}
	}
	return binary, warnings, nil
}

// silent is the error of a flatc that failed without an error of the schema.
func (f *flatc) silent(failure error, output string) error {
	said := ""
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, "warning:") {
			said = " (" + line + ")"
			break
		}
	}
	var exit *exec.ExitError
	if errors.As(failure, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return fmt.Errorf("flatc %s crashed on it: %s%s; a schema must not do that to it: try a newer"+
				" flatc, or leave parts of the schema out to find which it is",
				f.version, status.Signal(), said)
		}
	}
	return fmt.Errorf("flatc %s (%s) failed and named no error of the schema: %w%s", f.version, f.path, failure, said)
}
