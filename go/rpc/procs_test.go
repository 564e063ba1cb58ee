package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// manyPs gives the test more Ps than it may have CPUs: whoever drives the clients' loop, queues a call or
// gives one up can be stopped by the system anywhere, while others go on.
func manyPs(t *testing.T) {
	before := runtime.GOMAXPROCS(8)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// lazyEcho takes its time now and then, so that replies overtake each other and loops change hands.
func lazyEcho(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
	if rand.IntN(200) == 0 {
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
	}
	return echo(ctx, req, reply)
}

// own is a payload that no other call has.
func own(client, caller, i int) string {
	return fmt.Sprint(client, " ", caller, " ", i, " ") + randomText(client+caller+i, rand.IntN(3000))
}

// Every reply finds its caller, and every call is made once, whichever P its caller, its client's driver
// and its handler run on.
func TestSeveralClientsOnManyPs(t *testing.T) {
	manyPs(t)
	ctx := patient(t)
	server, address := start(t, rpc.ServerOptions{Cores: 2}, method(idWork, lazyEcho))
	answered := func() (sum uint64) {
		for _, c := range server.Stats().Cores {
			sum += c.Replies
		}
		return sum
	}
	for _, shape := range []struct{ clients, callers, calls int }{{8, 1, 2000}, {8, 8, 250}, {3, 64, 80}, {1, 256, 60}} {
		var clients []*rpc.Client
		for range shape.clients {
			clients = append(clients, dial(t, address))
		}
		before, beforeClients := answered(), rpc.ClientStats()
		var running sync.WaitGroup
		for at, c := range clients {
			for caller := range shape.callers {
				running.Go(func() {
					for i := range shape.calls {
						want := own(at, caller, i)
						if got, err := call(c, ctx, idEcho+uint32(i%2), want); err != nil || got != want {
							t.Errorf("%+v: call %d of caller %d of client %d got another reply, or none: %v", shape, i, caller, at, err)
							return
						}
					}
				})
			}
		}
		running.Wait()
		calls := uint64(shape.clients * shape.callers * shape.calls)
		require.Equal(t, before+calls, answered())
		stats := rpc.ClientStats()
		require.Equal(t, beforeClients.Calls+calls, stats.Calls)
		require.Equal(t, beforeClients.Replies+calls, stats.Replies)
		for _, c := range clients {
			require.NoError(t, c.Close())
		}
	}
}

// Clients come and go, and calls are given up, while others call: who stays gets every reply, and who gives
// up gets his own reply or none.
func TestClientsThatComeAndGoOnManyPs(t *testing.T) {
	manyPs(t)
	ctx := patient(t)
	const staying, leaving, rounds = 4, 4, 150
	_, address := start(t, rpc.ServerOptions{Cores: 2}, method(idWork, lazyEcho))
	var running sync.WaitGroup
	for at := range staying {
		c := dial(t, address)
		for caller := range 4 {
			running.Go(func() {
				for i := range rounds {
					want := own(at, caller, i)
					if got, err := call(c, ctx, idWork, want); err != nil || got != want {
						t.Errorf("who stays got another reply, or none: %v", err)
						return
					}
				}
			})
		}
		running.Go(func() { // on the same connection
			for i := range rounds {
				soon, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Microsecond)
				want := own(at, -1, i)
				got, err := call(c, soon, idWork, want)
				cancel()
				if err == nil && got != want || err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who gives up got another reply, or another error: %v", err)
					return
				}
			}
		})
	}
	for at := range leaving {
		running.Go(func() {
			for i := range rounds {
				c, err := rpc.Dial(ctx, address, rpc.ClientOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				var calls sync.WaitGroup
				for caller := range 3 {
					calls.Go(func() {
						want := own(at, caller, i)
						got, err := call(c, ctx, idWork, want)
						if err == nil && got != want || err != nil && !errors.Is(err, rpc.ErrUnavailable) {
							t.Errorf("who leaves got another reply, or another error: %v", err)
						}
					})
				}
				if i%2 == 0 { // with calls in flight
					_ = c.Close()
				}
				calls.Wait()
				_ = c.Close()
			}
		})
	}
	running.Wait()
	require.Equal(t, "x", answer(t, dial(t, address), idEcho, "x"))
}
