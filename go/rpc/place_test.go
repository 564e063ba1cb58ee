package rpc_test

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// Few connections are spread over the cores, too: never 3:1 or 4:0.
func TestFourConnectionsOnTwoCores(t *testing.T) {
	const rounds = 25
	server, address := start(t, rpc.ServerOptions{Cores: 2, Logger: slog.New(slog.DiscardHandler)})
	for round := 1; round <= rounds; round++ {
		var clients []*rpc.Client
		for range 4 {
			clients = append(clients, dial(t, address))
		}
		for _, client := range clients {
			require.Equal(t, "hello", answer(t, client, idEcho, "hello"))
		}
		for _, c := range server.Stats().Cores {
			require.EqualValues(t, 2, c.ConnectionsOpen)
			require.EqualValues(t, 2*round, c.Connections)
			require.EqualValues(t, 2*round, c.Requests)
		}
		for _, client := range clients {
			require.NoError(t, client.Close())
		}
		eventually(t, "both cores are empty", func() bool {
			cores := server.Stats().Cores
			return cores[0].ConnectionsOpen+cores[1].ConnectionsOpen == 0
		})
	}
	cores := server.Stats().Cores
	require.Equal(t, cores[0].ConnectionsHandedOut, cores[1].ConnectionsHandedIn)
	require.Equal(t, cores[1].ConnectionsHandedOut, cores[0].ConnectionsHandedIn)
}

// The limit is one of a core; somebody is turned away only when all cores are full.
func TestTooManyConnectionsForAllCores(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Cores: 2, Limits: rpc.Limits{Connections: 3},
		Logger: slog.New(slog.DiscardHandler)})
	for range 6 {
		w := dialWire(t, address)
		w.send(1, idEcho, "x")
		w.receive()
	}
	require.Empty(t, core(server).Closed)
	dialWire(t, address).ends()
	require.Equal(t, map[string]uint64{"too many connections": 1}, core(server).Closed)
}

// Who has knocked before a drain is served, also by a core that did not accept it.
func TestDrainServesWhoHasKnocked(t *testing.T) {
	const peers, rounds = 50, 10
	for range rounds {
		server, err := rpc.NewServer(rpc.ServerOptions{Cores: 2, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		require.NoError(t, server.Register(rpc.Service{Name: "Test", Methods: []rpc.Method{method(idEcho, echo)}}))
		address, err := server.Listen("127.0.0.1:0")
		require.NoError(t, err)
		var wires []wire
		for range peers {
			w := dialWire(t, address)
			w.send(1, idEcho, "x")
			wires = append(wires, w)
		}
		served, drained := make(chan error, 1), make(chan error, 1)
		go func() { served <- server.Serve() }()
		eventually(t, "it serves", func() bool { return core(server).Turns > 0 })
		go func() { drained <- server.Drain(patient(t)) }()
		for _, w := range wires {
			h, _ := w.receive()
			require.Contains(t, []uint32{uint32(rpc.CodeOK), uint32(rpc.CodeUnavailable)}, h.Meta)
			w.ends()
			require.NoError(t, w.Close())
		}
		require.NoError(t, within(t, drained, "Drain returns"))
		require.NoError(t, within(t, served, "Serve returns"))
	}
}
