// Walpeers is logs of others that are measured beside ours. See bench/go/walload for what they are asked
// to do.
package main

import "github.com/smf-go/smf/bench/go/walload"

func main() { walload.Main(contenders...) }

var contenders = []walload.Contender{pebbleLog, raftWAL}
