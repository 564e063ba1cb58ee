package rpc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// The caller is gone when the late handler answers: the reply goes nowhere, and memory comes back.
func TestAConnectionThatClosesWhileItsHandlerIsLate(t *testing.T) {
	gate := make(chan struct{})
	server, address := start(t, rpc.ServerOptions{}, method(idGate, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		<-gate
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	w := dialWire(t, address)
	w.send(1, idGate, "x")
	eventually(t, "the handler is late", func() bool { return core(server).HandlersLate == 1 })
	require.NoError(t, w.Conn.(*net.TCPConn).SetLinger(0)) // a reset: the server need not wait for more
	require.NoError(t, w.Close())
	eventually(t, "the server knows", func() bool {
		answer(t, c, idEcho, "x")
		closed := core(server).Closed
		return closed["broken"]+closed["by peer"] == 1
	})
	close(gate)
	comesBack(t, server, c, idle)
	eventually(t, "the reply goes nowhere", func() bool {
		answer(t, c, idEcho, "x")
		return core(server).StaleReplies == 1
	})
}

// Two thousand connections that end at any moment of calls that are being taken over.
func TestConnectionsThatCloseDuringTakeOvers(t *testing.T) {
	const rounds, callers, callsMax = 2000, 8, 3
	var methods []rpc.Method
	for i := range rounds * callsMax { // of one method for each call: none is ever known to sleep
		methods = append(methods, method(uint32(10000+i), func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			return reply.Bytes(req.Payload())
		}))
	}
	server, address := startAt(t, fmt.Sprintf("unix:@smf-gone-%d", os.Getpid()), rpc.ServerOptions{}, methods...)
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	next := make(chan int, rounds)
	for i := range rounds {
		next <- i
	}
	close(next)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for i := range next {
				w := dialWire(t, address)
				for j := range 1 + rand.IntN(callsMax) {
					w.send(uint16(j), uint32(10000+i*callsMax+j), number(i))
				}
				if i%4 == 0 {
					_, payload := w.receive()
					require.Equal(t, number(i), payload)
				}
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
				require.NoError(t, w.Close())
			}
		})
	}
	running.Wait()
	comesBack(t, server, c, idle)
	require.NotZero(t, deposed(server))
}

// Cores, servers and engines in one process, pinned or not, do not get in each other's way.
func TestManyServersInOneProcess(t *testing.T) {
	for _, pin := range []bool{false, true} {
		t.Run(fmt.Sprintf("pin %v", pin), func(t *testing.T) {
			const servers, cores = 3, 2
			if pin && runtime.NumCPU() < cores {
				t.Skip("needs two CPUs")
			}
			sleep := method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
				time.Sleep(time.Millisecond)
				return reply.Bytes(req.Payload())
			})
			var all []*rpc.Server
			var addresses []string
			for range servers {
				server, address := start(t, rpc.ServerOptions{Cores: cores, Pin: pin}, sleep)
				answer(t, dial(t, address), idEcho, "x")
				all, addresses = append(all, server), append(addresses, address)
			}
			var running sync.WaitGroup
			for _, address := range addresses {
				// The kernel spreads connections by their port: some on every core, with enough of them.
				for range 32 {
					c := dial(t, address)
					running.Go(func() {
						for i := range 20 {
							require.Equal(t, number(i), answer(t, c, idWork, number(i)))
							require.Equal(t, number(i), answer(t, c, idEcho, number(i)))
						}
					})
				}
			}
			running.Wait()
			for _, server := range all {
				require.NotEmpty(t, server.Engine())
				require.Len(t, server.Stats().Cores, cores)
				for i, s := range server.Stats().Cores {
					require.NotZero(t, s.Requests, "core %d had nothing to do", i)
				}
			}
		})
	}
}

// Threads that a pinned driver left behind go on with other goroutines: they must not stay pinned.
func TestPinningDoesNotLeak(t *testing.T) {
	if !inChild(t) {
		return
	}
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs")
	}
	_, address := start(t, rpc.ServerOptions{Pin: true}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		time.Sleep(2 * time.Millisecond)
		return reply.Bytes(req.Payload())
	}))
	c := dial(t, address)
	for range 50 {
		answer(t, c, idWork, "x")
	}
	eventually(t, "at most the driver and its watcher are pinned", func() bool {
		answer(t, c, idEcho, "x")
		return pinnedThreads(t) <= 2
	})
}
