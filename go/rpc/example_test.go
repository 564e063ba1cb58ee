package rpc_test

import (
	"context"
	"fmt"
	"os"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// promiser answers later, from other goroutines.
type promiser struct {
	demo.UnimplementedSmfStorageServer
}

// Get answers with an object.
func (promiser) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	name := string(req.Name()) // a copy: the request is gone when Get has returned
	promised := reply.Defer()
	go promised.Object(&demo.ResponseT{Name: "object for " + name})
	return nil
}

// Put answers with what a builder has built.
func (promiser) Put(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	name := string(req.Name())
	promised := reply.Defer()
	go func() {
		b := rpc.GetBuilder()
		defer rpc.PutBuilder(b)
		text := b.CreateString("table for " + name)
		demo.ResponseStart(b)
		demo.ResponseAddName(b, text)
		b.Finish(demo.ResponseEnd(b)) // Deferred.Finish, unlike Reply.Finish, does not do it
		promised.Finish(b)
	}()
	return nil
}

func ExampleDeferred() {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	if err = demo.RegisterSmfStorageServer(server, promiser{}); err != nil {
		panic(err)
	}
	address, err := server.Listen(fmt.Sprintf("unix:@smf-example-deferred-%d", os.Getpid()))
	if err != nil {
		panic(err)
	}
	go server.Serve()

	ctx := context.Background()
	connection, err := rpc.Dial(ctx, address, rpc.ClientOptions{})
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	client := demo.NewSmfStorageClient(connection)
	var response demo.ResponseT
	if err = client.GetInto(ctx, &demo.RequestT{Name: "you"}, &response); err != nil {
		panic(err)
	}
	fmt.Println(response.Name)
	if err = client.PutInto(ctx, &demo.RequestT{Name: "you"}, &response); err != nil {
		panic(err)
	}
	fmt.Println(response.Name)
	// Output:
	// object for you
	// table for you
}
