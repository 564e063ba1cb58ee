package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/walload"
)

// Logs, by the names that their programs give them. The device is no log: it is what there is to be had.
const (
	walSMF    = "smf"
	walFsync  = "plain-fsync"
	walDsync  = "plain-dsync"
	walFile   = "plain-file"
	walBufio  = "plain-bufio"
	walPebble = "pebble"
	walRaft   = "raft-wal"
	walDevice = "device"
)

var walLabels = map[string]string{
	walSMF: "smf", walFsync: "plain Go, O_DIRECT + fdatasync", walDsync: "plain Go, O_DIRECT + O_DSYNC",
	walFile: "plain Go file", walBufio: "plain Go file + bufio", walPebble: "Pebble's WAL", walRaft: "raft-wal",
	walDevice: "the device",
}

// The programs that have them. A log that its program does not know is left out.
var walPrograms = []contender{
	{program: "smf-bench-wal", packagePath: "./bench/go/wal"},
	{program: "smf-bench-wal-peers", module: "bench/peers", packagePath: "./walpeers"},
}

const walProbe = "smf-bench-wal-probe"

const (
	walName            = "wal"
	walRounds          = 3
	walReopenBytes     = 1 << 30
	walReopenBytesLess = 64 << 20 // with --quick
	walReadBytes       = 256 << 20
	walDeviceMiB       = 96
	walFreeBytes       = 6 << 30 // on the disk, at least
)

// onWal makes a table of the logs' bench.
func onWal(measure func(*walBench) (table, error)) func(*bench) (table, error) {
	return func(b *bench) (table, error) { return measure(b.logs) }
}

// walBench is a bench of logs.
type walBench struct {
	*bench
	folder    string            // of this run
	homes     map[string]string // the program that has a log
	explained bool              // a table before has said how to read them
}

// walLoad is what a log is asked to do.
type walLoad struct {
	verb    string // of its program; of the probe: what the device does
	size    int    // of a record, or of an operation of the device
	writers int    // or operations in flight
	batch   int
	delay   time.Duration

	partitions int   // 0: one
	segment    int64 // bytes of a file; 0: the programs' default
	memory     int64 // that the log may take; 0: what it takes without being told
}

func (l walLoad) name() string {
	text := fmt.Sprintf("%d × %s", l.writers, sizeName(l.size))
	if l.batch > 1 {
		text = fmt.Sprintf("%d × %d × %s", l.writers, l.batch, sizeName(l.size))
	}
	if l.partitions > 1 {
		text += fmt.Sprintf(" over %d partitions", l.partitions)
	}
	if l.verb != "durable" {
		text += ", " + l.verb
	}
	if l.memory > 0 {
		text += fmt.Sprintf(", %d MiB", l.memory>>20)
	}
	if l.delay > 0 {
		text += ", +" + l.delay.String()
	}
	return text
}

// args are those of a log's program.
func (l walLoad) args() []string {
	args := []string{"--size", strconv.Itoa(l.size), "--writers", strconv.Itoa(l.writers), "--batch", strconv.Itoa(max(l.batch, 1)),
		"--delay", l.delay.String(), "--partitions", strconv.Itoa(max(l.partitions, 1))}
	if l.segment > 0 {
		args = append(args, "--segment", strconv.FormatInt(l.segment, 10))
	}
	if l.memory > 0 {
		args = append(args, "--memory", strconv.FormatInt(l.memory, 10))
	}
	return args
}

func sizeName(size int) string {
	if size%1024 == 0 {
		return fmt.Sprintf("%d KiB", size/1024)
	}
	return fmt.Sprintf("%d B", size)
}

// openWal builds the logs' programs, asks them what they have, and makes a folder for their files.
func (b *bench) openWal() (*walBench, error) {
	parent := b.folder
	if parent == "" {
		parent = filepath.Join(b.root, "build", "bench", "data")
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := refuseFolder(parent); err != nil {
		return nil, err
	}
	w := &walBench{bench: b, homes: map[string]string{}}
	for _, c := range walPrograms {
		if err := b.goBuild(c); err != nil {
			return nil, err
		}
		names, err := exec.CommandContext(b.ctx, b.program(c.program), "list").Output()
		if err != nil {
			return nil, fmt.Errorf("%s list: %w", c.program, err)
		}
		for _, name := range strings.Fields(string(names)) {
			if !b.without[name] {
				w.homes[name] = c.program
			}
		}
	}
	if !b.without[walDevice] {
		w.homes[walDevice] = walProbe
	}
	var err error
	w.folder, err = os.MkdirTemp(parent, "wal-")
	return w, err
}

// disk is the name of the one that the files are on.
func (w *walBench) disk() string {
	var s unix.Stat_t
	if err := unix.Stat(w.folder, &s); err != nil {
		return "an unknown disk"
	}
	path, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(s.Dev), unix.Minor(s.Dev)))
	if err != nil {
		return "a disk without statistics"
	}
	return filepath.Base(path)
}

func (w *walBench) close() error { return os.RemoveAll(w.folder) }

// refuseFolder says why a folder is none to measure logs in.
func refuseFolder(folder string) error {
	if err := walload.RefuseMemory(folder); err != nil {
		return err
	}
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return fmt.Errorf("statfs %s: %w", folder, err)
	}
	if free := s.Bavail * uint64(s.Bsize); free < walFreeBytes {
		return fmt.Errorf("%s has %d MiB free and needs %d: make room, or give --dir a folder on another disk", folder,
			free>>20, walFreeBytes>>20)
	}
	return nil
}

// inFolder gives a measurement a folder of its own.
func (w *walBench) inFolder(measure func(folder string) (*measurement, error)) (*measurement, error) {
	folder, err := os.MkdirTemp(w.folder, "")
	if err != nil {
		return nil, err
	}
	m, err := measure(folder)
	return m, errors.Join(err, os.RemoveAll(folder))
}

// patience is how long a program may take for its work and what comes before and after it.
func (w *walBench) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.ctx, time.Duration((w.seconds+w.warmup)*1e9)+2*time.Minute)
}

// logRun runs a log's program to its end, and decodes what it prints.
func (w *walBench) logRun(name, verb, folder string, args ...string) (*measurement, error) {
	ctx, cancel := w.patience()
	defer cancel()
	args = append([]string{verb, "--contender", name, "--dir", folder}, args...)
	return decodeLog(runClient(exec.CommandContext(ctx, w.program(w.homes[name]), args...), w.cpus))
}

// decodeLog is an error for what is no measurement of a log.
func decodeLog(m *measurement, err error) (*measurement, error) {
	if err == nil && m.Wal == nil {
		return nil, errors.New("the program printed no figures of a log")
	}
	return m, err
}

func (w *walBench) times() []string {
	return []string{"--seconds", fmt.Sprint(w.seconds), "--warmup", fmt.Sprint(w.warmup)}
}

func (w *walBench) measureLog(name string, l walLoad) (*measurement, error) {
	return w.inFolder(func(folder string) (*measurement, error) {
		return w.logRun(name, l.verb, folder, append(w.times(), l.args()...)...)
	})
}

func (w *walBench) measureDevice(l walLoad) (*measurement, error) {
	ctx, cancel := w.patience()
	defer cancel()
	args := append(w.times(), "--dir", w.folder, "--do", l.verb, "--size", strconv.Itoa(l.size),
		"--depth", strconv.Itoa(l.writers))
	if l.verb != "read" { // a file about as large as those that a log uses again and again
		args = append(args, "--file-mib", strconv.Itoa(walDeviceMiB))
	}
	return decodeLog(runClient(exec.CommandContext(ctx, w.program(walProbe), args...), w.cpus))
}

// ofDevice is what the device does beside a load on logs: one write that is as large as the record needs it
// to be, where one writer waits for one; else as much as it can.
func (l walLoad) ofDevice() walLoad {
	switch {
	case l.verb == "read" || l.verb == "open":
		return walLoad{verb: "read", size: 1 << 20, writers: 32}
	case l.verb == "buffered":
		return walLoad{verb: "plain", size: 128 << 10, writers: 8}
	case l.writers == 1 && l.batch <= 1:
		return walLoad{verb: "durable", size: (l.size + 4095) &^ 4095, writers: 1}
	default:
		return walLoad{verb: "durable", size: 128 << 10, writers: 8}
	}
}

// measureRead fills a log and reads it, cold.
func (w *walBench) measureRead(name string, l walLoad) (*measurement, error) {
	return w.inFolder(func(folder string) (*measurement, error) {
		acked, err := w.fill(name, folder, walReadBytes, l.size)
		if err != nil {
			return nil, err
		}
		return w.logRun(name, "read", folder, "--size", strconv.Itoa(l.size), "--acked", acked)
	})
}

func (w *walBench) fill(name, folder string, total int64, size int) (acked string, err error) {
	ctx, cancel := w.patience()
	defer cancel()
	command := exec.CommandContext(ctx, w.program(w.homes[name]), "fill", "--contender", name, "--dir", folder,
		"--size", strconv.Itoa(size), "--total", strconv.FormatInt(total, 10))
	output, err := outputOn(w.cpus, command)
	if err != nil {
		return "", fmt.Errorf("%v: %w", command.Args, err)
	}
	return strings.TrimSpace(string(output)), nil
}

// measureReopen fills a log, kills its program while it appends, opens the log again, and then looks whether
// all is there that was acknowledged, where the log still has it then.
func (w *walBench) measureReopen(name string, l walLoad) (*measurement, error) {
	return w.inFolder(func(folder string) (*measurement, error) {
		acked, err := w.fillAndKill(name, folder, l)
		if err != nil {
			return nil, err
		}
		opened, err := w.logRun(name, "open", folder)
		if err != nil || name == walPebble { // whose log has gone into tables by then
			return opened, err
		}
		m, err := w.logRun(name, "read", folder, "--size", strconv.Itoa(l.size), "--acked", acked)
		if err == nil {
			m.Wal.OpenMS = opened.Wal.OpenMS
		}
		return m, err
	})
}

func (w *walBench) fillAndKill(name, folder string, l walLoad) (acked string, err error) {
	ctx, cancel := w.patience()
	defer cancel()
	command := exec.CommandContext(ctx, w.program(w.homes[name]), "fill", "--contender", name, "--dir", folder,
		"--size", strconv.Itoa(l.size), "--total", strconv.Itoa(l.batch*l.size), "--hold")
	command.Stderr = os.Stderr
	output, input, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer output.Close()
	command.Stdout = input
	err = startOn(w.cpus, command)
	input.Close()
	if err != nil {
		return "", err
	}
	line := make([]byte, 32)
	n, err := output.Read(line)
	if err == nil {
		time.Sleep(20 * time.Millisecond) // so that it is killed while it appends
	}
	_ = command.Process.Kill() // it may have ended by itself
	_ = command.Wait()
	if err != nil {
		return "", fmt.Errorf("%v did not say how much it wrote: %w", command.Args, err)
	}
	return strings.TrimSpace(string(line[:n])), nil
}

// walGrid measures every load on every log that is there, in rounds; they take turns in going first.
func (w *walBench) walGrid(count int, loads []walLoad, names []string,
	measure func(string, walLoad) (*measurement, error)) ([]map[string]rounds, error) {
	cells := make([]map[string]rounds, len(loads))
	for i := range cells {
		cells[i] = map[string]rounds{}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return w.homes[name] == "" })
	for round := range count {
		for i, l := range loads {
			for turn := range names {
				name := names[(turn+round)%len(names)]
				var m *measurement
				var err error
				if name == walDevice {
					m, err = w.measureDevice(l.ofDevice())
				} else {
					m, err = measure(name, l)
				}
				if w.ctx.Err() != nil {
					return nil, w.ctx.Err()
				}
				if err != nil {
					w.fail(l.name()+", "+name, err)
				} else {
					fmt.Fprintf(w.log, "round %d of %d  %s  %s: %s/s  p50 %s us\n", round+1, count, l.name(), name,
						number(m.CallsPerSecond), number(p50(m)))
				}
				cells[i][name] = append(cells[i][name], m)
			}
		}
	}
	return cells, nil
}
