package rpc_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

const largeBytes = 3<<20 + 5

func largePayload() []byte {
	source := rand.New(rand.NewPCG(1, 2)) // always the same
	p := make([]byte, largeBytes)
	for i := range p {
		p[i] = byte(source.Uint32())
	}
	return p
}

func dialLarge(t *testing.T, address string, options rpc.ClientOptions) *rpc.Client {
	client, err := rpc.Dial(t.Context(), address, options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A large reply is copied by the goroutine of its handler and by that of its caller: neither loop does it, however
// the handler runs. What is small is copied by the loops.
func TestLoopsCopyNoLargeReply(t *testing.T) {
	large := largePayload()
	names, methods := ways(func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if err := reply.Metadata().Add("kind", "large"); err != nil {
			return err
		}
		switch string(req.Payload()) {
		case "deferred":
			d := reply.Defer()
			go d.Bytes(large)
			return nil
		case "at once":
			reply.Defer().Bytes(large) // by the driver itself, on the loop
			return nil
		case "small":
			return reply.Bytes(large[:256<<10])
		}
		return reply.Bytes(large)
	})
	for _, level := range []int{1, rpc.RequireLevel2} {
		server, address := start(t, rpc.ServerOptions{}, methods...)
		client := dialLarge(t, address, rpc.ClientOptions{Level: level})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i, name := range names {
			for _, what := range []string{"plain", "deferred", "at once", "small"} {
				carried, fetched := rpc.Carried(server), rpc.Fetched(client)
				reply, err := client.Call(ctx, methods[i].ID, []byte(what))
				require.NoError(t, err, name, what)
				want := large
				if what == "small" {
					want = large[:256<<10]
				} else {
					carried++
					fetched++
				}
				require.True(t, bytes.Equal(want, reply.Payload()), "%s, %s: another payload", name, what)
				if level == rpc.RequireLevel2 {
					require.Equal(t, "large", reply.Metadata().Get("kind"))
				}
				reply.Release()
				require.Equal(t, carried, rpc.Carried(server), "%s, %s: carried for the server's loop", name, what)
				require.Equal(t, fetched, rpc.Fetched(client), "%s, %s: fetched by the caller", name, what)
			}
		}
	}
}

// A large request is copied by its caller, with its metadata, and not by the driver; those that can not be sent
// give their memory back.
func TestTheDriverCopiesNoLargeRequest(t *testing.T) {
	large := largePayload()
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		if !bytes.Equal(large, req.Payload()) {
			return rpc.Errorf(rpc.CodeBadRequest, "another payload")
		}
		return reply.Bytes([]byte("user " + req.Metadata().Get("user")))
	}))
	for _, level := range []int{1, rpc.RequireLevel2} {
		client := dialLarge(t, address, rpc.ClientOptions{Level: level})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		want := "user "
		if level == rpc.RequireLevel2 {
			ctx = rpc.WithMetadata(ctx, "user", "ann")
			want += "ann"
		}
		var all sync.WaitGroup
		carried := rpc.CarriedRequests(client)
		for range 8 {
			all.Go(func() {
				for range 4 {
					reply, err := client.Call(ctx, idWork, large)
					if err != nil {
						t.Error(err)
						return
					}
					if string(reply.Payload()) != want {
						t.Errorf("%q instead of %q", reply.Payload(), want)
					}
					reply.Release()
				}
			})
		}
		all.Wait()
		require.Equal(t, carried+8*4, rpc.CarriedRequests(client))
		gone, end := context.WithCancel(ctx)
		for range 8 {
			all.Go(func() { _, _ = client.Call(gone, idWork, large) })
		}
		time.Sleep(time.Millisecond)
		end()
		all.Wait()
		reply, err := client.Call(ctx, idWork, large)
		require.NoError(t, err)
		reply.Release()
		for range 8 {
			all.Go(func() { _, _ = client.Call(ctx, idWork, large) })
		}
		require.NoError(t, client.Close())
		all.Wait()
	}
}

// Large replies of many calls at once, more than there is memory for at a time, some of them given up.
func TestLargeRepliesShareMemory(t *testing.T) {
	large := largePayload()
	names, methods := ways(func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return reply.Bytes(large) })
	_, address := start(t, rpc.ServerOptions{MemoryBytes: 32 << 20}, methods...)
	client := dialLarge(t, address, rpc.ClientOptions{Level: rpc.RequireLevel2})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for caller := range 12 {
		all.Go(func() {
			for n := range 6 {
				of, end := ctx, context.CancelFunc(func() {})
				if gaveUp := n%3 == 2; gaveUp {
					of, end = context.WithTimeout(ctx, time.Duration(caller)*time.Millisecond)
				}
				reply, err := client.Call(of, methods[caller%len(methods)].ID, []byte("x"))
				if err == nil {
					if !bytes.Equal(large, reply.Payload()) {
						t.Errorf("%s: another payload", names[caller%len(names)])
					}
					reply.Release()
				} else if of.Err() == nil {
					t.Errorf("%s: %v", names[caller%len(names)], err)
				}
				end()
			}
		})
	}
	all.Wait()
}

// A server and a client that are closed while large replies are copied end.
func TestClosingAmongLargeReplies(t *testing.T) {
	large := largePayload()
	for range 5 {
		names, methods := ways(func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return reply.Bytes(large) })
		server, address := start(t, rpc.ServerOptions{MemoryBytes: 32 << 20}, methods...)
		client := dialLarge(t, address, rpc.ClientOptions{Level: rpc.RequireLevel2})
		var all, begun sync.WaitGroup
		begun.Add(9)
		for caller := range 9 {
			all.Go(func() {
				for n := 0; ; n++ {
					reply, err := client.Call(t.Context(), methods[caller%len(names)].ID, []byte("x"))
					if n == 0 {
						begun.Done()
					}
					if err != nil {
						return
					}
					reply.Release()
				}
			})
		}
		begun.Wait()
		require.NoError(t, server.Close())
		require.NoError(t, client.Close())
		all.Wait()
	}
}
