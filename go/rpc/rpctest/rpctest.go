// Package rpctest gives unit tests a real server and a real client in one process, joined by a Unix
// socket: what is tested is what will run.
package rpctest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

const patience = 10 * time.Second

var count atomic.Uint64

// NewPair serves what register registers, and returns a client of it. Both end with the test, and the
// test fails if the server does not end cleanly.
//
//	client := rpctest.NewPair(t, func(r rpc.Registrar) error {
//		return demo.RegisterSmfStorageServer(r, store{})
//	})
func NewPair(t testing.TB, register func(rpc.Registrar) error) *rpc.Client {
	t.Helper()
	client, _ := NewPairWith(t, rpc.ServerOptions{Cores: 1, Spin: -1}, register)
	return client
}

// NewPairWith is NewPair with a server's options; it returns the server, too.
func NewPairWith(t testing.TB, options rpc.ServerOptions, register func(rpc.Registrar) error) (*rpc.Client, *rpc.Server) {
	t.Helper()
	server, address := serve(t, options, register)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{})
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, server
}

// Serve serves what register registers, and returns the address. The server ends with the test, which fails if
// it does not end cleanly.
func Serve(t testing.TB, register func(rpc.Registrar) error) string {
	t.Helper()
	_, address := serve(t, rpc.ServerOptions{Cores: 1, Spin: -1}, register)
	return address
}

func serve(t testing.TB, options rpc.ServerOptions, register func(rpc.Registrar) error) (*rpc.Server, string) {
	t.Helper()
	server, err := rpc.NewServer(options)
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	t.Cleanup(func() { _ = server.Close() })
	if err := register(server); err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	address, err := server.Listen(fmt.Sprintf("unix:@smf-rpctest-%d-%d", os.Getpid(), count.Add(1)))
	if err != nil {
		t.Fatalf("rpctest: %v", err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close()
		select {
		case err := <-served:
			if err != nil && !errors.Is(err, rpc.ErrClosed) { // closed before it came to serve
				t.Errorf("rpctest: Serve: %v", err)
			}
		case <-time.After(patience):
			t.Error("rpctest: Serve did not return after Close")
		}
	})
	return server, address
}
