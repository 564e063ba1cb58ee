package rpc_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// compile builds a package of generated code and this one with files that were changed, and returns what the
// compiler says.
func compile(t *testing.T, changes map[string]func(string) string) string {
	t.Helper()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	folder := t.TempDir()
	for name, change := range changes {
		path, err := filepath.Abs(name)
		require.NoError(t, err)
		was, err := os.ReadFile(path)
		require.NoError(t, err)
		text := change(string(was))
		require.NotEqual(t, string(was), text, "nothing was changed in %s", name)
		overlay.Replace[path] = filepath.Join(folder, filepath.Base(path))
		require.NoError(t, os.WriteFile(overlay.Replace[path], []byte(text), 0o666))
	}
	list, err := json.Marshal(overlay)
	require.NoError(t, err)
	file := filepath.Join(folder, "overlay.json")
	require.NoError(t, os.WriteFile(file, list, 0o666))
	command := exec.CommandContext(patient(t), "go", "build", "-overlay", file, "../../schema/demo")
	output, err := command.CombinedOutput()
	if err == nil {
		require.Empty(t, string(output))
	}
	return string(output)
}

const generated = "../../schema/demo/smf_demo.smf.go"

var versions = regexp.MustCompile(`(?m)^.*\b(flatverify|rpc)\.Generated[0-9]+.*\n`)

// naming makes generated code name a constant of package rpc, and use something beside it.
func naming(constant, beside string) func(string) string {
	return func(text string) string {
		text = versions.ReplaceAllString(text, "")
		text = strings.Replace(text, "\n)\n", "\n)\n\nconst _ = rpc."+constant+"\n", 1) // behind the imports
		return strings.ReplaceAll(text, "rpc.Registrar", beside)
	}
}

// Generated code of another version does not compile, and the compiler's first line says why.
func TestGeneratedCodeOfAnotherVersion(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	first := func(output string) string {
		for _, line := range strings.Split(output, "\n") {
			if strings.Contains(line, ".go:") {
				return line
			}
		}
		return output
	}
	require.Empty(t, compile(t, map[string]func(string) string{generated: naming("Generated2", "rpc.Registrar")}))

	newer := compile(t, map[string]func(string) string{generated: naming("Generated4", "rpc.NotThereYet")})
	require.Contains(t, newer, "undefined: rpc.NotThereYet")
	require.Regexp(t, `smf_demo\.smf\.go:\d+:\d+: undefined: rpc\.Generated4$`, first(newer))

	older := compile(t, map[string]func(string) string{
		generated: naming("Generated1", "rpc.GoneSince"),
		"generated.go": func(text string) string {
			return strings.Replace(text, "const Generated1 = 1\n", "var Generated1 RunSmfcAgain\n\ntype RunSmfcAgain struct{}\n", 1)
		},
	})
	require.Contains(t, older, "undefined: rpc.GoneSince")
	require.Regexp(t, `smf_demo\.smf\.go:\d+:\d+: rpc\.Generated1 \(.*\brpc\.RunSmfcAgain\) is not constant$`, first(older))
}

// Who looks the constant up is told what to do.
func TestTheConstantSaysWhatToDo(t *testing.T) {
	output, err := exec.CommandContext(patient(t), "go", "doc", "-C", "../..", "./go/rpc", "Generated1").CombinedOutput()
	require.NoError(t, err, string(output))
	require.Contains(t, strings.Join(strings.Fields(string(output)), " "), "run smfc again")
}
