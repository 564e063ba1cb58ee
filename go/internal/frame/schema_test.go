package frame

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const schemaDir = "../../../schema/smf"

// asJSON has flatc read a table by its schema.
func asJSON(t *testing.T, schema, table string, payload []byte) map[string]any {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "table.bin")
	require.NoError(t, os.WriteFile(path, payload, 0o600))
	output, err := exec.CommandContext(t.Context(), "flatc", "--json", "--raw-binary", "--strict-json", "--defaults-json",
		"--root-type", table, "-o", folder, filepath.Join(schemaDir, schema), "--", path).CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, err := os.ReadFile(filepath.Join(folder, "table.json"))
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(text, &fields), "%s", text)
	return fields
}

// The tables that are written by hand here are those of the schemas: flatc reads them by name.
func TestTablesAreThoseOfTheSchemas(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is not installed: ./build.sh deps")
	}
	hello := Hello{Level: 1, Features: 2, Compressions: 3, FrameSizeMax: 4, CallsMax: 5, Credit: 6, MessageSizeMax: 7}
	for _, table := range []string{"smf.HelloRequest", "smf.HelloReply"} {
		require.Equal(t, map[string]any{
			"level": 1.0, "features": 2.0, "compressions": 3.0, "frame_size_bytes_max": 4.0, "calls_max": 5.0,
			"credit_bytes": 6.0, "message_size_bytes_max": 7.0,
		}, asJSON(t, "hello.fbs", table, hello.Append(nil)))
	}
	failure := Error{Message: "m", Details: []byte{1, 2}, DetailsType: "t", RetryAfterMS: 3}
	require.Equal(t, map[string]any{
		"message": "m", "details": []any{1.0, 2.0}, "details_type": "t", "retry_after_ms": 3.0, "may_have_run": false,
	}, asJSON(t, "error.fbs", "smf.Error", failure.Append(nil)))
	nothing := Error{MayHaveRun: true}
	require.Equal(t, map[string]any{"retry_after_ms": 0.0, "may_have_run": true},
		asJSON(t, "error.fbs", "smf.Error", nothing.Append(nil)))
}
