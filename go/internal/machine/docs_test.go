package machine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// page is docs/check.md.
func page(t *testing.T) string {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, "docs", "check.md"))
	require.NoError(t, err)
	return string(text)
}

// jsonTypes are what the page calls the types of facts.
var jsonTypes = map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "bool", reflect.Map: "object",
	reflect.Int: "number", reflect.Int64: "number", reflect.Uint64: "number", reflect.Float64: "number"}

func jsonType(value any) string {
	if of := reflect.TypeOf(value); of.Kind() == reflect.Slice {
		return "list of " + jsonTypes[of.Elem().Kind()] + "s"
	}
	return jsonTypes[reflect.TypeOf(value).Kind()]
}

// fact is a row of the page: one of a finding's facts, or a finding that has none.
type fact struct{ section, finding, name, kind string }

// factsOf are those that some machine has.
func factsOf(reports []Report) map[fact]bool {
	facts, bare := map[fact]bool{}, map[fact]bool{}
	for _, r := range reports {
		for _, f := range r.Findings {
			none := fact{section: f.Section, finding: f.Name}
			if _, known := bare[none]; !known || len(f.Facts) > 0 {
				bare[none] = len(f.Facts) == 0
			}
			for name, value := range f.Facts {
				facts[fact{f.Section, f.Name, "`" + name + "`", jsonType(value)}] = true
			}
		}
	}
	for f, none := range bare {
		if none {
			facts[f] = true
		}
	}
	return facts
}

// The page has a row for every fact that some machine has, and one for every finding without; and no
// other.
func TestThePageListsTheFacts(t *testing.T) {
	reports := []Report{goodMachine().Check()}
	for _, s := range slices.Concat(systemStories, processorStories, memoryStories, networkStories, otherStories) {
		m := goodMachine()
		s.change(m)
		reports = append(reports, m.Check())
	}
	_, text, found := strings.Cut(page(t), "\n## The facts\n")
	require.True(t, found)
	_, table, found := strings.Cut(text, "| --- |")
	require.True(t, found)
	documented := map[fact]bool{}
	for _, line := range strings.Split(table, "\n")[1:] {
		cells := strings.Split(line, "|")
		if len(cells) != 7 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		row := fact{cells[1], cells[2], cells[3], cells[4]}
		require.False(t, documented[row], "there twice: %v", row)
		documented[row] = true
	}
	require.Equal(t, factsOf(reports), documented)
}

func TestThePageListsTheVerdicts(t *testing.T) {
	_, rest, found := strings.Cut(page(t), "| verdict | means |\n| --- | --- |\n")
	require.True(t, found)
	table, _, _ := strings.Cut(rest, "\n\n")
	var words []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1) {
		words = append(words, m[1])
	}
	require.Equal(t, verdictTexts[:], words)
}

// The page's example is what a machine is told.
func TestThePagesExample(t *testing.T) {
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindStringSubmatch(page(t))
	require.NotNil(t, block)
	var example struct{ Findings []any }
	require.NoError(t, json.Unmarshal([]byte(block[1]), &example))
	m := goodMachine()
	m.set("proc/sys/net/core/somaxconn", "128")
	told, err := json.Marshal([]Finding{find(t, m.Check(), "listen queue")})
	require.NoError(t, err)
	shown, err := json.Marshal(example.Findings)
	require.NoError(t, err)
	require.JSONEq(t, string(told), string(shown))
}
