package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long a server may take to say where it listens.
const startPatience = 10 * time.Second

// server is a running contender.
type server struct {
	process *exec.Cmd
	address string
	admin   string // where its counters are, or ""
}

// start runs a contender's server on the server CPU, or on as many as it has cores, and waits until it
// listens.
func (b *bench) start(c contender, typed bool) (*server, error) {
	// The end of the run kills it in any case; stop does so earlier.
	process := exec.CommandContext(b.ctx, b.program(c.program), c.args(typed, b.workRounds)...)
	process.Env = append(os.Environ(), c.environment...)
	output, input, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer output.Close()
	defer input.Close()
	logFile, err := os.OpenFile(filepath.Join(b.root, "build", "bench", c.program+".log"),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	process.Stdout, process.Stderr = input, logFile
	if err := startOn(b.serverCPUs(c), process); err != nil {
		return nil, err
	}
	s := &server{process: process}
	input.Close() // ours; the end of the child's is the end of the output
	if err := s.readAddress(output, c, &b.engine); err != nil {
		s.stop()
		return nil, fmt.Errorf("%s: %w (see build/bench/%s.log)", c.program, err, c.program)
	}
	return s, nil
}

// readAddress reads "listening ADDRESS", and the lines that describe the engine and say where the
// counters are if there are such. smf serve says the same in more words.
func (s *server) readAddress(output *os.File, c contender, engine *string) error {
	if err := output.SetReadDeadline(time.Now().Add(startPatience)); err != nil {
		return err
	}
	lines := bufio.NewReader(output)
	line, err := lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("did not say where it listens: %w", err)
	}
	address, found := strings.CutPrefix(strings.TrimSpace(line), "listening ")
	if !found {
		return fmt.Errorf("said %q instead of where it listens", line)
	}
	s.address = strings.TrimPrefix(address, "on ")
	if c.engineLine {
		if line, err = lines.ReadString('\n'); err != nil {
			return fmt.Errorf("did not say which engine it uses: %w", err)
		}
		if *engine == "" {
			*engine = strings.TrimPrefix(strings.TrimSpace(line), "engine: ")
		}
	}
	for c.adminLine && s.admin == "" {
		if line, err = lines.ReadString('\n'); err != nil {
			return fmt.Errorf("did not say where its counters are: %w", err)
		}
		if admin, found := strings.CutPrefix(strings.TrimSpace(line), "admin "); found {
			s.admin = strings.TrimPrefix(admin, "on ")
		}
	}
	return nil
}

// stop kills the server and waits for its end.
func (s *server) stop() {
	_ = s.process.Process.Kill() // it may have ended by itself
	_ = s.process.Wait()
}

// threads is the number of the server's threads now; 0 when it can't be read.
func (s *server) threads() int {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.process.Process.Pid))
	if err != nil {
		return 0
	}
	return len(tasks)
}

// startOn starts a command that stays on some CPUs: the child inherits those of the thread.
func startOn(cpus []int, command *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	for _, cpu := range cpus {
		only.Set(cpu)
	}
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("cannot run on CPUs %v: %w", cpus, err)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := command.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// outputOn runs a command on some CPUs and returns its standard output. An error has the last line of
// its standard error in it.
func outputOn(cpus []int, command *exec.Cmd) ([]byte, error) {
	var output, complaints bytes.Buffer
	command.Stdout, command.Stderr = &output, &complaints
	if err := startOn(cpus, command); err != nil {
		return nil, err
	}
	if err := command.Wait(); err != nil {
		// A client that counted errors prints its figures all the same.
		return nil, fmt.Errorf("%w: %s%s", err, complaints.Bytes(), output.Bytes())
	}
	return output.Bytes(), nil
}
