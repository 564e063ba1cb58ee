package schema

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// documents have something of every type, each the way that ToJSON writes it.
var documents = []string{
	`{}`,
	`{"name":"Bär \"№1\"","scalars":{}}`,
	`{"scalars":{"a":true,"b":-128,"c":255,"d":-32768,"e":65535,"f":-2147483648,"g":4294967295,` +
		`"h":-9223372036854775808,"i":18446744073709551615,"j":-0.5,"k":1234.0625,"color":"Red",` +
		`"size":"Large","rights":"Read Own","big":"Low High","wide":"Most"}}`,
	`{"scalars":{"b":127,"d":32767,"f":2147483647,"h":9223372036854775807,"i":9007199254740993,"color":5,` +
		`"rights":"Own","big":"High","wide":"Least"}}`,
	`{"scalars":{"rights":5,"big":2,"wide":-3,"size":77}}`,
	`{"defaults":{"a":false,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"color":"Green",` +
		`"rights":"Own","odd":1,"most":2,"least":3}}`,
	`{"optional":{"a":false,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"h":0,"i":0,"j":0,"k":0,"color":"Green","rights":0}}`,
	`{"vectors":{"a":[true,false],"b":[-128,127],"c":[0,255],"d":[-32768],"e":[65535],"f":[-2147483648],` +
		`"g":[4294967295],"h":[-9223372036854775808,9223372036854775807],"i":[18446744073709551615],"j":[0.5,-1],` +
		`"k":[1e3],"color":["Red","Blue",3],"rights":["Read","Read Write",0,5],"text":["","a"],"sixteen":[1,2,3]}}`,
	`{"vectors":{"a":[],"b":[],"text":[],"points":[],"leaves":[],"things_type":[],"things":[],"named":[],"ticks":[]}}`,
	`{"vectors":{"points":[{"x":1,"y":2,"tag":3},{"x":-1,"y":0,"tag":0}],"aligned":[{"v":1},{"v":2}],"tiles":[` +
		`{"corners":[{"x":1,"y":2,"tag":3},{"x":4,"y":5,"tag":6}],"colors":["Red","Green","Blue"],"weights":[-1,1],"on":true}]}}`,
	`{"vectors":{"things_type":["Leaf","Point","Text","Other","Tiny","Strict"],"things":[{"name":"l"},` +
		`{"x":1,"y":2,"tag":3},"text",{"value":-1},{"b":255},{"name":"s","leaf":{},"list":[]}]}}`,
	`{"vectors":{"named":[{"name":"a","value":1},{"name":"b"}],"numbered":[{"id":-1},{"id":0,"note":"zero"},{"id":2}],` +
		`"ticks":[{"at":0,"by":-1},{"at":18446744073709551615,"by":1}]}}`,
	`{"thing_type":"Text","thing":"t","child":{"thing_type":"Point","thing":{"x":1,"y":2,"tag":3}}}`,
	`{"thing_type":"Tiny","thing":{"b":7},"child":{"thing_type":"Other","thing":{"name":"o"}}}`,
	`{"strict":{"name":"","leaf":{},"list":[1]},"must":{"thing_type":"Leaf","thing":{},"things_type":[],"things":[]}}`,
	`{"children":[{"name":"one"},{"name":"two","children":[{}]}],"food":{"name":"hay","grams":500}}`,
	`{"inner":{"name":"in","aligned":{"v":3},"inner":{"aligned":{"v":4}}},"old":3,"aligned":{"v":5}}`,
}

// seed is for random documents, another one in each run.
func seed(t testing.TB) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SMF_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("again with SMF_SEED=%d", seed)
	return seed
}

func randomDocuments(t testing.TB, s *Schema, count int, plain bool) []string {
	g := &generator{Rand: rand.New(rand.NewPCG(seed(t), 1)), plain: plain}
	out := make([]string, count)
	for i := range out {
		out[i] = g.object(s.root.object, 0)
	}
	return out
}

// exchange is a folder with documents, as JSON and as FlatBuffers, by number.
type exchange struct {
	t      *testing.T
	folder string
	count  int
}

func newExchange(t *testing.T, count int) *exchange {
	needFlatc(t)
	e := &exchange{t, t.TempDir(), count}
	p, err := os.ReadFile("testdata/zoo.bfbs")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(e.folder, "zoo.bfbs"), p, 0o600))
	return e
}

func (e *exchange) names(suffix string) []string {
	names := make([]string, e.count)
	for i := range names {
		names[i] = fmt.Sprintf("d%d.%s", i, suffix)
	}
	return names
}

func (e *exchange) write(name string, content []byte) {
	require.NoError(e.t, os.WriteFile(filepath.Join(e.folder, name), content, 0o600))
}

func (e *exchange) read(name string) []byte {
	content, err := os.ReadFile(filepath.Join(e.folder, name))
	require.NoError(e.t, err)
	return content
}

// flatcMakes lets flatc make FlatBuffers of documents. It reads the binary schema: from a text it
// would not take vectors of unions.
func flatcMakes(t *testing.T, documents []string) [][]byte {
	e := newExchange(t, len(documents))
	for i, name := range e.names("json") {
		e.write(name, []byte(documents[i]))
	}
	flatc(t, e.folder, append([]string{"--binary", "--strict-json", "zoo.bfbs"}, e.names("json")...)...)
	out := make([][]byte, len(documents))
	for i, name := range e.names("bin") {
		out[i] = e.read(name)
	}
	return out
}

// flatcReads lets flatc make documents of FlatBuffers.
func flatcReads(t *testing.T, payloads [][]byte, args ...string) [][]byte {
	e := newExchange(t, len(payloads))
	for i, name := range e.names("bin") {
		e.write(name, payloads[i])
	}
	args = append([]string{"--json", "--strict-json"}, args...)
	flatc(t, e.folder, append(append(args, "zoo.bfbs", "--"), e.names("bin")...)...)
	out := make([][]byte, len(payloads))
	for i, name := range e.names("json") {
		out[i] = e.read(name)
	}
	return out
}

func ours(t testing.TB, s *Schema, document string) []byte {
	t.Helper()
	payload, err := s.root.FromJSON([]byte(document))
	require.NoError(t, err, "%s", document)
	return payload
}

func theirs(t testing.TB, s *Schema, payload []byte, options JSONOptions) []byte {
	t.Helper()
	text, err := s.root.ToJSON(payload, options)
	require.NoError(t, err)
	return text
}

func TestFlatcMakesWeRead(t *testing.T) {
	s := zoo(t)
	all := append(randomDocuments(t, s, 150, true), documents...)
	for i, payload := range flatcMakes(t, all) {
		requireSame(t, canonical(t, []byte(all[i])), canonical(t, theirs(t, s, payload, JSONOptions{})), all[i])
	}
}

func TestWeMakeFlatcReads(t *testing.T) {
	s := zoo(t)
	all := append(randomDocuments(t, s, 150, true), documents...)
	payloads := make([][]byte, len(all))
	for i := range all {
		payloads[i] = ours(t, s, all[i])
	}
	for i, text := range flatcReads(t, payloads) {
		requireSame(t, canonical(t, []byte(all[i])), canonical(t, text), all[i])
	}
}

// Both print the same defaults: of what flatc made, and of what we made. Flatc prints those of
// deprecated fields when it has a binary schema, and nan as a word that is not JSON.
func TestDefaultsAreFlatcs(t *testing.T) {
	s := zoo(t)
	all := append(randomDocuments(t, s, 60, true), documents...)
	payloads := flatcMakes(t, all)
	for _, document := range all {
		payloads = append(payloads, ours(t, s, document))
	}
	all = append(all, all...)
	quoted := strings.NewReplacer(": nan", `: "nan"`, ": inf", `: "inf"`, ": -inf", `: "-inf"`)
	for i, text := range flatcReads(t, payloads, "--defaults-json") {
		want := without("old", canonical(t, []byte(quoted.Replace(string(text)))))
		got := without("old", canonical(t, theirs(t, s, payloads[i], JSONOptions{Defaults: true})))
		requireSame(t, want, got, all[i])
	}
}

func TestUnusualFloatsAreFlatcs(t *testing.T) {
	s := zoo(t)
	const document = `{"scalars":{"j":"nan","k":"-inf"},"vectors":{"j":["inf","-inf","nan"],"k":["nan","inf"]}}`
	require.Equal(t, document, string(theirs(t, s, flatcMakes(t, []string{document})[0], JSONOptions{})))
	text := string(flatcReads(t, [][]byte{ours(t, s, document)})[0])
	require.Equal(t, strings.ReplaceAll(document, `"`, ""),
		strings.NewReplacer(`"`, "", "\n", "", " ", "").Replace(text))
}

// Without flatc, and with what it does not take: what goes in comes out.
func TestThereAndBack(t *testing.T) {
	s := zoo(t)
	for _, document := range append(randomDocuments(t, s, 150, false), documents...) {
		payload := ours(t, s, document)
		for _, options := range []JSONOptions{{}, {Indent: "\t"}} {
			text := theirs(t, s, payload, options)
			requireSame(t, canonical(t, []byte(document)), canonical(t, text), document)
			require.Equal(t, string(text), string(theirs(t, s, ours(t, s, string(text)), options)), "%s", document)
		}
		full := theirs(t, s, payload, JSONOptions{Defaults: true})
		require.Equal(t, string(theirs(t, s, payload, JSONOptions{})),
			string(theirs(t, s, ours(t, s, string(full)), JSONOptions{})), "%s", document)
	}
}
