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

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
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
