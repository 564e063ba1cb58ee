package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// signalEcho is how long after the first signal another one is taken for the same: timeout(1), for
// one, sends to the process and to its group.
const signalEcho = 250 * time.Millisecond

// stopSignals are what SIGINT and SIGTERM ask for: first gets the signal that asks to end, second the
// one that asks to end at once. From now on these signals do nothing else.
func stopSignals() (first, second <-chan os.Signal) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	one, two := make(chan os.Signal, 1), make(chan os.Signal, 1)
	go func() {
		one <- <-signals
		began := time.Now()
		for s := range signals {
			if time.Since(began) > signalEcho {
				two <- s
				return
			}
		}
	}()
	return one, two
}
