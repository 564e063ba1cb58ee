package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// The clients that are compared.
const (
	clientSmf   = "smf"
	clientPlain = "plain"
	clientTuned = "plain-tuned"
	clientC     = "c"
	clientGrpc  = "grpc"
)

var clientLabels = map[string]string{
	clientSmf: "smf, Go", clientPlain: "plain Go", clientTuned: "plain Go, tuned", clientC: "bare epoll, C",
	clientGrpc: "gRPC-Go (its own server)",
}

// clientProgram is the Go load program with a goroutine for each caller.
const clientProgram = "smf-bench-client"

// clientLoad is how many goroutines call on how many connections.
type clientLoad struct{ callers, conns int }

func (l clientLoad) name() string { return fmt.Sprintf("%d on %d", l.callers, l.conns) }

var clientLoads = []clientLoad{{1, 1}, {8, 1}, {64, 1}, {1000, 1}, {1, 8}, {8, 8}, {64, 8}, {1000, 8}}

const clientPayloadBytes = 60

// clientsOf is who calls a server under a load. The C client has no callers but calls in flight on each
// connection: it can do what can be divided.
func clientsOf(b *bench, server string, l clientLoad) []string {
	if server == grpcGo {
		return []string{clientGrpc}
	}
	clients := []string{clientSmf, clientPlain, clientTuned}
	if l.callers%l.conns == 0 {
		clients = append(clients, clientC)
	}
	return clients
}

// callClients measures one client against a running server.
func (b *bench) callClient(client string, s *server, l clientLoad) (*measurement, error) {
	patience := time.Duration((b.seconds + b.warmup + 15) * float64(time.Second))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	args := []string{"--address", s.address, "--conns", strconv.Itoa(l.conns),
		"--payload", strconv.Itoa(clientPayloadBytes), "--seconds", fmt.Sprint(b.seconds), "--warmup", fmt.Sprint(b.warmup), "--json"}
	program := clientProgram
	switch client {
	case clientC:
		program = "smf-bench-load"
		args = append(args, "--depth", strconv.Itoa(l.callers/l.conns))
	case clientGrpc:
		program = contenders[grpcGo].program
		args = append([]string{"load", "--outstanding", strconv.Itoa(max(l.callers/l.conns, 1))}, args...)
	default:
		args = append(args, "--callers", strconv.Itoa(l.callers), "--kind", client)
	}
	cpus, _ := b.loadCPUs(contenders[smfGo])
	return runClient(exec.CommandContext(ctx, b.program(program), args...), cpus)
}

// clientGrid measures every client against every server, --rounds times. Clients take turns in going
// first, with the server of the round.
func (b *bench) clientGrid(servers []string) (map[string][]map[string]rounds, error) {
	cells := map[string][]map[string]rounds{}
	for _, server := range servers {
		for range clientLoads {
			cells[server] = append(cells[server], map[string]rounds{})
		}
	}
	for round := range b.rounds {
		for _, server := range servers {
			if err := b.clientRound(round, server, cells[server]); err != nil {
				return nil, err
			}
		}
	}
	return cells, nil
}

func (b *bench) clientRound(round int, server string, cells []map[string]rounds) error {
	s, err := b.start(contenders[server], server == grpcGo)
	if err != nil {
		return err
	}
	defer s.stop()
	for i, l := range clientLoads {
		clients := clientsOf(b, server, l)
		for k := range clients {
			client := clients[(k+round)%len(clients)]
			m, err := b.callClient(client, s, l)
			if b.ctx.Err() != nil {
				return b.ctx.Err()
			}
			if err != nil {
				b.fail(fmt.Sprintf("%s, %s calls %s", l.name(), client, server), err)
			} else {
				fmt.Fprintf(b.log, "round %d of %d  %-10s %-15s %-12s %9s/s  p50 %s us\n", round+1, b.rounds,
					l.name(), server, client, number(m.CallsPerSecond), number(p50(m)))
			}
			cells[i][client] = append(cells[i][client], m)
		}
	}
	return nil
}

func cpuPerCall(m *measurement) float64  { return ratio(m.ClientCPU*1e4, m.CallsPerSecond) }
func allocations(m *measurement) float64 { return m.Allocations }

// measureClients compares clients: ours from Go, others from Go, and the C client as the bound of what
// the machine gives.
func measureClients(b *bench) (table, error) {
	servers := b.present([]string{smfGo, bareC, grpcGo})
	cells, err := b.clientGrid(servers)
	if err != nil {
		return table{}, err
	}
	t := table{
		Letter: "d", Title: "Clients: an echo of 60 bytes, called by goroutines",
		Notes: []string{"Callers on connections. Medians, with the least and the greatest in brackets; ratios are taken " +
			"round by round, then their median. A caller is a goroutine with one call in flight; the C client has no " +
			"goroutines, only calls in flight: it shows what server and machine give. Every client checks the " +
			"reply's content, all but gRPC-Go its checksum (the C client all bytes of one reply in 1024). What several processors " +
			"of a Go client cost each other is not measured here.",
			"Plain Go: a mutex, a map of channels, a goroutine that writes all that has gathered, one that reads. " +
				"Tuned: it also uses calls and channels again, and its writer yields before it writes. All Go clients " +
				"run with what Go chooses on one CPU, GOMAXPROCS 1. gRPC-Go: default options, its own server, a " +
				"StringValue of 60 characters; at least one caller on each connection."},
		Columns: []string{"load", "server", "client", "calls/s", "p50 µs", "p99.9 µs", "CPU µs a call", "allocations", "of plain Go", "of tuned"},
	}
	for i, l := range clientLoads {
		for _, server := range servers {
			for _, client := range clientsOf(b, server, l) {
				if measured, ok := cells[server][i][client]; ok {
					t.Rows = append(t.Rows, clientRow(l, server, client, cells[server][i]))
					t.Cells = append(t.Cells, cell{Load: l.name() + ", " + server, Contender: client, Rounds: measured})
				}
			}
		}
		t.Targets = clientTargets(t.Targets, l, servers, cells, i)
	}
	return t, nil
}

func clientRow(l clientLoad, server, client string, cells map[string]rounds) []string {
	measured := cells[client]
	row := []string{l.name(), contenders[server].label, clientLabels[client], measured.stat(callsPerSecond).text(""),
		measured.stat(p50).text(""), number(measured.stat(p999).Median), number(measured.stat(cpuPerCall).Median), ""}
	if client != clientC && client != clientGrpc {
		row[7] = fmt.Sprintf("%.2f", measured.stat(allocations).Median)
	}
	for _, other := range []string{clientPlain, clientTuned} {
		text := ""
		if len(cells[other]) > 0 && other != client {
			text = number(pairwise(measured, cells[other], callsPerSecond).Median)
		}
		row = append(row, text)
	}
	return row
}

func clientTargets(targets []target, l clientLoad, servers []string, all map[string][]map[string]rounds, i int) []target {
	for _, server := range servers {
		cells := all[server][i]
		if len(cells[clientSmf]) == 0 {
			continue
		}
		name := l.name() + ", " + contenders[server].label
		if l.callers == 1 && len(cells[clientC]) > 0 {
			targets = append(targets, target{Name: name + ": p50 of the C client", Bar: 1.5, Unit: "×",
				Value: pairwise(cells[clientSmf], cells[clientC], p50)})
		}
		bar := map[int]float64{8: 1, 64: 3, 1000: 3}[l.callers]
		if bar != 0 {
			targets = append(targets, target{Name: name + ": calls/s of plain Go", Bar: bar, AtLeast: true, Unit: "×",
				Value: pairwise(cells[clientSmf], cells[clientPlain], callsPerSecond)})
		}
		bound := 1000.0
		if l.callers > 64 {
			bound = 5000
		}
		targets = append(targets, target{Name: name + ": p99.9", Bar: bound, Unit: " µs", Value: cells[clientSmf].stat(p999)})
		targets = append(targets, target{Name: name + ": allocations per call", Bar: 0.01, Value: cells[clientSmf].stat(allocations)})
	}
	return targets
}
