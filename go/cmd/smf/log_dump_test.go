package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenBytes reads the bytes of a file of schema/golden-wal.
func goldenBytes(t *testing.T, name string) (bytes []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "schema", "golden-wal", name))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' || strings.Contains(line, ": ") {
			continue
		}
		part, err := hex.DecodeString(line)
		require.NoError(t, err)
		bytes = append(bytes, part...)
	}
	return bytes
}

// What dump prints of the golden files, whole and damaged, is what testdata/log_dump.txt says.
func TestLogDumpGolden(t *testing.T) {
	dir := t.TempDir()
	segment, meta := goldenBytes(t, "segment_small.hex"), goldenBytes(t, "meta_small.hex")
	damaged := append([]byte{}, segment...)
	damaged[1536+200] ^= 1
	unknown := append([]byte{}, segment...)
	unknown[3] ^= 1
	for name, bytes := range map[string][]byte{"segment": segment, "meta": meta, "damaged": damaged, "cut": segment[:1400],
		"unknown": unknown, "short": segment[:100], "empty": nil} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), bytes, 0o600))
	}
	got := smf(t, "log", "dump", "segment", "meta", "damaged", "cut", "unknown", "short", "empty", "--dir", dir)
	require.Zero(t, got.status)
	require.Empty(t, got.stderr)
	want, err := os.ReadFile(filepath.Join("testdata", "log_dump.txt"))
	require.NoError(t, err)
	require.Equal(t, string(want), got.stdout)
	brief := smf(t, "log", "dump", "segment", "--dir", dir, "--brief", "--values", "3")
	require.NotContains(t, brief.stdout, "record 1000")
}
