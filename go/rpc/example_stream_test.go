package rpc_test

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/smf-go/smf/go/rpc"
)

// A stream of payloads, without a schema: every message is answered, until the caller has no more. Generated code
// makes a Sender and a Receiver of tables of it.
func ExampleClient_OpenStream() {
	const shoutID = 7
	shout := func(_ context.Context, s *rpc.ServerStreamRaw) error {
		for {
			message, err := s.Recv()
			if err == io.EOF {
				return nil // the caller gets the end, too
			}
			if err != nil {
				return err
			}
			if err = s.Send(append(message, '!')); err != nil {
				return err
			}
		}
	}
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1})
	if err != nil {
		panic(err)
	}
	defer server.Close()
	err = server.Register(rpc.Service{Name: "Crowd", Methods: []rpc.Method{
		{Name: "Shout", ID: shoutID, Streaming: rpc.StreamingBidi, HandleStream: shout}}})
	if err != nil {
		panic(err)
	}
	address, err := server.Listen(fmt.Sprintf("unix:@smf-example-stream-%d", os.Getpid()))
	if err != nil {
		panic(err)
	}
	go server.Serve()

	ctx := context.Background()
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{})
	if err != nil {
		panic(err)
	}
	defer client.Close()
	stream, err := client.OpenStream(ctx, shoutID)
	if err != nil {
		panic(err)
	}
	defer stream.Close() // gives it up, if it goes on
	for _, message := range []string{"one", "two"} {
		if err = stream.Send([]byte(message)); err != nil {
			panic(err)
		}
	}
	if err = stream.CloseSend(); err != nil {
		panic(err)
	}
	for {
		reply, err := stream.Recv()
		if err == io.EOF {
			break // the call has succeeded
		}
		if err != nil {
			panic(err)
		}
		fmt.Println(string(reply))
	}
	// Output:
	// one!
	// two!
}
