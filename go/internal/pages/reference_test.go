package pages

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// words are what Doxygen made of a comment.
type words struct {
	XML string `xml:",innerxml"`
}

var tags = regexp.MustCompile(`<[^>]*>`)

func (w words) String() string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(w.XML, "")), " ")
}

type described struct {
	Name    string      `xml:"name"`
	Kind    string      `xml:"kind,attr"`
	Brief   words       `xml:"briefdescription"`
	Details words       `xml:"detaileddescription"`
	Values  []described `xml:"enumvalue"`
}

// reference is what ./build.sh docs makes of the public headers: declarations by name, fields and values
// of enumerations by the name of what they are in.
func reference(t *testing.T) (declarations map[string]described, members map[string][]described) {
	if _, err := exec.LookPath("doxygen"); err != nil {
		t.Skip("no doxygen: ./build.sh deps reference")
	}
	root, err := sourcetree.Root()
	require.NoError(t, err)
	folder := t.TempDir()
	command := exec.Command("doxygen", "-")
	command.Dir = root
	command.Stdin = strings.NewReader(source(t, root, "native/doc/Doxyfile") +
		"GENERATE_HTML = NO\nGENERATE_XML = YES\nXML_OUTPUT = xml\nOUTPUT_DIRECTORY = " + folder + "\n")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	paths, err := filepath.Glob(filepath.Join(folder, "xml", "*.xml"))
	require.NoError(t, err)
	declarations, members = map[string]described{}, map[string][]described{}
	for _, path := range paths {
		var file struct {
			Compounds []struct {
				Name    string      `xml:"compoundname"`
				Kind    string      `xml:"kind,attr"`
				Brief   words       `xml:"briefdescription"`
				Details words       `xml:"detaileddescription"`
				Members []described `xml:"sectiondef>memberdef"`
			} `xml:"compounddef"`
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, xml.Unmarshal(text, &file), path)
		for _, c := range file.Compounds {
			declarations[c.Name] = described{Name: c.Name, Kind: c.Kind, Brief: c.Brief, Details: c.Details}
			if c.Kind == "struct" {
				members[c.Name] = c.Members
				continue
			}
			for _, m := range c.Members {
				declarations[m.Name] = m
				members[m.Name] = m.Values
			}
		}
	}
	return declarations, members
}

// A comment stands with what it was written for: one behind a struct that is declared and not defined
// would slide to whatever comes next.
func TestTheReferenceDescribesWhatIsMeant(t *testing.T) {
	declarations, _ := reference(t)
	for name, begins := range map[string]string{
		"smf_core": "one poll loop", "smf_buffer": "a piece of the core's memory", "smf_engine": "what smf_engine_open opens",
		"smf_timer": "one deadline", "smf_tallied": "What a turn has to settle", "smf_event_kind": "What happened.",
		"smf_net_kind": "Transports.", "smf_timer_open": "Makes a timer", "smf_core_read_stats": "Reads the counters",
		"smf_close_reason_name": "The reason in words",
	} {
		d, found := declarations[name]
		require.True(t, found, name)
		said := strings.ReplaceAll(d.Brief.String(), "&apos;", "'")
		require.True(t, strings.HasPrefix(said, begins), "%s is described as %q", name, said)
	}
}

// A field is looked up alone: its comment does not go on in the next one's, nor begin in the one before,
// and a remark on several fields is no part of the first one's.
func TestTheReferenceDescribesEachFieldByItself(t *testing.T) {
	_, members := reference(t)
	require.NotEmpty(t, members["smf_core_stats"])
	require.NotEmpty(t, members["smf_close_reason"])
	leans := regexp.MustCompile(`[,;:]$|^(and|or|likewise|to them|of those|that)\b`)
	for of, list := range members {
		for _, m := range list {
			require.NotEmpty(t, m.Brief.String(), "%s of %s", m.Name, of)
			require.NotRegexp(t, leans, m.Brief.String(), "%s of %s", m.Name, of)
			require.Empty(t, m.Details.String(), "%s of %s has two comments, or a comment of several sentences", m.Name, of)
		}
	}
}
