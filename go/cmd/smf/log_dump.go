package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/internal/walbody"
	"github.com/smf-go/smf/go/internal/walfile"
)

type logDumpOptions struct {
	logFolder
	files  []string
	values int
	brief  bool
}

func newLogDumpCommand() *cobra.Command {
	var o logDumpOptions
	command := &cobra.Command{
		Use:   "dump [FILE...] --dir DIR",
		Short: "Print what the bytes of the log's files say",
		Long: `smf log dump prints block 0, batches, items and records of META and of all segments, or of the files that
are named, as docs/wal-format.md describes them. What is damaged is printed as far as it goes, and then
the batches that stand behind it and verify, whether they count or not; what the disk does not give is
stepped over, and told behind the rest of its file. It changes nothing; next to a process that writes, the
end of a file is what is being written.`,
		Example: `  smf log dump --dir /var/lib/orders --brief
  smf log dump orders/0/0000000001-00000000000000000000.seg --dir /var/lib/orders`,
		Args: func(_ *cobra.Command, args []string) error {
			o.files = args
			if o.values < 0 {
				return fmt.Errorf("--values %d is negative", o.values)
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return logDump(&o, command.OutOrStdout()) },
	}
	o.flag(command)
	flags := command.Flags()
	flags.IntVar(&o.values, "values", 32, "bytes of each key and value that are printed")
	flags.BoolVar(&o.brief, "brief", false, "print no records")
	return command
}

func logDump(o *logDumpOptions, stdout io.Writer) error {
	if err := o.check("dump", len(o.files) == 0); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // writing says so as well
	files := o.files
	if len(files) == 0 {
		var err error
		if files, err = filesOf(o.path); err != nil {
			return o.explain(err)
		}
	}
	d := &dumper{options: o, out: bufio.NewWriterSize(stdout, lineBufferSize)}
	for i, file := range files {
		if i > 0 {
			fmt.Fprintln(d.out)
		}
		if err := d.dump(file); err != nil {
			_ = d.out.Flush()
			return wrongUsage(fmt.Errorf("%s: %w", file, reasonOf(err)))
		}
	}
	if err := broken(d.out.Flush()); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// filesOf lists META and all segments of a log, relative to its folder. It takes the names of folders, not
// what META says of them: that may be damaged.
func filesOf(folder string) ([]string, error) {
	files := []string{walfile.MetaName}
	topics, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if !topic.IsDir() || !walfile.TopicNameOK(topic.Name()) {
			continue
		}
		partitions, err := os.ReadDir(filepath.Join(folder, topic.Name()))
		if err != nil {
			return nil, err
		}
		var numbers []int
		for _, p := range partitions {
			if number, err := strconv.Atoi(p.Name()); err == nil && p.IsDir() {
				numbers = append(numbers, number)
			}
		}
		slices.Sort(numbers)
		for _, number := range numbers {
			relative := filepath.Join(topic.Name(), strconv.Itoa(number))
			segments, err := os.ReadDir(filepath.Join(folder, relative))
			if err != nil {
				return nil, err
			}
			for _, s := range segments {
				if _, _, ok := walfile.ParseSegmentName(s.Name()); ok {
					files = append(files, filepath.Join(relative, s.Name()))
				}
			}
		}
	}
	return files, nil
}

// dumper prints files.
type dumper struct {
	options *logDumpOptions
	out     *bufio.Writer
}

func (d *dumper) dump(file string) error {
	path := file
	if !filepath.IsAbs(file) {
		path = filepath.Join(d.options.path, file)
	}
	r, status, err := walfile.Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	fmt.Fprintf(d.out, "%s: %d bytes\n", file, r.Size)
	d.blockZero(r, status)
	if status != walfile.Good {
		return nil
	}
	if err := d.batches(r); err != nil {
		return err
	}
	for _, s := range r.Unreadable() {
		fmt.Fprintf(d.out, "%10d  %s\n", s.From, s)
	}
	return nil
}

func (d *dumper) batches(r *walfile.Reader) error {
	for {
		found, status, err := r.Next()
		if err != nil {
			fmt.Fprintf(d.out, "%10d  can't be read: %v\n", r.End, reasonOf(err))
			return nil
		}
		if status != walfile.Good && status != walfile.Unsupported {
			return d.behind(r, status)
		}
		d.batch(&found)
		d.contents(&found)
	}
}

func (d *dumper) blockZero(r *walfile.Reader, status walfile.Status) {
	f := &r.File
	fmt.Fprintf(d.out, "%10d  block 0", 0)
	if status != walfile.Good {
		fmt.Fprintf(d.out, ": %s", r.Why(status))
	}
	if f.ID == 0 { // nothing could be read
		fmt.Fprintln(d.out)
		return
	}
	kind := fmt.Sprintf("kind %d", f.Kind)
	switch f.Kind {
	case walfile.KindSegment:
		kind = fmt.Sprintf("segment %d of %s/%d", f.Number, f.TopicName, f.Partition)
	case walfile.KindMetadata:
		kind = fmt.Sprintf("metadata %d", f.Number)
	}
	fmt.Fprintf(d.out, ": %s, version %d, flags %#x, id %016x, blocks of %d, first offset %d, created %s\n", kind, f.Version,
		f.Flags, f.ID, f.BlockBytes, f.FirstOffset, timeText(f.Created))
	fmt.Fprintf(d.out, "%12stopic id %016x, follows %s crc %08x, durable before %s\n", "", f.TopicID, f.Follows, f.FollowsCRC, f.DurableBefore)
}

// behind prints what stands behind the last batch that belongs to the file.
func (d *dumper) behind(r *walfile.Reader, status walfile.Status) error {
	why := "what stands here is no batch of this file: " + status.String()
	switch status {
	case walfile.Truncated:
		why = "the file ends before another whole batch does"
	case walfile.Unreadable:
		why = "a batch that stands here can't be read"
	}
	fmt.Fprintf(d.out, "%10d  end: offset %d; %s\n", r.End, r.NextOffset, why)
	first := true
	err := r.EachBehind(func(f walfile.Found) {
		if first {
			fmt.Fprintf(d.out, "%12sbatches behind it, whose headers verify:\n", "")
			first = false
		}
		d.batch(&f)
		d.contents(&f)
	})
	if err != nil {
		fmt.Fprintf(d.out, "%12scan't be read: %v\n", "", reasonOf(err))
	}
	return nil
}

var batchKinds = map[uint32]string{walfile.KindRecords: "records", walfile.KindStamp: "stamp", walfile.KindState: "state", walfile.KindMeta: "meta"}

func (d *dumper) batch(f *walfile.Found) {
	kind := batchKinds[f.Kind]
	if kind == "" {
		kind = fmt.Sprintf("kind %d", f.Kind)
	}
	if f.Status != walfile.Good {
		kind += " (" + f.Status.String() + ")"
	}
	fmt.Fprintf(d.out, "%10d  %s: offset %d, count %d, body %d, header %d, crc %08x, body crc %08x, prev crc %08x, durable before %s, %s",
		f.Position, kind, f.FirstOffset, f.Count, f.BodyBytes, f.HeaderBytes, f.HeaderCRC, f.BodyCRC, f.PrevCRC, f.DurableBefore, timeText(f.BaseTime))
	if f.MaxTime != f.BaseTime {
		fmt.Fprintf(d.out, " to %s", timeText(f.MaxTime))
	}
	if f.Flags != 0 {
		fmt.Fprintf(d.out, ", flags %#x", f.Flags)
	}
	if f.Compression != walfile.CompressionNone {
		fmt.Fprintf(d.out, ", compression %d, plain %d", f.Compression, f.PlainBytes)
	}
	if f.ProducerID != 0 {
		fmt.Fprintf(d.out, ", producer %d epoch %d sequence %d", f.ProducerID, f.ProducerEpoch, f.ProducerSequence)
	}
	if f.ConsensusIndex != 0 {
		fmt.Fprintf(d.out, ", consensus index %d term %d", f.ConsensusIndex, f.ConsensusTerm)
	}
	fmt.Fprintln(d.out)
}

func (d *dumper) contents(f *walfile.Found) {
	switch {
	case f.Status != walfile.Good || f.Compression != walfile.CompressionNone:
	case f.Kind == walfile.KindRecords && !d.options.brief:
		d.records(f)
	case f.Kind == walfile.KindState || f.Kind == walfile.KindMeta:
		d.items(f.Body())
	}
}

func (d *dumper) records(f *walfile.Found) {
	offset := f.FirstOffset
	for body := f.Body(); len(body) > 0; offset++ {
		var v walbody.View
		rest, err := walbody.Next(body, f.BaseTime, &v)
		if err != nil {
			fmt.Fprintf(d.out, "%12srecord %d: sizes that can't be\n", "", offset)
			return
		}
		fmt.Fprintf(d.out, "%12srecord %d: %d bytes, %s, key %s, value %s", "", offset, len(body)-len(rest), timeText(v.Time), d.text(v.Key), d.text(v.Value))
		for headers := v.Headers; len(headers) > 0; {
			var h walbody.Header
			if headers, err = walbody.NextHeader(headers, &h); err != nil {
				break
			}
			fmt.Fprintf(d.out, ", header %s = %s", d.text(h.Name), d.text(h.Value))
		}
		fmt.Fprintln(d.out)
		body = rest
	}
}

func (d *dumper) items(body []byte) {
	for len(body) > 0 {
		item, rest, status := walfile.NextItem(body)
		if rest == nil && status != walfile.Good {
			fmt.Fprintf(d.out, "%12sitem: %s\n", "", status)
			return
		}
		fmt.Fprintf(d.out, "%12sitem of %d bytes: %s", "", item.Size, itemText(&item))
		if status != walfile.Good {
			fmt.Fprintf(d.out, " (%s)", status)
		}
		fmt.Fprintln(d.out)
		body = rest
	}
}

func itemText(i *walfile.Item) string {
	switch {
	case i.Topic != nil:
		t := i.Topic
		return fmt.Sprintf("topic %s, id %016x, partitions %d, record limit %d, segment bytes %d, retention bytes %d, retention time %d µs, created %s",
			t.Name, t.ID, t.Partitions, t.RecordBytesMax, t.SegmentBytes, t.RetentionBytes, t.RetentionTime, timeText(t.Created))
	case i.TopicGone != 0:
		return fmt.Sprintf("topic gone, id %016x", i.TopicGone)
	case i.Head != nil:
		return fmt.Sprintf("head of topic %016x, partition %d: offset %d", i.Head.TopicID, i.Head.Partition, i.Head.Offset)
	case i.Checkpoint != nil:
		c := i.Checkpoint
		clean := ""
		if c.Clean {
			clean = "clean "
		}
		return fmt.Sprintf("%scheckpoint of topic %016x, partition %d: %s, next offset %d, prev crc %08x", clean, c.TopicID, c.Partition, c.End, c.NextOffset, c.PrevCRC)
	}
	return fmt.Sprintf("type %d", i.Type)
}

// text is the beginning of bytes, quoted.
func (d *dumper) text(b []byte) string {
	switch {
	case b == nil:
		return "none"
	case len(b) > d.options.values:
		return fmt.Sprintf("%q… (%d)", b[:d.options.values], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// timeText is a time of the log.
func timeText(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}
