package schema_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/schema"
)

// binarySchema compiles a schema.
func binarySchema(t *testing.T, text string) []byte {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is not installed: ./build.sh deps")
	}
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "x.fbs"), []byte(text), 0o600))
	command := exec.Command("flatc", "--binary", "--schema", "--bfbs-builtins", "x.fbs")
	command.Dir = folder
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	p, err := os.ReadFile(filepath.Join(folder, "x.bfbs"))
	require.NoError(t, err)
	return p
}

// everything is a document with something in every field.
const everything = `{"name":"n","scalars":{"a":true,"b":1,"c":2,"d":3,"e":4,"f":5,"g":6,"h":7,"i":8,"j":9,"k":10,"color":"Red",
"size":"Large","rights":"Read Own","big":"High","wide":"Most"},"optional":{"a":true,"color":"Red"},
"vectors":{"a":[true],"d":[1,2],"k":[1],"color":["Red"],"text":["a","b"],"points":[{"x":1,"y":2,"tag":3}],
"tiles":[{"corners":[{"x":1,"y":2,"tag":3},{"x":4,"y":5,"tag":6}],"colors":["Red","Green","Blue"],"weights":[-1,1],"on":true}],
"leaves":[{"name":"l"}],"things_type":["Leaf","Point","Text","Tiny"],"things":[{"name":"l"},{"x":1,"y":2,"tag":3},"t",{"b":255}],
"named":[{"name":"a"}],"ticks":[{"at":1,"by":2}],"aligned":[{"v":1}],"sixteen":[1]},"point":{"x":1,"y":2,"tag":3},
"thing_type":"Strict","thing":{"name":"s","leaf":{"name":"x"},"list":[1]},"child":{"thing_type":"Text","thing":"t"},
"children":[{"thing_type":"Tiny","thing":{"b":1}}],"inner":{"name":"in","inner":{"aligned":{"v":1}}},"old":1,"food":{"grams":3}}`

// Whatever bytes change, there is a document or an error, and a document can be read again.
func TestEveryByteOfABufferChanged(t *testing.T) {
	animal := table(t, "zoo.Animal")
	good, err := animal.FromJSON([]byte(everything))
	require.NoError(t, err)
	read, refused := 0, 0
	for at := range good {
		for _, value := range []byte{0, 1, 2, 4, 8, 0x7f, 0x80, 0xff} {
			changed := bytes.Clone(good)
			changed[at] = value
			text, err := animal.ToJSON(changed, schema.JSONOptions{Defaults: true})
			if err != nil {
				refused++
				continue
			}
			read++
			if _, err := animal.FromJSON(text); err != nil {
				// A union may have lost its value, a field its type.
				require.Regexp(t, `field ".*" (is missing|says that there is a value|lists types of values)`, err.Error())
			}
		}
		_, _ = animal.ToJSON(good[:at:at], schema.JSONOptions{})
	}
	require.Greater(t, read, 100)
	require.Greater(t, refused, 100)
}

// use reads a buffer and a document by every table of a schema.
func use(s *schema.Schema, buffer, document []byte) {
	for _, t := range s.Tables() {
		_, _ = t.ToJSON(buffer, schema.JSONOptions{Defaults: true})
		if payload, err := t.FromJSON(document); err == nil {
			if _, err := t.ToJSON(payload, schema.JSONOptions{}); err != nil {
				panic(err)
			}
		}
	}
}

func TestBytesOfASchemaChanged(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(t, err)
	buffer, err := table(t, "zoo.Animal").FromJSON([]byte(everything))
	require.NoError(t, err)
	read, refused := 0, 0
	for at := 0; at < len(p); at += 3 {
		changed := bytes.Clone(p)
		changed[at] = []byte{p[at] ^ 1, 0xff, 0}[at/3%3]
		s, err := schema.Read(changed)
		if err != nil {
			refused++
			require.NotContains(t, err.Error(), "\n")
			continue
		}
		read++
		use(s, buffer, []byte(everything))
	}
	require.Greater(t, read, 100)
	require.Greater(t, refused, 100)
}

func TestRequiredStruct(t *testing.T) {
	s, err := schema.Read(binarySchema(t, `struct P { x: int; } table T { p: P (required); } table None {}`))
	require.NoError(t, err)
	point, err := s.Table("T")
	require.NoError(t, err)
	none, err := s.Table("None")
	require.NoError(t, err)
	_, err = point.FromJSON([]byte(`{}`))
	require.EqualError(t, err, `$: required field "p" of T is missing`)
	empty, err := none.FromJSON([]byte(`{}`))
	require.NoError(t, err)
	require.ErrorContains(t, point.Verify(empty), "T.p: required field is missing")
	_, err = point.FromJSON([]byte(`{"p":{"x":1}}`))
	require.NoError(t, err)
}

func TestRefusedSchemas(t *testing.T) {
	_, err := schema.Read([]byte("table T {}"))
	require.EqualError(t, err, `not a binary FlatBuffers schema: no "BFBS" at its beginning`)
	_, err = schema.Read(binarySchema(t, `table T { inner: [ubyte] (nested_flatbuffer: "T"); } struct S { a: int; b: int; }`))
	require.NoError(t, err)
	p := binarySchema(t, `struct Inner { x: ulong; } struct Outer { a: Inner; b: Inner; } table T { o: Outer; }`)
	_, err = schema.Read(p)
	require.NoError(t, err)
	seen := map[string]bool{}
	for at := range p {
		for value := range 4 {
			changed := bytes.Clone(p)
			changed[at] = byte(value * 8)
			if _, err := schema.Read(changed); err != nil {
				seen[err.Error()] = true
			}
		}
	}
	for _, problem := range []string{
		"binary schema: struct Inner has size 0 and alignment 8: not supported",
		`binary schema: field "b" of Outer: does not fit into its struct`,
		`binary schema: field "o" of T: has no place in its table`,
	} {
		require.Contains(t, seen, problem)
	}
}

// A struct that contains itself would be read without end.
func TestStructsThatContainThemselves(t *testing.T) {
	p := binarySchema(t, `struct Inner { x: int; } struct Outer { a: Inner; } table T { o: Outer; }`)
	found := false
	for at := range p {
		for value := range 3 {
			changed := bytes.Clone(p)
			changed[at] = byte(value)
			_, err := schema.Read(changed)
			found = found || err != nil && strings.HasSuffix(err.Error(), `field "a" of Outer: struct Outer contains itself`)
		}
	}
	require.True(t, found)
}

func FuzzToJSON(f *testing.F) {
	s := zoo(f)
	good, err := s.Root().FromJSON([]byte(everything))
	require.NoError(f, err)
	f.Add(good)
	f.Fuzz(func(t *testing.T, buffer []byte) {
		for _, table := range s.Tables() {
			if _, err := table.ToJSON(buffer, schema.JSONOptions{Indent: " ", Defaults: true}); err == nil {
				require.NoError(t, table.Verify(buffer))
			}
		}
	})
}

func FuzzFromJSON(f *testing.F) {
	s := zoo(f)
	f.Add([]byte(everything))
	f.Add([]byte(`{"vectors":{"things":[null],"things_type":["NONE"],"j":["nan","-inf",1e-300]}}`))
	f.Add([]byte(`{"child":{"inner":{"name":"\ud83d\ude00\u0000"}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		payload, err := s.Root().FromJSON(document)
		if err != nil {
			return
		}
		text, err := s.Root().ToJSON(payload, schema.JSONOptions{})
		require.NoError(t, err)
		again, err := s.Root().FromJSON(text)
		require.NoError(t, err)
		more, err := s.Root().ToJSON(again, schema.JSONOptions{})
		require.NoError(t, err)
		require.Equal(t, string(text), string(more))
	})
}

func FuzzRead(f *testing.F) {
	p, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(f, err)
	buffer, err := zoo(f).Root().FromJSON([]byte(everything))
	require.NoError(f, err)
	f.Add(p, buffer, []byte(everything))
	f.Fuzz(func(_ *testing.T, p, buffer, document []byte) {
		if s, err := schema.Read(p); err == nil {
			use(s, buffer, document)
		}
	})
}
