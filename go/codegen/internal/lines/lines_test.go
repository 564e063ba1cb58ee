package lines_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/lines"
)

// Whatever declares the name nine in the text is on its ninth line.
const text = `// table Nine {}
include "units.fbs"; include 'common/attributes.fbs';
namespace a. b ;
attribute "priority"; attribute "}";
/* table Nine { nine: int; }
   */ enum Color : byte (bit_flags) { Red = 1, /// "Green", {
  Green, Blue
    = 4 }
table Nine (original_order) { nine: int; }
struct Point { x: double (key); ys: [double:3]; enum: Color; }
union Shape (rust_attribute: "a, b {") {
  Point, a.b.Nine,
  text: string, c . Other
}
table T {
  namespace: string = "};";  // table Nine {
  table : [Color] (id: 1, deprecated); color: Color = Red; shape: Shape;
}
root_type T; file_identifier "TABL";
namespace a;
rpc_service Store {
  /// Get(Nine): Nine;
  Get (b.T) : b.T (streaming: "server", timeout:
    "2s"); Put(b.T):b.T;
}
namespace;
table Rootless { a: int; }
`

func TestLines(t *testing.T) {
	x := lines.Scan([]byte(text))
	for want, of := range map[int][]string{
		2:  {" "},
		6:  {"a.b.Color ", "a.b.Color Red", "a.b.Color nothing of the kind"},
		7:  {"a.b.Color Green", "a.b.Color Blue"},
		9:  {"a.b.Nine ", "a.b.Nine nine"},
		10: {"a.b.Point ", "a.b.Point x", "a.b.Point ys", "a.b.Point enum"},
		11: {"a.b.Shape "},
		12: {"a.b.Shape Point", "a.b.Shape a_b_Nine"},
		13: {"a.b.Shape text", "a.b.Shape c_Other"},
		15: {"a.b.T "},
		16: {"a.b.T namespace"},
		17: {"a.b.T table", "a.b.T color", "a.b.T shape", "a.b.T shape_type"},
		21: {"a.Store "},
		23: {"a.Store Get"},
		24: {"a.Store Put"},
		27: {"Rootless ", "Rootless a"},
		0:  {"Nine ", "a.T ", "a.b.Store Get"},
	} {
		for _, name := range of {
			declaration, member, _ := strings.Cut(name, " ")
			require.Equal(t, want, x.Line(declaration, member), name)
		}
	}
	require.Equal(t, 2, x.Include("units.fbs"))
	require.Equal(t, 2, x.Include("../include/common/attributes.fbs"))
	require.Equal(t, 0, x.Include("attributes.fbs"))
	require.Equal(t, 0, x.Include("other_units.fbs"))
	require.Equal(t, 3, lines.Scan([]byte("\n\ninclude \"./units.fbs\";")).Include("units.fbs"))
}

func TestByteOrderMarkAndCarriageReturns(t *testing.T) {
	x := lines.Scan([]byte("\xef\xbb\xbf// one\r\nnamespace a;\r\ntable T {\r\n\tx: int;\r\n}\r\n"))
	require.Equal(t, 3, x.Line("a.T", ""))
	require.Equal(t, 4, x.Line("a.T", "x"))
}

// A service may be called like a table; types are what is meant first.
func TestServicesAndTypesOfOneName(t *testing.T) {
	x := lines.Scan([]byte("namespace a;\ntable Shop {\n  Buy: int; }\n\nrpc_service Shop {\n  Buy(Shop): Shop;\n" +
		"  Sell(Shop): Shop; }\nrpc_service Other { Go(Shop): Shop; }"))
	require.Equal(t, 2, x.Line("a.Shop", ""))
	require.Equal(t, 3, x.Line("a.Shop", "Buy"))
	require.Equal(t, 5, x.ServiceLine("a.Shop", ""))
	require.Equal(t, 6, x.ServiceLine("a.Shop", "Buy"))
	require.Equal(t, 7, x.ServiceLine("a.Shop", "Sell"))
	require.Equal(t, 8, x.Line("a.Other", "Go"), "there is no type of that name")
	require.Equal(t, 0, x.ServiceLine("a.Nothing", ""))
}

func TestNamespaces(t *testing.T) {
	x := lines.Scan([]byte("table T {}\nnamespace a . b;\nnamespace a;\nnamespace a.b; namespace ;"))
	require.Equal(t, 2, x.Namespace("a.b"))
	require.Equal(t, 3, x.Namespace("a"))
	require.Equal(t, 0, x.Namespace("b"))
}

func TestBelow(t *testing.T) {
	x := lines.Scan([]byte("namespace a;\nunion U { T }\ntable T { u: U; }\nenum E : byte { A }\nnamespace a.b;\nunion U {T}"))
	for of, want := range map[string]string{"U": " 0", "b.U": "union 6", "a.b.U": "union 6", "a.E": "enum 4", "E": "enum 4", "T": " 0", "b.E": " 0"} {
		word, line := x.Below(2, of)
		require.Equal(t, want, fmt.Sprint(word, " ", line), of)
	}
	word, line := x.Below(1, "U")
	require.Equal(t, "union 2", fmt.Sprint(word, " ", line))
	word, line = x.Below(5, "U")
	require.Equal(t, "union 6", fmt.Sprint(word, " ", line))
}

// What is no schema has no lines, and does no harm.
func TestWhatIsNoSchema(t *testing.T) {
	for _, text := range []string{
		"", "/*", "//", "/", `"`, `"\`, "'", "table", "table T", "table T;", "table T {", "table T { x", "}}}", "enum E",
		"namespace", "namespace a.", "include", "rpc_service S { A(", "{ \"a\": 1 }", "\xff\xfe", "union U { a.",
		strings.Repeat("(", 1000), "table T ]}{",
	} {
		x := lines.Scan([]byte(text))
		require.LessOrEqual(t, x.Line("T", "x"), 1, text)
	}
	require.Equal(t, 1, lines.Scan([]byte("table T { x")).Line("T", "x"))
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(text))
	f.Fuzz(func(t *testing.T, text []byte) {
		line := lines.Scan(text).Line("a.b.T", "table")
		require.LessOrEqual(t, line, strings.Count(string(text), "\n")+1)
	})
}

func TestDefaults(t *testing.T) {
	x := lines.Scan([]byte(`namespace a; enum E : ulong (bit_flags) { A = 3, B, C = 0x4 }
		table T { a: ulong = 18446744073709551615 (id: 0); b: E = "A C"; c: E= a.E . C ; d: int = -5; e: ulong;
			f: string (x: "= 7"); g: double = .5; h: float = 1.5; }`))
	for want, of := range map[string][]string{
		"3":                    {"a.E A"},
		"":                     {"a.E B", "a.T e", "a.T f", "a.T nothing", "a.T "},
		"18446744073709551615": {"a.T a"},
		"0x4":                  {"a.E C"},
		"A C":                  {"a.T b"},
		"a.E.C":                {"a.T c"},
		"5":                    {"a.T d"},
	} {
		for _, name := range of {
			declaration, member, _ := strings.Cut(name, " ")
			require.Equal(t, want, x.Default(declaration, member), name)
		}
	}
}
