// Server is our server as a user writes it, for the benchmarks: an echo of bytes with methods that
// sleep or compute beside it, or the demo's SmfStorage with FlatBuffers.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/smf-go/smf/bench/go/workload"
	"github.com/smf-go/smf/go/admin"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

func main() {
	var options rpc.ServerOptions
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve on")
	mode := flag.String("mode", "bytes", "bytes, or typed: SmfStorage with FlatBuffers")
	flag.BoolVar(&options.Poll, "poll", false, "never sleep")
	flag.DurationVar(&options.Spin, "spin", 0, "how long to spin before sleeping; 0: the default, negative: never")
	flag.IntVar(&options.Cores, "cores", 1, "poll loops")
	flag.BoolVar(&options.Pin, "pin", false, "keep each loop on a CPU")
	flag.IntVar(&options.Level, "level", 0, "of the wire format, the highest; 0: 2")
	flag.Int64Var(&options.Limits.FrameBytes, "frame-bytes", 0, "the largest frame; 0: 16 MiB")
	flag.BoolVar(&options.NoMethodStats, "no-method-stats", false, "do not count calls by method")
	adminOn := flag.String("admin", "", "`address` of the admin server, which has the counters; empty: none")
	rounds := flag.Int("work-rounds", 0, "rounds of work that a millisecond is; 0: measure")
	flag.Parse()
	workload.Use(*rounds)
	if err := run(options, *listen, *mode, *adminOn); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(options rpc.ServerOptions, address, mode, adminOn string) error {
	server, err := rpc.NewServer(options)
	if err != nil {
		return err
	}
	switch mode {
	case "bytes":
		err = server.Register(bytesService())
	case "typed":
		err = demo.RegisterSmfStorageServer(server, storage{})
	default:
		err = fmt.Errorf("--mode %s: neither bytes nor typed", mode)
	}
	if err != nil {
		return err
	}
	bound, err := server.Listen(address)
	if err != nil {
		return err
	}
	fmt.Println("listening", bound)
	fmt.Println(server.Engine())
	if adminOn != "" {
		listener, err := net.Listen("tcp", adminOn)
		if err != nil {
			return err
		}
		go admin.New(server, admin.Options{}).Serve(listener)
		fmt.Printf("admin http://%s\n", listener.Addr())
	}
	return server.Serve()
}

// bytesService is a service without a schema: whoever knows the numbers may call it.
func bytesService() rpc.Service {
	slow := func(method uint32) rpc.Handler {
		return func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
			workload.Do(method)
			return reply.Bytes(req.Payload())
		}
	}
	echo := func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		return reply.Bytes(req.Payload())
	}
	method := func(name string, id uint32, marked bool, handle rpc.Handler) rpc.Method {
		return rpc.Method{Name: name, In: "bytes", Out: "bytes", ID: id, Slow: marked, Handle: handle}
	}
	return rpc.Service{
		Name:    "Echo",
		Package: "smf.bench",
		Methods: []rpc.Method{
			method("Echo", workload.Echo, false, echo),
			method("SleepMillisecond", workload.SleepMillisecond, false, slow(workload.SleepMillisecond)),
			method("ComputeMillisecond", workload.ComputeMillisecond, false, slow(workload.ComputeMillisecond)),
			method("SleepSecond", workload.SleepSecond, false, slow(workload.SleepSecond)),
			method("MarkedSleepMillisecond", workload.MarkedSleepMillisecond, true,
				slow(workload.SleepMillisecond)),
			method("MarkedComputeMillisecond", workload.MarkedComputeMillisecond, true,
				slow(workload.ComputeMillisecond)),
			method("Swallow", workload.Swallow, true, swallow),
			method("Produce", workload.Produce, true, produce),
			method("ComputeBriefly", workload.ComputeBriefly, false, slow(workload.ComputeBriefly)),
		},
	}
}

func swallow(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
	return reply.Bytes(binary.LittleEndian.AppendUint32(nil, uint32(len(req.Payload()))))
}

// produced is what produce answers with the beginning of: making it is no part of what is measured.
var produced = make([]byte, 64<<20)

func produce(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
	if len(req.Payload()) != 4 {
		return &rpc.Error{Code: rpc.CodeBadRequest, Message: "the payload is not a u32"}
	}
	size := binary.LittleEndian.Uint32(req.Payload())
	if int64(size) > int64(len(produced)) {
		return &rpc.Error{Code: rpc.CodeBadRequest, Message: fmt.Sprintf("%d bytes are more than %d", size, len(produced))}
	}
	return reply.Bytes(produced[:size])
}

// storage answers Get with the name that it was asked with.
type storage struct {
	demo.UnimplementedSmfStorageServer
}

func (storage) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}
