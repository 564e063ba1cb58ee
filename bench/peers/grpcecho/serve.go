package main

import (
	"flag"
	"fmt"
	"net"

	"google.golang.org/grpc"
)

func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	listen := flags.String("listen", "127.0.0.1:0", "`address` to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr())
	server := grpc.NewServer()
	server.RegisterService(&echoService, echo{})
	return server.Serve(listener)
}
