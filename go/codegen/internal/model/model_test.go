package model_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/internal/bfbs"
)

// read makes the model of a schema with flatc.
func read(t *testing.T, text string) (*model.Schema, error) {
	if _, err := exec.LookPath("flatc"); err != nil {
		t.Skip("flatc is not installed")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "x.fbs")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
	output, err := exec.Command("flatc", "--binary", "--schema", "--bfbs-comments", "--bfbs-builtins",
		"--bfbs-filenames", folder, "-o", folder, path).CombinedOutput()
	require.NoError(t, err, "%s", output)
	binary, err := os.ReadFile(filepath.Join(folder, "x.bfbs"))
	require.NoError(t, err)
	parsed, err := bfbs.Parse(binary)
	require.NoError(t, err)
	return model.Read(parsed, "x.fbs")
}

func TestRead(t *testing.T) {
	s, err := read(t, `
namespace a.b;
attribute "slow";
attribute "timeout";
/// Which.
enum Color : byte { Red = -1, Green, Blue = 5 }
struct Point { x: double; colors: [Color:3]; }
union Shape { Point, Line, name: string }
table Line { from: Point (required); to: Point; width: ushort = 2; dash: ubyte = null; }
table Picture {
  /// All of it.
  shapes: [Shape];
  one: Shape;
  raw: [ubyte] (nested_flatbuffer: "Line");
  names: [string];
  old: int (deprecated);
}
rpc_service Draw { Now(Line): Picture (slow, timeout: "2s"); All(Line): Picture (streaming: "server"); }
root_type Picture;
file_identifier "PICT";
`)
	require.NoError(t, err)
	require.Equal(t, "PICT", s.Identifier)
	require.Equal(t, "a.b.Picture", s.Root.FullName())
	require.Same(t, s.Files[0], s.Main)

	color, shape := s.Enums[0], s.Enums[1]
	require.Equal(t, []string{" Which."}, color.Doc)
	require.Equal(t, model.Byte, color.Scalar)
	require.Equal(t, int64(-1), color.Values[0].Number)
	require.True(t, shape.IsUnion)
	require.Equal(t, model.None, shape.Values[0].Member.Kind)
	require.Same(t, s.Structs[0], shape.Values[1].Member.Struct)
	require.Equal(t, model.Text, shape.Values[3].Member.Kind)

	point := s.Structs[0]
	require.Equal(t, 16, point.Size)
	require.Equal(t, 8, point.Fields[1].Offset)
	require.Equal(t, 3, point.Fields[1].Type.Size())
	require.Same(t, color, point.Fields[1].Type.Elem.Enum)

	line, picture := s.Tables[0], s.Tables[1]
	require.True(t, line.Fields[0].Required)
	require.Equal(t, int64(2), line.Fields[2].Default.Integer)
	require.True(t, line.Fields[3].Optional)
	require.Equal(t, 2, line.Fields[2].Index())

	require.Equal(t, "shapes_type", picture.Fields[0].Name)
	require.Same(t, picture.Fields[0], picture.Fields[1].Tag)
	require.Same(t, picture.Fields[1], picture.Fields[0].TagOf)
	require.Same(t, shape, picture.Fields[1].Type.Elem.Enum)
	require.Equal(t, []string{" All of it."}, picture.Fields[1].Doc)
	require.Same(t, line, picture.Fields[4].Nested)
	require.True(t, picture.Fields[6].Deprecated)

	draw := s.Services[0]
	now, all := draw.Methods[0], draw.Methods[1]
	require.Equal(t, "Now:a::b::Line:a::b::Picture", now.Signature)
	require.Equal(t, draw.CRC^now.CRC, now.ID)
	require.True(t, now.Slow)
	require.Equal(t, 2*time.Second, now.Timeout)
	require.Equal(t, model.ServerStreaming, all.Streaming)
}

func TestReadRefuses(t *testing.T) {
	for want, text := range map[string]string{
		"service a.smf: the name is reserved for the protocol itself":                   `namespace a; table T {} rpc_service smf { A(T): T; }`,
		`method S.A: timeout "soon" is not a duration like "250ms"`:                     `attribute "timeout"; table T {} rpc_service S { A(T): T (timeout: "soon"); }`,
		`method S.A: timeout wants a duration, as in (timeout: "250ms")`:                `attribute "timeout"; table T {} rpc_service S { A(T): T (timeout); }`,
		`method S.A: slow has no value: (slow), or nothing, instead of (slow: "false")`: `attribute "slow"; table T {} rpc_service S { A(T): T (slow: "false"); }`,
		`method S.A: streaming "up" is none of "none", "client", "server" and "bidi"`:   `table T {} rpc_service S { A(T): T (streaming: "up"); }`,
	} {
		_, err := read(t, text)
		require.EqualError(t, err, want)
	}
}

// service is a schema with one service.
func service(name string, ids ...uint32) *model.Schema {
	s := &model.Service{Declaration: model.Declaration{Namespace: "a", Name: name}}
	for i, id := range ids {
		s.Methods = append(s.Methods, &model.Method{Name: string(rune('A' + i)), ID: id})
	}
	return &model.Schema{Services: []*model.Service{s}}
}

func TestIDs(t *testing.T) {
	var ids model.IDs
	require.NoError(t, ids.Add("one.fbs", service("S", 1, 2)))
	require.NoError(t, ids.Add("two.fbs", service("T", 3)))
	require.EqualError(t, ids.Add("three.fbs", service("S")), "service a.S has the name of service a.S in one.fbs:"+
		" on the wire, namespaces do not count; rename one of them")
	require.EqualError(t, ids.Add("four.fbs", service("U", 4, 3)),
		"method U.B: its id 3 is that of T.A in two.fbs: rename one of them")
	require.EqualError(t, ids.Add("six.fbs", service("W", 5, 1, 0)),
		"method W.B: its id 1 is that of S.A in one.fbs: rename one of them\n"+
			"method W.C: its id is 0, which the wire format forbids: rename it")
	require.EqualError(t, ids.Add("five.fbs", service("V", 0)),
		"method V.A: its id is 0, which the wire format forbids: rename it")
}

// An error says where it is, so that a line can be found, and words can be put into the message.
func TestPlacesOfErrors(t *testing.T) {
	var ids model.IDs
	require.NoError(t, ids.Add("one.fbs", service("S", 1)))
	var wrong *model.Error
	require.ErrorAs(t, ids.Add("two.fbs", service("T", 2, 1)), &wrong)
	require.Equal(t, model.Place{Schema: "two.fbs", Declaration: "a.T", Service: true, Member: "B"}, wrong.Place)
	require.Equal(t, model.Place{Schema: "one.fbs", Declaration: "a.S", Service: true, Member: "A"}, *wrong.Other)
	require.Equal(t, "method T.B: its id 1 is that of S.A in line 7: rename one of them",
		wrong.Message(func(model.Place) string { return "line 7" }))

	_, err := read(t, `namespace a; struct P { n: int; } table T { x: [ubyte] (nested_flatbuffer: "P"); }`)
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "field a.T.x: nested_flatbuffer: there is no table P", err.Error())
	require.Equal(t, "a.T", wrong.Declaration)
	require.Equal(t, "x", wrong.Member)
	require.Equal(t, "x.fbs", wrong.File.Name)
}

// The ids of the demo service are those of every implementation of smf.
func TestTheDemosIDs(t *testing.T) {
	text, err := os.ReadFile("../../../../schema/demo/smf_demo.fbs")
	require.NoError(t, err)
	s, err := read(t, string(text))
	require.NoError(t, err)
	ids := make(map[string]uint32)
	for _, m := range s.Services[0].Methods {
		ids[m.Name] = m.ID
	}
	require.Equal(t, map[string]uint32{
		"Get": 1792279101, "Put": 4130483528, "Fire": 28301820, "Forget": 1692700595, "SomethingElse": 1893633213,
	}, ids)
	require.Equal(t, uint32(212494116), s.Services[0].CRC)
	require.Equal(t, uint32(1719559449), s.Services[0].Methods[0].CRC)
}

func TestReferences(t *testing.T) {
	s, err := read(t, `namespace a; enum E : byte { A } struct P { e: E; } union U { V, text: string } table V {}
table T { p: P; list: [P]; raw: [ubyte] (nested_flatbuffer: "V"); n: int; u: U; }
rpc_service S { Go(T): V; }`)
	require.NoError(t, err)
	var got []string
	for _, r := range s.References() {
		got = append(got, r.From.Name+"."+r.Member+" "+r.To.Name)
	}
	require.Equal(t, []string{
		"T.p P", "T.list P", "T.raw V", "T.u_type U", "T.u U", "P.e E", "U.V V", "S.Go T", "S.Go V",
	}, got)
	var names []string
	for _, d := range s.Declarations() {
		names = append(names, d.Name)
	}
	require.Equal(t, []string{"T", "V", "P", "E", "U", "S"}, names)
}
