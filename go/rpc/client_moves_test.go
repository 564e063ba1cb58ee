package rpc_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// When a server sends its clients away, what was not sent goes elsewhere; it hears of calls that were given up.
func TestCancelsAreSentBeforeAConnectionIsLeft(t *testing.T) {
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	cancel := func(session uint16) []byte {
		return frame2(frame.FlagReset, session, uint32(rpc.CodeCancelled), "")
	}
	left, count := rpc.WaitingIsLost(join(cancel(1), frame2(0, 2, idWork, "unsent"), cancel(3), cancel(2),
		frame2(frame.FlagOneWay, 0, idWork, "nobody knows"), cancel(4)))
	require.Equal(t, 3, count)
	require.Equal(t, join(cancel(1), cancel(3), cancel(4)), left)
	left, count = rpc.WaitingIsLost(nil)
	require.Zero(t, count)
	require.Empty(t, left)
}

// A client that is closed while its calls move to another connection leaves nobody behind.
func TestClosingWhileCallsMove(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	_, address := start(t, rpc.ServerOptions{}, method(idGate, func(context.Context, *rpc.Request, *rpc.Reply) error {
		<-gate
		return nil
	}))
	dial(t, address) // the loop goes on with it
	c := dial(t, address)
	_, errs := answering(c, context.Background(), idGate, "x")
	eventually(t, "it is on its way", func() bool { return rpc.SessionsInUse(c) == 1 })
	require.NoError(t, rpc.ReplaceThenClose(c))
	require.ErrorIs(t, within(t, errs, "it is told"), rpc.ErrClosed)
}

// Whoever waits for a place is looked after, also when nobody waits for a reply.
func TestTheLoopIsDrivenForThoseWhoWaitForAPlace(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	_, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 1}}, method(idGate, func(context.Context, *rpc.Request, *rpc.Reply) error {
		<-gate
		return nil
	}))
	c := dial(t, address)
	ctx, cancel := context.WithCancel(context.Background())
	_, one := answering(c, ctx, idGate, "x")
	eventually(t, "it is on its way", func() bool { return rpc.SessionsInUse(c) == 1 })
	cancel()
	require.ErrorIs(t, within(t, one, "it is given up"), context.Canceled)
	require.Zero(t, rpc.Expected(c))
	waiting, leave := context.WithTimeout(context.Background(), patience)
	_, two := answering(c, waiting, idEcho, "x")
	eventually(t, "it waits", func() bool { return rpc.Expected(c) == 1 })
	leave()
	require.ErrorIs(t, within(t, two, "it leaves"), context.Canceled)
	require.Zero(t, rpc.Expected(c))
}

// The longest pause that can be said is one.
func TestPausesDoNotOverflow(t *testing.T) {
	address, accept := peer(t)
	clients, _ := dialling(t, address, rpc.ClientOptions{BackoffMin: 1<<63 - 1, BackoffMax: 1<<63 - 1})
	p := accept().agrees()
	c := within(t, clients, "it connects")
	require.NoError(t, p.Close())
	eventually(t, "it is noticed", func() bool { _, err := call(c, context.Background(), idEcho, "x"); return err != nil })
	time.Sleep(time.Millisecond)
	require.NoError(t, c.Close())
}
