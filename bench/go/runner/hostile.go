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
	hostileSeconds = 2 // at least: the 99th percentile of less is a hiccup or two of the machine
	readyPatience  = 60 * time.Second
)

// hostilePhase is a part of a round: who attacks whom.
type hostilePhase struct {
	name   string
	server string   // that is attacked
	args   []string // the attackers'
	crowd  bool     // connections that stay are among them
	quiet  string   // the phase to compare with; "": this is one
}

const (
	phaseQuiet     = "quiet"
	phaseAll       = "and garbage, and knocking"
	phaseBareQuiet = "a bare loop: quiet"
	phaseBareKnock = "a bare loop: knocking"
)

// A server that does nothing but accept, read, answer and close shows what knocking costs on the machine
// itself.
var hostilePhases = []hostilePhase{
	{name: phaseQuiet, server: smfServe},
	{"10,000 idle, 1,000 slow", smfServe, []string{"--garbage", "0", "--liars", "0", "--leavers", "0"}, true, phaseQuiet},
	{"and 200 liars", smfServe, []string{"--garbage", "0", "--leavers", "0"}, true, phaseQuiet},
	{phaseAll, smfServe, []string{}, true, phaseQuiet},
	{name: phaseBareQuiet, server: bareCEco},
	{phaseBareKnock, bareCEco, []string{"--garbage", "0", "--liars", "0"}, false, phaseBareQuiet},
}

// measureHostile measures how a peer that behaves is served while others don't.
func measureHostile(b *bench) (table, error) {
	cells := map[string]rounds{}
	b.seconds = max(b.seconds, hostileSeconds)
	for round := range b.rounds {
		for _, phase := range hostilePhases {
			m, err := b.measurePhase(phase)
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
			"fast as they can. The bare loop is C on epoll without any limits; all that can be tried on it is knocking. "+
			"Rounds of at least %d s. Medians, with the least and the greatest in brackets.", hostileMemory>>20, hostileRate, hostileSeconds)},
		Columns: []string{"others", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "resident MiB", "server CPU %", "others: connections/s", "garbage MiB/s"},
	}
	for _, phase := range hostilePhases {
		measured := cells[phase.name]
		t.Rows = append(t.Rows, []string{phase.name, measured.stat(callsPerSecond).text(""), measured.stat(p50).text(""),
			measured.stat(p99).text(""), number(measured.stat(p999).Median), measured.stat(resident).text(""),
			number(measured.stat(serverCPU).Median), number(measured.stat(opened).Median), number(measured.stat(garbage).Median)})
		t.Cells = append(t.Cells, cell{Load: phase.name, Contender: contenders[phase.server].label, Rounds: measured})
		if phase.server == smfServe && phase.quiet != "" {
			t.Targets = append(t.Targets,
				target{Name: phase.name + ": p99 of quiet", Bar: 2, Unit: "×", Value: pairwise(measured, cells[phase.quiet], p99)},
				target{Name: phase.name + ": resident MiB", Bar: 1.1 * (hostileMemory >> 20), Value: measured.stat(resident)})
		}
	}
	t.Targets = append(t.Targets, target{Name: phaseAll + ": p99 of a bare loop's that is knocked at", Bar: 2, Unit: "×",
		Value: pairwise(cells[phaseAll], cells[phaseBareKnock], p99)})
	return t, nil
}

func resident(m *measurement) float64  { return m.ResidentMiB }
func serverCPU(m *measurement) float64 { return m.ServerCPU }
func opened(m *measurement) float64    { return m.Opened }
func garbage(m *measurement) float64   { return m.GarbageMiB }

// measurePhase measures one phase with a server of its own.
func (b *bench) measurePhase(phase hostilePhase) (*measurement, error) {
	s, err := b.start(contenders[phase.server], true)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var attackers *attackers
	if phase.quiet != "" {
		if attackers, err = b.attack(s.address, phase); err != nil {
			return nil, err
		}
		defer attackers.kill()
	}
	m, err := b.call(contenders[phase.server], s, load{conns: 1, depth: 0, payload: 60, typed: true, rate: hostileRate, sleeps: true})
	if err != nil {
		return nil, err
	}
	if m.ResidentMiB, err = residentMiB(s.process.Process.Pid); err != nil {
		return nil, err
	}
	if phase.quiet == "" {
		return m, nil
	}
	if s.admin != "" {
		if err := sawAttack(s.admin); err != nil {
			return nil, err
		}
	}
	did, err := attackers.end()
	m.Opened, m.GarbageMiB = did.opened, did.garbageMiB
	if err == nil && phase.name == phaseAll && (did.opened == 0 || did.garbageMiB == 0) {
		err = errors.New("there was no garbage, or nobody knocked")
	}
	if err == nil && phase.name == phaseBareKnock && did.opened == 0 {
		err = errors.New("nobody knocked")
	}
	return m, err
}

// attackers are running ones.
type attackers struct {
	process *exec.Cmd
	output  *bufio.Reader
	began   time.Time
	staying int // connections
	cancel  context.CancelFunc
}

// attack starts the attackers and waits until those that stay are connected.
func (b *bench) attack(address string, phase hostilePhase) (*attackers, error) {
	ctx, cancel := context.WithCancel(b.ctx)
	idle, slow := hostileIdle, hostileSlow
	if !phase.crowd {
		idle, slow = 0, 0
	}
	args := append([]string{"-i", "0", b.program(hostileProgram), "--address", address, "--idle", strconv.Itoa(idle),
		"--slow", strconv.Itoa(slow), "--json", "--seconds", fmt.Sprint(b.warmup + b.seconds + 30)}, phase.args...)
	a := &attackers{staying: idle + slow, process: exec.CommandContext(ctx, "chrt", args...), cancel: cancel}
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
	if err = a.isReady(); err != nil {
		return nil, err
	}
	return a, nil
}

// isReady waits until they say so.
func (a *attackers) isReady() error {
	late := time.AfterFunc(readyPatience, a.cancel)
	line, err := a.output.ReadString('\n')
	late.Stop()
	if err != nil || strings.TrimSpace(line) != "ready" {
		a.kill()
		return fmt.Errorf("the attackers did not get ready: they said %q (%w)", line, err)
	}
	a.began = time.Now()
	return nil
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
	return done{opened: max(counts.Opened-float64(a.staying), 0) / took, garbageMiB: counts.Garbage / took / (1 << 20)}, nil
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
