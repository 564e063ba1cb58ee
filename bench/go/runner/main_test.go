package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var wrongCommandLines = []struct {
	args []string
	says string
}{
	{nil, "which benchmark? there are rpc, blocking, client, hostile, metrics, placement, level2, wal"},
	{[]string{"foo"}, `no benchmark "foo"; there are rpc, blocking, client, hostile, metrics, placement, level2, wal`},
	{[]string{"rpc", "foo"}, `unknown argument "foo"`},
	{[]string{"rpc", "--foo"}, "flag provided but not defined: -foo"},
	{[]string{"rpc", "--only", "ag"}, "rpc has the tables abc"},
	{[]string{"rpc", "--without", "nobody"}, `--without: no contender "nobody"`},
	{[]string{"rpc", "--without", "pebble"}, `--without: no contender "pebble"`},
	{[]string{"wal", "--without", "grpc-go"}, `--without: no contender "grpc-go"`},
	{[]string{"wal", "--only", "ah"}, "wal has the tables hijklmno"},
	{[]string{"rpc", "--dir", "/tmp"}, "--dir is for wal alone"},
	{[]string{"rpc", "--rounds", "-1"}, "--rounds and --seconds must be above 0"},
}

func TestCommandLinesAreChecked(t *testing.T) {
	for _, test := range wrongCommandLines {
		require.EqualError(t, run(context.Background(), append([]string{"--check"}, test.args...)), test.says)
		require.EqualError(t, run(context.Background(), test.args), test.says)
	}
	t.Chdir(t.TempDir()) // where there is no tree to build
	require.NoError(t, run(context.Background(), []string{"--check", "rpc", "--full", "--only", "ab"}))
	require.EqualError(t, run(context.Background(), []string{"rpc", "--full", "--only", "ab"}), "not inside the source tree")
}

// ./build.sh bench says what is wrong before it builds anything.
func TestNothingIsBuiltForAWrongCommandLine(t *testing.T) {
	root, err := findRoot()
	require.NoError(t, err)
	folder := t.TempDir()
	built := filepath.Join(folder, "built")
	for _, tool := range []string{"cmake", "apt-get"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, tool), []byte("#!/bin/sh\ntouch "+built+"\nexit 1\n"), 0o700))
	}
	for _, test := range wrongCommandLines {
		command := exec.Command("bash", append([]string{filepath.Join(root, "build.sh"), "bench"}, test.args...)...)
		command.Env = append(os.Environ(), "PATH="+folder+":"+os.Getenv("PATH"))
		output, err := command.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(output), "bench: "+test.says+"\n")
		require.NoFileExists(t, built)
	}
}
