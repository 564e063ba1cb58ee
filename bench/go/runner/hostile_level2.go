package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
)

const (
	trafficProgram     = "smf-bench-hostile2"
	trafficInFlight    = 64   // calls of a connection
	trafficRunning     = 1000 // calls of the core
	trafficConnections = 2    // at a time, of each attack
)

// hostile2Phases are who attacks: names as the program knows them. Without any it is quiet.
var hostile2Phases = []struct {
	name    string
	attacks []string
}{
	{name: phaseQuiet},
	{"bombs", []string{"bombs", "bombs in streams"}},
	{"calls, cancels and pings", []string{"calls and cancels", "cancels of nothing", "calls over the limit", "calls, and gone", "pings", "goaways"}},
	{"streams", []string{"streams that say nothing", "streams that are not read", "streams without credit", "streams opened and reset",
		"streams over the limit, opened and reset", "streams that fill their windows"}},
	{"credit", []string{"credit that can't be", "more than the credit", "credit for nobody"}},
	{"metadata", []string{"metadata at its limit", "metadata that is none"}},
	{"Hello", []string{"a Hello that is none", "a Hello of large words", "a late Hello", "a second Hello", "half a Hello"}},
	{"slices", []string{"slices that never end", "large messages that are begun", "large messages that are given up", "messages over the limit"}},
}

// measureHostile2 measures how a peer that behaves is served while others break the rules of level 2.
func measureHostile2(b *bench) (table, error) {
	cells := map[string]rounds{}
	b.seconds = max(b.seconds, hostileSeconds)
	for round := range b.rounds {
		for _, phase := range hostile2Phases {
			m, err := b.measureHostile2Phase(phase.attacks)
			if b.ctx.Err() != nil {
				return table{}, b.ctx.Err()
			}
			if err != nil {
				b.fail(phase.name, err)
			} else {
				fmt.Fprintf(b.log, "round %d of %d  %-28s p50 %s us, p99 %s us, %s MiB resident, %s handlers\n", round+1, b.rounds, phase.name,
					number(p50(m)), number(p99(m)), number(m.ResidentMiB), number(m.RunningMax))
			}
			cells[phase.name] = append(cells[phase.name], m)
		}
	}
	t := table{
		Letter: "q", Title: "A peer that behaves, among others that break the rules of level 2",
		Notes: []string{fmt.Sprintf("A server in Go with compress around calls and streams of every kind, %d MiB, %d calls in flight of a connection and %d of its core, "+
			"on one CPU; on the other, the attackers, when it has nothing else to do (SCHED_IDLE), each attack on %d connections at a time, and a client with %d calls "+
			"a second on one connection, timed from when each was due; it sleeps in between. What the attacks are: go/internal/traffic. Handlers are counted by themselves. "+
			"Rounds of at least %d s, quiet and attacked in turns. Medians, with the least and the greatest in brackets.",
			hostileMemory>>20, trafficInFlight, trafficRunning, trafficConnections, hostileRate, hostileSeconds)},
		Columns: []string{"others", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "resident MiB", "handlers at once", "server CPU %", "others: connections/s"},
	}
	for _, phase := range hostile2Phases {
		measured := cells[phase.name]
		t.Rows = append(t.Rows, []string{phase.name, measured.stat(callsPerSecond).text(""), measured.stat(p50).text(""),
			measured.stat(p99).text(""), number(measured.stat(p999).Median), measured.stat(resident).text(""),
			measured.stat(handlersAtOnce).text(""), number(measured.stat(serverCPU).Median), number(measured.stat(opened).Median)})
		t.Cells = append(t.Cells, cell{Load: phase.name, Contender: contenders[smfTraffic].label, Rounds: measured})
		if len(phase.attacks) != 0 {
			t.Targets = append(t.Targets,
				target{Name: phase.name + ": p99 of quiet", Bar: 2, Unit: "×", Value: pairwise(measured, cells[phaseQuiet], p99)},
				target{Name: phase.name + ": resident MiB", Bar: 1.1 * (hostileMemory >> 20), Value: measured.stat(resident)},
				target{Name: phase.name + ": handlers at once", Bar: trafficRunning, Value: measured.stat(handlersAtOnce)})
		}
	}
	return t, nil
}

func handlersAtOnce(m *measurement) float64 { return m.RunningMax }

// measureHostile2Phase measures one phase with a server of its own.
func (b *bench) measureHostile2Phase(attacks []string) (*measurement, error) {
	c := contenders[smfTraffic]
	s, err := b.start(c, true)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var a *attackers
	if len(attacks) != 0 {
		if a, err = b.attack2(s.address, attacks); err != nil {
			return nil, err
		}
		defer a.kill()
	}
	m, err := b.call(c, s, load{conns: 1, depth: 0, payload: 60, typed: true, rate: hostileRate, sleeps: true})
	if err != nil {
		return nil, err
	}
	if m.ResidentMiB, err = residentMiB(s.process.Process.Pid); err != nil {
		return nil, err
	}
	if m.RunningMax, err = handlersOf(b.ctx, s); err != nil || a == nil {
		return m, err
	}
	did, err := a.end()
	m.Opened = did.opened
	if err == nil && did.opened == 0 {
		err = errors.New("there was no attack")
	}
	return m, err
}

// attack2 starts attackers of level 2.
func (b *bench) attack2(address string, attacks []string) (*attackers, error) {
	args := append([]string{"-i", "0", b.program(trafficProgram), "attack", address, fmt.Sprint(b.warmup + b.seconds + 30),
		strconv.Itoa(trafficConnections)}, attacks...)
	ctx, cancel := context.WithCancel(b.ctx)
	a := &attackers{process: exec.CommandContext(ctx, "chrt", args...), cancel: cancel}
	output, err := a.process.StdoutPipe()
	if err == nil {
		cpus, _ := b.loadCPUs(contenders[smfTraffic])
		err = startOn(cpus, a.process)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	a.output = bufio.NewReader(output)
	return a, a.isReady()
}

// handlersOf asks a server for the most handlers that it had at once.
func handlersOf(ctx context.Context, s *server) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/stats", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var stats struct {
		Service struct {
			RunningMax float64 `json:"running_max"`
		}
	}
	err = json.NewDecoder(response.Body).Decode(&stats)
	return stats.Service.RunningMax, err
}
