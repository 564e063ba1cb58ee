package pages

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The filters of filters.md are those of an example that runs.
func TestTheFiltersOfThePage(t *testing.T) {
	text, root := page(t, "filters.md")
	example := source(t, root, "go/rpc/example_filter_test.go")
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(text, -1)
	require.Greater(t, len(blocks), 3)
	for _, block := range blocks {
		require.True(t, strings.Contains(example, block[1]), "not in go/rpc/example_filter_test.go:\n%s", block[1])
	}
}
