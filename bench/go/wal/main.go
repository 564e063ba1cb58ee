// Wal is the logs of this module that are measured: what plain Go can do. See bench/go/walload for what
// they are asked to do.
package main

import "github.com/smf-go/smf/bench/go/walload"

// Every file of a log adds its own in an init.
var contenders []walload.Contender

func main() { walload.Main(contenders...) }
