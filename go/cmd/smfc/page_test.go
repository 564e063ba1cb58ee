package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func page(t *testing.T) string {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "smfc.md"))
	require.NoError(t, err)
	return string(text)
}

func TestThePageHasAllFlags(t *testing.T) {
	text := page(t)
	newCommand().Flags().VisitAll(func(flag *pflag.Flag) {
		require.Regexp(t, "`--"+flag.Name+"[ `]", text)
	})
}

// What the page shows is what happens.
func TestTheExampleOfThePage(t *testing.T) {
	needFlatc(t)
	if testing.Short() {
		t.Skip("builds smfc")
	}
	text, bin := page(t), t.TempDir()
	output, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	files := make(map[string]string)
	for _, m := range regexp.MustCompile("(?s)<!-- example:(\\S+) -->\n```fbs\n(.*?)```").FindAllStringSubmatch(text, -1) {
		files["schemas/"+m[1]] = m[2]
	}
	require.Len(t, files, 2)
	files["go.mod"] = "module example.com/hello\n"
	inFolder(t, files)
	session := regexp.MustCompile("(?s)<!-- session -->\n```console\n(.*?)```").FindStringSubmatch(text)
	require.NotNil(t, session)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("GOWORK", "off")
	commands := 0
	var want, got strings.Builder
	for line := range strings.Lines(session[1]) {
		want.WriteString(line)
		if command, found := strings.CutPrefix(line, "$ "); found {
			output, _ := exec.Command("bash", "-c", command).CombinedOutput()
			got.WriteString(line + string(output))
			commands++
		}
	}
	require.Equal(t, want.String(), got.String())
	require.Equal(t, 5, commands)
}
