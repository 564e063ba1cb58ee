// Plain is what a good Go programmer writes for the wire format without this project: a goroutine per
// connection, a large read buffer, requests answered where they lie, replies gathered and written when
// no whole request is left in the buffer. Methods that are known to be slow run in goroutines of their
// own, and a goroutine per connection writes their replies.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/smf-go/smf/bench/go/workload"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to serve on")
	mode := flag.String("mode", "bytes", "bytes, or typed: SmfStorage.Get with FlatBuffers")
	rounds := flag.Int("work-rounds", 0, "rounds of work that a millisecond is; 0: measure")
	flag.Parse()
	workload.Use(*rounds)
	fmt.Fprintln(os.Stderr, "plain:", run(*listen, *mode))
	os.Exit(1)
}

// run serves until something goes wrong.
func run(address, mode string) error {
	if mode != "bytes" && mode != "typed" {
		return fmt.Errorf("--mode %s: neither bytes nor typed", mode)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening", listener.Addr())
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		go newConn(socket, mode == "typed").serve()
	}
}
