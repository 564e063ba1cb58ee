package codegen_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
)

const (
	largeTables  = 100
	largeMethods = 200
)

// largeSchema is the size of what a company may have in one file.
func largeSchema() string {
	var text strings.Builder
	text.WriteString("namespace large;\nattribute \"slow\";\nenum Kind : ubyte { One, Two, Three }\nstruct Point { x: double; y: float; }\n")
	for i := range largeTables {
		fmt.Fprintf(&text, "/// The table %d.\ntable Table%d {\n  name: string (required);\n  number: ulong = 7;\n", i, i)
		fmt.Fprintf(&text, "  /// What it is.\n  kind: Kind;\n  at: Point;\n  raw: [ubyte];\n  names: [string];\n")
		fmt.Fprintf(&text, "  next: Table%d;\n  all: [Table%d];\n}\n", (i+1)%largeTables, (i+2)%largeTables)
	}
	text.WriteString("rpc_service Large {\n")
	for i := range largeMethods {
		fmt.Fprintf(&text, "  /// The method %d.\n  Method%d(Table%d): Table%d (slow);\n", i, i, i%largeTables, (i+7)%largeTables)
	}
	text.WriteString("}\n")
	return text.String()
}

// How long a large schema takes: mostly flatc's start and gofmt.
func BenchmarkGenerate(b *testing.B) {
	if _, err := exec.LookPath("flatc"); err != nil {
		b.Skip("flatc is not installed")
	}
	path := filepath.Join(writeSchemas(b, map[string]string{"large.fbs": largeSchema()}), "large.fbs")
	for b.Loop() {
		_, err := codegen.Generate(context.Background(), codegen.Options{Schemas: []string{path}})
		require.NoError(b, err)
	}
}

// What takes long is to start flatc: it runs once for its version, and once for each schema, however large
// and however much they include.
func TestHowOftenFlatcRuns(t *testing.T) {
	needFlatc(t)
	real, err := exec.LookPath("flatc")
	require.NoError(t, err)
	t.Chdir(writeSchemas(t, map[string]string{
		"flatc":     "#!/bin/sh\necho \"$*\" >> runs\nexec " + real + " \"$@\"\n",
		"large.fbs": largeSchema(),
		"x.fbs":     `include "large.fbs"; include "y.fbs"; namespace large; table X { y: Y; t: Table0; }`,
		"y.fbs":     `include "large.fbs"; namespace large; table Y { t: Table1; }`,
	}))
	require.NoError(t, os.Chmod("flatc", 0o777))
	_, err = codegen.Generate(context.Background(), codegen.Options{
		Schemas: []string{"large.fbs", "x.fbs", "y.fbs"}, Flatc: "./flatc",
	})
	require.NoError(t, err)
	text, err := os.ReadFile("runs")
	require.NoError(t, err)
	runs := strings.Split(strings.TrimSpace(string(text)), "\n")
	require.Len(t, runs, 4)
	require.Equal(t, "--version", runs[0])
	for i, name := range []string{"large.fbs", "x.fbs", "y.fbs"} {
		require.True(t, strings.HasSuffix(runs[i+1], "/"+name), runs[i+1])
		require.NotContains(t, runs[i+1], "--go")
	}
}
