package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// Unknown methods answer 404 and leave the calls around them alone.
func TestUnknownMethods(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	w := dialWire(t, address)
	var batch []byte
	for i := range uint16(100) {
		id := idEcho
		if i%3 == 1 {
			id = 7
		}
		batch = append(batch, request(i, id, "x")...)
	}
	_, err := w.Write(batch)
	require.NoError(t, err)
	seen := map[uint16]bool{}
	for range 100 {
		h, payload := w.receive()
		require.False(t, seen[h.Session], "answered twice")
		seen[h.Session] = true
		if h.Session%3 == 1 {
			require.EqualValues(t, rpc.CodeNotFound, h.Meta)
			require.Len(t, payload, 12, "an empty table")
			continue
		}
		require.EqualValues(t, rpc.CodeOK, h.Meta)
		require.Equal(t, "x", payload)
	}
}

func TestErrorsBecomeStatuses(t *testing.T) {
	var errOfTest error
	var log logText
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()}, method(idWork, func(context.Context, *rpc.Request, *rpc.Reply) error {
		return errOfTest
	}))
	c := dial(t, address)
	for _, test := range []struct {
		err  error
		code rpc.Code
	}{
		{rpc.Errorf(rpc.CodeConflict, "x"), rpc.CodeConflict},
		{rpc.Errorf(rpc.CodeOutOfSpace, "x"), rpc.CodeOutOfSpace},
		{fmt.Errorf("around: %w", rpc.Errorf(rpc.CodePermission, "x")), rpc.CodePermission},
		{rpc.ErrNotImplemented, rpc.CodeNotImplemented},
		{context.DeadlineExceeded, rpc.CodeDeadline},
		{fmt.Errorf("around: %w", context.Canceled), rpc.CodeCancelled},
		{fs.ErrNotExist, rpc.CodeInternal},
		{&rpc.Error{}, rpc.CodeInternal},
		{&rpc.Error{Code: rpc.CodeOK}, rpc.CodeInternal},
		{rpc.Errorf(799, "one of the service's own"), 799},
	} {
		errOfTest = test.err
		e := fails(t, c, idWork, "x")
		require.Equal(t, test.code, e.Code, "%v", test.err)
		require.NotContains(t, e.Error(), "\n")
	}
	require.Len(t, log.lines("handler failed"), 1, "of a kind, one in a second")
	require.Contains(t, log.lines("handler failed")[0], fs.ErrNotExist.Error())
	require.NotContains(t, log.lines("handler failed")[0], "left_out", "nothing was")

	errOfTest = nil
	require.Len(t, answer(t, c, idWork, "x"), 12, "an empty table")
}

// typed serves the demo service with its verifier.
type typed struct {
	demo.UnimplementedSmfStorageServer
}

func (typed) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	b := reply.Builder()
	name := b.CreateByteString(req.Name())
	demo.ResponseStart(b)
	demo.ResponseAddName(b, name)
	return reply.Finish(demo.ResponseEnd(b))
}

func (typed) Put(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return reply.Object(&demo.ResponseT{Name: string(req.Name())})
}

func startDemo(t testing.TB, options rpc.ServerOptions) (*rpc.Server, string) {
	t.Helper()
	if options.Cores == 0 {
		options.Cores = 1
	}
	server, err := rpc.NewServer(options)
	require.NoError(t, err)
	require.NoError(t, demo.RegisterSmfStorageServer(server, typed{}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		servedWell(t, served)
	})
	return server, address
}

func demoRequest(name string) []byte {
	b := flatbuffers.NewBuilder(0)
	b.Finish((&demo.RequestT{Name: name}).Pack(b))
	return b.FinishedBytes()
}

// Every way to damage a request is either refused or harmless.
func TestDamagedRequests(t *testing.T) {
	_, address := startDemo(t, rpc.ServerOptions{})
	w := dialWire(t, address)
	good := demoRequest("Hello, smf-world!")
	refused, accepted := 0, 0
	try := func(payload []byte) {
		w.send(1, demo.SmfStorageGetMethodID, string(payload))
		h, reply := w.receive()
		switch rpc.Code(h.Meta) {
		case rpc.CodeOK:
			accepted++
			require.NoError(t, demo.VerifyResponse([]byte(reply)))
		case rpc.CodeBadRequest:
			refused++
		default:
			require.Fail(t, "an answer that is neither yes nor no", "%d", h.Meta)
		}
	}
	for i := range good {
		for _, damage := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 0xff, 0x80 ^ 0xff} {
			damaged := append([]byte(nil), good...)
			damaged[i] ^= damage
			try(damaged)
		}
		if i > 0 {
			try(good[:i])
		}
	}
	require.NotZero(t, refused)
	require.NotZero(t, accepted, "a changed letter of the name is none of the verifier's business")
	try(append([]byte{0xff, 0xff, 0xff, 0x7f}, good[4:]...)) // a root far outside
	w.send(1, demo.SmfStorageGetMethodID, string(good))
	h, _ := w.receive()
	require.EqualValues(t, rpc.CodeOK, h.Meta)
}

// Small, as large as the loan, larger, and much larger: all the same to a handler.
func TestRepliesOfAllSizes(t *testing.T) {
	_, address := startDemo(t, rpc.ServerOptions{})
	c := demo.NewSmfStorageClient(dial(t, address))
	for _, size := range []int{0, 1, 100, 4 << 10, 200 << 10, 256<<10 - 100, 256 << 10, 300 << 10, 1 << 20, 15 << 20} {
		name := randomText(size, size)
		var reply demo.ResponseT
		require.NoError(t, c.GetInto(patient(t), &demo.RequestT{Name: name}, &reply))
		require.True(t, name == reply.Name, "%d bytes in place", size)
		require.NoError(t, c.PutInto(patient(t), &demo.RequestT{Name: name}, &reply))
		require.True(t, name == reply.Name, "%d bytes as an object", size)
	}
}

// A reply that no frame may hold is an error of its call alone.
func TestAReplyThatIsTooLarge(t *testing.T) {
	for _, test := range []struct {
		name    string
		options rpc.ServerOptions
		size    int
	}{
		{"for a frame", rpc.ServerOptions{}, 16<<20 + 1},
		{"for a small frame limit", rpc.ServerOptions{Limits: rpc.Limits{FrameBytes: 1000}}, 1001},
		{"for the memory", rpc.ServerOptions{MemoryBytes: 8 << 20}, 12 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			large := make([]byte, test.size)
			_, address := start(t, test.options,
				method(idWork, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return reply.Bytes(large) }),
				method(idMore, func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
					reply.Defer().Bytes(large)
					return nil
				}))
			c := dialLevel1(t, address) // level 2 has slices for what is larger than a frame
			for _, id := range []uint32{idWork, idMore} {
				e := fails(t, c, id, "x")
				require.Equal(t, rpc.CodeTooLarge, e.Code, "%v", e)
				require.Equal(t, "x", answer(t, c, idEcho, "x"), "on the same connection")
			}
		})
	}
}

func TestErrorsAreCompared(t *testing.T) {
	err := error(rpc.Errorf(rpc.CodeNotFound, "no %s", "such thing"))
	require.ErrorIs(t, err, rpc.ErrNotFound)
	require.NotErrorIs(t, err, rpc.ErrLimit)
	require.EqualError(t, err, "rpc: 404 not found: no such thing")
	require.EqualError(t, rpc.ErrLimit, "rpc: 429 over a limit")
	require.Equal(t, "status 799", rpc.Code(799).String())
	require.True(t, errors.Is(&rpc.Error{Code: rpc.CodeInternal, Cause: fs.ErrExist}, fs.ErrExist))
}
