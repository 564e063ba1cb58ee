package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/wal"
)

type logReadOptions struct {
	logFolder
	topic, separator string
	partition        int
	from             int64 // -1: from the beginning
	count            int64 // -1: all
	follow           bool
	printOffsets     bool
	skipDamage       bool
}

func newLogReadCommand() *cobra.Command {
	var o logReadOptions
	command := &cobra.Command{
		Use:   "read TOPIC --dir DIR",
		Short: "Print the values of records, a line each",
		Long: `smf log read prints the values of a topic's records, and a newline behind each. It changes
nothing and goes on beside a process that writes.

Without --partition it prints all partitions, one after the other. With --follow it goes on for ever and
prints what is appended, of all partitions as it comes, until SIGINT.

Where a partition is damaged it ends with status 1. With --skip-damage it prints all records that can be
read, those behind a damage, too, and tells on standard error which offsets it could not read; nobody may
write to the log meanwhile. Use it before smf log repair --yes, with which partitions end at the damage.`,
		Example: `  smf log read orders --dir /var/lib/orders --partition 2 --from 1000 --count 10
  smf log read orders --dir /var/lib/orders --follow
  smf log read orders --dir /var/lib/orders --skip-damage --print-offsets >saved`,
		Args: oneTopic("read", &o.topic),
		RunE: func(command *cobra.Command, _ []string) error {
			if o.skipDamage {
				return logReadDamaged(&o, command.OutOrStdout(), command.ErrOrStderr())
			}
			return logRead(command.Context(), &o, command.OutOrStdout())
		},
	}
	o.flag(command)
	flags := command.Flags()
	flags.IntVar(&o.partition, "partition", allPartitions, "read only this one (default: all)")
	flags.Int64Var(&o.from, "from", -1, "the first offset (default: the first that there is)")
	flags.Int64Var(&o.count, "count", -1, "end after so many records (default: all)")
	flags.BoolVar(&o.follow, "follow", false, "go on with what is appended later")
	flags.StringVar(&o.separator, "key-separator", "", `print a record's key and this before its value (\t: a tab)`)
	flags.BoolVar(&o.printOffsets, "print-offsets", false, "print partition and offset before each record")
	flags.BoolVar(&o.skipDamage, "skip-damage", false, "go on behind what is damaged")
	noDefaults(flags, "partition", "from", "count")
	return command
}

func (o *logReadOptions) verify(t wal.TopicInfo) error {
	if o.from < -1 || o.count < -1 {
		return wrongUsage(errors.New("--from and --count can't be negative"))
	}
	if o.partition != allPartitions {
		if err := checkPartition(o.partition, t); err != nil {
			return err
		}
	} else if o.from >= 0 && t.Partitions > 1 {
		return wrongUsage(fmt.Errorf("--from %d: offsets are those of one partition, and %s has %d: add --partition", o.from, t.Name, t.Partitions))
	}
	return nil
}

// errEnough ends reading: --count was reached, or nobody reads what is printed.
var errEnough = errors.New("enough")

// logReader prints records.
type logReader struct {
	options   *logReadOptions
	separator []byte

	mu   sync.Mutex
	out  *bufio.Writer
	left int64 // -1: no end
}

func logRead(ctx context.Context, o *logReadOptions, stdout io.Writer) error {
	separator, err := parseSeparator(o.separator)
	if err != nil {
		return err
	}
	log, err := o.open("read", wal.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := o.findTopic(log, o.topic)
	if err != nil {
		return err
	}
	if err := o.verify(info); err != nil {
		return err
	}
	topic, err := log.Topic(o.topic)
	if err != nil {
		return o.explain(err)
	}
	partitions := topic.Partitions()
	if o.partition != allPartitions {
		partitions = partitions[o.partition : o.partition+1]
	}
	signal.Ignore(syscall.SIGPIPE) // writing says so as well
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, second := stopSignals()
	go func() {
		<-first
		cancel()
		<-second
		os.Exit(1)
	}()
	r := &logReader{options: o, separator: separator, out: bufio.NewWriterSize(stdout, lineBufferSize), left: o.count}
	err = r.read(ctx, partitions)
	switch {
	case errors.Is(err, errEnough), ctx.Err() != nil && errors.Is(err, ctx.Err()):
		err = nil
	case err != nil:
		err = o.explain(err)
	}
	if flushed := r.flush(); err == nil && !errors.Is(flushed, errEnough) {
		err = flushed
	}
	return err
}

// read reads partitions: one after the other, or all at once.
func (r *logReader) read(ctx context.Context, partitions []*wal.Partition) error {
	if !r.options.follow || len(partitions) == 1 {
		for _, p := range partitions {
			if err := r.readOne(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, p := range partitions {
		all.Go(func() {
			if err := r.readOne(ctx, p); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (r *logReader) readOne(ctx context.Context, p *wal.Partition) error {
	info, err := p.Info()
	if err != nil {
		return err
	}
	from := info.Head
	if r.options.from >= 0 {
		from = uint64(r.options.from)
	}
	records := p.Records
	if r.options.follow {
		records = p.Follow
	}
	for batch, err := range records(ctx, from) {
		if err != nil {
			return err
		}
		if err := r.write(p.Number(), batch); err != nil {
			return err
		}
	}
	if info.Err != nil && !r.options.follow { // what is behind the damage was not printed
		return info.Err
	}
	return nil
}

// write prints a batch; who follows sees it at once.
func (r *logReader) write(partition int, batch wal.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		if r.left == 0 {
			return errEnough
		}
		r.left--
		record := &batch[i]
		if r.options.printOffsets {
			fmt.Fprintf(r.out, "%d %d ", partition, record.Offset)
		}
		if len(r.separator) > 0 && record.Key != nil {
			_, _ = r.out.Write(record.Key)
			_, _ = r.out.Write(r.separator)
		}
		_, _ = r.out.Write(record.Value)
		if err := r.out.WriteByte('\n'); err != nil {
			return broken(err)
		}
	}
	switch {
	case r.left == 0:
		return errEnough
	case r.options.follow:
		return broken(r.out.Flush())
	}
	return nil
}

func (r *logReader) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return broken(r.out.Flush())
}

// broken makes a reader that has gone a reason to end, and no error.
func broken(err error) error {
	switch {
	case errors.Is(err, syscall.EPIPE):
		return errEnough
	case err != nil:
		return fmt.Errorf("standard output: %w", reasonOf(err))
	}
	return nil
}
