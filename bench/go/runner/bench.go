package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/walload"
	"github.com/smf-go/smf/bench/go/workload"
)

// bench is one run of the runner.
type bench struct {
	ctx     context.Context
	log     io.Writer // progress
	root    string    // of the source tree
	cpus    []int     // that this process may use; at least two
	rounds  int
	seconds float64 // of a measurement
	warmup  float64 // before it
	without map[string]bool
	// How much work a millisecond is: the same for every server of the run.
	workRounds int
	folder     string // for the files of logs; "": the default one
	quick      bool
	logs       *walBench // nil: no benchmark of logs
	engine     string    // what our server said of itself when it first started
	failures   []string
}

// prepare finds the tree and two CPUs.
func (b *bench) prepare() error {
	var err error
	if b.root, err = findRoot(); err != nil {
		return err
	}
	if b.cpus, err = usableCPUs(); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(b.root, "build", "bench"), 0o755)
}

// prepareServers builds the Go programs that serve and call.
func (b *bench) prepareServers() error {
	needed := map[string]bool{b.program("smf-bench-load"): false}
	for name, c := range contenders {
		if b.without[name] {
			continue
		}
		if c.packagePath == "" {
			needed[b.program(c.program)] = true
			continue
		}
		if err := b.goBuild(c); err != nil {
			return err
		}
	}
	for program, path := range map[string]string{clientProgram: "./bench/go/client", hostileProgram: "./bench/go/hostile"} {
		if err := b.goBuild(contender{program: program, packagePath: path}); err != nil {
			return err
		}
	}
	for path := range needed {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s is missing: run ./build.sh build first", path)
		}
	}
	b.workRounds = workload.Calibrate()
	return nil
}

func (b *bench) program(name string) string { return filepath.Join(b.root, "build", "bin", name) }

func (b *bench) goBuild(c contender) error {
	build := exec.CommandContext(b.ctx, "go", "build", "-o", b.program(c.program), c.packagePath)
	build.Dir = filepath.Join(b.root, c.module)
	build.Stdout, build.Stderr = b.log, b.log
	if err := build.Run(); err != nil {
		return fmt.Errorf("go build %s in %s: %w", c.packagePath, build.Dir, err)
	}
	return nil
}

// findRoot walks up to the folder of the main module.
func findRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "bench", "peers", "go.mod")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", fmt.Errorf("not inside the source tree")
		}
		folder = parent
	}
}

// usableCPUs lists the CPUs that this process may use.
func usableCPUs() (found []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			found = append(found, cpu)
		}
	}
	if len(found) < 2 {
		return nil, fmt.Errorf("needs two CPUs, one for the server and one for the load client")
	}
	return found, nil
}

// serverCPUs are those that a contender's server runs on: the first ones.
func (b *bench) serverCPUs(c contender) []int { return b.cpus[:min(max(c.cores, 1), len(b.cpus))] }

// loadCPUs are those that its load client runs on: the next one, or (shared) all there are when the
// server has them.
func (b *bench) loadCPUs(c contender) (cpus []int, shared bool) {
	taken := len(b.serverCPUs(c))
	if taken == len(b.cpus) {
		return b.cpus, true
	}
	return b.cpus[taken : taken+1], false
}

// load is what the load client is asked to do.
type load struct {
	conns, depth int
	payload      int
	typed        bool
	method       uint32  // 0: the echo
	method2      uint32  // 0: none
	share2       float64 // percent of the calls that go to method2
	rate         float64 // calls per second; 0: closed loop
	sleeps       bool    // the client sleeps until a call is due
}

func (l load) args() []string {
	args := []string{"--conns", strconv.Itoa(l.conns), "--payload", strconv.Itoa(l.payload)}
	if l.depth != 0 {
		args = append(args, "--depth", strconv.Itoa(l.depth))
	}
	if l.typed {
		args = append(args, "--typed")
	}
	if l.method != 0 {
		args = append(args, "--method", fmt.Sprint(l.method))
	}
	if l.method2 != 0 {
		args = append(args, "--method2", fmt.Sprint(l.method2), "--share2", fmt.Sprint(l.share2))
	}
	if l.sleeps {
		args = append(args, "--sleep")
	}
	if l.rate != 0 {
		args = append(args, "--rate", fmt.Sprint(l.rate))
	}
	return args
}

// measurement is what the load clients print. First and Second are the two methods of a mix.
type measurement struct {
	CallsPerSecond float64 `json:"calls_per_second"`
	First          method  `json:"first"`
	Second         method  `json:"second"`
	Errors         int64   `json:"errors"`
	Unanswered     int64   `json:"unanswered"`
	HeldBack       int64   `json:"held_back"`
	ClientCPU      float64 `json:"client_cpu_percent"`
	ServerCPU      float64 `json:"server_cpu_percent"`
	Allocations    float64 `json:"allocations_per_call,omitempty"`
	Opened         float64 `json:"attackers_opened_per_second,omitempty"`
	GarbageMiB     float64 `json:"garbage_mib_per_second,omitempty"`
	ResidentMiB    float64 `json:"server_resident_mib,omitempty"`
	RunningMax     float64 `json:"handlers_at_once_max,omitempty"`
	ServerThreads  int     `json:"server_threads,omitempty"` // at most, while measured; 0: not looked at
	Beside         int64   `json:"calls_beside,omitempty"`   // with large messages, by one caller more
	// Of logs, whose records are counted as calls.
	Wal *walload.Figures `json:"wal,omitempty"`
	// By core of the server; nil: not looked at.
	Connections []uint64 `json:"connections_per_core,omitempty"`
}

type method struct {
	CallsPerSecond float64 `json:"calls_per_second"`
	LatencyUS      latency `json:"latency_us"`
}

type latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// measure runs one server and one load client against each other.
func (b *bench) measure(c contender, l load) (*measurement, error) {
	server, err := b.start(c, l.typed)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	return b.call(c, server, l)
}

// call runs a load client against a running server.
func (b *bench) call(c contender, s *server, l load) (*measurement, error) {
	seconds := fmt.Sprint(b.seconds)
	warmup := fmt.Sprint(b.warmup)
	patience := time.Duration((b.seconds + b.warmup + 15) * float64(time.Second))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	var client *exec.Cmd
	cpus, shared := b.loadCPUs(c)
	if c.ownLoad {
		client = exec.CommandContext(ctx, b.program(c.program), "load", "--address", s.address,
			"--conns", strconv.Itoa(l.conns), "--outstanding", strconv.Itoa(l.depth),
			"--payload", strconv.Itoa(l.payload), "--seconds", seconds, "--warmup", warmup, "--json")
	} else {
		args := append(l.args(), "--address", s.address, "--seconds", seconds, "--warmup", warmup,
			"--server-pid", strconv.Itoa(s.process.Process.Pid), "--json")
		if shared {
			args = append(args, "--sleep") // or it would take a CPU from the server for good
		}
		client = exec.CommandContext(ctx, b.program("smf-bench-load"), args...)
	}
	m, err := runClient(client, cpus)
	if err == nil && s.admin != "" {
		m.Connections, err = s.connections(ctx)
	}
	return m, err
}

// runClient runs a load client to its end and reads what it prints.
func runClient(client *exec.Cmd, cpus []int) (*measurement, error) {
	output, err := outputOn(cpus, client)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", client.Args, err)
	}
	var m measurement
	if err := json.Unmarshal(output, &m); err != nil {
		return nil, fmt.Errorf("%v printed %q: %w", client.Args, output, err)
	}
	return &m, nil
}

// fail notes a measurement that could not be made. The others go on.
func (b *bench) fail(what string, err error) {
	text := what + ": " + err.Error()
	b.failures = append(b.failures, text)
	fmt.Fprintln(b.log, "failed:", text)
}
