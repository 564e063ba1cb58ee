package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// smfc runs the command and returns what it printed.
func smfc(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var log bytes.Buffer
	command := newCommand()
	command.SetArgs(args)
	command.SetOut(&log)
	command.SetErr(&log)
	err := command.ExecuteContext(t.Context())
	return log.String(), err
}

func TestGenerateThenCheck(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
	folder := t.TempDir()
	schema := filepath.Join(folder, "x.fbs")
	require.NoError(t, os.WriteFile(schema, []byte("namespace a; table T { name: string; }"), 0o666))

	log, err := smfc(t, "--check", schema)
	require.ErrorIs(t, err, errStale)
	require.Contains(t, log, "x.fb.go differs from what its schema generates\n")
	require.NoFileExists(t, filepath.Join(folder, "x.fb.go"), "--check writes nothing")

	log, err = smfc(t, schema)
	require.NoError(t, err)
	require.Empty(t, log)
	require.FileExists(t, filepath.Join(folder, "x.smf.go"))
	_, err = smfc(t, "--check", schema)
	require.NoError(t, err)

	out := filepath.Join(folder, "new", "deep")
	_, err = smfc(t, "--out", out, "--package", "other", schema)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(out, "x.fb.go"))
	require.NoError(t, err)
	require.Contains(t, string(text), "\npackage other\n")
}

func TestNothingToDo(t *testing.T) {
	_, err := smfc(t)
	var usage *usageError
	require.ErrorAs(t, err, &usage)
	require.EqualError(t, err, "smfc wants a schema: smfc shop.fbs; smfc --help says more")
	_, err = smfc(t, "--bogus")
	require.ErrorAs(t, err, &usage)
	log, err := smfc(t, "--version")
	require.NoError(t, err)
	require.Equal(t, "smfc version "+version+"\n", log)
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "CMakeLists.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "project(smf VERSION "+version+" ")
	_, err = smfc(t, "--flatc", filepath.Join(t.TempDir(), "flatc"), "x.fbs")
	require.ErrorContains(t, err, "what is needed is the FlatBuffers compiler")
}
