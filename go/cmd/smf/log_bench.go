package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/go/wal"
)

const (
	benchTopic         = "bench"
	benchWritersMax    = 10_000
	benchPartitionsMax = 1_000
	benchSizeMax       = 16<<20 - 16
	benchWarmup        = 300 * time.Millisecond
	benchSlowest       = time.Minute // that a histogram tells apart
)

type logBenchOptions struct {
	logFolder
	spread     logCores
	writers    int
	partitions int
	size       size
	ack        string
	seconds    float64
	disk       string
	json       bool
}

func newLogBenchCommand() *cobra.Command {
	o := logBenchOptions{size: 1 << 10}
	command := &cobra.Command{
		Use:   "bench --dir DIR",
		Short: "Append records as fast as it goes, and print how fast that was",
		Long: `smf log bench makes a log in a new folder below --dir, appends records of one size, one by one from
each of many goroutines, to one partition or, in turns, to several, prints figures, and removes the folder.
SIGINT ends it early, with the figures.

The words are those of docs/performance.md: writers × a record's size; MiB/s of values; latencies from a
call to its return; CPU, user and system time of the whole process; per encoded byte, what the log wrote of
records and what fills their last blocks. The log is new, so its files are filled for the first time, with
zeroes ahead that are not counted.`,
		Example: "  smf log bench --dir /var/lib --writers 64 --size 1KiB --ack durable",
		Args:    noArguments("bench"),
		RunE: func(command *cobra.Command, _ []string) error {
			return logBench(&o, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	o.flag(command)
	o.spread.flag(command)
	flags := command.Flags()
	flags.IntVar(&o.partitions, "partitions", 1, "partitions that writers are spread over")
	flags.IntVar(&o.writers, "writers", 64, "goroutines that append, each one record at a time")
	flags.Var(&o.size, "size", "bytes of a record's value")
	flags.StringVar(&o.ack, "ack", "durable", acksHelp)
	flags.Float64Var(&o.seconds, "seconds", 3, "how long to measure")
	flags.StringVar(&o.disk, "disk", "", "way to the disk: uring or posix (default: the better one)")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	return command
}

func (o *logBenchOptions) verify() error {
	switch {
	case o.writers < 1 || o.writers > benchWritersMax:
		return fmt.Errorf("--writers %d: it must be from 1 to %d", o.writers, benchWritersMax)
	case o.partitions < 1 || o.partitions > benchPartitionsMax:
		return fmt.Errorf("--partitions %d: it must be from 1 to %d", o.partitions, benchPartitionsMax)
	case o.size > benchSizeMax:
		return fmt.Errorf("--size %s: a record's value has at most %d bytes", &o.size, benchSizeMax)
	case !(o.seconds > 0 && o.seconds <= 86400):
		return fmt.Errorf("--seconds %g: it must be more than 0, and at most 86400", o.seconds)
	case o.disk != "" && o.disk != "uring" && o.disk != "posix":
		return fmt.Errorf("--disk %q: there are uring and posix", o.disk)
	}
	return o.spread.check()
}

func logBench(o *logBenchOptions, stdout, stderr io.Writer) (err error) {
	ack, err := parseAck(o.ack)
	if err != nil {
		return err
	}
	if err := o.verify(); err != nil {
		return wrongUsage(err)
	}
	if err := o.check("bench", false); err != nil {
		return err
	}
	folder, err := os.MkdirTemp(o.path, "smf-bench-")
	if err != nil {
		return wrongUsage(fmt.Errorf("--dir %s: %w", o.path, reasonOf(err)))
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	raiseProcs(o.spread.cores) // the log's loops and the writers
	log, err := wal.Open(folder, wal.Options{Create: true, Disk: o.disk, Cores: o.spread.cores})
	if err != nil {
		return o.explain(err)
	}
	result, err := o.run(log, ack, stderr)
	if closing := log.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return o.explain(err)
	}
	return result.print(stdout, o)
}

// benchResult is what --json prints.
type benchResult struct {
	Disk             string  `json:"disk"`
	Cores            int     `json:"cores"`
	Partitions       int     `json:"partitions"`
	Writers          int     `json:"writers"`
	ValueBytes       int64   `json:"value_bytes"`
	Ack              string  `json:"ack"`
	Seconds          float64 `json:"seconds"`
	Records          int64   `json:"records"`
	RecordsPerSecond float64 `json:"records_per_second"`
	MiBPerSecond     float64 `json:"mib_per_second"` // of values
	P50Micros        float64 `json:"p50_us"`
	P99Micros        float64 `json:"p99_us"`
	P999Micros       float64 `json:"p99.9_us"`
	MaxMicros        float64 `json:"max_us"`
	CPUMicros        float64 `json:"cpu_us_per_record"`
	DeviceBytes      float64 `json:"device_bytes_per_encoded_byte"`
}

// benchRun is a run at work.
type benchRun struct {
	partitions []*wal.Partition
	ack        wal.Ack
	value      []byte
	ctx        context.Context

	mu      sync.Mutex
	all     *hdrhistogram.Histogram
	failure error
}

func newBenchHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(benchSlowest), 3)
}

func (o *logBenchOptions) run(log *wal.Log, ack wal.Ack, stderr io.Writer) (*benchResult, error) {
	if err := log.CreateTopic(benchTopic, wal.TopicConfig{Partitions: o.partitions}); err != nil {
		return nil, err
	}
	topic, err := log.Topic(benchTopic)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first, second := stopSignals()
	go func() {
		<-first
		cancel()
		<-second
		os.Exit(1)
	}()
	r := &benchRun{partitions: topic.Partitions(), ack: ack, value: make([]byte, o.size), ctx: ctx, all: newBenchHistogram()}
	for i := range r.value {
		r.value[i] = byte('a' + i%26)
	}
	wait(ctx, benchWarmup, nil) // the loop is there, and the disk was asked
	stop := make(chan struct{})
	hide := progressLine(stderr, func(elapsed time.Duration) string {
		return fmt.Sprintf("%.1f of %.1f s", elapsed.Seconds(), o.seconds)
	})
	before, cpu, began := r.info(), cpuTime(), time.Now()
	var writers sync.WaitGroup
	for i := range o.writers {
		writers.Go(func() { r.write(r.partitions[i%len(r.partitions)], stop) })
	}
	wait(ctx, time.Duration(o.seconds*float64(time.Second)), nil)
	close(stop)
	writers.Wait()
	elapsed, spent, after := time.Since(began), cpuTime()-cpu, r.info()
	hide()
	if r.failure != nil {
		return nil, r.failure
	}
	return o.result(log, r, elapsed, spent, before, after), nil
}

// write appends until it is told to stop.
func (r *benchRun) write(p *wal.Partition, stop <-chan struct{}) {
	latencies := newBenchHistogram()
	batch := wal.Batch{{Value: r.value}}
	var failure error
	for failure == nil {
		select {
		case <-stop:
			r.add(latencies, nil)
			return
		default:
		}
		began := time.Now()
		if _, failure = p.Append(context.Background(), batch, r.ack); failure == nil {
			_ = latencies.RecordValue(min(int64(time.Since(began)), int64(benchSlowest)))
		}
	}
	r.add(latencies, failure)
}

func (r *benchRun) add(latencies *hdrhistogram.Histogram, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all.Merge(latencies)
	if r.failure == nil {
		r.failure = failure
	}
}

// info sums up what partitions have written. What can't be told then shows as a failed append.
func (r *benchRun) info() (sum wal.Info) {
	for _, p := range r.partitions {
		info, _ := p.Info()
		sum.AppendedBytes += info.AppendedBytes
		sum.WrittenBytes += info.WrittenBytes
	}
	return sum
}

// cpuTime is the processor time of this process.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (o *logBenchOptions) result(log *wal.Log, r *benchRun, elapsed, spent time.Duration, before, after wal.Info) *benchResult {
	records := r.all.TotalCount()
	micros := func(percent float64) float64 { return float64(r.all.ValueAtQuantile(percent)) / 1000 }
	result := &benchResult{
		Disk: log.Describe(), Cores: o.spread.cores, Partitions: o.partitions, Writers: o.writers, ValueBytes: int64(o.size), Ack: o.ack, Seconds: elapsed.Seconds(), Records: records,
		RecordsPerSecond: float64(records) / elapsed.Seconds(),
		MiBPerSecond:     float64(records) * float64(o.size) / (1 << 20) / elapsed.Seconds(),
		P50Micros:        micros(50), P99Micros: micros(99), P999Micros: micros(99.9), MaxMicros: micros(100),
	}
	if records > 0 {
		result.CPUMicros = float64(spent.Nanoseconds()) / 1000 / float64(records)
	}
	if encoded := after.AppendedBytes - before.AppendedBytes; encoded > 0 {
		result.DeviceBytes = float64(after.WrittenBytes-before.WrittenBytes) / float64(encoded)
	}
	return result
}

func (b *benchResult) print(w io.Writer, o *logBenchOptions) error {
	if o.json {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(b)
	}
	partitions := ""
	if b.Partitions > 1 {
		partitions = " to " + counted(b.Partitions, "partition")
	}
	fmt.Fprintf(w, "%s\n%d × %s%s, %s: %s records in %.2f s\n\n", b.Disk, b.Writers, recordSize(b.ValueBytes), partitions, b.Ack,
		grouped(uint64(b.Records)), b.Seconds)
	fmt.Fprintf(w, "%12s  %10s  %10s  %10s  %10s  %10s  %14s  %16s\n", "records/s", "MiB/s", "p50 µs", "p99 µs", "p99.9 µs", "max µs",
		"CPU µs/record", "per encoded byte")
	_, err := fmt.Fprintf(w, "%12s  %10.1f  %10.1f  %10.1f  %10.1f  %10.1f  %14.2f  %16.2f\n", grouped(uint64(b.RecordsPerSecond)),
		b.MiBPerSecond, b.P50Micros, b.P99Micros, b.P999Micros, b.MaxMicros, b.CPUMicros, b.DeviceBytes)
	return err
}

// recordSize is exact.
func recordSize(n int64) string {
	if n > 0 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}

// wait waits for d, or for ctx; show is called now and then, and once at the end.
func wait(ctx context.Context, d time.Duration, show func(last bool)) {
	over := time.NewTimer(d)
	defer over.Stop()
	if show == nil {
		show = func(bool) {}
	}
	tick := time.NewTicker(progressStep)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			show(true)
			return
		case <-ctx.Done():
			show(true)
			return
		case <-tick.C:
			show(false)
		}
	}
}
