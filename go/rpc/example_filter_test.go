package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// atMost refuses requests over a size.
func atMost(size int) rpc.Filter {
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if len(call.Payload()) > size {
			return rpc.Errorf(rpc.CodeTooLarge, "%s takes %d bytes", call.Name(), size)
		}
		return next(ctx, call)
	}
}

// logged writes a line for every call that took long, promised replies included.
func logged(log *slog.Logger, long time.Duration) rpc.Filter {
	note := func(call *rpc.Call, began time.Time, err error) {
		if took := time.Since(began); took >= long {
			log.Warn("slow call", "method", call.Name(), "took", took, "status", uint32(rpc.CodeOf(err)))
		}
	}
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		began := time.Now()
		err := next(ctx, call)
		if !call.Deferred() {
			note(call, began, err)
			return err
		}
		call.OnDone(func(call *rpc.Call, err error) error { // captures began: an allocation, but only here
			note(call, began, err)
			return err
		})
		return err
	}
}

// again tries calls of idempotent methods once more when the connection was lost.
func again(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	err := next(ctx, call)
	if errors.Is(err, rpc.ErrUnavailable) && call.Method().Idempotent && ctx.Err() == nil {
		err = next(ctx, call)
	}
	return err
}

// mark is what stands in front of every payload between peers that use these filters.
const mark = "v1"

// unmarked is for servers: it takes the mark off the request, and puts one before every reply.
func unmarked(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	if len(call.Payload()) < len(mark) || string(call.Payload()[:len(mark)]) != mark {
		return rpc.Errorf(rpc.CodeBadRequest, "no mark")
	}
	call.SetPayload(call.Payload()[len(mark):], rpc.CompressionNone)
	call.OnDone(markReply)
	return next(ctx, call)
}

func markReply(call *rpc.Call, err error) error {
	if err != nil {
		return err
	}
	payload := call.ReplyPayload()
	marked := call.Buffer(len(mark) + len(payload))
	copy(marked[copy(marked, mark):], payload)
	call.SetReply(marked, rpc.CompressionNone)
	return nil
}

// marked is for clients: the other way around.
func marked(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	payload := call.Buffer(len(mark) + len(call.Payload()))
	copy(payload[copy(payload, mark):], call.Payload())
	call.SetPayload(payload, rpc.CompressionNone)
	if err := next(ctx, call); err != nil {
		return err
	}
	if len(call.ReplyPayload()) < len(mark) {
		return rpc.Errorf(rpc.CodeBadRequest, "no mark")
	}
	call.SetReply(call.ReplyPayload()[len(mark):], rpc.CompressionNone)
	return nil
}

func ExampleFilter() {
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Filters: []rpc.Filter{
		logged(slog.Default(), time.Second), unmarked,
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	if err := demo.RegisterSmfStorageServer(server, store{}, rpc.MethodFilters("Get", atMost(100))); err != nil {
		fmt.Println(err)
		return
	}
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = server.Serve() }()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{Filters: []rpc.Filter{again, marked}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	storage := demo.NewSmfStorageClient(client)
	var reply demo.ResponseT
	fmt.Println(storage.GetInto(ctx, &demo.RequestT{Name: "a name"}, &reply), reply.Name)
	fmt.Println(storage.GetInto(ctx, &demo.RequestT{Name: fmt.Sprintf("%100d", 1)}, &reply))
	// Output:
	// <nil> a name
	// rpc: 413 too large: SmfStorage.Get takes 100 bytes
}
