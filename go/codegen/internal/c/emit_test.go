package c

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/model"
)

// The same model gives the same bytes. (That the files beside the schemas are these is a test of package
// codegen, for all languages.)
func TestTheSameAgain(t *testing.T) {
	for _, folder := range cases(t) {
		for _, s := range schemasOf(t, folder) {
			header, source, err := Emit(s.model, s.options())
			require.NoError(t, err)
			againHeader, againSource, err := Emit(s.model, s.options())
			require.NoError(t, err)
			require.Equal(t, string(header), string(againHeader))
			require.Equal(t, string(source), string(againSource))
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"two that are one in C", `namespace a.b; table T {} namespace a; table b_T {}`,
			"table a.b_T would have the C name of table a.b.T in x.fbs: a_b_T; rename one of them"},
		{"a table and a field", `namespace a; table T { x: int; } table T_x {}`,
			"table a.T_x would have the C name of field a.T.x in x.fbs: a_T_x; rename one of them"},
		{"a field and what another one has", `namespace a; table T { x: string; x_is_present: bool; }`,
			"field a.T.x_is_present would have the C name of the presence of field a.T.x in x.fbs: a_T_x_is_present; rename one of them"},
		{"a table and what another one has", `namespace a; table T {} table T_ref {}`,
			"table a.T_ref would have the C name of the ref of table a.T in x.fbs: a_T_ref; rename one of them"},
		{"fields of a struct", `namespace a; struct S { int_: int; default: int; default_: int; }`,
			"field a.S.default_ would have the C name of field a.S.default in x.fbs: default_; rename one of them"},
		{"nothing", `namespace a;`, "nothing to generate: the schema declares no type and no service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := compileText(t, c.text)
			_, _, err := Emit(s.model, s.options())
			require.Error(t, err)
			message := err.Error()
			if wrong, ok := err.(*model.Error); ok {
				message = wrong.Message(func(other model.Place) string { return other.File.Name })
			}
			require.Equal(t, c.want, message)
		})
	}
}

func TestIncludesInACircle(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"x.fbs": `include "y.fbs"; namespace a; table X { y: Y; }`,
		"y.fbs": `include "x.fbs"; namespace a; table Y { x: X; }`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o666))
	}
	s := compileSchema(t, filepath.Join(folder, "x.fbs"))
	_, _, err := Emit(s.model, s.options())
	require.EqualError(t, err, "y.fbs is included, and includes this file: in C the types of one have to come first")
}

// Names that would stand for something else get an underscore.
func TestMangledNames(t *testing.T) {
	s := compileText(t, `namespace a;
enum E : byte { value_name, other }
struct S { default: int; linux: short; }
table T { ref: string; as_root: int; value: E = value_name; }
union U { type: T }
rpc_service V { delete(T): T; context(T): T; service(T): T; }`)
	header, source, err := Emit(s.model, s.options())
	require.NoError(t, err)
	for _, want := range []string{
		"#define a_E_value_name_ ((a_E)0)", "int32_t default_;", "int16_t linux_;", "a_T_ref_(const struct a_T *table)",
		"a_T_as_root_(", "#define a_U_type_ ((a_U_type)1)", "uint32_t (*delete_)(", "uint32_t (*context_)(", "int a_V_service_(",
	} {
		require.Contains(t, string(header), want)
	}
	require.Contains(t, string(source), `{"delete", "a.T", "a.T",`)
	folder := t.TempDir()
	b := &build{t: t, folder: folder}
	b.write("x.smf.h", header)
	b.write("x.smf.c", source)
	b.run("cc", "-std=c11", "-fsyntax-only", "-Wall", "-Werror", "-I", mustAbs(t, "../../../../native/include"), "x.smf.c")
}

func mustAbs(t *testing.T, path string) string {
	path, err := filepath.Abs(path)
	require.NoError(t, err)
	return path
}

// Code for other headers does not compile, and says why.
func TestTheVersionOfTheHeaders(t *testing.T) {
	s := compileText(t, `namespace a; table T {}`)
	header, _, err := Emit(s.model, s.options())
	require.NoError(t, err)
	text := strings.Replace(string(header), fmt.Sprint("VERSION != ", generatedVersion), "VERSION != 99", 1)
	path := filepath.Join(t.TempDir(), "x.smf.h")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	output, err := exec.Command("cc", "-fsyntax-only", "-I", "../../../../native/include", "-x", "c", path).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(output), "x.smf.h was generated for other headers of smf than these: run the smfc that came with them")

	headers, err := os.ReadFile("../../../../native/include/smf/flat.h")
	require.NoError(t, err)
	require.Contains(t, string(headers), fmt.Sprintf("#define SMF_GENERATED_VERSION %d\n", generatedVersion))
}

// The ids of docs/wire.md.
func TestMethodIDs(t *testing.T) {
	s := schemasOf(t, "../../../../schema/demo")[0]
	header, _, err := Emit(s.model, s.options())
	require.NoError(t, err)
	for method, id := range map[string]uint32{"Get": 1792279101, "Put": 4130483528, "Fire": 28301820, "Forget": 1692700595, "SomethingElse": 1893633213} {
		program := fmt.Sprintf("_Static_assert(smf_gen_demo_SmfStorage_%s_ID == %du, \"\");", method, id)
		folder := t.TempDir()
		b := &build{t: t, folder: folder}
		b.write("x.h", header)
		b.write("x.c", []byte("#include \"x.h\"\n"+program))
		b.run("cc", "-std=c11", "-fsyntax-only", "-I", mustAbs(t, "../../../../native/include"), "x.c")
	}
}
