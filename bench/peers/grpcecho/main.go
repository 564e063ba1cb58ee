// Grpcecho is the echo of a string over gRPC-Go as its users write it: default options, the stock
// codec, a well-known message type. One program is both ends: the C load client speaks no HTTP/2.
//
//	grpcecho serve --listen 127.0.0.1:0
//	grpcecho load --address HOST:PORT --conns C --outstanding M --payload BYTES --seconds S --json
package main

import (
	"context"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const echoMethod = "/smf.bench.Echo/Echo"

func main() {
	verb, args := "", os.Args[1:]
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	var err error
	switch verb {
	case "serve":
		err = serve(args)
	case "load":
		err = load(args)
	default:
		err = fmt.Errorf("usage: %s serve|load [options]", os.Args[0])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcecho:", err)
		os.Exit(1)
	}
}

// echoServer is what protoc would generate an interface for.
type echoServer interface {
	Echo(context.Context, *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
}

type echo struct{}

func (echo) Echo(_ context.Context, in *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	return wrapperspb.String(in.GetValue()), nil
}

// echoService is the description that protoc would generate.
var echoService = grpc.ServiceDesc{
	ServiceName: "smf.bench.Echo",
	HandlerType: (*echoServer)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: handleEcho}},
}

func handleEcho(service any, ctx context.Context, decode func(any) error,
	interceptor grpc.UnaryServerInterceptor) (any, error) {
	in := new(wrapperspb.StringValue)
	if err := decode(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return service.(echoServer).Echo(ctx, in)
	}
	info := &grpc.UnaryServerInfo{Server: service, FullMethod: echoMethod}
	return interceptor(ctx, in, info, func(ctx context.Context, in any) (any, error) {
		return service.(echoServer).Echo(ctx, in.(*wrapperspb.StringValue))
	})
}
