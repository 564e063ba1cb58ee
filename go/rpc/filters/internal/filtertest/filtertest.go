// Package filtertest serves the demo service, and calls it, for tests of filters: over sockets.
package filtertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// Patience is how long a test waits for what has to happen.
const Patience = 20 * time.Second

var count atomic.Uint64

// Store is the demo service. Get does what it is told, Put answers with the name as it came.
type Store struct {
	demo.UnimplementedSmfStorageServer
	// OnGet serves Get. nil: as Put.
	OnGet func(ctx context.Context, req *demo.Request, reply *rpc.Reply) error
}

// Get calls OnGet.
func (s *Store) Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	if s.OnGet == nil {
		return demo.ReplyResponse(reply, req.Name())
	}
	return s.OnGet(ctx, req, reply)
}

// Put answers with the name.
func (s *Store) Put(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}

// compressions are all that there are.
var compressions = []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}

// Serve serves the store until the test ends, and returns the address. Clients may send what they like.
func Serve(t testing.TB, store *Store, filters ...rpc.Filter) (address string) {
	t.Helper()
	return ServeWith(t, store, rpc.ServerOptions{Filters: filters, Compressions: compressions})
}

// ServeWith is Serve with a server's options.
func ServeWith(t testing.TB, store *Store, options rpc.ServerOptions) (address string) {
	t.Helper()
	options.Cores, options.Spin = 1, -1
	server, err := rpc.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.RegisterSmfStorageServer(server, store); err != nil {
		t.Fatal(err)
	}
	address, err = server.Listen(fmt.Sprintf("unix:@smf-filters-%d-%d", os.Getpid(), count.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		_ = server.Close()
		select {
		case err := <-served:
			if err != nil && !errors.Is(err, rpc.ErrClosed) {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(Patience):
			t.Error("Serve did not return after Close")
		}
	})
	return address
}

// Dial connects to an address until the test ends. The server may send what it likes.
func Dial(t testing.TB, address string, filters ...rpc.Filter) *rpc.Client {
	t.Helper()
	return DialWith(t, address, rpc.ClientOptions{Filters: filters, Compressions: compressions})
}

// DialWith is Dial with a client's options.
func DialWith(t testing.TB, address string, options rpc.ClientOptions) *rpc.Client {
	t.Helper()
	client, err := rpc.Dial(Context(t), address, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Context is one that ends with the test's patience.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Get calls Get with a name, and returns the reply's.
func Get(t testing.TB, client rpc.Caller, name string, options ...rpc.ServiceOption) (string, error) {
	t.Helper()
	stub := demo.NewSmfStorageClient(client, options...)
	var reply demo.ResponseT
	err := stub.GetInto(Context(t), &demo.RequestT{Name: name}, &reply)
	return reply.Name, err
}

// Put is Get of the other method.
func Put(t testing.TB, client rpc.Caller, name string, options ...rpc.ServiceOption) (string, error) {
	t.Helper()
	stub := demo.NewSmfStorageClient(client, options...)
	var reply demo.ResponseT
	err := stub.PutInto(Context(t), &demo.RequestT{Name: name}, &reply)
	return reply.Name, err
}
