package conformance

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What this program is when a test has started it again: a peer in Go.
const roleVariable = "SMF_CONFORMANCE_ROLE"

const patience = 60 * time.Second

// programFolder is where the peer in C is built.
var programFolder string

func runTests(m *testing.M) int {
	var err error
	if programFolder, err = os.MkdirTemp("", "conformance"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programFolder)
	return m.Run()
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(runTests(m))
	}
	time.AfterFunc(patience, func() {
		fmt.Fprintln(os.Stderr, "conformance: nobody has ended this peer")
		os.Exit(3)
	})
	run := map[string]func() error{"serve": serveGo, "call": callGo}[role]
	if run == nil {
		fmt.Fprintln(os.Stderr, "conformance: no such role:", role)
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}
