package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// All clients of the process are counted together, as long as one is open.
func TestClientStats(t *testing.T) {
	eventually(t, "no client of another test is open", func() bool { return rpc.ClientStats() == rpc.ClientCoreStats{} })
	_, address := start(t, rpc.ServerOptions{})
	clients := []*rpc.Client{dialLevel1(t, address), dialLevel1(t, address)} // Hello is no echo
	const calls = 20
	for i := range calls {
		require.Equal(t, "hello", answer(t, clients[i%2], idEcho, "hello"))
	}
	s := rpc.ClientStats()
	require.EqualValues(t, 2, s.Connections)
	require.EqualValues(t, calls, s.Calls)
	require.EqualValues(t, calls, s.Replies)
	require.EqualValues(t, s.BytesSent, s.BytesReceived, "they are echoed")
	require.GreaterOrEqual(t, s.BytesSent, uint64(calls*len("hello")))
	require.Positive(t, s.Drives)
	require.GreaterOrEqual(t, s.Turns, s.Drives)
	for _, client := range clients {
		require.NoError(t, client.Close())
	}
	require.Zero(t, rpc.ClientStats())
}

// A reply that takes longer than looking for it is worth comes by the poller.
func TestClientStatsOfLateReplies(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, method(idWork, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		time.Sleep(5 * time.Millisecond)
		return reply.Bytes(req.Payload())
	}))
	client := dial(t, address)
	before := rpc.ClientStats()
	eventually(t, "a reply comes by the poller", func() bool {
		answer(t, client, idWork, "x")
		s := rpc.ClientStats()
		return s.LeftToPoller > before.LeftToPoller && s.Arrivals > before.Arrivals
	})
}
