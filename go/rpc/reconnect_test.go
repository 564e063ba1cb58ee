package rpc_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// The connection is lost with calls that wait: they may have run. The server comes back at the same
// address, and so does the client.
func TestReconnect(t *testing.T) {
	server, address, gate, entered := gated(t, rpc.ServerOptions{})
	defer opened(gate)()
	c := dialWith(t, address, rpc.ClientOptions{BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond})
	errs := make(chan error, 1)
	go func() {
		_, err := call(c, context.Background(), idGate, "x")
		errs <- err
	}()
	eventually(t, "the handler runs", func() bool { return entered.Load() == 1 })
	require.NoError(t, server.Close())
	var e *rpc.Error
	require.ErrorAs(t, within(t, errs, "the caller is told"), &e)
	require.Equal(t, rpc.CodeUnavailable, e.Code)
	require.True(t, e.MayHaveRun)
	require.NotContains(t, e.Error(), "\n")

	eventually(t, "attempts fail", func() bool {
		e := fails(t, c, idEcho, "x")
		require.Equal(t, rpc.CodeUnavailable, e.Code)
		require.False(t, e.MayHaveRun, "never sent")
		return e.Message == "can't connect to "+address+": nobody listens there"
	})
	eventually(t, "the old server is gone", func() bool {
		opened := len(server.Stats().Cores)
		select {
		case gate <- struct{}{}:
		default:
		}
		return opened == 0
	})
	startAt(t, address, rpc.ServerOptions{})
	eventually(t, "calls work again", func() bool {
		reply, err := call(c, patient(t), idEcho, "again")
		return err == nil && reply == "again"
	})
	require.Equal(t, "and stay", answer(t, c, idEcho, "and stay"))
}

// While the client waits for its next attempt, calls fail at once.
func TestCallsDuringBackoffFailAtOnce(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	c := dialWith(t, address, rpc.ClientOptions{BackoffMin: time.Hour, BackoffMax: time.Hour})
	answer(t, c, idEcho, "x")
	require.NoError(t, server.Close())
	eventually(t, "an attempt has failed", func() bool {
		_, err := call(c, patient(t), idEcho, "x")
		var e *rpc.Error
		require.ErrorAs(t, err, &e)
		return e.Message == "can't connect to "+address+": nobody listens there"
	})
	for range 1000 {
		e := fails(t, c, idEcho, "x")
		require.Equal(t, rpc.CodeUnavailable, e.Code)
		require.False(t, e.MayHaveRun)
	}
	require.NoError(t, c.Close(), "although an hour is left")
}

// A server that takes connections and drops them at once is not hammered: back-off holds for it, too.
func TestBackoffHoldsForConnectionsThatAreDropped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var accepted atomic.Int64
	dialled := make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			<-dialled
			accepted.Add(1)
			_ = c.Close()
		}
	}()
	dialWith(t, l.Addr().String(), rpc.ClientOptions{Level: 1, BackoffMin: 20 * time.Millisecond, BackoffMax: time.Hour})
	close(dialled)
	eventually(t, "it tries again", func() bool { return accepted.Load() > 2 })
	time.Sleep(200 * time.Millisecond) // without a pause there are thousands of attempts by then
	require.Less(t, accepted.Load(), int64(20))
}

// Servers come and go at one address while many call: no caller is left behind.
func TestReconnectUnderLoad(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	c := dialWith(t, address, rpc.ClientOptions{BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond})
	var stop atomic.Bool
	done := make(chan int, 16)
	for range cap(done) {
		go func() {
			good := 0
			for !stop.Load() {
				m, err := c.Call(context.Background(), idEcho, []byte("x"))
				if err != nil {
					time.Sleep(100 * time.Microsecond)
					continue
				}
				m.Release()
				good++
			}
			done <- good
		}()
	}
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		require.NoError(t, server.Close())
		eventually(t, "the address is free", func() bool { return len(server.Stats().Cores) == 0 })
		server, _ = startAt(t, address, rpc.ServerOptions{})
		eventually(t, "calls work again", func() bool {
			_, err := call(c, patient(t), idEcho, "x")
			return err == nil
		})
	}
	stop.Store(true)
	for range cap(done) {
		require.NotZero(t, within(t, done, "the caller ends"))
	}
}
