package c

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/testdata/streams"
	"github.com/smf-go/smf/go/rpc"
)

// What a C program prints when it has called all methods that stream.
var streamed = []string{
	"list: 5000 entries, 12497500, SMF_OK 200", "none: SMF_OK 404 none of these", "stat: 77",
	"sync: 20 rounds, SMF_OK 200", "upload: 300 parts, 1500000 bytes",
}

// store is a server in Go of the methods that stream.
type store struct {
	streams.UnimplementedStoreServer
}

func (store) Stat(_ context.Context, query *streams.Query, reply *rpc.Reply) error {
	return reply.Object(&streams.EntryT{Name: string(query.Prefix()), Number: query.Count()})
}

func (store) Upload(_ context.Context, in *rpc.Receiver[streams.Part], reply *rpc.Reply) error {
	var parts, size uint64
	for part, err := range in.All() {
		if err != nil {
			return err
		}
		parts++
		size += uint64(part.BytesLength())
	}
	return streams.ReplySummary(reply, parts, size)
}

func (store) List(_ context.Context, query *streams.Query, out *rpc.Sender[streams.Entry]) error {
	if query.Count() == 0 {
		return rpc.Errorf(rpc.CodeNotFound, "none of these")
	}
	for i := range query.Count() {
		if err := out.SendBytes(streams.EntryBytes(nil, "entry", i)); err != nil {
			return err
		}
	}
	return nil
}

func (store) Sync(_ context.Context, in *rpc.Receiver[streams.Entry], out *rpc.Sender[streams.Entry]) error {
	for entry, err := range in.All() {
		if err != nil {
			return err
		}
		if err := out.SendBytes(streams.EntryBytes(nil, "entry", entry.Number()+1)); err != nil {
			return err
		}
	}
	return nil
}

// newStreamPeer builds the program that serves and calls streams.
func newStreamPeer(t *testing.T) *peers {
	p := &peers{build: newBuild(t, schemasOf(t, filepath.Join(testdata, "streams"))), folder: t.TempDir()}
	source, err := os.ReadFile("testdata/stream_peer.c")
	require.NoError(t, err)
	p.write("stream_peer.c", source)
	args := append(compiler(t, []string{"cc", "-std=c11"}), strict...)
	args = append(args, "-D_GNU_SOURCE", "-O1", "-I", filepath.Join(p.root, "native/include"), "-o", "peer", "stream_peer.c")
	args = append(args, p.sources...)
	p.run(append(args, filepath.Join(p.root, "build/native/libsmf.a"), "-lpthread")...)
	p.program = filepath.Join(p.build.folder, "peer")
	return p
}

// streamC calls all methods that stream from C.
func (p *peers) streamC(t *testing.T, address string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	output, err := exec.CommandContext(ctx, p.program, "call", address).CombinedOutput()
	require.NoError(t, err, "%s", output)
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	slices.Sort(lines)
	require.Equal(t, streamed, lines)
}

// streamGo does so from Go.
func (p *peers) streamGo(t *testing.T, address string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := rpc.Dial(ctx, address, rpc.ClientOptions{Level: 2})
	require.NoError(t, err)
	defer conn.Close()
	client := streams.NewStoreClient(conn)

	var stat streams.EntryT
	require.NoError(t, client.StatInto(ctx, &streams.QueryT{Prefix: "entry", Count: 77}, &stat))
	require.Equal(t, streams.EntryT{Name: "entry", Number: 77}, stat)

	upload, err := client.Upload(ctx)
	require.NoError(t, err)
	for range 300 {
		require.NoError(t, upload.SendObject(&streams.PartT{Bytes: make([]byte, 5000)}))
	}
	summary, err := upload.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 300, summary.Table().Parts())
	require.EqualValues(t, 1500000, summary.Table().Size())
	summary.Release()

	query := func(count uint64) (entries, sum uint64, err error) {
		b := flatbuffers.NewBuilder(64)
		b.Finish((&streams.QueryT{Count: count}).Pack(b))
		list, err := client.List(ctx, b)
		require.NoError(t, err)
		for entry, err := range list.All() {
			if err != nil {
				return entries, sum, err
			}
			entries++
			sum += entry.Number()
		}
		return entries, sum, nil
	}
	entries, sum, err := query(5000)
	require.NoError(t, err)
	require.EqualValues(t, 5000, entries)
	require.EqualValues(t, 12497500, sum)
	_, _, err = query(0)
	require.ErrorIs(t, err, rpc.ErrNotFound)
	require.ErrorContains(t, err, "none of these")

	sync, err := client.Sync(ctx)
	require.NoError(t, err)
	for i := range uint64(20) {
		require.NoError(t, sync.SendBytes(streams.EntryBytes(nil, "entry", i)))
		entry, err := sync.Recv()
		require.NoError(t, err)
		require.Equal(t, i+1, entry.Number())
	}
	require.NoError(t, sync.CloseSend())
	_, err = sync.Recv()
	require.EqualError(t, err, "EOF")
}

// All three kinds of streams, between languages, through generated code.
func TestStreamsOfGeneratedCode(t *testing.T) {
	p := newStreamPeer(t)
	t.Run("Go calls C", func(t *testing.T) { p.streamGo(t, p.serveC(t)) })
	t.Run("C calls C", func(t *testing.T) { p.streamC(t, p.serveC(t)) })
	t.Run("C calls Go", func(t *testing.T) {
		server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Spin: -1})
		require.NoError(t, err)
		require.NoError(t, streams.RegisterStoreServer(server, store{}))
		address, err := server.Listen("127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- server.Serve() }()
		t.Cleanup(func() {
			require.NoError(t, server.Close())
			<-served
		})
		p.streamC(t, address)
	})
}
