package admin

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
	"github.com/smf-go/smf/go/rpc"
)

// A row of docs/metrics.md: | `name` | type | labels | …
var metricRow = regexp.MustCompile("(?m)^\\| `(smf_\\w+)` \\| (\\w+) \\| ([\\w, ]*?) ?\\| ([^|]+) \\|")

// documented maps each metric of the page to its type and labels.
func documented(t *testing.T) map[string]string {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	require.NoError(t, err)
	found := map[string]string{}
	for _, row := range metricRow.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, found, row[1], "there twice")
		labels := strings.Split(row[3], ", ")
		slices.Sort(labels)
		found[row[1]] = row[2] + " " + strings.Join(labels, ",")
	}
	return found
}

// The page lists every metric with its type and its labels, and no other.
func TestThePageListsWhatThereIs(t *testing.T) {
	s := startServer(t, rpc.ServerOptions{Cores: 2})
	require.NoError(t, call(t, dial(t, s.address), idEcho, "x"))
	registry := registryOf(t, s)
	require.NoError(t, registry.Register(NewClientCollector()))
	families, err := registry.Gather()
	require.NoError(t, err)
	exposed := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		exposed[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ",")
		require.Greater(t, len(strings.Fields(f.GetHelp())), 2, f.GetName())
	}
	require.Equal(t, exposed, documented(t))
	require.Len(t, slices.Collect(maps.Keys(exposed)), len(descs)+len(clientDescs))
}

// And so it does with the values of labels that tell apart what happened.
func TestThePageListsReasonsAndLimits(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "metrics.md"))
	require.NoError(t, err)
	page := string(text)
	s := startServer(t, rpc.ServerOptions{Cores: 1})
	families, err := registryOf(t, s).Gather()
	require.NoError(t, err)
	seen := 0
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				switch l.GetName() {
				case "reason", "limit", "state", "kind", "direction":
					require.Regexp(t, `\b`+l.GetValue()+`\b`, page, f.GetName())
					seen++
				}
			}
		}
	}
	require.Greater(t, seen, 40)
}
