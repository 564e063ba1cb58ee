package pages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// marked takes the blocks out of a page that stand below <!-- KIND:NAME -->.
func marked(t *testing.T, text, kind string) map[string]string {
	t.Helper()
	blocks := map[string]string{}
	pattern := regexp.MustCompile("(?s)<!-- " + kind + ":(\\S+) -->\n```\\w+\n(.*?)```")
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		blocks[m[1]] = m[2]
	}
	require.Len(t, blocks, 4, "orders.fbs, generate, main.go and output")
	return blocks
}

// runService does what a page says: writes its schema and its program into an empty module, generates,
// builds, runs, and compares what is printed. The module comes from this tree.
func runService(t *testing.T, name, kind string) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("no flatc: ./build.sh deps")
	}
	text, root := page(t, name)
	blocks := marked(t, text, kind)
	folder := t.TempDir()
	for _, file := range []string{"orders.fbs", "main.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(blocks[file]), 0o600))
	}
	require.Equal(t, "smfc --out orders orders.fbs\n", blocks["generate"])
	const module = "github.com/smf-go/smf"
	script := strings.Join([]string{
		"set -e",
		"go build -C " + root + " -o \"$PWD/bin/\" ./go/cmd/smfc",
		"go mod init example.com/shop",
		"PATH=$PWD/bin:$PATH " + strings.TrimSpace(blocks["generate"]),
		"go mod edit -require=" + module + "@v0.0.0 -replace=" + module + "=" + root,
		"go mod tidy",
		"go vet ./...",
		"go build -o bin/shop .",
	}, "\n")
	command := exec.Command("bash", "-c", script)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	shop := exec.Command("timeout", "60", filepath.Join(folder, "bin", "shop"))
	output, err = shop.Output() // what goes to the log is not the page's business
	require.NoError(t, err, "%s", output)
	require.Equal(t, blocks["output"], string(output))
}

func TestTheServiceFromGRPC(t *testing.T) { runService(t, "from-grpc-go.md", "from-grpc") }

func TestTheServiceFromCpp(t *testing.T) { runService(t, "from-smf-cpp.md", "from-cpp") }
