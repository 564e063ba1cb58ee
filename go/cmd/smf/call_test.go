package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen"
	"github.com/smf-go/smf/go/internal/sourcetree"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

// smfWith runs the program with something on its standard input.
func smfWith(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	command := exec.Command(binary(t), args...)
	command.Stdin = strings.NewReader(input)
	return runToEnd(t, command)
}

func TestCall(t *testing.T) {
	address := serveDemo(t).addresses[0]
	for _, test := range []struct {
		args []string
		want outcome
	}{
		{[]string{"SmfStorage.Get", `{"name":"Bär \"1\""}`}, outcome{0, `{"name":"Bär \"1\""}` + "\n", ""}},
		{[]string{"smf_gen.demo.SmfStorage.Get", `{"name":"x"}`}, outcome{0, `{"name":"x"}` + "\n", ""}},
		{[]string{"SmfStorage.Get"}, outcome{0, `{"name":""}` + "\n", ""}},
		{[]string{"SmfStorage.Get", `{"name":"x"}`, "--pretty"}, outcome{0, "{\n  \"name\": \"x\"\n}\n", ""}},
		{[]string{"SmfStorage.Put", `{"name":"x"}`}, outcome{1, "", "smf: 501 not implemented\n"}},
		{[]string{"SmfStorage.Get", `{"name":1}`}, outcome{1, "", "smf: $.name: expected a string, found the number 1\n"}},
		{[]string{"SmfStorage.Get", `{"name":"x"} {}`}, outcome{1, "", "smf: $: something follows the document (at byte 14)\n"}},
		{[]string{"SmfStorage.Get", ``}, outcome{1, "", "smf: $: not JSON: it ends too early\n"}},
	} {
		require.Equal(t, test.want, smf(t, append([]string{"call", address}, test.args...)...), "%q", test.args)
	}
}

func TestCallWithManyDocuments(t *testing.T) {
	address := serveDemo(t).addresses[0]
	got := smfWith(t, `{"name":"a"} {"name":"b"}`+"\n\n  {\n\"name\"\n:\"c\"}\n{\"nmae\":1}\n7\n{\"name\":\"d\"}\n\n {] {\"name\":\"e\"}\n",
		"call", address, "SmfStorage.Get", "-")
	require.Equal(t, outcome{1, `{"name":"a"}` + "\n" + `{"name":"b"}` + "\n" + `{"name":"c"}` + "\n" + `{"name":"d"}` + "\n",
		`smf: line 6: $.nmae: smf_gen.demo.Request has no field "nmae"; it has: name` + "\n" +
			"smf: line 7: $: expected an object of smf_gen.demo.Request, found the number 7\n" +
			"smf: line 10: not JSON: invalid character ']' looking for beginning of object key string; what follows is not read\n"}, got)

	require.Equal(t, outcome{0, "", ""}, smfWith(t, " \n", "call", address, "SmfStorage.Get", "-"))
	require.Equal(t, outcome{1, "", "smf: line 2: not JSON: it ends too early; what follows is not read\n"},
		smfWith(t, "\n{\n", "call", address, "SmfStorage.Get", "-"))
	got = smfWith(t, "{}{}{}", "call", address, "SmfStorage.Fire", "-")
	require.Equal(t, outcome{1, "", strings.Repeat("smf: line 1: 501 not implemented\n", 3)}, got)

}

func TestManyCallsOnOneConnection(t *testing.T) {
	address, accepted := counting(t, serveDemo(t).addresses[0])
	got := smfWith(t, strings.Repeat("{}\n", 1000), "call", address, "SmfStorage.Get", "-")
	require.Equal(t, outcome{0, strings.Repeat(`{"name":""}`+"\n", 1000), ""}, got)
	require.EqualValues(t, 1, accepted.Load())
}

// counting passes connections on and counts them.
func counting(t *testing.T, address string) (string, *atomic.Int64) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	accepted := new(atomic.Int64)
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			to, err := net.Dial("tcp", address)
			if err != nil {
				_ = from.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}()
			go func() {
				_, _ = io.Copy(from, to)
				_ = from.Close()
			}()
		}
	}()
	return listener.Addr().String(), accepted
}

func TestCallsOnWrongCommandLines(t *testing.T) {
	folder := t.TempDir()
	noSchema := filepath.Join(folder, "no.bfbs")
	require.NoError(t, os.WriteFile(noSchema, []byte("table T {}"), 0o600))
	const methods = "smf_gen.demo.SmfStorage.Get, smf_gen.demo.SmfStorage.Put, smf_gen.demo.SmfStorage.Fire, " +
		"smf_gen.demo.SmfStorage.Forget, smf_gen.demo.SmfStorage.SomethingElse"
	const wants = `call wants an address and a method: smf call 127.0.0.1:11225 SmfStorage.Get '{"name":"x"}'; smf call --list lists the methods`
	for _, test := range []struct{ args, stderr string }{
		{"call", wants},
		{"call 127.0.0.1:1", wants},
		{`call 127.0.0.1:1 SmfStorage.Get {"name": "x"}`, `call takes one JSON document, and "\"x\"}" follows it: quote the document for the shell`},
		{"call 127.0.0.1:1 SmfStorage.Get --bogus", "unknown flag: --bogus (smf call --help lists the flags)"},
		{"call 127.0.0.1:1 SmfStorage.Get --timeout 0s", "--timeout 0s: it must be longer than nothing"},
		{"call --list here", `--list takes no arguments, and there is "here"`},
		{"call 127.0.0.1:1 SmfStorage.Steal", `unknown method "SmfStorage.Steal": there are ` + methods + "; --schema names the schema of another service"},
		{"call 127.0.0.1:1 T.Get --schema " + noSchema, noSchema + `: not a binary FlatBuffers schema: no "BFBS" at its beginning`},
		{"call 127.0.0.1:1 T.Get --schema " + folder + "/gone.bfbs", "open " + folder + "/gone.bfbs: no such file or directory"},
		{"call 127.0.0.1:1 T.Get --schema " + folder + "/gone.fbs", folder + "/gone.fbs: no such file or directory"},
	} {
		require.Equal(t, outcome{2, "", "smf: " + test.stderr + "\n"}, smf(t, strings.Fields(test.args)...), test.args)
	}
	require.Equal(t, outcome{1, "", "smf: can't connect to 127.0.0.1:1: nobody listens there\n"},
		smf(t, "call", "127.0.0.1:1", "SmfStorage.Get"))
}

func TestCallWithoutFlatc(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.fbs")
	require.NoError(t, os.WriteFile(path, []byte("table T {}"), 0o600))
	command := exec.Command(binary(t), "call", "127.0.0.1:1", "T.Get", "--schema", path)
	command.Env = []string{"PATH=" + t.TempDir()}
	require.Equal(t, outcome{2, "", "smf: flatc was not found: what is needed is the FlatBuffers compiler flatc, version 2.0.8 or newer " +
		"(Debian, Ubuntu: apt install flatbuffers-compiler)\n"}, runToEnd(t, command))
}

// flatc says that an attribute is unknown; what to do about smf's own is said, too.
func TestAttributesThatAreNotDeclared(t *testing.T) {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is not installed: ./build.sh deps")
	}
	path := filepath.Join(t.TempDir(), "s.fbs")
	for attribute, hint := range map[string]string{"slow": `; add: attribute "slow";`, "timeout": `; add: attribute "timeout";`, "quick": ""} {
		require.NoError(t, os.WriteFile(path, []byte("namespace s;\ntable T {}\nrpc_service S { Go(T): T ("+attribute+`: "1s"); }`), 0o600))
		got := smf(t, "call", "127.0.0.1:1", "S.Go", "--schema", path)
		require.Equal(t, usageStatus, got.status)
		require.Contains(t, got.stderr, "s.fbs:3: ")
		require.True(t, strings.HasSuffix(got.stderr, "must be declared before use: "+attribute+hint+"\n"), got.stderr)
	}
}

const (
	noReply         = ": the server may have run the call, or run it still"
	nothingCameBack = "nothing came back at all: does an smf server listen there? (its admin address speaks HTTP)"
)

func TestCallOfASilentServer(t *testing.T) {
	require.Equal(t, outcome{1, "", "smf: no reply within 800ms" + noReply + "; " + nothingCameBack + "\n"},
		smf(t, "call", silent(t), "SmfStorage.Get", "--timeout", "800ms"))
}

// An HTTP server waits for the end of what it takes for a line.
func TestCallOfAnAdminServer(t *testing.T) {
	address := strings.TrimPrefix(serveDemo(t).admin, "http://")
	require.Equal(t, outcome{1, "", "smf: no reply within 800ms" + noReply + "; " + nothingCameBack + "\n"},
		smf(t, "call", address, "SmfStorage.Get", "--timeout", "800ms"))
}

// answering is a server that says the same to everybody who says something, and closes.
func answering(t *testing.T, words string) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(conn, words)
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestCallOfWhoSpeaksSomethingElse(t *testing.T) {
	address := answering(t, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	require.Equal(t, outcome{1, "", "smf: connection to " + address + " ended: bad compression " +
		"(it does not speak smf; an admin address speaks HTTP) before the reply came\n"}, smf(t, "call", address, "SmfStorage.Get"))
	address = answering(t, "")
	require.Equal(t, outcome{1, "", "smf: connection to " + address + " ended: by peer before the reply came; " + nothingCameBack + "\n"},
		smf(t, "call", address, "SmfStorage.Get"))
}

// waiter answers nobody whose name is "wait".
type waiter struct{ demoStore }

func (w waiter) Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	if string(req.Name()) == "wait" {
		<-ctx.Done()
	}
	return w.demoStore.Get(ctx, req, reply)
}

// Who has answered once is an smf server.
func TestCallOfAServerThatFallsSilent(t *testing.T) {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	require.NoError(t, demo.RegisterSmfStorageServer(server, waiter{}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	require.Equal(t, outcome{1, `{"name":"x"}` + "\n", "smf: line 2: no reply within 2s" + noReply + "\n"},
		smfWith(t, `{"name":"x"}`+"\n"+`{"name":"wait"}`+"\n", "call", address, "SmfStorage.Get", "-", "--timeout", "2s"))
}

// farm has what generated Go code cannot have.
const farm = `include "things.fbs";
namespace farm;
union Thing { things.Leaf, Text: string }
table Animal { id: ulong; thing: Thing; things: [Thing]; leaves: int = 4; }
rpc_service Farm { Echo(Animal): Animal; Lie(Animal): Animal; Watch(Animal): Animal (streaming: "server"); }`

// serveFarm serves it in this process, by what the binary schema says. It returns where, and the folder
// with the schemas.
func serveFarm(t *testing.T) (address, folder string) {
	if _, err := exec.LookPath("flatc"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI has flatc")
		t.Skip("flatc is not installed: ./build.sh deps")
	}
	folder = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(folder, "include"), 0o700))
	for name, text := range map[string]string{"farm.fbs": farm, "include/things.fbs": "namespace things; table Leaf { name: string; }"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	p, err := codegen.BinarySchema(t.Context(), filepath.Join(folder, "farm.fbs"), filepath.Join(folder, "include"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "farm.bfbs"), p, 0o600))
	s, err := schema.Read(p)
	require.NoError(t, err)

	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	require.NoError(t, err)
	service := rpc.Service{Name: "Farm", Package: "farm"}
	for _, m := range s.Methods() {
		service.Methods = append(service.Methods, rpc.Method{
			Name: m.Name, In: m.In.Name(), Out: m.Out.Name(), ID: m.ID, Verify: m.In.Verify,
			Handle: func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
				if m.Name == "Lie" {
					return reply.Bytes([]byte("not a FlatBuffer"))
				}
				return reply.Bytes(req.Payload())
			},
		})
	}
	require.NoError(t, server.Register(service))
	address, err = server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return address, folder
}

func TestCallByASchema(t *testing.T) {
	address, folder := serveFarm(t)
	const document = `{"id":18446744073709551615,"thing_type":"things_Leaf","thing":{"name":"oak"},"things_type":["Text"],"things":["x"]}`
	for _, by := range [][]string{
		{"--schema", folder + "/farm.bfbs"},
		{"--schema", folder + "/farm.fbs", "-I", folder + "/include"},
	} {
		got := smf(t, append([]string{"call", address, "Farm.Echo", document}, by...)...)
		require.Equal(t, outcome{0, document + "\n", ""}, got)
	}
	by := []string{"--schema", folder + "/farm.bfbs"}
	got := smf(t, append([]string{"call", address, "Farm.Echo", `{"id":1}`, "--defaults"}, by...)...)
	require.Equal(t, outcome{0, `{"id":1,"thing_type":"NONE","leaves":4}` + "\n", ""}, got)
	got = smf(t, append([]string{"call", address, "Farm.Lie"}, by...)...)
	require.Equal(t, outcome{1, "", "smf: the reply is not what the schema says: Animal: root offset is out of range (at byte 0)\n"}, got)
	got = smf(t, append([]string{"call", address, "Farm.Watch"}, by...)...)
	require.Equal(t, outcome{2, "", `smf: method farm.Farm.Watch streams ("server"): smf call makes one request and gets one reply` + "\n"}, got)
	got = smf(t, append([]string{"call", "--list"}, by...)...)
	require.Equal(t, outcome{0, "farm.Farm.Echo(farm.Animal): farm.Animal\nfarm.Farm.Lie(farm.Animal): farm.Animal\n" +
		"farm.Farm.Watch(farm.Animal): farm.Animal\n", ""}, got)
}

func TestDocumentsOfAnInputThatBreaks(t *testing.T) {
	broken := errors.New("the disk is gone")
	d := newDocuments(io.MultiReader(strings.NewReader("{}\n{"), iotest.ErrReader(broken)))
	text, line, err := d.next()
	require.NoError(t, err)
	require.Equal(t, "{}", string(text))
	require.Equal(t, 1, line)
	_, line, err = d.next()
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "the disk is gone")
	require.Equal(t, 2, line)
}

func TestDocumentsThatDoNotEnd(t *testing.T) {
	d := newDocuments(io.MultiReader(strings.NewReader("{}\n\""), endless{}))
	require.EqualValues(t, schema.MaxJSON, d.lines.limit)
	d.lines.limit = 1 << 20
	_, _, err := d.next()
	require.NoError(t, err)
	_, line, err := d.next()
	require.EqualError(t, err, "the document is longer than 1048576 bytes")
	require.Equal(t, 2, line)
}

// endless is a text without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// The examples in the documentation are run, and print what it says.
func TestDocumentedCalls(t *testing.T) {
	root, err := sourcetree.Root()
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "json.md"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)<!-- runs -->\n```console\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, blocks)
	address := serveDemo(t).addresses[0]
	t.Setenv("PATH", filepath.Dir(binary(t))+":"+os.Getenv("PATH"))
	for _, block := range blocks {
		for _, example := range regexp.MustCompile(`(?m)^\$ `).Split(block[1], -1)[1:] {
			line, want, _ := strings.Cut(example, "\n")
			require.Contains(t, line, "smf call")
			line = strings.ReplaceAll(line, "127.0.0.1:11225", address)
			output, _ := exec.Command("bash", "-c", line).CombinedOutput()
			require.Equal(t, want, string(output), "%s", line)
		}
	}
}

func TestCallThatIsTooLarge(t *testing.T) {
	document := `{"name":"` + strings.Repeat("x", 17_000_000) + `"}`
	got := smfWith(t, document, "call", serveDemo(t).addresses[0], "SmfStorage.Get", "-")
	require.Equal(t, 1, got.status)
	require.Regexp(t, `^smf: line 1: the request has 170000\d\d bytes as a FlatBuffer: a call carries at most 16 MiB \(16777216\)\n$`, got.stderr)
}
