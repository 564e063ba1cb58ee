package walload

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// job is one measurement.
type job struct {
	contender Contender
	folder    string
	size      int // of a record
	writers   int
	batch     int // records
	total     int64
	acked     int64 // records that have to be there
	hold      bool  // fill: append until killed
	seconds   float64
	warmup    float64
	options   Options
	last      bool // the process ends after it
}

// A verb is what a program can be asked to do.
var verbs = map[string]func(job, io.Writer) error{
	"durable": durable, "buffered": buffered, "fill": fill, "read": read, "open": open, "tail": tail,
	"stalled": stalled,
}

// Main runs a program's command line: list prints the contenders' names, one a line; the other verbs take
// --contender, --dir, an empty folder, and print a measurement as JSON.
//
//	durable   --writers append batches and wait for each to be durable
//	buffered  they wait only until the log has taken a batch
//	fill      one writer makes the log --total bytes long and prints how many records it has; with --hold it
//	          goes on to append until it is killed
//	read      reads a log that fill has made, cold, and checks every record; --acked: so many at least
//	open      opens it, cold
//	tail      durable, with a reader that follows
//	stalled   buffered, on a disk on which everything takes --delay longer: how much memory that takes
func Main(contenders ...Contender) {
	if err := run(os.Args[1:], contenders, os.Stdout, true); err != nil {
		fmt.Fprintln(os.Stderr, "wal:", err)
		os.Exit(1)
	}
}

// Run is Main with its surroundings.
func Run(args []string, contenders []Contender, out io.Writer) error {
	return run(args, contenders, out, false)
}

// run is Run; last: the process ends after it.
func run(args []string, contenders []Contender, out io.Writer, last bool) error {
	if len(args) == 0 {
		return errors.New("usage: list|durable|buffered|fill|read|open|tail|stalled [options]")
	}
	if args[0] == "list" {
		for _, c := range contenders {
			fmt.Fprintln(out, c.Name)
		}
		return nil
	}
	verb, known := verbs[args[0]]
	if !known {
		return fmt.Errorf("no verb %q; there are list, durable, buffered, fill, read, open, tail, stalled", args[0])
	}
	j, err := parse(args, contenders)
	if err != nil {
		return err
	}
	j.last = last
	return verb(j, out)
}

func parse(args []string, contenders []Contender) (j job, err error) {
	flags := flag.NewFlagSet("wal "+args[0], flag.ContinueOnError)
	name := flags.String("contender", "", "which log")
	flags.StringVar(&j.folder, "dir", "", "`folder` of the log")
	flags.IntVar(&j.size, "size", 1024, "`bytes` of a record")
	flags.IntVar(&j.writers, "writers", 1, "goroutines that append")
	flags.IntVar(&j.batch, "batch", 1, "`records` that are appended together")
	flags.Int64Var(&j.total, "total", 0, "`bytes` of records to fill a log with")
	flags.Int64Var(&j.acked, "acked", 0, "`records` that have to be there")
	flags.Float64Var(&j.seconds, "seconds", 0.5, "how long to measure")
	flags.Float64Var(&j.warmup, "warmup", 0.1, "`seconds` before that")
	flags.DurationVar(&j.options.FlushDelay, "delay", 0, "what every flush takes longer")
	flags.Int64Var(&j.options.SegmentBytes, "segment", 32<<20, "`bytes` of the log's files")
	flags.IntVar(&j.options.Partitions, "partitions", 1, "of the log; writers take turns in taking one")
	flags.Int64Var(&j.options.MemoryBytes, "memory", 0, "`bytes` that the log may take")
	flags.BoolVar(&j.hold, "hold", false, "fill: append until killed")
	if err := flags.Parse(args[1:]); err != nil {
		return j, err
	}
	var names []string
	for _, c := range contenders {
		names = append(names, c.Name)
		if c.Name == *name {
			j.contender = c
		}
	}
	switch {
	case flags.NArg() > 0:
		return j, fmt.Errorf("unknown argument %q", flags.Arg(0))
	case j.contender.Name == "":
		return j, fmt.Errorf("no contender %q; there are %s", *name, strings.Join(names, ", "))
	case j.folder == "":
		return j, errors.New("--dir is missing: the folder of the log")
	case j.size < RecordMinBytes || j.size > recordMaxBytes:
		return j, fmt.Errorf("--size: a record has %d to %d bytes", RecordMinBytes, recordMaxBytes)
	case j.writers < 1 || j.batch < 1 || j.seconds <= 0 || j.warmup < 0 || j.total < 0:
		return j, errors.New("--writers, --batch and --seconds must be above 0, --warmup and --total not below")
	}
	if err := j.refuse(args[0]); err != nil {
		return j, err
	}
	return j, RefuseMemory(j.folder)
}

// refuse says what the contender can't do.
func (j job) refuse(verb string) error {
	c := j.contender
	switch {
	case j.options.Partitions < 1 || j.options.MemoryBytes < 0:
		return errors.New("--partitions must be above 0, --memory not below")
	case j.options.Partitions > 1 && !c.Parted:
		return fmt.Errorf("--partitions: %s has no partitions", c.Name)
	case verb == "tail" && !c.Followed:
		return fmt.Errorf("tail: %s can't be read while it is written", c.Name)
	case (verb == "stalled" || j.options.MemoryBytes > 0) && !c.Budget:
		return fmt.Errorf("%s: nobody can tell %s how much memory it may take", verb, c.Name)
	case verb == "stalled" && (j.options.FlushDelay <= 0 || j.options.MemoryBytes == 0):
		return errors.New("stalled: --delay and --memory have to be above 0")
	}
	return nil
}

// fill makes a log for the other verbs. It keeps everything.
func fill(j job, out io.Writer) error {
	log, err := j.contender.Open(j.folder, j.options)
	if err != nil {
		return err
	}
	b := NewRecords(0, max(1, (1<<20)/j.size), j.size)
	for int64(b.number)*int64(j.size) < j.total {
		if err := log.Append(b.Next()); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	fmt.Fprintln(out, b.number)
	if !j.hold {
		return log.Close()
	}
	stop := make(chan os.Signal, 1) // so that a terminal's end ends this too
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	small := NewRecords(0, 1, j.size)
	for small.number = b.number; ; {
		select {
		case <-stop:
			return log.Close()
		default:
		}
		if err := log.Append(small.Next()); err != nil {
			return errors.Join(err, log.Close())
		}
	}
}

func read(j job, out io.Writer) error {
	if err := dropCaches(j.folder); err != nil {
		return err
	}
	c := NewChecker(j.size)
	before, err := takeUsage(j.folder)
	if err != nil {
		return err
	}
	if err := j.contender.Read(j.folder, j.options, c.Visit); err != nil {
		return err
	}
	after, err := takeUsage(j.folder)
	if err != nil {
		return err
	}
	if c.Records < j.acked {
		return fmt.Errorf("%d records were acknowledged and %d are there", j.acked, c.Records)
	}
	return printJSON(out, result(before, after, c.Records, c.Bytes))
}

func open(j job, out io.Writer) error {
	if err := dropCaches(j.folder); err != nil {
		return err
	}
	start := time.Now()
	log, err := j.contender.Open(j.folder, j.options)
	if err != nil {
		return err
	}
	took := time.Since(start)
	m := Measurement{Wal: Figures{OpenMS: float64(took) / 1e6}}
	return errors.Join(printJSON(out, m), log.Close())
}

func printJSON(out io.Writer, m Measurement) error { return json.NewEncoder(out).Encode(m) }
