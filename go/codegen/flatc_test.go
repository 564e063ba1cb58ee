package codegen

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func fakeFlatc(t *testing.T, script string) string {
	path := filepath.Join(t.TempDir(), "flatc")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o777))
	return path
}

func TestWhichFlatcIsNeeded(t *testing.T) {
	ctx := context.Background()
	const hint = "what is needed is the FlatBuffers compiler flatc, version 2.0.8 or newer"

	_, err := findFlatc(ctx, filepath.Join(t.TempDir(), "flatc"))
	require.ErrorContains(t, err, "was not found: "+hint)

	path := filepath.Join(t.TempDir(), "x.fbs")
	require.NoError(t, os.WriteFile(path, nil, 0o666))
	_, err = findFlatc(ctx, path)
	require.EqualError(t, err, path+" is not executable: "+flatcHint)

	_, err = findFlatc(ctx, fakeFlatc(t, "echo flatc version 2.0.7"))
	require.ErrorContains(t, err, "is version 2.0.7: "+hint)

	_, err = findFlatc(ctx, fakeFlatc(t, "echo something else"))
	require.ErrorContains(t, err, "does not say a version: "+hint)

	_, err = findFlatc(ctx, fakeFlatc(t, "exit 3"))
	require.ErrorContains(t, err, "exit status 3: "+hint)

	for text, want := range map[string]version{
		"2.0.8": {2, 0, 8}, "2.1": {2, 1, 0}, "24.3.25": {24, 3, 25},
	} {
		found, err := findFlatc(ctx, fakeFlatc(t, "echo flatc version "+text))
		require.NoError(t, err)
		require.Equal(t, want, found.version)
	}
}

// newSchema writes a schema's file, and returns the schema.
func newSchema(t *testing.T) *schema {
	path := filepath.Join(t.TempDir(), "x.fbs")
	require.NoError(t, os.WriteFile(path, []byte("table T {}"), 0o666))
	r := newRun(Options{Schemas: []string{path}})
	require.Empty(t, r.problems)
	return r.schemas[0]
}

func TestFlatcThatFails(t *testing.T) {
	s := newSchema(t)
	for script, want := range map[string]string{
		"exit 7": "(FLATC) failed and named no error of the schema: exit status 7",
		"echo; echo '  out of luck'; exit 7": "(FLATC) failed and named no error of the schema: exit status 7" +
			" (out of luck)",
		"kill -SEGV $$": "crashed on it: segmentation fault; a schema must not do that to it: try a newer flatc," +
			" or leave parts of the schema out to find which it is",
		"echo 'idl_parser.cpp:7: failed'; kill -ABRT $$": "crashed on it: aborted (idl_parser.cpp:7: failed); a schema" +
			" must not do that to it: try a newer flatc, or leave parts of the schema out to find which it is",
		"exit 0": "wrote no binary schema: " + flatcHint,
	} {
		f := &flatc{path: fakeFlatc(t, script), version: version{2, 0, 8}}
		_, _, err := f.compile(context.Background(), s, nil, nil)
		var problems Problems
		require.ErrorAs(t, err, &problems)
		require.EqualError(t, err, s.path+": flatc 2.0.8 "+strings.Replace(want, "FLATC", f.path, 1))
	}
}

func TestFlatcThatWritesSomethingElse(t *testing.T) {
	s := newSchema(t)
	script := `[ "$1" = --version ] && echo flatc version 9.9 && exit
while [ "$1" != -o ]; do shift; done; echo 'This is no schema' > "$2/x.bfbs"`
	_, err := Generate(context.Background(), Options{Schemas: []string{s.path}, Flatc: fakeFlatc(t, script)})
	require.EqualError(t, err, s.path+": flatc 9.9.0 wrote something else than a schema: not a binary FlatBuffers"+
		` schema: no "BFBS" at its beginning: `+flatcHint)
}

func TestGenerateStopsWithItsContext(t *testing.T) {
	s := newSchema(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	f := &flatc{path: fakeFlatc(t, "exec sleep 60")}
	_, _, err := f.compile(ctx, s, nil, nil)
	require.Equal(t, context.DeadlineExceeded, err, "it is not the schema's fault")
}

func TestDiagnostics(t *testing.T) {
	problems, warnings := diagnostics(`warning:
  /s/x.fbs:2: 28: warning: field names should be lowercase snake_case, got: Bb

error:
  /s/x.fbs:3: 7: error: field already exists: a


error:
  /s/x.fbs:3: 7: error: field already exists: a

error:
  /s/x.fbs:9: 0: error: type referenced but not defined: foo, originally at: x.fbs:1

error:
  /t/y.fbs:1: 2: error: illegal character

error:
  /s/x.fbs:4: 7: error: user define attributes must be declared before use: slow

error:
  unable to load file: z.fbs
`, "x.fbs", func(path string) string { return "here/" + filepath.Base(path) })
	require.EqualError(t, problems, `here/x.fbs:3: field already exists: a
here/x.fbs:1: type referenced but not defined: foo
here/y.fbs:1: illegal character
here/x.fbs:4: user define attributes must be declared before use: slow; add: attribute "slow";
x.fbs: unable to load file: z.fbs`)
	require.Equal(t, []string{
		"here/x.fbs:2: warning: field names should be lowercase snake_case, got: Bb",
	}, warnings)
}

// A flatc may say the same of a file for each schema that includes it.
func TestAWarningIsGivenOnce(t *testing.T) {
	r := newRun(Options{})
	for range 2 {
		r.warn("x.fbs:1: warning: loud")
	}
	require.Equal(t, []string{"x.fbs:1: warning: loud"}, r.result.Warnings)
}
