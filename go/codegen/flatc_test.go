package codegen

import (
	"context"
	"os"
	"path/filepath"
	"testing"

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

func TestFlatcThatFailsWithoutAWord(t *testing.T) {
	schema := filepath.Join(t.TempDir(), "x.fbs")
	require.NoError(t, os.WriteFile(schema, nil, 0o666))
	f := &flatc{path: fakeFlatc(t, "exit 7")}
	_, err := f.compile(context.Background(), schema, nil)
	require.EqualError(t, err, schema+": flatc failed: exit status 7")
}

func TestDiagnostics(t *testing.T) {
	errs, warnings := parseDiagnostics(`warning:
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
  unable to load file: z.fbs
`, "/s/x.fbs", "schemas/x.fbs")
	require.Equal(t, []string{
		"schemas/x.fbs:3: field already exists: a",
		"schemas/x.fbs:1: type referenced but not defined: foo",
		"/t/y.fbs:1: illegal character",
		"schemas/x.fbs: unable to load file: z.fbs",
	}, errs)
	require.Equal(t, []string{
		"schemas/x.fbs:2: field names should be lowercase snake_case, got: Bb",
	}, warnings)
}
