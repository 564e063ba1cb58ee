package c

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/internal/model"
	"github.com/smf-go/smf/go/internal/goldens"
	"github.com/smf-go/smf/go/rpc"
)

const patience = 30 * time.Second

// peers is a program that serves and calls all services of a case, and payloads for it.
type peers struct {
	*build
	schemas []*compiled
	program string
	folder  string
	request map[uint32][]byte // by method id
	reply   map[uint32][]byte
}

// newPeers builds the program against the library of this tree, which every Go program here is linked with.
func newPeers(t *testing.T, schemas []*compiled) *peers {
	p := &peers{
		build: newBuild(t, schemas), schemas: schemas, folder: t.TempDir(),
		request: make(map[uint32][]byte), reply: make(map[uint32][]byte),
	}
	// Services with a method that streams have peers of their own: stream_test.go.
	p.view.Services = slices.DeleteFunc(p.view.Services, serviceView.Streams)
	p.execute("peer")
	args := append(compiler(t, []string{"cc", "-std=c11"}), strict...)
	args = append(args, "-Wno-unused-function", "-D_GNU_SOURCE", "-O1", "-I", filepath.Join(p.root, "native/include"), "-o", "peer", "peer.c")
	args = append(args, p.sources...)
	p.run(append(args, filepath.Join(p.root, "build/native/libsmf.a"), "-lpthread")...)
	p.program = filepath.Join(p.build.folder, "peer")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := newWriter(seed)
	for _, s := range p.view.Services {
		for _, m := range s.Methods {
			// Once through Go's plain structs, which do not tell an empty string from none.
			p.request[m.ID] = pack(goldenTable(t, m.In).UnPack(w.payload(m.In)))
			p.reply[m.ID] = pack(goldenTable(t, m.Out).UnPack(w.payload(m.Out)))
			p.save(m.ID, "request", p.request[m.ID])
			p.save(m.ID, "reply", p.reply[m.ID])
		}
	}
	return p
}

func (p *peers) path(id uint32, what string) string {
	return filepath.Join(p.folder, fmt.Sprintf("%d.%s", id, what))
}

func (p *peers) save(id uint32, what string, payload []byte) {
	require.NoError(p.t, os.WriteFile(p.path(id, what), payload, 0o666))
}

// got checks that what a C program has received of a method is what was sent, and forgets it.
func (p *peers) got(t *testing.T, m *methodView, what string) {
	payload, err := os.ReadFile(p.path(m.ID, what+".got"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(p.path(m.ID, what+".got")))
	table, want := m.In, p.request[m.ID]
	if what == "reply" {
		table, want = m.Out, p.reply[m.ID]
	}
	p.same(p.schemas, table.FullName(), want, payload)
}

func (p *peers) methods(each func(s *serviceView, m *methodView)) {
	for i := range p.view.Services {
		for k := range p.view.Services[i].Methods {
			each(&p.view.Services[i], &p.view.Services[i].Methods[k])
		}
	}
}

// golden is the Go code of a service, and goldenTable that of a table.
func golden(t *testing.T, s *serviceView) *goldens.Service {
	for i := range goldens.Services {
		d := &goldens.Services[i].Descriptor
		if d.Name == s.Name && d.Package == s.Namespace {
			return &goldens.Services[i]
		}
	}
	require.FailNow(t, "no Go code of service "+s.FullName())
	return nil
}

func goldenTable(t *testing.T, table *model.Table) *goldens.Table {
	for i := range goldens.Tables {
		if goldens.Tables[i].Name == table.FullName() {
			return &goldens.Tables[i]
		}
	}
	require.FailNow(t, "no Go code of table "+table.FullName())
	return nil
}

func (s *serviceView) method(name string) *methodView {
	i := slices.IndexFunc(s.Methods, func(m methodView) bool { return m.Name == name })
	return &s.Methods[i]
}

func pack(object rpc.Packer) []byte {
	b := flatbuffers.NewBuilder(64)
	b.Finish(object.Pack(b))
	return b.FinishedBytes()
}

// serveC starts a server in C; it ends with the test.
func (p *peers) serveC(t *testing.T) string {
	command := exec.Command(p.program, "serve", p.folder)
	command.Stderr = os.Stderr
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	tooLate := time.AfterFunc(patience, func() { _ = command.Process.Kill() })
	t.Cleanup(func() {
		require.NoError(t, command.Process.Signal(syscall.SIGTERM))
		require.NoError(t, command.Wait())
		tooLate.Stop()
	})
	address, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(address)
}

// serveGo starts a server in Go, of generated code, which answers with the replies of p; it ends with the test.
func (p *peers) serveGo(t *testing.T) string {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Spin: -1})
	require.NoError(t, err)
	for i := range p.view.Services {
		s := &p.view.Services[i]
		require.NoError(t, golden(t, s).Register(server, func(method string, request rpc.Packer) (rpc.Packer, error) {
			m := s.method(method)
			p.save(m.ID, "request.got", pack(request))
			return goldenTable(t, m.Out).UnPack(p.reply[m.ID]), nil
		}))
	}
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-served
	})
	return address
}

// callC calls every method from C.
func (p *peers) callC(t *testing.T, address string, level int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, p.program, "call", p.folder, address, strconv.Itoa(level)).CombinedOutput()
	require.NoError(t, err, "%s", output)
	p.methods(func(_ *serviceView, m *methodView) {
		p.got(t, m, "request")
		p.got(t, m, "reply")
	})
}

// callGo calls every method from Go, by generated code.
func (p *peers) callGo(t *testing.T, address string, level int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{Level: level})
	require.NoError(t, err)
	defer client.Close()
	ctx = rpc.WithMetadata(ctx, "peer", "Go")
	p.methods(func(s *serviceView, m *methodView) {
		reply, err := golden(t, s).Call(ctx, client, m.Name, goldenTable(t, m.In).UnPack(p.request[m.ID]))
		require.NoError(t, err, m.Name)
		p.same(p.schemas, m.Out.FullName(), p.reply[m.ID], pack(reply))
		p.got(t, m, "request")
	})
	_, err = client.Call(ctx, 1, []byte{8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0})
	require.ErrorIs(t, err, rpc.ErrNotFound)
	var refused *rpc.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, level == 1, refused.MayHaveRun, "at level 2 the server says that no handler saw it")
}

// Every method of every service, between languages: requests and replies with all kinds of fields arrive as
// they were sent.
func TestPeersOfBothLanguages(t *testing.T) {
	for _, folder := range cases(t) {
		schemas := schemasOf(t, folder)
		services := 0
		for _, s := range schemas {
			services += len(s.model.Services)
		}
		if services == 0 {
			continue
		}
		t.Run(filepath.Base(folder), func(t *testing.T) {
			p := newPeers(t, schemas)
			for level := 1; level <= 2; level++ {
				at := fmt.Sprintf(" at level %d", level)
				t.Run("Go calls C"+at, func(t *testing.T) { p.callGo(t, p.serveC(t), level) })
				t.Run("C calls Go"+at, func(t *testing.T) { p.callC(t, p.serveGo(t), level) })
				t.Run("C calls C"+at, func(t *testing.T) { p.callC(t, p.serveC(t), level) })
			}
		})
	}
}
