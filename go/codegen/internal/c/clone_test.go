package c

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/sourcetree"
	"github.com/smf-go/smf/go/schema"
)

// compilers are what generated code has to pass without a warning.
var compilers = [][]string{
	{"gcc", "-std=c11"}, {"clang", "-std=c11"}, {"g++", "-std=c++17", "-x", "c++"}, {"clang++", "-std=c++17", "-x", "c++"},
}

var strict = []string{
	"-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wpedantic", "-Wundef", "-Wstrict-aliasing", "-Werror",
}

// build is a folder with the code that was generated from schemas, and a program that copies payloads.
type build struct {
	t       *testing.T
	root    string
	folder  string
	sources []string
	view    cloneView // tables by their numbers
}

// cloneView is what the template of the program sees.
type cloneView struct {
	Headers []string
	Scalars []struct{ Type, Name string }
	Tables  []tableView
	Structs []structView
	Unions  []unionView

	Services []serviceView
}

func newBuild(t *testing.T, schemas []*compiled) *build {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	b := &build{t: t, root: root, folder: t.TempDir()}
	var all cloneView
	for _, s := range schemas {
		header, source, err := Emit(s.model, s.options())
		require.NoError(t, err)
		b.write(s.stem+".smf.h", header)
		b.write(s.stem+".smf.c", source)
		b.sources = append(b.sources, s.stem+".smf.c")
		v, err := newView(s.model, s.options())
		require.NoError(t, err)
		all.Headers = append(all.Headers, s.stem+".smf.h")
		all.Tables = append(all.Tables, v.Tables...)
		all.Structs = append(all.Structs, v.Structs...)
		all.Unions = append(all.Unions, v.Unions...)
		all.Services = append(all.Services, v.Services...)
	}
	for _, scalar := range scalars {
		all.Scalars = append(all.Scalars, struct{ Type, Name string }{scalar.typ, scalar.name})
	}
	slices.SortFunc(all.Scalars, func(a, b struct{ Type, Name string }) int { return strings.Compare(a.Name, b.Name) })
	b.view = all
	b.execute("clone")
	return b
}

// execute writes NAME.c by its template.
func (b *build) execute(name string) {
	functions := template.FuncMap{"cloner": func(vector string) string {
		name := strings.TrimSuffix(strings.TrimPrefix(vector, "smf_flat_"), "_vector")
		if name == "string" {
			return "clone_strings"
		}
		return "clone_" + name
	}}
	parsed, err := template.New(name+".tmpl").Funcs(functions).ParseFiles("testdata/"+name+".tmpl", "testdata/clones.tmpl")
	require.NoError(b.t, err)
	var text bytes.Buffer
	require.NoError(b.t, parsed.Execute(&text, b.view))
	b.write(name+".c", text.Bytes())
}

func (b *build) write(name string, content []byte) {
	require.NoError(b.t, os.WriteFile(filepath.Join(b.folder, name), content, 0o666))
}

func (b *build) run(args ...string) {
	b.t.Helper()
	command := exec.Command(args[0], args[1:]...)
	command.Dir = b.folder
	output, err := command.CombinedOutput()
	require.NoError(b.t, err, "%s\n%s", args, output)
}

// compiler is a compiler with its flags; CI has all of them.
func compiler(t *testing.T, args []string) []string {
	if _, err := exec.LookPath(args[0]); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has every compiler")
		t.Skip(args[0] + " is not installed")
	}
	return args
}

// program compiles all with one compiler and links it with what it needs of the library.
func (b *build) program(compilerArgs ...string) string {
	name := "clone_" + compilerArgs[0]
	include := []string{"-I", filepath.Join(b.root, "native/include"), "-I", b.folder}
	objects := []string{"verify.o", "build.o", "stubs.o"}
	if _, err := os.Stat(filepath.Join(b.folder, "verify.o")); err != nil {
		flat := filepath.Join(b.root, "native/src/flat/")
		for object, source := range map[string]string{"verify.o": "flat_verify.c", "build.o": "flat_build.c"} {
			b.run(append([]string{"cc", "-std=gnu11", "-O1", "-c", "-o", object, filepath.Join(flat, source),
				"-I", filepath.Join(b.root, "native/src")}, include...)...)
		}
		b.write("stubs.c", []byte(stubs))
		b.run(append([]string{"cc", "-std=gnu11", "-O1", "-c", "-o", "stubs.o", "stubs.c"}, include...)...)
	}
	args := slices.Concat(compilerArgs, strict, []string{"-O1"}, include, []string{"-o", name, "clone.c"}, b.sources,
		[]string{"-x", "none"}, objects)
	b.run(args...)
	return filepath.Join(b.folder, name)
}

// stubs stand for the parts of the library that serve and call, which cloning does not need.
const stubs = `#include <smf/stream.h>
const void *smf_call_begin(struct smf_call *call, struct smf_core *core, const struct smf_event *event,
                           const struct smf_method *method, int implemented, int unverified)
{
    (void)call, (void)core, (void)event, (void)method, (void)implemented, (void)unverified;
    return NULL;
}
void smf_call_end(struct smf_call *call, uint32_t code) { (void)call, (void)code; }
int smf_call_event(struct smf_core *core, const struct smf_event *event)
{
    (void)core, (void)event;
    return 0;
}
int smf_router_add(struct smf_router *router, const struct smf_service *service, const void *server,
                   struct smf_error *error_out)
{
    (void)router, (void)service, (void)server, (void)error_out;
    return SMF_EUNSUPPORTED;
}
int smf_client_call(struct smf_client *client, const struct smf_method *method, struct smf_flat_builder *request,
                    uint64_t timeout_us, smf_client_deliver deliver, smf_client_callback callback, void *context)
{
    (void)client, (void)method, (void)request, (void)timeout_us, (void)deliver, (void)callback, (void)context;
    return SMF_EUNSUPPORTED;
}
int smf_client_call_with(struct smf_client *client, const struct smf_method *method,
                         struct smf_flat_builder *request, const struct smf_call_options *options,
                         smf_client_deliver deliver, smf_client_callback callback, void *context)
{
    (void)client, (void)method, (void)request, (void)options, (void)deliver, (void)callback, (void)context;
    return SMF_EUNSUPPORTED;
}
void smf_stream_serve(struct smf_core *core, const struct smf_event *event, const struct smf_method *method,
                      const struct smf_stream_service *service)
{
    (void)core, (void)event, (void)method, (void)service;
}
int smf_client_stream(struct smf_client *client, const struct smf_method *method, struct smf_flat_builder *request,
                      const struct smf_call_options *options, smf_stream_dispatch dispatch, const void *handlers,
                      void *context, struct smf_stream **stream_out)
{
    (void)client, (void)method, (void)request, (void)options, (void)dispatch, (void)handlers, (void)context, (void)stream_out;
    return SMF_EUNSUPPORTED;
}
`

// clones copies payloads of tables with a program.
func (b *build) clones(program string, numbers []int, payloads [][]byte, env ...string) [][]byte {
	command := exec.Command(program)
	command.Env = append(os.Environ(), env...)
	var in bytes.Buffer
	for i, payload := range payloads {
		for _, number := range []int{numbers[i], len(payload)} {
			require.NoError(b.t, binary.Write(&in, binary.NativeEndian, uint32(number)))
		}
		in.Write(payload)
	}
	command.Stdin = &in
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(b.t, err)
	var out [][]byte
	r := bufio.NewReader(bytes.NewReader(output))
	for range payloads {
		var size uint32
		require.NoError(b.t, binary.Read(r, binary.NativeEndian, &size))
		payload := make([]byte, size)
		_, err := io.ReadFull(r, payload)
		require.NoError(b.t, err)
		out = append(out, payload)
	}
	return out
}

// What C reads of a payload and builds again is what was there: all fields of all kinds, by the code of
// every schema, as C and as C++.
func TestRoundTrips(t *testing.T) {
	for _, folder := range cases(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			schemas := schemasOf(t, folder)
			b := newBuild(t, schemas)
			if len(b.view.Tables) == 0 {
				return
			}
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			w := newWriter(seed)
			var numbers []int
			var payloads [][]byte
			for number, table := range b.view.Tables {
				for range 40 {
					numbers, payloads = append(numbers, number), append(payloads, w.payload(table.Table))
				}
			}
			for _, args := range [][]string{compilers[0], compilers[2]} {
				if testing.Short() && args[0] != compilers[0][0] {
					continue
				}
				program := b.program(compiler(t, args)...)
				clones := b.clones(program, numbers, payloads, "MALLOC_PERTURB_=1")
				b.compare(schemas, numbers, payloads, clones)
				// Every byte is written: none is what was in the memory before.
				require.Equal(t, clones, b.clones(program, numbers, payloads, "MALLOC_PERTURB_=170"))
			}
		})
	}
}

func (b *build) compare(schemas []*compiled, numbers []int, payloads, clones [][]byte) {
	for i, payload := range payloads {
		b.same(schemas, b.view.Tables[numbers[i]].FullName(), payload, clones[i])
	}
}

// same fails the test where two payloads of a table do not say the same.
func (b *build) same(schemas []*compiled, name string, want, got []byte) {
	b.t.Helper()
	for _, s := range schemas {
		if s.read == nil {
			read, err := schema.Read(s.binary)
			require.NoError(b.t, err)
			s.read = read
		}
		table, err := s.read.Table(name)
		if err != nil {
			continue
		}
		options := schema.JSONOptions{Defaults: true}
		wanted, err := table.ToJSON(want, options)
		require.NoError(b.t, err)
		found, err := table.ToJSON(got, options)
		require.NoError(b.t, err, "table %s of %x", name, want)
		require.Equal(b.t, string(wanted), string(found), "table %s", name)
		return
	}
	require.Fail(b.t, "no schema has table "+name)
}

// Clang takes the code of every schema, and a program that uses all of it, without a warning; that GCC does
// is seen in the round trips.
func TestClangTakesAllCode(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles everything")
	}
	for _, folder := range cases(t) {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			b := newBuild(t, schemasOf(t, folder))
			for _, args := range [][]string{compilers[1], compilers[3]} {
				t.Run(args[0], func(t *testing.T) {
					b := *b
					b.t = t
					args := slices.Concat(compiler(t, args), strict, []string{"-fsyntax-only", "-I", filepath.Join(b.root, "native/include")})
					b.run(append(args, b.sources...)...)
					b.run(append(args, "-Wno-unused-function", "clone.c")...)
				})
			}
		})
	}
}

// oracle is a program with the verifiers that flatc makes for C++: it reads what a clone program wrote of
// the table that TABLE names, and says how many payloads it refused.
const oracle = `#include <cstdio>
#include <vector>
#include "SCHEMA_generated.h"
int main()
{
    unsigned size, refused = 0;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        std::vector<unsigned char> payload(size);
        if (size != 0 && fread(payload.data(), 1, size, stdin) != size)
            return 2;
        flatbuffers::Verifier verifier(payload.data(), size);
        refused += !verifier.VerifyBuffer<TABLE>(nullptr);
    }
    printf("%u", refused);
}
`

// What the C builders make, the verifier of flatc takes.
func TestFlatcVerifiesWhatIsBuilt(t *testing.T) {
	if _, err := os.Stat("/usr/include/flatbuffers/verifier.h"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc's headers")
		t.Skip("flatc's headers are not installed")
	}
	compiler(t, []string{"g++"})
	for name, root := range map[string]string{
		"mixed_unions": "Box", "vectors": "", "structs": "", "nested": "", "union_vectors": "", "wide": "", "consensus": "",
	} {
		t.Run(name, func(t *testing.T) {
			schemas := schemasOf(t, filepath.Join(testdata, name))
			b := newBuild(t, schemas)
			number := slices.IndexFunc(b.view.Tables, func(v tableView) bool { return root == "" || v.Name == root })
			for i, v := range b.view.Tables { // the table with the most fields says the most
				if root == "" && len(v.Readers) > len(b.view.Tables[number].Readers) {
					number = i
				}
			}
			seed := rand.Uint64()
			t.Logf("seed %d, table %s", seed, b.view.Tables[number].FullName())
			w := newWriter(seed)
			var numbers []int
			var payloads [][]byte
			for range 300 {
				numbers, payloads = append(numbers, number), append(payloads, w.payload(b.view.Tables[number].Table))
			}
			var in bytes.Buffer
			for _, clone := range b.clones(b.program(compiler(t, compilers[0])...), numbers, payloads) {
				require.NotEmpty(t, clone)
				require.NoError(t, binary.Write(&in, binary.NativeEndian, uint32(len(clone))))
				in.Write(clone)
			}
			path, err := filepath.Abs(schemas[0].path)
			require.NoError(t, err)
			b.run("flatc", "--cpp", "-o", b.folder, path)
			b.write("oracle.cc", []byte(strings.NewReplacer("SCHEMA", schemas[0].stem,
				"TABLE", strings.ReplaceAll(b.view.Tables[number].FullName(), ".", "::")).Replace(oracle)))
			b.run("g++", "-std=c++17", "-O0", "-o", "oracle", "oracle.cc")
			command := exec.Command(filepath.Join(b.folder, "oracle"))
			command.Stdin = &in
			output, err := command.Output()
			require.NoError(t, err)
			require.Equal(t, "0", string(output))
		})
	}
}
