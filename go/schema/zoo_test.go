package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// zooArgs are what testdata/zoo.bfbs is made with.
var zooArgs = []string{"--binary", "--schema", "--bfbs-builtins", "--bfbs-comments"}

func zoo(t testing.TB) *Schema {
	p, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(t, err)
	s, err := Read(p)
	require.NoError(t, err)
	return s
}

// needFlatc skips a test where there is no flatc. CI has it.
func needFlatc(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is not installed: ./build.sh deps")
	}
}

func flatc(t *testing.T, folder string, args ...string) {
	t.Helper()
	command := exec.Command("flatc", args...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// The binary schema is what flatc makes of the schema.
func TestZooIsFresh(t *testing.T) {
	needFlatc(t)
	folder := t.TempDir()
	for _, name := range []string{"zoo.fbs", "zoo_food.fbs"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), text, 0o600))
	}
	flatc(t, folder, append(zooArgs, "zoo.fbs")...)
	want, err := os.ReadFile(filepath.Join(folder, "zoo.bfbs"))
	require.NoError(t, err)
	got, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "in testdata: flatc %s zoo.fbs", strings.Join(zooArgs, " "))
}

// canonical is a document in which equal values look the same: 1, 1.0 and 1e0 are.
func canonical(t testing.TB, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value), "%s", text)
	return exact(t, value)
}

func exact(t testing.TB, value any) any {
	switch v := value.(type) {
	case json.Number:
		number, ok := new(big.Rat).SetString(string(v))
		require.True(t, ok, "%s", v)
		return number.RatString()
	case []any:
		for i := range v {
			v[i] = exact(t, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(t, v[name])
		}
	}
	return value
}

// without drops members of that name everywhere.
func without(name string, value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = without(name, v[i])
		}
	case map[string]any:
		delete(v, name)
		for other, inner := range v {
			v[other] = without(name, inner)
		}
	}
	return value
}

// requireSame says where two documents differ first.
func requireSame(t testing.TB, want, got any, document string) {
	t.Helper()
	where := difference("$", want, got)
	require.Empty(t, where, "%s", document)
}

func difference(path string, want, got any) string {
	switch w := want.(type) {
	case []any:
		g, is := got.([]any)
		for i := 0; is && len(g) == len(w) && i < len(w); i++ {
			if where := difference(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); where != "" {
				return where
			}
		}
		if is && len(g) == len(w) {
			return ""
		}
	case map[string]any:
		g, is := got.(map[string]any)
		for name := range w {
			if _, there := g[name]; is && there {
				if where := difference(path+"."+name, w[name], g[name]); where != "" {
					return where
				}
			}
		}
		if is && slices.Equal(slices.Sorted(maps.Keys(w)), slices.Sorted(maps.Keys(g))) {
			return ""
		}
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s: want %v, got %v", path, want, got)
}
