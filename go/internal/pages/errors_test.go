package pages

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// errors.md has a row for every code there is, and no other.
func TestThePageListsTheCodes(t *testing.T) {
	text, root := page(t, "errors.md")
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| `(Code\\w+)` \\|").FindAllStringSubmatch(text, -1) {
		require.NotContains(t, listed, row[2], "there twice")
		listed[row[2]] = row[1]
	}
	declared := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^\t(Code\w+) +Code = (\d+)`).FindAllStringSubmatch(source(t, root, "go/rpc/code.go"), -1) {
		declared[line[1]] = line[2]
	}
	require.Greater(t, len(declared), 15)
	require.Equal(t, declared, listed)
}
