package rpc

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A loop that can't count leaves no server behind that serves half, or that can't be told why it does not.
func TestServeThatFailsClosesTheServer(t *testing.T) {
	server, err := NewServer(ServerOptions{Cores: 2, MemoryBytes: 16 << 20})
	require.NoError(t, err)
	handle := func(context.Context, *Request, *Reply) error { return nil }
	require.NoError(t, server.Register(Service{Name: "Test", Methods: []Method{{Name: "Any", ID: 1000, Handle: handle}}}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, server.loops[1].Count(1)) // it refuses to begin twice

	require.ErrorContains(t, server.Serve(), "counting calls by method")
	require.ErrorIs(t, server.Serve(), ErrClosed)
	require.ErrorIs(t, server.Ready(), ErrClosed)
	_, err = net.Dial("tcp", address)
	require.Error(t, err, "it still listens")
	require.NoError(t, server.Close())
}
