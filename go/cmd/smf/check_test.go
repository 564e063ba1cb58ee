package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/machine"
	"github.com/smf-go/smf/go/internal/sourcetree"
)

// oldMachine is a report of a machine that smf does not run on.
func oldMachine() *machine.Report {
	return &machine.Report{Findings: []machine.Finding{
		{Section: "system", Name: "kernel", Verdict: machine.Missing, Text: "5.10 is too old", Fix: []string{"sudo apt-get install newer"}},
		{Section: "system", Name: "architecture", Verdict: machine.OK, Text: "x86_64"},
		{Section: "memory", Name: "swap", Verdict: machine.Better, Text: strings.TrimSpace(strings.Repeat("words ", 20)),
			Fix: []string{"# words, and", "sudo swapoff -a"}},
		{Section: "memory", Name: "overcommit", Verdict: machine.Unknown, Text: "can't read µ"},
	}}
}

func TestReportIsAligned(t *testing.T) {
	var b bytes.Buffer
	o := checkOptions{}
	err := o.tell(oldMachine(), &b)
	require.EqualError(t, err, "smf does not run here without: kernel")
	require.Equal(t, `system
  missing          kernel        5.10 is too old
                     sudo apt-get install newer
  ok               architecture  x86_64

memory
  could be better  swap          words words words words words words words words words words words words words
                                 words words words words words words words
                     # words, and
                     sudo swapoff -a
  unknown          overcommit    can't read µ

Missing: kernel. 1 thing could be better: the commands stand below it. 1 thing can't be told.
`, b.String())
}

func TestColoursAreForTerminals(t *testing.T) {
	var plain, coloured bytes.Buffer
	printReport(&plain, oldMachine(), false)
	printReport(&coloured, oldMachine(), true)
	require.NotContains(t, plain.String(), "\x1b")
	require.Contains(t, coloured.String(), "  \x1b[31mmissing        \x1b[0m  kernel")
	text := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[36m", "", "\x1b[0m", "").Replace(coloured.String())
	require.Equal(t, plain.String(), text)
}

// parsedCheck is what --json prints, as somebody else would read it.
type parsedCheck struct {
	Version  string
	Missing  []string
	Findings []struct {
		Section, Name, Verdict, Text string
		Fix                          []string
		Facts                        map[string]any
	}
}

func TestReportAsJSON(t *testing.T) {
	var b bytes.Buffer
	o := checkOptions{json: true}
	require.Error(t, o.tell(oldMachine(), &b))
	var parsed parsedCheck
	require.NoError(t, json.Unmarshal(b.Bytes(), &parsed))
	require.Equal(t, []string{"kernel"}, parsed.Missing)
	require.Equal(t, "could be better", parsed.Findings[2].Verdict)
	require.Equal(t, []string{"# words, and", "sudo swapoff -a"}, parsed.Findings[2].Fix)
}

// keysOf are the keys of what a type becomes in JSON, as rows of docs/check.md: with types, in order.
func keysOf(of string, object reflect.Type) (rows []string) {
	kinds := map[reflect.Type]string{reflect.TypeFor[string](): "string", reflect.TypeFor[machine.Verdict](): "string",
		reflect.TypeFor[[]string](): "list of strings", reflect.TypeFor[[]machine.Finding](): "list of objects",
		reflect.TypeFor[map[string]any](): "object"}
	for i := range object.NumField() {
		field := object.Field(i)
		if field.Anonymous {
			rows = append(rows, keysOf(of, field.Type)...)
			continue
		}
		key, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		row := "| " + of + " | `" + key + "` | " + kinds[field.Type] + " |"
		if option == "omitempty" {
			row += " may be left out"
		}
		rows = append(rows, row)
	}
	return rows
}

// docs/check.md describes the shape: every key with its type, no other, and which may be left out.
func TestTheShapeOfTheJSONIsDocumented(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "check.md"))
	require.NoError(t, err)
	var documented []string
	for _, m := range regexp.MustCompile(`(?m)^(\| (?:the document|a finding) \| [^|]+ \| [^|]+ \|)(.*)$`).FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(m[2], "Not there: ") {
			m[1] += " may be left out"
		}
		documented = append(documented, m[1])
	}
	require.Equal(t, append(keysOf("the document", reflect.TypeFor[checkResult]()),
		keysOf("a finding", reflect.TypeFor[machine.Finding]())...), documented)

	// What is printed has these keys, and those that are never left out.
	got := smf(t, "check", "--json", "--dir", t.TempDir())
	require.Zero(t, got.status, got.stderr)
	var printed map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &printed))
	keys := slices.Collect(maps.Keys(printed))
	for _, finding := range printed["findings"].([]any) {
		for key := range finding.(map[string]any) {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	require.Len(t, keys, len(documented), "%v", keys)
	for _, key := range keys {
		require.Contains(t, strings.Join(documented, "\n"), "| `"+key+"` |")
	}
}

// The machine that builds this project has all that is needed.
func TestCheckOfThisMachine(t *testing.T) {
	folder := t.TempDir()
	got := smf(t, "check", "--dir", folder, "--dir", "/proc")
	require.Zero(t, got.status, got.stderr)
	require.Empty(t, got.stderr)
	require.Contains(t, got.stdout, "Nothing that smf needs is missing.")
	require.Contains(t, got.stdout, folder+" (")
	require.Regexp(t, `\n  unknown +direct I/O +/proc \(proc\): no file can be made here to try it: `, got.stdout)
	require.Regexp(t, "things? can't be told\\.", got.stdout, "which is no reason to fail")
	require.NotContains(t, got.stdout, "\x1b")
	for line := range strings.Lines(got.stdout) {
		if strings.HasPrefix(line, "  ok") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), reportWidth+1, line)
		}
	}
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestCheckOfThisMachineAsJSON(t *testing.T) {
	got := smf(t, "check", "--json", "--dir", t.TempDir())
	require.Zero(t, got.status, got.stderr)
	var parsed parsedCheck
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &parsed))
	require.Equal(t, version, parsed.Version)
	require.NotNil(t, parsed.Missing, "an empty list, not null")
	require.Empty(t, parsed.Missing)
	for _, f := range parsed.Findings {
		require.Contains(t, []string{"ok", "could be better", "unknown"}, f.Verdict)
		require.NotEmpty(t, f.Name)
		require.NotEmpty(t, f.Text)
		require.False(t, f.Verdict == "could be better" && len(f.Fix) == 0, "%s: nothing to do about it", f.Name)
	}
}

// A process that may use one CPU is told so, and a Go server on it has to share.
func TestCheckOnOneProcessor(t *testing.T) {
	if _, err := exec.LookPath("taskset"); err != nil {
		t.Skip("no taskset")
	}
	command := exec.Command("sh", "-c", `cpu=$(taskset -pc $$ | sed 's/.*: //; s/[-,].*//') && exec taskset -c "$cpu" "$0" check --json --dir "$1"`,
		binary(t), t.TempDir())
	got := runToEnd(t, command)
	require.Zero(t, got.status, got.stderr)
	var parsed parsedCheck
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &parsed))
	for _, f := range parsed.Findings {
		if f.Name == "CPUs" {
			require.Len(t, f.Facts["usable"], 1)
			require.Equal(t, "could be better", f.Verdict)
		}
		if f.Name == "GOMAXPROCS" && os.Getenv("GOMAXPROCS") == "" {
			require.EqualValues(t, 1, f.Facts["procs"])
		}
	}
}
