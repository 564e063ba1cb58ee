package filters_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/smf-go/smf/"

// depsOf lists what a package brings into a program.
func depsOf(t *testing.T, path string) string {
	command := exec.Command("go", "list", "-deps", module+path)
	output, err := command.Output()
	require.NoError(t, err)
	return string(output)
}

// Whoever imports go/rpc links none of what the filters need, and whoever imports a filter links what it needs alone.
func TestAProgramLinksWhatItUses(t *testing.T) {
	const zstd, lz4, rate, otel = "DataDog/zstd", "pierrec/lz4", "golang.org/x/time", "opentelemetry.io"
	for path, allowed := range map[string][]string{
		"go/rpc": nil, "go/rpc/rpctest": nil, "schema/demo": nil, "go/rpc/filters": nil,
		"go/rpc/filters/compress":      nil,
		"go/rpc/filters/compress/zstd": {zstd},
		"go/rpc/filters/compress/lz4":  {lz4},
		"go/rpc/filters/deadline":      nil,
		"go/rpc/filters/concurrency":   nil,
		"go/rpc/filters/ratelimit":     {rate},
		"go/rpc/filters/retry":         nil,
		"go/rpc/filters/recovery":      nil,
		"go/rpc/filters/accesslog":     {rate},
		"go/rpc/filters/bearer":        nil,
		"go/rpc/filters/tracing":       {otel},
	} {
		t.Run(path, func(t *testing.T) {
			deps := depsOf(t, path)
			for _, name := range []string{zstd, lz4, rate, otel} {
				wanted := false
				for _, a := range allowed {
					wanted = wanted || a == name
				}
				require.Equal(t, wanted, strings.Contains(deps, name), name)
			}
			require.NotContains(t, deps, "opentelemetry.io/otel/sdk")
			if !strings.HasSuffix(path, "rpctest") {
				require.NotContains(t, deps, "\ntesting\n")
			}
		})
	}
}
