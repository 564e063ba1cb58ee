// Runner measures our server against others and prints tables:
//
//	runner rpc [--full] [--quick] [--rounds N] [--seconds S] [--only a|b|c] [--without NAME,NAME]
//	runner NAME [the same]; the names are in benchmarks; wal has [--dir FOLDER], too
//	runner --check …        nothing but to look whether that is right
//
// One server at a time runs on one CPU, the load client on another. Contenders take turns within a
// round, and rounds follow each other, so that a machine that changes its speed does so for all of them.
// A log is a program that runs once for every measurement.
// Results go to standard output, build/bench/NAME.md and build/bench/NAME.json.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Children are started from the main thread: their CPU is inherited from it, and they die with it.
func init() { runtime.LockOSThread() }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

// benchmarks are what can be measured, and the letters of each one's tables.
var benchmarks = []struct{ name, letters string }{
	{"rpc", "abc"}, {"blocking", "c"}, {"client", "d"}, {"hostile", "eq"}, {"metrics", "f"}, {"placement", "g"},
	{"level2", "p"}, {walName, "hijklmno"},
}

// The tables, by the letters of --only.
var tables = []struct {
	letter, about string
	measure       func(*bench) (table, error)
}{
	{"a", "bytes", measureBytes},
	{"b", "typed", measureTyped},
	{"c", "blocking handlers", measureBlocking},
	{"d", "clients", measureClients},
	{"e", "hostile peers", measureHostile},
	{"f", "metrics", measureMetrics},
	{"g", "placement", measurePlacement},
	{"h", "durable records", onWal((*walBench).measureDurable)},
	{"i", "batches and streams", onWal((*walBench).measureBatches)},
	{"j", "buffered records", onWal((*walBench).measureBuffered)},
	{"k", "reading and opening logs", onWal((*walBench).measureCold)},
	{"l", "slow flushes", onWal((*walBench).measureDelayed)},
	{"m", "partitions of a log", onWal((*walBench).measurePartitions)},
	{"n", "readers that follow", onWal((*walBench).measureTails)},
	{"o", "memory of a log", onWal((*walBench).measureMemory)},
	{"p", "calls beside large messages", measureBeside},
	{"q", "hostile peers of level 2", measureHostile2},
}

// lettersOf are the tables of a benchmark; the error tells which there are.
func lettersOf(args []string) (string, error) {
	var names []string
	for _, b := range benchmarks {
		if len(args) > 0 && b.name == args[0] {
			return b.letters, nil
		}
		names = append(names, b.name)
	}
	there := "there are " + strings.Join(names, ", ")
	if len(args) == 0 {
		return "", errors.New("which benchmark? " + there)
	}
	return "", fmt.Errorf("no benchmark %q; %s", args[0], there)
}

// wanted is what a command line asks for: a bench, and the letters of its tables.
func wanted(args []string) (*bench, string, error) {
	letters, err := lettersOf(args)
	if err != nil {
		return nil, "", err
	}
	b, only, err := parse(args)
	switch {
	case err != nil:
		return nil, "", err
	case strings.Trim(only, letters) != "":
		return nil, "", fmt.Errorf("%s has the tables %s", args[0], letters)
	case only != "":
		letters = only
	}
	return b, letters, nil
}

func run(ctx context.Context, args []string) (err error) {
	onlyCheck := len(args) > 0 && args[0] == "--check"
	if onlyCheck {
		args = args[1:]
	}
	b, letters, err := wanted(args)
	if err != nil || onlyCheck {
		return err
	}
	b.ctx = ctx
	if err := b.prepare(); err != nil {
		return err
	}
	where, err := b.ready(args[0])
	if err != nil {
		return err
	}
	if b.logs != nil {
		defer func() { err = errors.Join(err, b.logs.close()) }()
	}
	report := report{Name: args[0], Machine: describeMachine(ctx, b, where)}
	for _, t := range tables {
		if !strings.Contains(letters, t.letter) {
			continue
		}
		measured, err := t.measure(b)
		if err != nil {
			return err
		}
		report.Tables = append(report.Tables, measured)
	}
	report.Machine.Engine = b.engine
	report.Failures = b.failures
	if err := report.write(filepath.Join(b.root, "build", "bench")); err != nil {
		return err
	}
	if len(b.failures) > 0 {
		return fmt.Errorf("%d measurements failed; the first: %s", len(b.failures), b.failures[0])
	}
	return nil
}

// ready builds what a benchmark needs, and says where what runs.
func (b *bench) ready(name string) (where string, err error) {
	if name == walName {
		if b.logs, err = b.openWal(); err != nil {
			return "", err
		}
		return "a process for every measurement, on the CPUs " + list(b.cpus) + "; files on " + b.logs.disk(), nil
	}
	of := contenders[smfGo]
	if name == "placement" {
		of = contenders[smfGoTwo]
	}
	return b.whereRun(of), b.prepareServers()
}

func parse(args []string) (*bench, string, error) {
	b := &bench{log: os.Stderr}
	flags := flag.NewFlagSet("runner "+args[0], flag.ContinueOnError)
	full := flags.Bool("full", false, "longer rounds of 2 s, and 11 of them at least")
	quick := flags.Bool("quick", false, "2 rounds of 0.3 s, to see that everything runs")
	var letters []string
	for _, t := range tables {
		letters = append(letters, t.letter+" "+t.about)
	}
	only := flags.String("only", "", "`letters` of the tables to make: "+strings.Join(letters, ", "))
	without := flags.String("without", "", "contenders to leave out, by `names` with commas between them")
	rounds := flags.Int("rounds", 0, "how often each cell is measured (7; placement 50; wal 3)")
	seconds := flags.Float64("seconds", 0, "how long each measurement takes (0.5; wal 0.4)")
	flags.StringVar(&b.folder, "dir", "", "wal: a `folder` on the disk to be measured (build/bench/data)")
	if err := flags.Parse(args[1:]); err != nil {
		return nil, "", err
	}
	if flags.NArg() > 0 {
		return nil, "", fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	b.rounds, b.seconds, b.warmup = 7, 0.5, 0.15
	if args[0] == "placement" {
		b.rounds = placementRounds
	}
	if args[0] == walName {
		b.rounds, b.seconds, b.warmup = walRounds, 0.4, 0.1
	} else if b.folder != "" {
		return nil, "", errors.New("--dir is for wal alone")
	}
	if *full {
		b.rounds, b.seconds, b.warmup = max(b.rounds, 11), 2, 0.5
	}
	if *quick {
		b.rounds, b.seconds, b.warmup = 2, 0.3, 0.1
	}
	b.quick = *quick
	if *rounds != 0 {
		b.rounds = *rounds
	}
	if *seconds != 0 {
		b.seconds = *seconds
	}
	if b.rounds < 1 || b.seconds < 0.01 {
		return nil, "", errors.New("--rounds and --seconds must be above 0")
	}
	b.without = map[string]bool{}
	for _, name := range strings.Split(*without, ",") {
		known := name == "" || (args[0] == walName && walLabels[name] != "")
		if args[0] != walName {
			_, server := contenders[name]
			known = known || server
		}
		if !known {
			return nil, "", fmt.Errorf("--without: no contender %q", name)
		}
		b.without[name] = true
	}
	for _, name := range []string{smfGoEco, smfGoTwo, smfGoOne, smfGoLarge} { // one program
		b.without[name] = b.without[name] || b.without[smfGo]
	}
	return b, *only, nil
}
