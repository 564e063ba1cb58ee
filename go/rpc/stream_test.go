package rpc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/codegen/testdata/streams"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
)

// files serves the streams of a schema, by generated code.
type files struct {
	streams.UnimplementedStoreServer
	gate     chan struct{} // nil: open
	received atomic.Int64  // messages of Upload
	sent     atomic.Int64  // of List
	ended    chan error    // of List and Sync; may be nil
}

func (f *files) wait(ctx context.Context) error {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (f *files) Upload(ctx context.Context, in *rpc.Receiver[streams.Part], reply *rpc.Reply) error {
	if err := f.wait(ctx); err != nil {
		return err
	}
	var parts, size uint64
	for part, err := range in.All() {
		if err != nil {
			return err
		}
		if part.Offset() != size {
			return rpc.Errorf(rpc.CodeBadRequest, "part %d is at %d, not at %d", parts, part.Offset(), size)
		}
		parts++
		size += uint64(part.BytesLength())
		f.received.Add(1)
	}
	return streams.ReplySummary(reply, parts, size)
}

func (f *files) List(ctx context.Context, req *streams.Query, out *rpc.Sender[streams.Entry]) (err error) {
	defer func() {
		if f.ended != nil {
			f.ended <- err
		}
	}()
	if err := f.wait(ctx); err != nil {
		return err
	}
	if err := out.Metadata().Add("count", fmt.Sprint(req.Count())); err != nil {
		return err
	}
	var entry []byte
	for i := range req.Count() {
		entry = streams.EntryBytes(entry[:0], req.Prefix(), i)
		if err := out.SendBytes(entry); err != nil {
			return err
		}
		f.sent.Add(1)
	}
	return nil
}

func (f *files) Sync(_ context.Context, in *rpc.Receiver[streams.Entry], out *rpc.Sender[streams.Entry]) (err error) {
	defer func() {
		if f.ended != nil {
			f.ended <- err
		}
	}()
	for entry, err := range in.All() {
		if err != nil {
			return err
		}
		if string(entry.Name()) == "fail" {
			return &rpc.Error{Code: rpc.CodeConflict, Message: "on purpose", Details: []byte("why")}
		}
		if err := out.SendObject(&streams.EntryT{Name: string(entry.Name()), Number: entry.Number() + 1}); err != nil {
			return err
		}
	}
	return nil
}

func startFiles(t testing.TB, f *files) (*streams.StoreClient, *rpc.Server) {
	t.Helper()
	c, server := rpctest.NewPairWith(t, rpc.ServerOptions{Cores: 1, Logger: slog.New(slog.DiscardHandler)}, func(r rpc.Registrar) error {
		return streams.RegisterStoreServer(r, f)
	})
	return streams.NewStoreClient(c), server
}

func part(b *flatbuffers.Builder, offset uint64, data []byte) *flatbuffers.Builder {
	b.Reset()
	bytes := b.CreateByteVector(data)
	streams.PartStart(b)
	streams.PartAddOffset(b, offset)
	streams.PartAddBytes(b, bytes)
	b.Finish(streams.PartEnd(b))
	return b
}

func query(prefix string, count uint64) *flatbuffers.Builder {
	b := flatbuffers.NewBuilder(64)
	b.Finish((&streams.QueryT{Prefix: prefix, Count: count}).Pack(b))
	return b
}

func TestGeneratedStreams(t *testing.T) {
	store, _ := startFiles(t, &files{})
	ctx := patient(t)

	upload, err := store.Upload(ctx)
	require.NoError(t, err)
	b, data, size := flatbuffers.NewBuilder(1024), []byte(strings.Repeat("0123456789", 500)), uint64(0)
	for i := range 1000 {
		require.NoError(t, upload.Send(part(b, size, data[:i])))
		size += uint64(i)
	}
	large := make([]byte, 1<<20)
	require.NoError(t, upload.Send(part(b, size, large)))
	result, err := upload.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 1001, result.Table().Parts())
	require.EqualValues(t, size+1<<20, result.Table().Size())
	result.Release()

	list, err := store.List(ctx, query("a name of some length", 100_000))
	require.NoError(t, err)
	next := uint64(0)
	for entry, err := range list.All() {
		require.NoError(t, err)
		require.Equal(t, next, entry.Number())
		require.Equal(t, "a name of some length", string(entry.Name()))
		next++
	}
	require.EqualValues(t, 100_000, next)
	require.Equal(t, "100000", list.Metadata().Get("count"))
	_, err = list.Recv()
	require.Equal(t, io.EOF, err)

	sync, err := store.Sync(ctx)
	require.NoError(t, err)
	for i := range uint64(1000) {
		require.NoError(t, sync.SendObject(&streams.EntryT{Name: "x", Number: i}))
		entry, err := sync.Recv()
		require.NoError(t, err)
		require.Equal(t, i+1, entry.Number())
	}
	require.NoError(t, sync.CloseSend())
	_, err = sync.Recv()
	require.Equal(t, io.EOF, err)

	require.ErrorIs(t, store.StatInto(ctx, &streams.QueryT{}, &streams.EntryT{}), rpc.ErrNotImplemented)
}

func TestErrorsOfGeneratedStreams(t *testing.T) {
	store, _ := startFiles(t, &files{})
	ctx := patient(t)
	var e *rpc.Error

	sync, err := store.Sync(ctx)
	require.NoError(t, err)
	require.NoError(t, sync.SendObject(&streams.EntryT{Name: "fail"}))
	_, err = sync.Recv()
	require.ErrorAs(t, err, &e)
	require.Equal(t, "on purpose why", e.Message+" "+string(e.Details))

	upload, err := store.Upload(ctx)
	require.NoError(t, err)
	require.NoError(t, upload.SendBytes([]byte("this is no Part")))
	_, err = upload.CloseAndRecv()
	require.ErrorAs(t, err, &e)
	require.Equal(t, rpc.CodeBadRequest, e.Code)
	require.Contains(t, e.Message, "malformed")

	require.Error(t, upload.Send(nil))
	_, err = store.List(ctx, nil)
	require.Error(t, err)

	c := rpctest.NewPair(t, func(r rpc.Registrar) error {
		return streams.RegisterStoreServer(r, streams.UnimplementedStoreServer{})
	})
	none := streams.NewStoreClient(c)
	upload, err = none.Upload(ctx)
	require.NoError(t, err)
	_, err = upload.CloseAndRecv()
	require.ErrorIs(t, err, rpc.ErrNotImplemented)
	list, err := none.List(ctx, query("", 1))
	require.NoError(t, err)
	_, err = list.Recv()
	require.ErrorIs(t, err, rpc.ErrNotImplemented)

	// As a method of another kind.
	sum := func(id uint32) error {
		_, err := c.Call(ctx, id, query("", 1).FinishedBytes())
		return err
	}
	require.ErrorAs(t, sum(streams.StoreListMethodID), &e)
	require.Equal(t, rpc.CodeBadRequest, e.Code)
	require.Contains(t, e.Message, "open a stream")
	require.False(t, e.MayHaveRun)
}

// Of both ends, one takes nothing: the other one is stopped within the credit and what is queued on both
// sides, and other streams and calls go on.
func TestSlowEndsOfGeneratedStreams(t *testing.T) {
	f := &files{gate: make(chan struct{})}
	store, _ := startFiles(t, f)
	ctx := patient(t)
	const credit, queued = 256 << 10, 4 * 64 << 10 // queued: in a client, and its core
	data := make([]byte, 1000)
	var sent atomic.Int64
	upload, err := store.Upload(ctx)
	require.NoError(t, err)
	uploaded := make(chan error, 1)
	go func() {
		b := flatbuffers.NewBuilder(2048)
		for i := range uint64(3000) {
			if err := upload.Send(part(b, i*uint64(len(data)), data)); err != nil {
				uploaded <- err
				return
			}
			sent.Add(1)
		}
		uploaded <- nil
	}()
	eventually(t, "the credit is used up", func() bool { return sent.Load()*1000 > credit })
	sync, err := store.Sync(ctx)
	require.NoError(t, err)
	for i := range uint64(1000) {
		require.NoError(t, sync.SendObject(&streams.EntryT{Name: "x", Number: i}))
		_, err := sync.Recv()
		require.NoError(t, err)
	}
	require.Less(t, sent.Load()*1000, int64(credit+queued))
	require.Zero(t, f.received.Load())
	close(f.gate)
	require.NoError(t, within(t, uploaded, "all is sent"))
	result, err := upload.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 3000, result.Table().Parts())
	result.Release()

	name := strings.Repeat("n", 1000)
	list, err := store.List(ctx, query(name, 3000))
	require.NoError(t, err)
	eventually(t, "the credit is used up", func() bool { return f.sent.Load()*1000 > credit })
	for i := range uint64(1000) {
		require.NoError(t, sync.SendObject(&streams.EntryT{Name: "x", Number: i}))
		_, err := sync.Recv()
		require.NoError(t, err)
	}
	require.Less(t, f.sent.Load()*1000, int64(credit+queued))
	count := 0
	for _, err := range list.All() {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 3000, count)
}

// The client's ways to give a stream up reach the handler, whatever it does; and nothing is left of either.
func TestGivingUpGeneratedStreams(t *testing.T) {
	f := &files{ended: make(chan error, 10)}
	store, server := startFiles(t, f)
	ctx := patient(t)
	goroutines := runtime.NumGoroutine()
	cancelled := func() {
		t.Helper()
		var e *rpc.Error
		require.ErrorAs(t, within(t, f.ended, "the handler ends"), &e)
		require.Contains(t, []rpc.Code{rpc.CodeCancelled, rpc.CodeDeadline}, e.Code)
	}
	begun := func(sync *rpc.BidiStream[streams.Entry, streams.Entry]) error {
		if err := sync.SendObject(&streams.EntryT{Name: "x"}); err != nil {
			return err
		}
		_, err := sync.Recv()
		return err
	}
	for range 10 {
		list, err := store.List(ctx, query("x", 1<<40))
		require.NoError(t, err)
		for entry, err := range list.All() {
			require.NoError(t, err)
			if entry.Number() == 10 {
				break
			}
		}
		cancelled()

		sync, err := store.Sync(ctx)
		require.NoError(t, err)
		require.NoError(t, begun(sync)) // else it may be given up before
		sync.Close()
		cancelled()

		short, end := context.WithTimeout(ctx, 100*time.Millisecond)
		sync, err = store.Sync(short)
		if err == nil {
			if err = begun(sync); err == nil {
				_, err = sync.Recv()
				cancelled()
			}
		}
		require.ErrorIs(t, err, rpc.ErrDeadline)
		end()
		for len(f.ended) > 0 { // of a handler that began too late for begun
			<-f.ended
		}

		forgotten, end := context.WithCancel(ctx)
		list, err = store.List(forgotten, query("x", 1<<40))
		require.NoError(t, err)
		_, err = list.Recv()
		require.NoError(t, err)
		end()
		cancelled()
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "nothing is in flight", func() bool { return coreOf(t, server).InFlight == 0 })
}

// Messages of a stream through client and server, with nothing else to be done: an operation is a message.
func BenchmarkGeneratedStream(b *testing.B) {
	store, _ := startFiles(b, &files{})
	b.ReportAllocs()
	b.ResetTimer()
	list, err := store.List(context.Background(), query("a name of some length, 60 b", uint64(b.N)))
	require.NoError(b, err)
	count := 0
	for _, err := range list.All() {
		if err != nil {
			b.Fatal(err)
		}
		count++
	}
	require.Equal(b, b.N, count)
}
