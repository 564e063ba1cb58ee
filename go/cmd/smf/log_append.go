package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/wal"
)

const (
	linesInFlightMax = 16384     // that wait for their acknowledgement
	lineBufferSize   = 256 << 10 // of standard input
	offsetsSize      = 64 << 10  // of offsets that are printed at once
)

type logAppendOptions struct {
	logFolder
	spread                logCores
	topic, ack, separator string
	partition             int
	printOffsets          bool
}

func newLogAppendCommand() *cobra.Command {
	var o logAppendOptions
	command := &cobra.Command{
		Use:   "append TOPIC --dir DIR",
		Short: "Append a record for each line of standard input",
		Long: `smf log append appends the lines of standard input, a record each, without the newline. Many are under
way at a time; it ends with status 0 when all are acknowledged.

With --key-separator what stands before the first separator in a line is the record's key, the rest is
its value; a line without a separator has no key. Records with a key go to the partition of the key's
hash, so those of one key keep their order. Those without take turns. --partition sends all to one.

With --print-offsets a line PARTITION OFFSET is printed for each record, as soon as it is
acknowledged and never before. SIGINT and SIGTERM stop the reading: what was read is acknowledged
before the program ends; a second one ends it at once.`,
		Example: `  smf log append orders --dir /var/lib/orders <orders.txt
  tail -f orders.tsv | smf log append orders --dir /var/lib/orders --key-separator '\t' --print-offsets`,
		Args: oneTopic("append", &o.topic),
		RunE: func(command *cobra.Command, _ []string) error {
			return logAppend(&o, command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	o.flag(command)
	o.spread.flag(command)
	flags := command.Flags()
	flags.IntVar(&o.partition, "partition", allPartitions, "append all records to this one (default: by key, or in turns)")
	flags.StringVar(&o.ack, "ack", "durable", acksHelp)
	flags.StringVar(&o.separator, "key-separator", "", `what stands between key and value in a line (\t: a tab)`)
	flags.BoolVar(&o.printOffsets, "print-offsets", false, "print partition and offset of each acknowledged record")
	noDefaults(flags, "partition")
	return command
}

// appender appends lines.
type appender struct {
	options   *logAppendOptions
	ack       wal.Ack
	separator []byte
	topic     *wal.Topic
	one       *wal.Partition // nil: by key, or in turns
	recordMax int
	stderr    io.Writer

	mu      sync.Mutex // of appending: what holds it does not begin after stop
	stopped bool
	lines   uint64 // that were read
	batch   wal.Batch

	slots    chan struct{} // of what is in flight
	results  chan appended
	failure  atomic.Pointer[error]
	records  atomic.Uint64 // acknowledged
	bytes    atomic.Uint64
	enough   chan struct{} // closed by the first failure
	onlyOnce sync.Once
}

// appended is what came of a line.
type appended struct {
	partition int
	offset    uint64
}

func logAppend(o *logAppendOptions, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	a := &appender{options: o, stderr: stderr, batch: make(wal.Batch, 1), slots: make(chan struct{}, linesInFlightMax),
		results: make(chan appended, linesInFlightMax), enough: make(chan struct{})}
	if a.ack, err = parseAck(o.ack); err != nil {
		return err
	}
	if a.separator, err = parseSeparator(o.separator); err != nil {
		return err
	}
	if err := o.spread.check(); err != nil {
		return err
	}
	log, err := o.open("append", wal.Options{Cores: o.spread.cores})
	if err != nil {
		return err
	}
	defer func() {
		if closing := log.Close(); err == nil && closing != nil {
			err = o.explain(closing)
		}
	}()
	if err := a.find(log); err != nil {
		return err
	}
	return a.run(stdin, stdout)
}

// find finds the topic.
func (a *appender) find(log *wal.Log) error {
	o := a.options
	info, err := o.findTopic(log, o.topic)
	if err != nil {
		return err
	}
	a.recordMax = info.RecordBytesMax
	if a.topic, err = log.Topic(o.topic); err != nil {
		return o.explain(err)
	}
	if o.partition != allPartitions {
		if err := checkPartition(o.partition, info); err != nil {
			return err
		}
		a.one = a.topic.Partitions()[o.partition]
	}
	return nil
}

// run appends until the input, or something else, ends; and waits for what is in flight.
func (a *appender) run(stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(syscall.SIGPIPE) // writing says so as well
	first, second := stopSignals()
	go func() {
		<-second
		os.Exit(1)
	}()
	printed := make(chan struct{})
	go func() {
		defer close(printed)
		a.print(stdout)
	}()
	hide := a.progress(stdin, stdout)
	read := make(chan struct{})
	go func() {
		defer close(read)
		a.read(stdin)
	}()
	interrupted := false
	select {
	case <-read:
	case <-a.enough:
	case <-first:
		interrupted = true
	}
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	for range linesInFlightMax { // all slots are free: nothing is in flight
		a.slots <- struct{}{}
	}
	close(a.results)
	<-printed
	hide()
	if failure := a.failure.Load(); failure != nil {
		return *failure
	}
	if interrupted {
		fmt.Fprintf(a.stderr, "smf: stopped by a signal after line %s; what was read is appended\n", grouped(a.lines))
	}
	return nil
}

// fail ends the appending. The first reason counts.
func (a *appender) fail(err error) {
	a.onlyOnce.Do(func() {
		a.failure.Store(&err)
		close(a.enough)
	})
}

// read reads lines and appends them.
func (a *appender) read(stdin io.Reader) {
	input := bufio.NewReaderSize(stdin, lineBufferSize)
	var long []byte
	for {
		line, err := input.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) <= a.recordMax {
				continue
			}
		} else if long != nil {
			long = append(long, line...)
			line = long
		}
		if len(long) > a.recordMax {
			a.fail(a.tooLong(a.lines + 1))
			return
		}
		if err != nil && !errors.Is(err, io.EOF) {
			a.fail(fmt.Errorf("standard input: %w", reasonOf(err)))
			return
		}
		if err == nil {
			line = line[:len(line)-1]
		} else if len(line) == 0 {
			return
		}
		if !a.append(line) || err != nil {
			return
		}
		long = nil
	}
}

func (a *appender) tooLong(line uint64) error {
	return fmt.Errorf("line %s: the record is over the topic's limit of %s bytes, with its key and 16 to 23 bytes more; those before it are appended",
		grouped(line), grouped(uint64(a.recordMax)))
}

// append appends a line. False: that was the last one.
func (a *appender) append(line []byte) bool {
	a.slots <- struct{}{}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		<-a.slots
		return false
	}
	record := wal.Record{Value: line}
	if len(a.separator) > 0 {
		if key, value, found := bytes.Cut(line, a.separator); found {
			record.Key, record.Value = key, value
		}
	}
	p := a.one
	if p == nil {
		p = a.topic.For(record.Key)
	}
	number, size := a.lines+1, uint64(len(line)+1)
	a.batch[0] = record
	err := p.AppendAsync(context.Background(), a.batch, a.ack, func(offset uint64, err error) {
		if err != nil {
			a.fail(a.failed(number, err))
		} else {
			a.records.Add(1)
			a.bytes.Add(size)
			a.results <- appended{p.Number(), offset} // has room: those in it have a slot
			return
		}
		<-a.slots
	})
	if err != nil {
		<-a.slots
		a.fail(a.failed(number, err))
		return false
	}
	a.lines = number
	return true
}

func (a *appender) failed(line uint64, err error) error {
	if errors.Is(err, wal.ErrTooLarge) {
		return a.tooLong(line)
	}
	return fmt.Errorf("line %s: %s", grouped(line), textOf(err))
}

// print prints offsets, and gives slots back.
func (a *appender) print(stdout io.Writer) {
	out := make([]byte, 0, offsetsSize)
	broken := false
	for r := range a.results {
		<-a.slots
		if !a.options.printOffsets || broken {
			continue
		}
		out = strconv.AppendInt(out, int64(r.partition), 10)
		out = append(out, ' ')
		out = strconv.AppendUint(out, r.offset, 10)
		out = append(out, '\n')
		if len(a.results) > 0 && len(out) < offsetsSize {
			continue
		}
		if _, err := stdout.Write(out); err != nil {
			broken = true
			a.fail(fmt.Errorf("standard output: %w; what was read is appended, but not all offsets are printed", reasonOf(err)))
		}
		out = out[:0]
	}
}

// progress shows how far it is, where that disturbs nobody who types or reads.
func (a *appender) progress(stdin io.Reader, stdout io.Writer) (stop func()) {
	if file, ok := stdin.(*os.File); ok && isTerminal(file) {
		return func() {}
	}
	if file, ok := stdout.(*os.File); ok && a.options.printOffsets && isTerminal(file) {
		return func() {}
	}
	return progressLine(a.stderr, func(elapsed time.Duration) string {
		records := a.records.Load()
		return fmt.Sprintf("%s records  %s  %s records/s", grouped(records), bytesText(int64(a.bytes.Load())), grouped(perSecond(records, elapsed)))
	})
}
