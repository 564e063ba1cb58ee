// Hostile2 is bad peers of level 2, and a server for them, for ./build.sh bench hostile:
//
//	hostile2 serve MEMORY_BYTES IN_FLIGHT RUNNING     says where it listens, where its counters are
//	hostile2 attack ADDRESS SECONDS CONNECTIONS NAME…
//
// An attack says "ready" when it has begun, ends by itself, or on SIGTERM, and then says in JSON what it has
// come to. Names are those of traffic.Attacks; "all" is every one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/smf-go/smf/go/internal/traffic"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hostile2:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	switch {
	case len(arguments) == 4 && arguments[0] == "serve":
		return serve(arguments[1:])
	case len(arguments) > 4 && arguments[0] == "attack":
		return attack(arguments[1], arguments[2], arguments[3], arguments[4:])
	}
	return errors.New("usage: serve MEMORY_BYTES IN_FLIGHT RUNNING | attack ADDRESS SECONDS CONNECTIONS NAME")
}

const messageBytes = 4 << 20

func serve(arguments []string) error {
	s, err := traffic.ReadArguments([]string{"127.0.0.1:0", arguments[0], arguments[1], arguments[2], strconv.Itoa(messageBytes)})
	if err != nil {
		return err
	}
	service := new(traffic.Service)
	server, err := traffic.NewServer(s, service)
	if err != nil {
		return err
	}
	address, err := server.Listen(s.Address)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	counters, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, server.Close())
	}
	go func() {
		_ = http.Serve(counters, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = json.NewEncoder(w).Encode(map[string]any{"Cores": server.Stats().Cores, "Service": traffic.StatsOf(server, service)})
		}))
	}()
	fmt.Printf("listening %s\nengine: %s\nadmin http://%s\n", address, server.Engine(), counters.Addr())
	return server.Serve()
}

// chosen are the attacks of these names.
func chosen(names []string) (attacks []traffic.Attack, err error) {
	for _, a := range traffic.Attacks() {
		if slices.Contains(names, a.Name) || slices.Contains(names, "all") {
			attacks = append(attacks, a)
		}
	}
	if len(attacks) < len(names) {
		return nil, fmt.Errorf("some of %q is no attack", names)
	}
	return attacks, nil
}

func attack(address, seconds, connections string, names []string) error {
	length, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	attacks, err := chosen(names)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, end := context.WithTimeout(ctx, time.Duration(length*float64(time.Second)))
	defer end()
	fmt.Println("ready")
	counts := new(traffic.Counts)
	failures := make([]error, len(attacks))
	var all sync.WaitGroup
	for i, a := range attacks {
		all.Go(func() { failures[i] = a.Run(ctx, address, count, counts) })
	}
	all.Wait()
	if err = errors.Join(failures...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int64{"opened": counts.Connections.Load(), "refused": counts.Refused.Load(),
		"closed_by_server": counts.Ended.Load(), "frames": counts.Frames.Load()})
}
