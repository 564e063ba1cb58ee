package compress_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/schema/demo"
)

func newFilter(t testing.TB, o compress.Options) rpc.Filter {
	t.Helper()
	filter, err := compress.New(o)
	require.NoError(t, err)
	return filter
}

// wire notes what goes over the wire, when it is the filter next to it.
type wire struct {
	requests, replies atomic.Int64 // bytes
	compressed        atomic.Int64 // payloads
}

func (w *wire) filter(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	w.requests.Add(int64(len(call.Payload())))
	if call.Compression() != rpc.CompressionNone {
		w.compressed.Add(1)
	}
	err := next(ctx, call)
	w.replies.Add(int64(len(call.ReplyPayload())))
	if call.ReplyCompression() != rpc.CompressionNone {
		w.compressed.Add(1)
	}
	return err
}

// A call's payloads are small on the wire and whole at both ends, with either codec, promised replies included.
func TestPayloadsAreSmallOnTheWire(t *testing.T) {
	for _, codec := range []compress.Codec{newZstd(t), newLZ4(t)} {
		t.Run(codec.Compression().String(), func(t *testing.T) {
			filter, w := newFilter(t, compress.Options{Send: codec}), new(wire)
			store := &filtertest.Store{OnGet: func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
				d, name := reply.Defer(), string(req.Name())
				go d.Object(&demo.ResponseT{Name: name})
				return nil
			}}
			client := filtertest.Dial(t, filtertest.Serve(t, store, filter), filter, w.filter)
			name := strings.Repeat("what is said again and again ", 10_000)
			for i, call := range []func(testing.TB, rpc.Caller, string, ...rpc.ServiceOption) (string, error){filtertest.Put, filtertest.Get} {
				reply, err := call(t, client, name)
				require.NoError(t, err)
				require.Equal(t, name, reply)
				require.EqualValues(t, 2*(i+1), w.compressed.Load())
			}
			require.Less(t, w.requests.Load(), int64(len(name)/10))
			require.Less(t, w.replies.Load(), int64(len(name)/10))
		})
	}
}

// Only what is strictly larger than the minimum is compressed, and what has become smaller by it.
func TestWhatIsLeftAsItIs(t *testing.T) {
	request := func(name string) int {
		w := new(wire)
		_, err := filtertest.Put(t, filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}), w.filter), name)
		require.NoError(t, err)
		return int(w.requests.Load())
	}
	same := strings.Repeat("a", 2000)
	noise := randomText(3000)
	for _, c := range []struct {
		what, name string
		least      int
		compressed int64
	}{
		{"as large as the minimum", same, request(same), 0},
		{"one byte larger", same, request(same) - 1, 1},
		{"the default", strings.Repeat("a", 900), 0, 0},
		{"the default", strings.Repeat("a", 1100), 0, 1},
		{"everything", strings.Repeat("a", 100), -1, 1},
		{"noise", noise, 1, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := new(wire)
			server := newFilter(t, compress.Options{Accept: []compress.Codec{newLZ4(t)}})
			client := newFilter(t, compress.Options{Send: newLZ4(t), MinBytes: c.least})
			reply, err := filtertest.Put(t, filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, server), client, w.filter), c.name)
			require.NoError(t, err)
			require.Equal(t, c.name, reply)
			require.Equal(t, c.compressed, w.compressed.Load())
		})
	}
}

// bomb is what becomes a thousand times as large: megabytes of zeros.
func bomb(t testing.TB, codec compress.Codec, megabytes int) []byte {
	payload := make([]byte, megabytes<<20)
	room := make([]byte, codec.Bound(len(payload)))
	n, err := codec.Compress(room, payload)
	require.NoError(t, err)
	return room[:n]
}

// raw sends a payload as it is.
func raw(payload []byte, compression rpc.Compression) rpc.Filter {
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.SetPayload(payload, compression)
		return next(ctx, call)
	}
}

// A bomb is refused before a byte of memory is spent on it.
func TestABombCostsNoMemory(t *testing.T) {
	for _, codec := range []compress.Codec{newZstd(t), newLZ4(t)} {
		t.Run(codec.Compression().String(), func(t *testing.T) {
			address := filtertest.Serve(t, &filtertest.Store{}, newFilter(t, compress.Options{Send: codec, MaxBytes: 32<<20 - 1}))
			client := filtertest.Dial(t, address, raw(bomb(t, codec, 32), codec.Compression()))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 20 {
				_, err := filtertest.Put(t, client, "boom")
				require.Equal(t, rpc.CodeTooLarge, rpc.CodeOf(err), "%v", err)
			}
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "of 640 MiB that were asked for")
		})
	}
}

// Requests that are decompressed at one time stay within TotalBytes, and the memory is there again afterwards.
func TestBombsThatAreTakenShareTheirMemory(t *testing.T) {
	codec := newLZ4(t)
	filter := newFilter(t, compress.Options{Accept: []compress.Codec{codec}, MaxBytes: 8 << 20, TotalBytes: 20 << 20})
	inside, leave := make(chan bool), make(chan bool)
	hold := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if call.Compression() != rpc.CompressionNone || len(call.Payload()) < 1<<20 {
			return next(ctx, call)
		}
		inside <- true
		<-leave
		return rpc.Errorf(rpc.CodeConflict, "seen")
	}
	address := filtertest.Serve(t, &filtertest.Store{}, filter, hold)
	client := filtertest.Dial(t, address, raw(bomb(t, codec, 8), rpc.CompressionLZ4))
	ended := make(chan error, 3)
	call := func() {
		_, err := filtertest.Put(t, client, "boom")
		ended <- err
	}
	for range 2 {
		go call()
		<-inside
	}
	call()
	err := <-ended
	require.Equal(t, rpc.CodeLimit, rpc.CodeOf(err), "%v", err)
	leave <- true
	require.Equal(t, rpc.CodeConflict, rpc.CodeOf(<-ended))
	go call()
	<-inside // there is room again
	for range 2 {
		leave <- true
		require.Equal(t, rpc.CodeConflict, rpc.CodeOf(<-ended))
	}
}

func TestMalformedRequestsAndReplies(t *testing.T) {
	for name, g := range goldens(t, "bad_*.hex", 10) {
		t.Run(name, func(t *testing.T) {
			codec := codecNamed(t, g.fields["compression"])
			if len(g.bytes) == 0 {
				t.Skip("level 1 has no empty payloads")
			}
			filter := newFilter(t, compress.Options{Send: codec, MaxBytes: g.limit(t)})
			client := filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, filter), raw(g.bytes, codec.Compression()))
			_, err := filtertest.Put(t, client, "x")
			require.Equal(t, g.fields["code"], itoa(rpc.CodeOf(err)), "%v", err)

			answer := func(_ context.Context, call *rpc.Call, _ rpc.Next) error {
				call.SetReply(g.bytes, codec.Compression())
				return nil
			}
			client = filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, answer), filter)
			_, err = filtertest.Put(t, client, "x")
			require.Equal(t, g.fields["code"], itoa(rpc.CodeOf(err)), "%v", err)
			var failure *rpc.Error
			require.True(t, errors.As(err, &failure) && failure.MayHaveRun)
		})
	}
}

// Stock peers' frames, byte for byte, and one whose compression is "disabled".
func TestFramesOfStockPeers(t *testing.T) {
	both := newFilter(t, compress.Options{Accept: []compress.Codec{newZstd(t), newLZ4(t)}})
	address := filtertest.Serve(t, &filtertest.Store{}, both)
	frames := goldens(t, "frame_*_request.hex", 2)
	plain := readGolden(t, filepath.Join("../../../../schema/golden", "frame_request.hex")).bytes
	disabled := append([]byte(nil), plain...)
	disabled[0] = frame.CompressionDisabled
	frames["disabled"] = golden{bytes: disabled, fields: map[string]string{}}
	for name, g := range frames {
		t.Run(name, func(t *testing.T) {
			h, payload := exchange(t, address, g.bytes)
			require.Equal(t, uint32(rpc.CodeOK), h.Meta)
			require.Equal(t, frame.Decode(g.bytes).Session, h.Session)
			want := plain[frame.HeaderSize:]
			if name != "disabled" {
				want = g.want(t)
			}
			require.Equal(t, demo.GetRootAsRequest(want, 0).Name(), demo.GetRootAsResponse(payload, 0).Name())
		})
	}
}

// Replies, too, are as stock peers send them; disabled ones go as they are.
func TestRepliesOfStockServers(t *testing.T) {
	both := newFilter(t, compress.Options{Accept: []compress.Codec{newZstd(t), newLZ4(t)}})
	for name, g := range goldens(t, "frame_*_reply.hex", 2) {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				var header [frame.HeaderSize]byte
				if _, err := io.ReadFull(conn, header[:]); err != nil {
					return
				}
				reply := append([]byte(nil), g.bytes...)
				copy(reply[2:4], header[2:4]) // the session
				_, _ = conn.Write(reply)
				_, _ = io.Copy(io.Discard, conn)
			}()
			message, err := filtertest.Dial(t, listener.Addr().String(), both).Call(filtertest.Context(t), demo.SmfStoragePutMethodID, g.want(t))
			require.NoError(t, err)
			require.Equal(t, g.want(t), message.Payload())
			message.Release()
		})
	}
}

// A payload that somebody has marked as not to be compressed is sent so.
func TestDisabledIsLeftAlone(t *testing.T) {
	filter, w := newFilter(t, compress.Options{Send: newLZ4(t), MinBytes: -1}), new(wire)
	disable := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.SetPayload(call.Payload(), frame.CompressionDisabled)
		return next(ctx, call)
	}
	undone := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		require.EqualValues(t, frame.CompressionDisabled, call.Compression())
		call.SetPayload(call.Payload(), rpc.CompressionNone)
		return next(ctx, call)
	}
	address := filtertest.Serve(t, &filtertest.Store{})
	_, err := filtertest.Put(t, filtertest.Dial(t, address, disable, filter, undone, w.filter), strings.Repeat("a", 5000))
	require.NoError(t, err)
	require.Zero(t, w.compressed.Load())
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, o := range []compress.Options{
		{}, {Accept: []compress.Codec{nil}}, {Accept: []compress.Codec{newLZ4(t), newLZ4(t)}},
		{Send: newLZ4(t), MaxBytes: -1}, {Send: newLZ4(t), TotalBytes: 1},
	} {
		_, err := compress.New(o)
		require.Error(t, err)
	}
}

// exchange writes a frame and reads one.
func exchange(t *testing.T, address string, bytes []byte) (frame.Header, []byte) {
	conn, err := net.Dial("unix", strings.TrimPrefix(address, "unix:"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(filtertest.Patience)))
	_, err = conn.Write(bytes)
	require.NoError(t, err)
	var header [frame.HeaderSize]byte
	_, err = io.ReadFull(conn, header[:])
	require.NoError(t, err)
	payload := make([]byte, binary.LittleEndian.Uint32(header[4:]))
	_, err = io.ReadFull(conn, payload)
	require.NoError(t, err)
	return frame.Decode(header[:]), payload
}
