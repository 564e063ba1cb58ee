package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
)

// smfc runs the command and returns what it printed.
func smfc(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var log bytes.Buffer
	command := newCommand()
	command.SetArgs(twoDashes(args))
	command.SetOut(&log)
	command.SetErr(&log)
	err := command.ExecuteContext(t.Context())
	return log.String(), err
}

func needFlatc(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
}

// inFolder writes files into a new folder and goes there.
func inFolder(t *testing.T, files map[string]string) {
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	}
	t.Chdir(folder)
}

const shop = "namespace a; table T { name: string; } rpc_service S { Go(T): T; }"

func TestGenerateThenCheck(t *testing.T) {
	needFlatc(t)
	inFolder(t, map[string]string{"x.fbs": shop})
	log, err := smfc(t, "--check", "x.fbs")
	require.ErrorIs(t, err, errStale)
	require.Equal(t, "x.fb.go is missing\nx.smf.go is missing\nx.bfbs.go is missing\n", log)
	require.NoFileExists(t, "x.fb.go", "--check writes nothing")

	log, err = smfc(t, "x.fbs")
	require.NoError(t, err)
	require.Empty(t, log)
	_, err = smfc(t, "--check", "x.fbs")
	require.NoError(t, err)

	require.NoError(t, os.WriteFile("x.smf.go", []byte("package a\n"), 0o666))
	require.NoError(t, os.WriteFile("x.fb.go", []byte("package a\n"), 0o666))
	require.NoError(t, os.Remove("x.bfbs.go"))
	log, err = smfc(t, "--check", "x.fbs")
	require.ErrorIs(t, err, errStale)
	require.Equal(t, "x.fb.go differs from what its schema generates\nx.smf.go differs from what its schema generates\n"+
		"x.bfbs.go is missing\n", log)

	out := filepath.Join("new", "deep")
	_, err = smfc(t, "--out", out, "--package", "other", "x.fbs")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(out, "x.fb.go"))
	require.NoError(t, err)
	require.Contains(t, string(text), "\npackage other\n")
}

// What no schema makes any more is named; to remove it is left to the user.
func TestWhatIsLeftOver(t *testing.T) {
	needFlatc(t)
	inFolder(t, map[string]string{"x.fbs": shop, "go.mod": "module example.com/x\n"})
	_, err := smfc(t, "x.fbs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("x.fbs", []byte("namespace b; table U { t: a.T; }"+shop), 0o666))
	const suffix = ".go: warning: is left over from an earlier run: its schema does not make it any more; remove it\n"
	log, err := smfc(t, "x.fbs")
	require.NoError(t, err)
	require.Equal(t, "x.bfbs"+suffix+"x.fb"+suffix+"x.smf"+suffix, log)
	_, err = smfc(t, "--check", "x.fbs")
	require.ErrorIs(t, err, errStale)
	for _, name := range []string{"x.bfbs.go", "x.fb.go", "x.smf.go"} {
		require.NoError(t, os.Remove(name))
	}
	log, err = smfc(t, "--check", "x.fbs")
	require.NoError(t, err)
	require.Empty(t, log)
}

// The command that a warning names does what it says.
func TestTheCommandForWhatIsMissing(t *testing.T) {
	needFlatc(t)
	for _, args := range []string{
		"-I inc --out gen --go-import example.com/m/gen x.fbs", "--include_dirs inc --filename x.fbs --package p --out gen",
		"-I inc --out gen --lang go,c --go-import example.com/m x.fbs",
	} {
		inFolder(t, map[string]string{
			"x.fbs":         `include "units.fbs"; namespace a.x; table T { u: a.units.Unit; } rpc_service S { Go(T): T; }`,
			"inc/units.fbs": "namespace a.units; table Unit { n: int; }",
			"go.mod":        "module example.com/m\n",
		})
		log, err := smfc(t, strings.Fields(args)...)
		require.NoError(t, err, args)
		_, command, found := strings.Cut(strings.TrimSpace(log), "; generate them together: smfc ")
		require.True(t, found, log)
		command, _, _ = strings.Cut(command, "\n")
		log, err = smfc(t, strings.Fields(command)...)
		require.NoError(t, err, command)
		require.Empty(t, log, command)
	}
}

func TestWrongCommandLines(t *testing.T) {
	needFlatc(t)
	inFolder(t, map[string]string{
		"x.fbs": "namespace a; table T {} namespace b; table S {}",
	})
	const help = " smfc --help lists the flags\n"
	for args, want := range map[string]string{
		"":                                  "smfc wants a schema: smfc shop.fbs; smfc --help says more\n",
		"--bogus x.fbs":                     "unknown flag: --bogus;" + help,
		"--incldue . x.fbs":                 "unknown flag: --incldue; is --include meant?" + help,
		"--chek x.fbs":                      "unknown flag: --chek; is --check meant?" + help,
		"-o out x.fbs":                      "unknown shorthand flag: 'o' in -o; is --out meant?" + help,
		"--go x.fbs":                        "unknown flag: --go; is --lang go meant?" + help,
		"--out":                             "flag needs an argument: --out;" + help,
		"--language go --lang go x.fbs":     "--language is another name of --lang: give one of them\n",
		"--output_path . --out . x.fbs":     "--output_path is another name of --out: give one of them\n",
		"--lang go,perl x.fbs":              "there is no language \"perl\"; known: go, c\n",
		"--go-import /x x.fbs":              "--go-import: malformed import path \"/x\": empty path element\n",
		"--out out --package p x.fbs":       "--package p names one package, and these schemas make 2: out/a, out/b; leave it out\n",
		"--filename=x.fbs -language python": "there is no language \"python\"; known: go, c\n",
	} {
		_, err := smfc(t, strings.Fields(args)...)
		var log bytes.Buffer
		require.Error(t, err, args)
		require.Equal(t, exitUsage, report(&log, err), args)
		require.Equal(t, want, strings.TrimPrefix(log.String(), "smfc: "), args)
	}
}

// Messages about schemas begin with the file's name, others with the program's.
func TestReport(t *testing.T) {
	needFlatc(t)
	inFolder(t, map[string]string{"x.fbs": "table T { x int; }", "y.fbs": "namespace y;\ntable"})
	for args, want := range map[string]string{
		"x.fbs y.fbs": "x.fbs:1: expecting: : instead got: int\n" +
			"y.fbs:2: expecting: identifier instead got: end of file\n",
		"z.fbs":               "z.fbs: no such file or directory\n",
		"--flatc none x.fbs":  "smfc: none was not found: what is needed is the FlatBuffers compiler flatc,",
		"--flatc false x.fbs": " --version: exit status 1: what is needed is the FlatBuffers compiler flatc,",
	} {
		_, err := smfc(t, strings.Fields(args)...)
		var log bytes.Buffer
		require.Equal(t, exitFailed, report(&log, err), args)
		require.Contains(t, log.String(), want, args)
	}
	var log bytes.Buffer
	require.Equal(t, exitFailed, report(&log, errStale))
	require.Equal(t, "smfc: generated files are not up to date; run smfc again without --check\n", log.String())
	require.Equal(t, exitUsage, report(&log, codegen.Problems{errors.New("x"), &codegen.OptionError{}}))
}

// Who comes from the original smf keeps what calls its generator.
func TestTheOriginalsFlags(t *testing.T) {
	needFlatc(t)
	files := map[string]string{
		"schemas/x.fbs": `include "y.fbs"; include "z.fbs"; ` + shop,
		"one/y.fbs":     `attribute "priority";`, "two/z.fbs": `attribute "weight";`,
	}
	for _, args := range []string{
		"--filename schemas/x.fbs --include_dirs one,two --language go --output_path gen",
		"-filename=schemas/x.fbs -include_dirs=one,two -language=go -output_path=gen",
		"-filename schemas/x.fbs -include_dirs one -include_dirs two -language go -output_path gen",
	} {
		inFolder(t, files)
		_, err := smfc(t, strings.Fields(args)...)
		require.NoError(t, err, args)
		require.FileExists(t, "gen/x.smf.go", args)
	}
	inFolder(t, files)
	_, err := smfc(t, "--filename", "schemas/x.fbs", "--include_dirs", "one, two")
	require.NoError(t, err)
	require.FileExists(t, "x.smf.go", "the original writes to where it is called")
}

// From a Go file, as go generate runs it: in the file's folder.
func TestGoGenerate(t *testing.T) {
	needFlatc(t)
	if testing.Short() {
		t.Skip("builds smfc")
	}
	bin := t.TempDir()
	output, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, "%s", output)
	inFolder(t, map[string]string{
		"go.mod":          "module example.com/x\n",
		"schemas/x.fbs":   shop,
		"gen/generate.go": "package a\n\n//go:generate smfc --out . ../schemas/x.fbs\n",
	})
	generate := func() (string, error) {
		command := exec.Command("go", "generate", "./...")
		command.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GOWORK=off")
		output, err := command.CombinedOutput()
		return string(output), err
	}
	text, err := generate()
	require.NoError(t, err, text)
	require.Empty(t, text)
	require.FileExists(t, "gen/x.smf.go")

	require.NoError(t, os.WriteFile("schemas/x.fbs", []byte("namespace a;\ntable T { x int; }"), 0o666))
	text, err = generate()
	require.Error(t, err)
	require.Contains(t, text, "../schemas/x.fbs:2: expecting: : instead got: int\n")
	require.Contains(t, text, `running "smfc": exit status 1`)
}

func TestVersion(t *testing.T) {
	log, err := smfc(t, "--version")
	require.NoError(t, err)
	require.Equal(t, "smfc version "+version+"\n", log)
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "CMakeLists.txt"))
	require.NoError(t, err)
	require.Contains(t, string(text), "project(smf VERSION "+version+" ")
}

// What the help says of the end of the program is so.
func TestHelp(t *testing.T) {
	log, err := smfc(t, "--help")
	require.NoError(t, err)
	require.Contains(t, log, "--go-import")
	require.NotContains(t, log, "      --include_dirs", "the original's flags are in the text only")
	for line := range strings.Lines(log) {
		require.LessOrEqual(t, len(line), 121, line)
	}
}
