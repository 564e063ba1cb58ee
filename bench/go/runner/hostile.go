package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	hostileProgram = "smf-bench-hostile"
	hostileMemory  = 256 << 20 // of the server's only core
	hostileRate    = 5000      // calls per second of the peer that behaves
	hostileIdle    = 10_000
	hostileSlow    = 1_000
	readyPatience  = 60 * time.Second
)

// phases of a round, by what attacks. The peer that behaves is measured in each.
var hostilePhases = []struct {
	name string
	args []string // nil: nobody
}{
	{"quiet", nil},
	{"10,000 idle, 1,000 slow", []string{"--garbage", "0", "--liars", "0", "--leavers", "0"}},
	{"and 200 liars", []string{"--garbage", "0", "--leavers", "0"}},
	{"and garbage, and knocking", nil},
}

// measureHostile measures how a peer that behaves is served while others don't.
func measureHostile(b *bench) (table, error) {
	cells := map[string]rounds{}
	for round := range b.rounds {
		for i, phase := range hostilePhases {
			m, err := b.hostilePhase(phase.args, i > 0)
			if b.ctx.Err() != nil {
				return table{}, b.ctx.Err()
			}
			if err != nil {
				b.fail(phase.name, err)
			} else {
				fmt.Fprintf(b.log, "round %d of %d  %-28s p50 %s us, p99 %s us, %s MiB resident\n", round+1, b.rounds, phase.name,
					number(p50(m)), number(p99(m)), number(m.ResidentMiB))
			}
			cells[phase.name] = append(cells[phase.name], m)
		}
	}
	t := table{
		Letter: "e", Title: "A peer that behaves, among others that don't",
		Notes: []string{fmt.Sprintf("smf serve --demo --memory %d MiB on one CPU; on the other, all attackers, when it has nothing else to do (SCHED_IDLE), and "+
			"a client with %d calls a second on one connection, timed from when each was due; it sleeps in between, so that the attackers "+
			"get to run. Slow peers say a byte a second; liars "+
			"promise 16 MiB and keep the last 4 KiB to themselves; garbage comes at full speed on 4 connections at a time; 4 goroutines connect and leave as "+
			"fast as they can. Medians, with the least and the greatest in brackets.", hostileMemory>>20, hostileRate)},
		Columns: []string{"others", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "resident MiB", "server CPU %", "others: connections/s", "garbage MiB/s"},
	}
	quiet := cells[hostilePhases[0].name]
	for i, phase := range hostilePhases {
		measured := cells[phase.name]
		t.Rows = append(t.Rows, []string{phase.name, measured.stat(callsPerSecond).text(""), measured.stat(p50).text(""),
			measured.stat(p99).text(""), number(measured.stat(p999).Median), measured.stat(resident).text(""),
			number(measured.stat(serverCPU).Median), number(measured.stat(opened).Median), number(measured.stat(garbage).Median)})
		t.Cells = append(t.Cells, cell{Load: phase.name, Contender: contenders[smfServe].label, Rounds: measured})
		if i > 0 {
			t.Targets = append(t.Targets, target{Name: phase.name + ": p99 of quiet", Bar: 2, Unit: "×", Value: pairwise(measured, quiet, p99)},
				target{Name: phase.name + ": resident MiB", Bar: 1.1 * (hostileMemory >> 20), Value: measured.stat(resident)})
		}
	}
	return t, nil
}

func resident(m *measurement) float64  { return m.ResidentMiB }
func serverCPU(m *measurement) float64 { return m.ServerCPU }
func opened(m *measurement) float64    { return m.Opened }
func garbage(m *measurement) float64   { return m.GarbageMiB }

// hostilePhase measures one phase with a server of its own.
func (b *bench) hostilePhase(args []string, attacked bool) (*measurement, error) {
	s, err := b.start(contenders[smfServe], true)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var attackers *attackers
	if attacked {
		if attackers, err = b.attack(s.address, args); err != nil {
			return nil, err
		}
		defer attackers.kill()
	}
	m, err := b.call(contenders[smfServe], s, load{conns: 1, depth: 0, payload: 60, typed: true, rate: hostileRate, sleeps: true})
	if err != nil {
		return nil, err
	}
	if m.ResidentMiB, err = residentMiB(s.process.Process.Pid); err != nil {
		return nil, err
	}
	if !attacked {
		return m, nil
	}
	if err := sawAttack(s.admin); err != nil {
		return nil, err
	}
	did, err := attackers.end()
	m.Opened, m.GarbageMiB = did.opened, did.garbageMiB
	if err == nil && args == nil && (did.opened == 0 || did.garbageMiB == 0) {
		err = errors.New("there was no garbage, or nobody knocked")
	}
	return m, err
}

// attackers are running ones.
type attackers struct {
	process *exec.Cmd
	output  *bufio.Reader
	began   time.Time
	cancel  context.CancelFunc
}

// attack starts the attackers and waits until those that stay are connected.
func (b *bench) attack(address string, args []string) (*attackers, error) {
	ctx, cancel := context.WithCancel(b.ctx)
	args = append([]string{"-i", "0", b.program(hostileProgram), "--address", address, "--idle", strconv.Itoa(hostileIdle),
		"--slow", strconv.Itoa(hostileSlow), "--json", "--seconds", fmt.Sprint(b.warmup + b.seconds + 30)}, args...)
	a := &attackers{process: exec.CommandContext(ctx, "chrt", args...), cancel: cancel}
	output, err := a.process.StdoutPipe()
	if err == nil {
		cpus, _ := b.loadCPUs(contenders[smfServe])
		err = startOn(cpus, a.process)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	a.output = bufio.NewReader(output)
	late := time.AfterFunc(readyPatience, cancel)
	line, err := a.output.ReadString('\n')
	late.Stop()
	if err != nil || strings.TrimSpace(line) != "ready" {
		a.kill()
		return nil, fmt.Errorf("the attackers did not get ready: they said %q (%v)", line, err)
	}
	a.began = time.Now()
	return a, nil
}

// done is what attackers did in a second.
type done struct{ opened, garbageMiB float64 }

// end stops the attackers and reads what they have done.
func (a *attackers) end() (done, error) {
	took := time.Since(a.began).Seconds()
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		return done{}, err
	}
	var counts struct {
		Opened  float64 `json:"opened"`
		Garbage float64 `json:"garbage_bytes"`
	}
	if err := json.NewDecoder(a.output).Decode(&counts); err != nil {
		return done{}, fmt.Errorf("the attackers did not say what they have done: %w", err)
	}
	// Those that stay were opened before.
	return done{opened: max(counts.Opened-hostileIdle-hostileSlow, 0) / took, garbageMiB: counts.Garbage / took / (1 << 20)}, nil
}

func (a *attackers) kill() {
	a.cancel()
	_ = a.process.Wait()
}

// residentMiB is the most resident memory that a process has had.
func residentMiB(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(status)
	if found == nil {
		return 0, errors.New("no VmHWM in /proc")
	}
	kib, err := strconv.ParseFloat(string(found[1]), 64)
	return kib / 1024, err
}

// sawAttack asks the server's metrics whether the attack was one.
func sawAttack(admin string) error {
	client := http.Client{Timeout: startPatience}
	reply, err := client.Get(admin + "/metrics")
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return err
	}
	found := regexp.MustCompile(`(?m)^smf_connections_open\{.*\} ([0-9.e+]+)$`).FindSubmatch(text)
	if found == nil {
		return errors.New("/metrics does not tell how many connections are open")
	}
	open, err := strconv.ParseFloat(string(found[1]), 64)
	if err == nil && open < hostileIdle {
		err = fmt.Errorf("only %g connections were open", open)
	}
	return err
}
