package rpc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

var bothCompressions = []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}

// accepted tells what a call's peer accepts.
func accepted(call *rpc.Call) string {
	return fmt.Sprint(call.PeerAccepts(rpc.CompressionNone), call.PeerAccepts(rpc.CompressionZstd), call.PeerAccepts(rpc.CompressionLZ4),
		call.PeerAccepts(7), call.PeerAccepts(255))
}

// offering is a Hello with compressions.
func offering(bits uint32) string {
	offer := hello
	offer.Compressions = bits
	return string(offer.Append(nil))
}

// A server's filters know what each caller takes, wherever the handler runs; there are more callers than are
// remembered, and each is asked more than once.
func TestWhatCallersAccept(t *testing.T) {
	const callers = 100
	telling := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(func(call *rpc.Call, err error) error {
			if err == nil {
				call.SetReply([]byte(accepted(call)), rpc.CompressionNone)
			}
			return err
		})
		return next(ctx, call)
	}
	promising := func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error {
		d := reply.Defer()
		go d.Bytes([]byte("x"))
		return nil
	}
	for name, offers := range map[string][]rpc.Compression{"none": nil, "lz4": bothCompressions[1:], "both": bothCompressions} {
		t.Run(name, func(t *testing.T) {
			server, address := start(t, rpc.ServerOptions{Compressions: offers, Filters: []rpc.Filter{telling}},
				slow(method(idMore, echo)), method(idWork, promising))
			require.Equal(t, offers, server.Settings().Compressions)
			var ours uint32
			for _, c := range offers {
				ours |= 1 << c
			}
			theirs := func(i int) uint32 { return uint32(i+4*(i/64)) % 16 } // another one's for who has the same place in memory
			peers := make([]peer2, callers)
			for i := range peers {
				w := dialWire(t, address)
				w.send(1, frame.HelloMethodID, offering(theirs(i)))
				_, payload := w.receive()
				agreed, err := frame.ReadHello([]byte(payload))
				require.NoError(t, err)
				require.Equal(t, theirs(i)&ours, agreed.Compressions)
				peers[i] = peer2{w}
			}
			for _, id := range []uint32{idEcho, idMore, idWork} {
				for i, p := range peers {
					bits := theirs(i) & ours
					p.call(1, id, "x")
					require.Equal(t, fmt.Sprint(true, bits&4 != 0, bits&8 != 0, false, false), p.answered(1, rpc.CodeOK).payload)
				}
				w := dialWire(t, address)
				w.send(1, id, "x")
				_, payload := w.receive()
				require.Equal(t, fmt.Sprint(true, true, true, true, false), payload, "level 1")
			}
		})
	}
}

// A client offers what it takes, and its filters know what the server takes.
func TestWhatServersAccept(t *testing.T) {
	for _, offers := range [][]rpc.Compression{nil, bothCompressions[:1], bothCompressions[1:], bothCompressions} {
		for _, level := range []int{0, 1} {
			for _, theirs := range []uint32{0, 4, 8, 12, 1<<32 - 1} {
				var ours uint32
				for _, c := range offers {
					ours |= 1 << c
				}
				seen := make(chan string, 1)
				address, accept := peer(t)
				clients, _ := dialling(t, address, rpc.ClientOptions{Level: level, Compressions: offers,
					Filters: []rpc.Filter{func(_ context.Context, call *rpc.Call, _ rpc.Next) error {
						seen <- accepted(call)
						return rpc.Errorf(rpc.CodeConflict, "seen")
					}}})
				w, want := accept(), fmt.Sprint(true, true, true, true, false)
				if level != 1 {
					h, payload := w.receive()
					asked, err := frame.ReadHello([]byte(payload))
					require.NoError(t, err)
					require.Equal(t, ours, asked.Compressions)
					w.send(h.Session, uint32(rpc.CodeOK), offering(theirs)) // which may say more than was asked for
					want = fmt.Sprint(true, ours&theirs&4 != 0, ours&theirs&8 != 0, false, false)
				}
				c := within(t, clients, "it connects")
				_, err := call(c, patient(t), idWork, "x")
				isCode(t, err, rpc.CodeConflict)
				require.Equal(t, want, <-seen)
				require.NoError(t, c.Close())
			}
		}
	}
}

// A request that was compressed for one server, and would go to another which does not take it, is not sent.
func TestACompressedCallThatMoves(t *testing.T) {
	attempts := 0
	ask := true
	compressing := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		attempts++
		if !ask || call.PeerAccepts(rpc.CompressionLZ4) {
			call.SetPayload([]byte("packed"), rpc.CompressionLZ4)
		}
		return next(ctx, call)
	}
	address, accept := peer(t)
	clients, _ := dialling(t, address, rpc.ClientOptions{Compressions: bothCompressions, Filters: []rpc.Filter{compressing}})
	agrees := func(bits uint32) peer2 {
		w := accept()
		w.send(w.asked(), uint32(rpc.CodeOK), offering(bits))
		return peer2{w}
	}
	away := func(p peer2, r reply2) {
		p.sendsAway()
		p.write(frame2(frame.FlagReset, r.Session, uint32(rpc.CodeUnavailable), ""))
	}
	p := agrees(12)
	c := within(t, clients, "it connects")

	replies, _ := answering(c, patient(t), idWork, "plain")
	r := p.receive()
	require.EqualValues(t, frame.CompressionLZ4, r.Compression)
	require.Equal(t, "packed", r.payload)
	away(p, r)
	p = agrees(8) // which takes it, too
	r = p.receive()
	require.EqualValues(t, frame.CompressionLZ4, r.Compression)
	p.replies(r, rpc.CodeOK, "done")
	require.Equal(t, "done", within(t, replies, "its reply"))
	require.Equal(t, 1, attempts)

	_, errs := answering(c, patient(t), idWork, "plain")
	r = p.receive()
	away(p, r)
	p = agrees(4)
	e := isCode(t, within(t, errs, "it fails"), rpc.CodeUnavailable)
	require.False(t, e.MayHaveRun)
	require.ErrorContains(t, e, "the request was compressed (lz4) for a connection whose server takes that")

	replies, _ = answering(c, patient(t), idWork, "plain") // called again
	r = p.receive()
	require.Zero(t, r.Compression)
	require.Equal(t, "plain", r.payload)
	p.replies(r, rpc.CodeOK, "done")
	require.Equal(t, "done", within(t, replies, "its reply"))

	ask = false // a filter that does not ask knows better
	replies, _ = answering(c, patient(t), idWork, "plain")
	r = p.receive()
	require.EqualValues(t, frame.CompressionLZ4, r.Compression)
	p.replies(r, rpc.CodeOK, "done")
	require.Equal(t, "done", within(t, replies, "its reply"))
}

func TestCompressionsThatCanNotBeOffered(t *testing.T) {
	for _, c := range []rpc.Compression{rpc.CompressionNone, 1, 4, 255} {
		_, err := rpc.NewServer(rpc.ServerOptions{Compressions: []rpc.Compression{rpc.CompressionZstd, c}})
		require.ErrorContains(t, err, fmt.Sprintf("ServerOptions.Compressions has %s; it may have zstd and lz4", c))
		_, err = rpc.Dial(patient(t), "127.0.0.1:1", rpc.ClientOptions{Compressions: []rpc.Compression{c}})
		isCode(t, err, rpc.CodeBadRequest)
		require.ErrorContains(t, err, fmt.Sprintf("ClientOptions.Compressions has %s; it may have zstd and lz4", c))
	}
}
