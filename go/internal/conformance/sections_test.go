package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const wirePage = "../../../docs/wire.md"

// unreferenced are the sections that no row can hold anybody to.
var unreferenced = map[string]string{
	"Stock peers": "it tells of programs of others, which are tried by hand",
}

// sections are the headings of docs/wire.md.
func sections(t *testing.T) []string {
	page, err := os.ReadFile(wirePage)
	require.NoError(t, err)
	var all []string
	for line := range strings.Lines(string(page)) {
		if rest, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "##"); is {
			all = append(all, strings.TrimLeft(rest, "# "))
		}
	}
	require.Greater(t, len(all), 15)
	return all
}

// Each row stands behind a line that names sections of docs/wire.md, and each section is named.
func TestEverySectionHasRows(t *testing.T) {
	known, named := sections(t), map[string]int{}
	for _, file := range []string{rowsFile, rawFile, peersFile} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var now []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			rest, names := strings.CutPrefix(line, "@")
			switch {
			case names:
				now = strings.Split(rest, ",")
				for i := range now {
					now[i] = strings.TrimSpace(now[i])
					require.Contains(t, known, now[i], "%s: docs/wire.md has no such section", file)
				}
			case line != "" && line[0] != '#':
				require.NotEmpty(t, now, "%s: which section is this for? %s", file, line)
				for _, section := range now {
					named[section]++
				}
			}
		}
	}
	for _, section := range known {
		if why, is := unreferenced[section]; is {
			require.Zero(t, named[section], "%s has rows: it is no exception (%s)", section, why)
			continue
		}
		require.NotZero(t, named[section], "no row holds to %q of docs/wire.md", section)
	}
	for section := range unreferenced {
		require.True(t, slices.Contains(known, section), section)
	}
}
