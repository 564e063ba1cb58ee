package schema_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

func zoo(t testing.TB) *schema.Schema {
	p, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(t, err)
	s, err := schema.Read(p)
	require.NoError(t, err)
	return s
}

func table(t testing.TB, name string) *schema.Table {
	found, err := zoo(t).Table(name)
	require.NoError(t, err)
	return found
}

func toJSON(t testing.TB, table *schema.Table, payload []byte) string {
	t.Helper()
	text, err := table.ToJSON(payload, schema.JSONOptions{})
	require.NoError(t, err)
	return string(text)
}

// back is what becomes of a document on its way through a FlatBuffer.
func back(t testing.TB, table *schema.Table, document string) string {
	t.Helper()
	payload, err := table.FromJSON([]byte(document))
	require.NoError(t, err)
	return toJSON(t, table, payload)
}

func TestNames(t *testing.T) {
	s := zoo(t)
	require.Equal(t, "zoo.Animal", s.Root().Name())
	require.Len(t, s.Tables(), 12)
	for name, full := range map[string]string{"Leaf": "zoo.Leaf", "zoo.Leaf": "zoo.Leaf", "Food": "zoo.food.Food", "food.Food": "zoo.food.Food"} {
		found, err := s.Table(name)
		require.NoError(t, err)
		require.Equal(t, full, found.Name())
	}
	for _, name := range []string{"Keeper.Feed", "zoo.Keeper.Feed"} {
		found, err := s.Method(name)
		require.NoError(t, err)
		require.Equal(t, "zoo.Keeper.Feed", found.FullName())
		require.Equal(t, "Keeper.Feed", found.ShortName())
		require.Equal(t, "zoo.Animal", found.In.Name())
		require.Equal(t, "zoo.food.Food", found.Out.Name())
		require.Equal(t, []string{" Feeds an animal."}, found.Doc)
		require.Empty(t, found.Streaming)
	}
	watch, err := s.Method("Watch")
	require.NoError(t, err)
	require.Equal(t, "server", watch.Streaming)

	_, err = s.Method("Keeper.Fed")
	require.EqualError(t, err, `unknown method "Keeper.Fed": there are zoo.Keeper.Feed, zoo.Keeper.Look, zoo.Keeper.Watch, zoo.food.Keeper.Cook`)
	_, err = s.Method("")
	require.ErrorContains(t, err, `unknown method "": there are `)
	_, err = s.Table("Point")
	require.ErrorContains(t, err, `unknown table "Point": there are zoo.Animal, zoo.Defaults, `)
}

func TestAmbiguousMethod(t *testing.T) {
	s, err := schema.Read(binarySchema(t, "namespace a; table T {} rpc_service S { Go(T): T; } namespace b; rpc_service S { Go(a.T): a.T; }"))
	require.NoError(t, err)
	_, err = s.Method("S.Go")
	require.EqualError(t, err, `ambiguous method "S.Go": there are a.S.Go, b.S.Go`)
	found, err := s.Method("b.S.Go")
	require.NoError(t, err)
	require.Equal(t, "b", found.Package)
}

func TestErrorsOfDocuments(t *testing.T) {
	animal := table(t, "zoo.Animal")
	const has = "; it has: name, scalars, defaults, optional, vectors, point, tile, thing_type, thing, strict, child, children, inner, food, aligned, must"
	for document, want := range map[string]string{
		`{"nmae":"x"}`:                                        `$.nmae: zoo.Animal has no field "nmae"` + has,
		`{"":1}`:                                              `$[""]: zoo.Animal has no field ""` + has,
		"{\"a\\nb\":1}":                                       `$["a\nb"]: zoo.Animal has no field "a\nb"` + has,
		`{"children":[{},{"food":{"gram":1}}]}`:               `$.children[1].food.gram: zoo.food.Food has no field "gram"; it has: name, grams`,
		`{"name":"x","name":"x"}`:                             `$.name: field "name" is given twice`,
		`{"point":{"x":1,"x":1}}`:                             `$.point.x: field "x" is given twice`,
		`[]`:                                                  `$: expected an object of zoo.Animal, found an array`,
		`null`:                                                `$: expected an object of zoo.Animal, found null`,
		`{"name":7}`:                                          `$.name: expected a string, found the number 7`,
		`{"child":"x"}`:                                       `$.child: expected an object of zoo.Animal, found the string "x"`,
		`{"children":{}}`:                                     `$.children: expected an array of zoo.Animal, found an object`,
		`{"children":[null]}`:                                 `$.children[0]: expected an object of zoo.Animal, found null`,
		`{"vectors":{"text":["a",1]}}`:                        `$.vectors.text[1]: expected a string, found the number 1`,
		`{"vectors":{"c":[1,-1]}}`:                            `$.vectors.c[1]: -1 is out of range: ubyte holds 0 to 255`,
		`{"vectors":{"a":[true,1]}}`:                          `$.vectors.a[1]: expected true or false, found the number 1`,
		`{"scalars":{"c":300}}`:                               `$.scalars.c: 300 is out of range: ubyte holds 0 to 255`,
		`{"scalars":{"b":-129}}`:                              `$.scalars.b: -129 is out of range: byte holds -128 to 127`,
		`{"scalars":{"h":9223372036854775808}}`:               `$.scalars.h: 9223372036854775808 is out of range: long holds -9223372036854775808 to 9223372036854775807`,
		`{"scalars":{"i":18446744073709551616}}`:              `$.scalars.i: 18446744073709551616 is out of range: ulong holds 0 to 18446744073709551615`,
		`{"scalars":{"f":1.5}}`:                               `$.scalars.f: 1.5 is not an integer (int)`,
		`{"scalars":{"f":1e3}}`:                               `$.scalars.f: 1e3 is not an integer (int)`,
		`{"scalars":{"f":"1"}}`:                               `$.scalars.f: expected a number (int), found the string "1"`,
		`{"scalars":{"f":null}}`:                              `$.scalars.f: null: the field is not optional; leave it out for its default`,
		`{"scalars":{"j":1e39}}`:                              `$.scalars.j: 1e39 is out of range: float cannot hold it`,
		`{"scalars":{"k":"huge"}}`:                            `$.scalars.k: expected a number, "nan", "inf" or "-inf", found the string "huge"`,
		`{"scalars":{"color":"Mauve"}}`:                       `$.scalars.color: zoo.Color has no value "Mauve"; it has: Red, Green, Blue`,
		`{"scalars":{"color":""}}`:                            `$.scalars.color: zoo.Color has no value ""; it has: Red, Green, Blue`,
		`{"scalars":{"color":"Red Blue"}}`:                    `$.scalars.color: zoo.Color is one value, not several (or the binary schema was made without --bfbs-builtins)`,
		`{"scalars":{"color":128}}`:                           `$.scalars.color: 128 is out of range: zoo.Color holds -128 to 127`,
		`{"scalars":{"color":true}}`:                          `$.scalars.color: expected a name of zoo.Color or a number, found true`,
		`{"scalars":{"rights":"Read Fly"}}`:                   `$.scalars.rights: zoo.Rights has no value "Fly"; it has: Read, Write, Own`,
		`{"strict":{"name":"x","leaf":null}}`:                 `$.strict: required field "leaf" of zoo.Strict is missing`,
		`{"point":{"x":1}}`:                                   `$.point: field "y" of struct zoo.Point is missing`,
		`{"tile":{"weights":[1]}}`:                            `$.tile.weights: 1 values are not enough: the array has 2`,
		`{"tile":{"weights":[1,2,3]}}`:                        `$.tile.weights[2]: too many values: the array has 2`,
		`{"thing":{}}`:                                        `$.thing: field "thing_type" is missing: it says what this is`,
		`{"thing_type":"Leaf"}`:                               `$: field "thing_type" says that there is a value, but field "thing" is missing`,
		`{"thing_type":"NONE","thing":{}}`:                    `$.thing: the type is NONE, so there can be no value`,
		`{"thing_type":77,"thing":{}}`:                        `$.thing: zoo.Thing has no member 77`,
		`{"thing":{"b":1},"thing_type":"Leaf"}`:               `$.thing.b: zoo.Leaf has no field "b"; it has: name, value`,
		`{"thing_type":"Cow"}`:                                `$.thing_type: zoo.Thing has no value "Cow"; it has: NONE, Leaf, Point, Text, Other, Strict, Tiny`,
		`{"vectors":{"things_type":["Leaf"],"things":[]}}`:    `$.vectors.things: there are 0 values and 1 types`,
		`{"vectors":{"things_type":[],"things":["x"]}}`:       `$.vectors.things[0]: there are more values than types`,
		`{"vectors":{"things_type":["NONE"],"things":["x"]}}`: `$.vectors.things[0]: the type is NONE, so there can be no value`,
		`{"vectors":{"things":["x"]}}`:                        `$.vectors.things: field "things_type" is missing: it says what this is`,
		`{"vectors":{"things_type":["Text"]}}`:                `$.vectors: field "things_type" lists types of values, but field "things" is missing`,
		`{"vectors":{"things_type":[]}}`:                      `$.vectors: field "things_type" lists types of values, but field "things" is missing`,
		``:                                                    `$: not JSON: it ends too early`,
		`{"name":`:                                            `$.name: not JSON: it ends too early`,
		`{"name" 1}`:                                          `$.name: not JSON: invalid character '1' after object key (at byte 9)`,
		`{"thing":{x},"thing_type":"Leaf"}`:                   `$.thing: not JSON: invalid character 'x' (at byte 11)`,
		`{} {}`:                                               `$: something follows the document (at byte 4)`,
		"{\"name\":\"\xff\"}":                                 `$: not UTF-8 (at byte 10)`,
		`{"name":"\\\ud800x"}`:                                `$: half of a surrogate pair (at byte 12)`,
		`x`:                                                   `$: not JSON: invalid character 'x' looking for beginning of value (at byte 1)`,
		`{name:"x"}`:                                          `$: not JSON: invalid character 'n' (at byte 2)`,
		`{"name": x}`:                                         `$.name: not JSON: invalid character 'x' looking for beginning of value (at byte 10)`,
	} {
		_, err := animal.FromJSON([]byte(document))
		require.EqualError(t, err, want, "%s", document)
		var failure *schema.Error
		require.ErrorAs(t, err, &failure)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	_, err := table(t, "zoo.Animal").FromJSON([]byte(`{"` + strings.Repeat("é", 1000) + `":1}`))
	require.ErrorContains(t, err, `has no field "`+strings.Repeat("é", 32)+`…"`)
	require.Less(t, len(err.Error()), 500)
}

func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	animal := table(t, "zoo.Animal")
	for document, want := range map[string]string{
		`{"thing":{"name":"x"},"name":"y","thing_type":"Leaf"}`: `{"name":"y","thing_type":"Leaf","thing":{"name":"x"}}`,
		`{"vectors":{"things":["a",{"b":1}],"things_type":["Text","Tiny"]}}`: `{"vectors":{"things_type":["Text","Tiny"],` +
			`"things":["a",{"b":1}]}}`,
		`{"point":{"tag":3,"y":2,"x":1}}`:    `{"point":{"x":1,"y":2,"tag":3}}`,
		`{"thing":null,"thing_type":"NONE"}`: `{}`,
		`{"thing":null}`:                     `{}`,
		` { "name" : "x" } `:                 `{"name":"x"}`,
	} {
		require.Equal(t, want, back(t, animal, document))
	}
}

func TestDefaultsAreLeftOut(t *testing.T) {
	animal := table(t, "zoo.Animal")
	require.Equal(t, `{"defaults":{}}`, back(t, animal, `{"defaults":{"a":true,"b":-5,"i":9000000000000000000,`+
		`"j":1.5,"color":"Blue","rights":"Read Write","odd":"nan","most":"inf","least":"-inf"},"children":null}`))
	require.Equal(t, `{"optional":{"a":false,"f":0}}`, back(t, animal, `{"optional":{"a":false,"f":0,"g":null}}`))
	payload, err := table(t, "Optional").FromJSON([]byte(`{"color":-1}`))
	require.NoError(t, err)
	text, err := table(t, "Optional").ToJSON(payload, schema.JSONOptions{Defaults: true, Indent: "  "})
	require.NoError(t, err)
	require.Equal(t, "{\n  \"a\": null,\n  \"b\": null,\n  \"c\": null,\n  \"d\": null,\n  \"e\": null,\n  \"f\": null,\n  \"g\": null,\n"+
		"  \"h\": null,\n  \"i\": null,\n  \"j\": null,\n  \"k\": null,\n  \"color\": \"Red\",\n  \"rights\": null\n}", string(text))
}

func TestVectorsWithKeysAreSorted(t *testing.T) {
	require.Equal(t, `{"named":[{"name":""},{"name":"B"},{"name":"a"},{"name":"aa"}],`+
		`"numbered":[{"id":-2},{"id":0},{"id":10}],`+
		`"ticks":[{"at":2,"by":0},{"at":10,"by":0},{"at":18446744073709551615,"by":0}]}`,
		back(t, table(t, "Vectors"), `{"named":[{"name":"aa"},{"name":""},{"name":"a"},{"name":"B"}],`+
			`"numbered":[{"id":10},{},{"id":-2}],"ticks":[{"by":0,"at":10},{"at":18446744073709551615,"by":0},{"at":2,"by":0}]}`))
}

func TestUnionsThatAreNone(t *testing.T) {
	const document = `{"things_type":["NONE","Text"],"things":[null,"x"]}`
	require.Equal(t, document, back(t, table(t, "Vectors"), document))

	payload, err := table(t, "Vectors").FromJSON([]byte(`{"things_type":["NONE","NONE","NONE"],"things":[null,null,null]}`))
	require.NoError(t, err)
	require.Contains(t, string(payload), "\x03\x00\x00\x00"+strings.Repeat("\x00", 12))
}

// What is made is what other builders make.
func TestBytes(t *testing.T) {
	s, err := schema.Read([]byte(demo.SmfDemoSchema))
	require.NoError(t, err)
	request, err := s.Table("Request")
	require.NoError(t, err)
	for _, name := range []string{"", "x", "Hello, smf-world!"} {
		payload, err := request.FromJSON(fmt.Appendf(nil, `{"name":%q}`, name))
		require.NoError(t, err)
		require.Equal(t, demo.RequestBytes(nil, name), payload)
	}
}

// Tables of the same fields share a vtable.
func TestVtablesAreShared(t *testing.T) {
	size := func(document string) int {
		payload, err := table(t, "Vectors").FromJSON([]byte(document))
		require.NoError(t, err)
		return len(payload)
	}
	const leaf, count = `{"name":"a","value":1}`, 101
	one, many := size(`{"leaves":[`+leaf+`]}`), size(`{"leaves":[`+leaf+strings.Repeat(","+leaf, count-1)+`]}`)
	const offset, fields, text = 4, 16, 8
	require.Equal(t, offset+fields+text, (many-one)/(count-1))
}

// What is aligned in a nested FlatBuffer is aligned in the one around it.
func TestAlignmentOfNested(t *testing.T) {
	for size := range 17 {
		payload, err := table(t, "zoo.Animal").FromJSON(fmt.Appendf(nil,
			`{"name":"%s","inner":{"aligned":{"v":305419896},"vectors":{"sixteen":[171,205,239]}}}`, strings.Repeat("x", size)))
		require.NoError(t, err)
		for _, pattern := range [][]byte{{0x78, 0x56, 0x34, 0x12}, {171, 205, 239}} {
			at := bytes.Index(payload, pattern)
			require.Positive(t, at)
			require.Zero(t, at%16)
		}
	}
}

func TestIdentifierOfTheRoot(t *testing.T) {
	payload, err := zoo(t).Root().FromJSON([]byte(`{}`))
	require.NoError(t, err)
	require.True(t, flatbuffers.BufferHasIdentifier(payload, "ZOO1"))
	payload, err = table(t, "Leaf").FromJSON([]byte(`{"name":"ZOO1"}`))
	require.NoError(t, err)
	require.False(t, flatbuffers.BufferHasIdentifier(payload, "ZOO1"))
}

func TestDepth(t *testing.T) {
	animal := table(t, "zoo.Animal")
	nest := func(field string, levels int) string {
		return strings.Repeat(`{"`+field+`":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	for _, field := range []string{"child", "inner"} {
		require.Equal(t, nest(field, schema.MaxDepth), back(t, animal, nest(field, schema.MaxDepth)))
		_, err := animal.FromJSON([]byte(nest(field, schema.MaxDepth+1)))
		require.EqualError(t, err, "$"+strings.Repeat("."+field, schema.MaxDepth)+": tables nest deeper than 64")
	}
	_, err := animal.FromJSON([]byte(`{"thing":` + strings.Repeat("[", 1<<20)))
	require.ErrorContains(t, err, "$.thing: not JSON: ")
}

func TestBuffersThatJSONCannotHold(t *testing.T) {
	leaf, animal := table(t, "Leaf"), table(t, "zoo.Animal")
	payload, err := leaf.FromJSON([]byte(`{"name":"name"}`))
	require.NoError(t, err)
	payload[bytes.Index(payload, []byte("name"))] = 0xff
	_, err = leaf.ToJSON(payload, schema.JSONOptions{})
	require.EqualError(t, err, "$.name: the string is not UTF-8")

	payload, err = animal.FromJSON([]byte(`{"children":[{"thing_type":"Strict","thing":{"name":"n","leaf":{},"list":[]}}]}`))
	require.NoError(t, err)
	newer := bytes.Clone(payload)
	for at := range newer { // the one byte that says Strict
		newer[at] = 99
		if _, err = animal.ToJSON(newer, schema.JSONOptions{}); err != nil && strings.Contains(err.Error(), "newer") {
			break
		}
		newer[at] = payload[at]
	}
	require.EqualError(t, err, "$.children[0].thing: zoo.Thing has no member 99: the buffer is of a newer schema")

	var malformed *flatverify.Error
	_, err = animal.ToJSON(payload[:8], schema.JSONOptions{})
	require.ErrorAs(t, err, &malformed)
}

func TestTooLargeATable(t *testing.T) {
	s, err := schema.Read(binarySchema(t, "struct S { a: [ulong:5000]; } table T { s1: S; s2: S; } root_type T;"))
	require.NoError(t, err)
	one := `{"a":[1` + strings.Repeat(",1", 4999) + `]}`
	require.Equal(t, `{"s1":`+one+`}`, back(t, s.Root(), `{"s1":`+one+`}`))
	_, err = s.Root().FromJSON([]byte(`{"s1":` + one + `,"s2":` + one + `}`))
	require.EqualError(t, err, "$: the table is larger than 65535 bytes, not counting what its fields refer to")
}

// A few bytes of FlatBuffer can stand for as much text as one likes; there is an end to it.
func TestTooLongAText(t *testing.T) {
	s, err := schema.Read(binarySchema(t, "table T { list: [E]; } table E { "+strings.Repeat("a", 500)+": int; } root_type T;"))
	require.NoError(t, err)
	payload, err := s.Root().FromJSON([]byte(`{"list":[{}` + strings.Repeat(",{}", 600_000) + `]}`))
	require.NoError(t, err)
	require.NoError(t, s.Root().Verify(payload))
	_, err = s.Root().ToJSON(payload, schema.JSONOptions{Defaults: true})
	require.ErrorContains(t, err, ": the JSON would be longer than 268435456 bytes")
}
