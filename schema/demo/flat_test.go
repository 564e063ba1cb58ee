package demo_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

const (
	hello    = "Hello, smf-world!"
	patience = 10 * time.Second
)

// built is what the stock builder makes of a request with that name. Responses have the same bytes.
func built(builder *flatbuffers.Builder, name string) []byte {
	builder.Reset()
	at := builder.CreateString(name) // an empty one, too, which Pack leaves out
	demo.RequestStart(builder)
	demo.RequestAddName(builder, at)
	builder.Finish(demo.RequestEnd(builder))
	return builder.FinishedBytes()
}

func TestWritersMakeTheGoldenPayload(t *testing.T) {
	text, err := os.ReadFile("../golden/frame_request.hex")
	require.NoError(t, err)
	payload := demo.RequestBytes(nil, hello)
	require.Contains(t, string(text), fmt.Sprintf("\nsize: %d\n", len(payload)))
	require.True(t, strings.HasSuffix(strings.ReplaceAll(string(text), "\n", ""), hex.EncodeToString(payload)))
}

func TestBytesAreThoseOfABuilder(t *testing.T) {
	builder := flatbuffers.NewBuilder(0)
	dirty := make([]byte, 1024) // every byte of the payload is written, padding too
	for size := range 300 {
		name := strings.Repeat("n", size)
		want := built(builder, name)
		fill(dirty, 0xaa)
		require.Equal(t, want, demo.RequestBytes(dirty[:0], name), "%d bytes", size)
		fill(dirty, 0xaa)
		require.Equal(t, want, demo.ResponseBytes(dirty[:0], []byte(name)), "%d bytes", size)
	}
}

func fill(p []byte, value byte) {
	for i := range p {
		p[i] = value
	}
}

// What a caller has in front of the payload stays, wherever that makes the payload begin.
func TestBytesAreAppended(t *testing.T) {
	for shift := range 9 {
		front := strings.Repeat("f", shift)
		got := demo.RequestBytes([]byte(front), hello)
		require.Equal(t, front, string(got[:shift]))
		require.Equal(t, demo.RequestBytes(nil, hello), got[shift:])
	}
}

type label string

func TestStringsOfAnyType(t *testing.T) {
	require.Equal(t, demo.RequestBytes(nil, hello), demo.RequestBytes(nil, label(hello)))
}

func TestWritersAllocateNothing(t *testing.T) {
	var space [64]byte
	name := []byte(hello)
	var sink int
	require.Zero(t, testing.AllocsPerRun(100, func() { sink += len(demo.RequestBytes(space[:0], name)) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { sink += len(demo.RequestBytes(space[:0], hello)) }))
	payload := demo.RequestBytes(nil, hello)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if demo.VerifyRequest(payload) == nil {
			sink++
		}
	}))
	require.NotZero(t, sink)
}

// inside answers calls with what a function does.
type inside struct {
	demo.UnimplementedSmfStorageServer
	get func(req *demo.Request, reply *rpc.Reply) error
}

func (s inside) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return s.get(req, reply)
}

func (s inside) register(r rpc.Registrar) error { return demo.RegisterSmfStorageServer(r, s) }

// The reply lies in what the core lends, or on the heap when it is larger.
func TestReplyResponse(t *testing.T) {
	client := rpctest.NewPair(t, inside{get: func(req *demo.Request, reply *rpc.Reply) error {
		return demo.ReplyResponse(reply, req.Name())
	}}.register)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	builder := flatbuffers.NewBuilder(0)
	for _, size := range []int{0, 1, 2, 3, 4, 17, 200, 4096, 1 << 17, 1<<18 - 29, 1<<18 - 28, 1 << 18, 1 << 20, 5} {
		name := strings.Repeat("x", size)
		message, err := client.Call(ctx, demo.SmfStorageGetMethodID, demo.RequestBytes(nil, name))
		require.NoError(t, err, "%d bytes", size)
		require.Equal(t, built(builder, name), message.Payload(), "%d bytes", size)
		message.Release()
	}
}

// within runs a function in the handler of one call.
func within(t testing.TB, do func(reply *rpc.Reply) error) {
	client := rpctest.NewPair(t, inside{get: func(_ *demo.Request, reply *rpc.Reply) error {
		return do(reply)
	}}.register)
	message, err := client.Call(context.Background(), demo.SmfStorageGetMethodID, demo.RequestBytes(nil, hello))
	require.NoError(t, err)
	message.Release()
}

func TestReplyAllocatesNothing(t *testing.T) {
	within(t, func(reply *rpc.Reply) error {
		if n := testing.AllocsPerRun(100, func() { _ = demo.ReplyResponse(reply, hello) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
		return nil
	})
}

// The text is as large as it says, but nobody touches it: it takes no memory.
func TestTooLarge(t *testing.T) {
	const size = 1<<31 - 24
	text, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ,
		syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	require.NoError(t, err)
	defer func() { require.NoError(t, syscall.Munmap(text)) }()
	require.PanicsWithValue(t, "RequestBytes: larger than 2 GiB", func() { demo.RequestBytes(nil, text) })
	var failure *rpc.Error
	require.ErrorAs(t, demo.ReplyResponse(nil, text), &failure)
	require.Equal(t, rpc.CodeTooLarge, failure.Code)
	require.Equal(t, "Response of 2147483652 bytes", failure.Message)
}

func BenchmarkVerifyRequest(b *testing.B) {
	payload := demo.RequestBytes(nil, hello)
	b.ReportAllocs()
	for b.Loop() {
		if err := demo.VerifyRequest(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequestBytes(b *testing.B) {
	var space [64]byte
	name := []byte(hello)
	b.ReportAllocs()
	for b.Loop() {
		demo.RequestBytes(space[:0], name)
	}
}

func BenchmarkReplyResponse(b *testing.B) {
	name := []byte(hello)
	b.ReportAllocs()
	within(b, func(reply *rpc.Reply) error {
		for b.Loop() {
			if err := demo.ReplyResponse(reply, name); err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkReplyResponseBuilder(b *testing.B) {
	name := []byte(hello)
	b.ReportAllocs()
	within(b, func(reply *rpc.Reply) error {
		for b.Loop() {
			builder := reply.Builder()
			text := builder.CreateByteString(name)
			demo.ResponseStart(builder)
			demo.ResponseAddName(builder, text)
			if err := reply.Finish(demo.ResponseEnd(builder)); err != nil {
				return err
			}
		}
		return nil
	})
}
