package pages

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
	"github.com/smf-go/smf/go/rpc"
)

// pages are those whose commands and links are looked at.
var pages = []string{"debugging.md", "from-grpc-go.md", "from-smf-cpp.md"}

// page is a file of docs, as it is in the tree.
func page(t *testing.T, name string) (text, root string) {
	t.Helper()
	root, err := sourcetree.Root()
	require.NoError(t, err)
	bytes, err := os.ReadFile(filepath.Join(root, "docs", name))
	require.NoError(t, err)
	return string(bytes), root
}

// part is a page's text from one heading of the second level to the next.
func part(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n## "+heading+"\n")
	require.True(t, found, "no part %q", heading)
	body, _, _ := strings.Cut(rest, "\n## ")
	return body
}

// rows are the first column's words in back quotes, of the tables of a text, and the second column's.
func rows(text string) (first, second string) {
	for line := range strings.Lines(text) {
		if columns := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(columns) > 1 {
			first += strings.TrimPrefix(columns[0], "| ") + "\n"
			second += columns[1] + "\n"
		}
	}
	return first, second
}

func source(t *testing.T, root, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	return string(content)
}

// Every counter has its row, and every row a counter.
func TestEveryCounterIsExplained(t *testing.T) {
	text, root := page(t, "debugging.md")
	ours, natives := rows(part(t, text, "The counters"))

	counters := reflect.TypeFor[rpc.CoreStats]()
	for i := range counters.NumField() {
		require.Contains(t, ours, "`"+counters.Field(i).Name+"`", "rpc.CoreStats has a counter that docs/debugging.md lacks")
	}
	header := source(t, root, "native/include/smf/stats.h")
	_, body, found := strings.Cut(header, "struct smf_core_stats {")
	require.True(t, found)
	body, _, _ = strings.Cut(body, "};")
	fields := map[string]bool{}
	for _, m := range regexp.MustCompile(`uint64_t (\w+)`).FindAllStringSubmatch(body, -1) {
		fields[m[1]] = true
		require.Contains(t, natives, "`"+m[1]+"`", "struct smf_core_stats has a counter that docs/debugging.md lacks")
	}
	require.Greater(t, len(fields), 20)

	quoted := regexp.MustCompile("`([^`]+)`")
	for _, m := range quoted.FindAllStringSubmatch(strings.ReplaceAll(ours, "`/stats`", ""), -1) {
		_, known := counters.FieldByName(m[1])
		require.True(t, known, "docs/debugging.md explains %s, which rpc.CoreStats does not have", m[1])
	}
	for _, m := range quoted.FindAllStringSubmatch(strings.ReplaceAll(natives, "`smf_core_stats`", ""), -1) {
		require.True(t, fields[m[1]], "docs/debugging.md explains %s, which struct smf_core_stats does not have", m[1])
	}
}

func TestEveryReasonToCloseIsExplained(t *testing.T) {
	text, root := page(t, "debugging.md")
	explained, _ := rows(part(t, text, "Why connections close"))
	names := regexp.MustCompile(`\[SMF_CLOSE_\w+\] = "([^"]+)"`).FindAllStringSubmatch(source(t, root, "native/src/rpc/rpc_api.c"), -1)
	require.Greater(t, len(names), 10)
	for _, m := range names {
		require.Contains(t, explained, "`"+m[1]+"`", "a reason to close that docs/debugging.md lacks")
	}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(explained, -1) {
		require.Contains(t, source(t, root, "native/src/rpc/rpc_api.c"), `"`+m[1]+`"`, "docs/debugging.md explains a reason that there is not")
	}
}

func TestEveryDirectiveOfTheCorePatternIsExplained(t *testing.T) {
	text, _ := page(t, "debugging.md")
	explained, _ := rows(part(t, text, "Core dumps"))
	for _, directive := range strings.Fields("%% %c %d %e %E %f %g %h %i %I %p %P %s %t %u") {
		require.Contains(t, explained, "`"+directive+"`")
	}
}

// The functions that the page sets probes on are there.
func TestFunctionsToProbeExist(t *testing.T) {
	text, root := page(t, "debugging.md")
	names, _ := rows(part(t, text, "Tracing the loop"))
	sources, err := filepath.Glob(filepath.Join(root, "native/src/*/*.c"))
	require.NoError(t, err)
	var all strings.Builder
	for _, path := range sources {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		all.Write(content)
	}
	found := regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(names, -1)
	require.NotEmpty(t, found)
	for _, m := range found {
		require.Regexp(t, `(?m)^[\w ]+[ *]`+m[1]+`\([^;]*$`, all.String(), "no function %s", m[1])
	}
}

// The library's name carries the ABI version.
func TestTheLibraryHasItsName(t *testing.T) {
	text, root := page(t, "debugging.md")
	version := regexp.MustCompile(`(?m)^#define SMF_ABI_VERSION (\d+)u`).FindStringSubmatch(source(t, root, "native/include/smf/engine.h"))
	require.NotNil(t, version)
	capi, _ := page(t, "c-api.md")
	names := regexp.MustCompile(`libsmf\.so\.(\d+)`).FindAllStringSubmatch(text+capi, -1)
	require.NotEmpty(t, names)
	for _, m := range names {
		require.Equal(t, version[1], m[1], "a page speaks of %s, and SMF_ABI_VERSION is %s", m[0], version[1])
	}
}

// The library has debug information and frame pointers, as the page says: a function begins by saving
// the caller's frame.
func TestTheLibraryCanBeLookedInto(t *testing.T) {
	_, root := page(t, "debugging.md")
	library, err := elf.Open(filepath.Join(root, "build/native/libsmf.so"))
	require.NoError(t, err, "./build.sh build comes first")
	defer library.Close()
	require.NotNil(t, library.Section(".debug_info"))
	if runtime.GOARCH != "amd64" {
		t.Skip("what a frame looks like is known of amd64 only")
	}
	symbols, err := library.Symbols()
	require.NoError(t, err)
	code := library.Section(".text")
	text, err := code.Data()
	require.NoError(t, err)
	found := 0
	for _, s := range symbols {
		switch s.Name {
		case "smf_core_poll", "smf__conn_read", "smf__rpc_send_collected":
			begin := s.Value - code.Addr
			const prologue = 48 // bytes in which a function sets up its frame
			require.True(t, bytes.Contains(text[begin:begin+prologue], []byte{0x48, 0x89, 0xe5}), "%s has no frame pointer", s.Name)
			found++
		}
	}
	require.Equal(t, 3, found)
}

// Every block of commands is something that a shell understands.
func TestCommandsAreShell(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	for _, name := range pages {
		text, _ := page(t, name)
		blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1)
		require.NotEmpty(t, blocks, name)
		for _, block := range blocks {
			output, err := exec.Command(shell, "-n", "-c", block[1]).CombinedOutput()
			require.NoError(t, err, "%s: %s\n%s", name, block[1], output)
		}
	}
}

// packages are where the tools of the page come from.
var packages = map[string]string{"curl": "curl", "perf": "linux-perf", "gdb": "gdb", "strace": "strace", "bpftrace": "bpftrace",
	"top": "procps", "ss": "iproute2", "dlv": "github.com/go-delve/delve/cmd/dlv@latest"}

// The first commands of the page install the tools that the others use, and nothing else.
func TestToolsCanBeInstalled(t *testing.T) {
	text, _ := page(t, "debugging.md")
	install := regexp.MustCompile("(?s)```sh\n(.*?)```").FindStringSubmatch(text)
	require.NotNil(t, install)
	require.Contains(t, install[1], "apt-get install ")
	_, others, _ := strings.Cut(text, install[0])
	var needed []string
	for tool, name := range packages {
		if regexp.MustCompile("(?m)(^|\\| |`)(timeout \\d+ )?" + tool + " ").MatchString(others) {
			needed = append(needed, name)
		}
	}
	installed := strings.Fields(regexp.MustCompile(`(?m)^(apt-get|go) install `).ReplaceAllString(install[1], ""))
	require.ElementsMatch(t, needed, installed)
}

// Links lead somewhere: the file is there, and has the heading.
func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range pages {
		text, root := page(t, name)
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			target := text
			if path != "" {
				content, err := os.ReadFile(filepath.Join(root, "docs", path))
				if info, errStat := os.Stat(filepath.Join(root, "docs", path)); errStat == nil && info.IsDir() {
					continue
				}
				require.NoError(t, err, "%s links to %s", name, m[1])
				target = string(content)
			}
			if anchor != "" {
				require.Contains(t, anchors(target), anchor, "%s links to %s", name, m[1])
			}
		}
	}
}

// anchors are what headings are linked by: small letters, - for spaces, no other signs.
func anchors(text string) []string {
	var all []string
	signs := regexp.MustCompile(`[^\w\- ]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(signs.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}
