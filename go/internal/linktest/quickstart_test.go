package linktest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
)

// quickstart takes the marked blocks out of the README.
func quickstart(t *testing.T, readme string) map[string]string {
	blocks := map[string]string{}
	marked := regexp.MustCompile("(?s)<!-- quickstart:(\\S+) -->\n```\\w+\n(.*?)```")
	for _, m := range marked.FindAllStringSubmatch(readme, -1) {
		blocks[m[1]] = m[2]
	}
	require.Len(t, blocks, 6, "install, greet.fbs, main.go, run, main.c and run-c")
	return blocks
}

// headersHash makes the go command compile the border again when an installed header has changed, which
// it does not look at.
func headersHash(t *testing.T, prefix string) string {
	headers, err := filepath.Glob(filepath.Join(prefix, "include", "smf", "*.h"))
	require.NoError(t, err)
	require.NotEmpty(t, headers)
	hash := sha256.New()
	for _, header := range headers {
		text, err := os.ReadFile(header)
		require.NoError(t, err)
		_, _ = hash.Write(text)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8])
}

// TestReadmeQuickstart does what the README's quickstart says, in an empty folder outside the
// repository. What differs: the library goes to a folder of the test's, and the module comes from this
// tree instead of from the network.
func TestReadmeQuickstart(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and installs the tree")
	}
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("no flatc: ./build.sh deps")
	}
	root, err := sourcetree.Root()
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	blocks := quickstart(t, string(readme))
	// The go command's cache keeps what pkg-config once said of the library's place: always the same
	// place, with a cache of its own.
	prefix, folder := filepath.Join(root, "build", "quickstart"), t.TempDir()
	cache := filepath.Join(root, "build", "quickstart-cache")

	require.Equal(t, "./build.sh install\n", blocks["install"])
	install := exec.Command("./build.sh", "install", "--prefix", prefix)
	install.Dir = root
	output, err := install.CombinedOutput()
	require.NoError(t, err, "%s", output)

	for _, name := range []string{"greet.fbs", "main.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(blocks[name]), 0o600))
	}
	fetch := "go get github.com/smf-go/smf@latest\n"
	require.Contains(t, blocks["run"], fetch)
	local := "go mod edit -require=github.com/smf-go/smf@v0.0.0 -replace=github.com/smf-go/smf=" + root + "\n"
	script := "set -e\n" + strings.Replace(blocks["run"], fetch, local, 1)
	command := exec.Command("bash", "-c", script)
	command.Dir = folder
	environment := append(os.Environ(), "PATH="+filepath.Join(prefix, "bin")+":"+os.Getenv("PATH"),
		"PKG_CONFIG_PATH="+filepath.Join(prefix, "lib", "pkgconfig"),
		"LD_LIBRARY_PATH="+filepath.Join(prefix, "lib"), "GOFLAGS=-mod=mod", "GOWORK=off",
		"GOCACHE="+cache, "CGO_CFLAGS=-O2 -g -DHEADERS="+headersHash(t, prefix))
	command.Env = environment
	output, err = command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.True(t, strings.HasSuffix(string(output), "hello, world\n"), "%s", output)

	folder = t.TempDir()
	for _, name := range []string{"greet.fbs", "main.c"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(blocks[name]), 0o600))
	}
	command = exec.Command("bash", "-c", "set -e\n"+blocks["run-c"])
	command.Dir, command.Env = folder, environment
	output, err = command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Equal(t, "hello, world\n", string(output))
}
