package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/internal/walfile"
	"github.com/smf-go/smf/go/wal"
)

type logCreateOptions struct {
	logFolder
	topic                   string
	partitions              int
	segmentBytes, recordMax size
}

func newLogCreateCommand() *cobra.Command {
	o := logCreateOptions{segmentBytes: 256 << 20, recordMax: 16 << 20}
	command := &cobra.Command{
		Use:     "create TOPIC --dir DIR",
		Short:   "Create a topic, and the log where there is none",
		Long:    "smf log create creates a topic, and before that the folder and the log where there is none.",
		Example: "  smf log create orders --partitions 4 --dir /var/lib/orders",
		Args:    oneTopic("create", &o.topic),
		RunE:    func(command *cobra.Command, _ []string) error { return logCreate(&o, command.OutOrStdout()) },
	}
	o.flag(command)
	flags := command.Flags()
	flags.IntVar(&o.partitions, "partitions", 1, "partitions of the topic, for its life")
	flags.Var(&o.segmentBytes, "segment-bytes", "size of a file, 64KiB to 2GiB")
	flags.Var(&o.recordMax, "record-bytes-max", "largest record, as it is encoded, up to 16MiB")
	return command
}

// Bounds of what may be asked for.
const (
	segmentBytesMin = 64 << 10
	segmentBytesMax = 2 << 30
	recordBytesMin  = 64
	recordBytesMax  = 16 << 20
)

func (o *logCreateOptions) verify() error {
	switch {
	case !walfile.TopicNameOK(o.topic):
		return fmt.Errorf("a topic can't be named %q: a name has up to 200 letters, digits, '.', '_' and '-', begins with a letter or a digit, and is not META or LOCK", o.topic)
	case o.partitions < 1 || o.partitions > walfile.PartitionsMax:
		return fmt.Errorf("--partitions %d: it must be from 1 to %d", o.partitions, walfile.PartitionsMax)
	case o.segmentBytes < segmentBytesMin || o.segmentBytes > segmentBytesMax:
		return fmt.Errorf("--segment-bytes %s: it must be from 64KiB to 2GiB", &o.segmentBytes)
	case o.recordMax < recordBytesMin || o.recordMax > recordBytesMax:
		return fmt.Errorf("--record-bytes-max %s: it must be from %d to 16MiB", &o.recordMax, recordBytesMin)
	}
	return nil
}

func logCreate(o *logCreateOptions, stdout io.Writer) (err error) {
	if err := o.verify(); err != nil {
		return wrongUsage(err)
	}
	log, err := o.open("create", wal.Options{Create: true})
	if err != nil {
		return err
	}
	defer func() {
		if closing := log.Close(); err == nil && closing != nil {
			err = o.explain(closing)
		}
	}()
	config := wal.TopicConfig{Partitions: o.partitions, SegmentBytes: int64(o.segmentBytes), RecordBytesMax: int(o.recordMax)}
	if err := log.CreateTopic(o.topic, config); err != nil {
		return o.explain(err)
	}
	fmt.Fprintf(stdout, "%s: %s in %s\n", o.topic, counted(o.partitions, "partition"), o.path)
	return nil
}

func newLogTopicsCommand() *cobra.Command {
	var folder logFolder
	command := &cobra.Command{
		Use:   "topics --dir DIR",
		Short: "List the topics of a log",
		Args:  noArguments("topics"),
		RunE: func(command *cobra.Command, _ []string) error {
			log, err := folder.open("topics", wal.Options{ReadOnly: true})
			if err != nil {
				return err
			}
			defer log.Close()
			topics, err := log.Topics()
			if err != nil {
				return folder.explain(err)
			}
			table := tabwriter.NewWriter(command.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "topic\tpartitions\tsegment bytes\trecord limit")
			for _, t := range topics {
				segment, record := size(t.SegmentBytes), size(t.RecordBytesMax)
				fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", t.Name, t.Partitions, &segment, &record)
			}
			return table.Flush()
		},
	}
	folder.flag(command)
	return command
}

func newLogStatCommand() *cobra.Command {
	var folder logFolder
	command := &cobra.Command{
		Use:   "stat --dir DIR",
		Short: "Print offsets, files and state of every partition",
		Long: `smf log stat prints, of every partition, the first offset and the one behind the last record, files and their
bytes, what stands behind the end (torn by a crash, or being written now), and its state. It changes
nothing, and goes on beside a process that writes. It ends with status 1 when a partition is damaged.`,
		Args: noArguments("stat"),
		RunE: func(command *cobra.Command, _ []string) error { return logStat(&folder, command.OutOrStdout()) },
	}
	folder.flag(command)
	return command
}

func logStat(folder *logFolder, stdout io.Writer) error {
	log, err := folder.open("stat", wal.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer log.Close()
	topics, err := log.Topics()
	if err != nil {
		return folder.explain(err)
	}
	meta, _, err := walfile.ReadMeta(folder.path)
	if err != nil {
		return folder.explain(err)
	}
	fmt.Fprintln(stdout, log.Describe())
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "partition\tfirst\tnext\tfiles\tbytes\tbehind the end\tstate")
	damaged := 0
	for _, t := range topics {
		for i := range t.Partitions {
			p, err := log.Partition(t.Name, i)
			if err != nil {
				return folder.explain(err)
			}
			info, err := p.Info()
			if err != nil {
				return folder.explain(err)
			}
			state := "ok"
			if info.Err != nil {
				state = textOf(info.Err)
				damaged++
			}
			fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", p, info.Head, info.Next, info.Segments,
				bytesText(int64(info.Bytes)), tornText(folder, meta, t.Name, uint32(i)), state)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if damaged > 0 {
		return fmt.Errorf("%s can't be appended to", counted(damaged, "partition"))
	}
	return nil
}

// tornText is what stands behind the end of a partition.
func tornText(folder *logFolder, meta *walfile.Meta, topic string, partition uint32) string {
	t := meta.Topic(topic)
	if t == nil { // created just now
		return "-"
	}
	torn, err := walfile.Reading{Folder: folder.path}.Torn(meta, t, partition)
	switch {
	case err != nil:
		return "can't be read"
	case torn == 0:
		return "-"
	}
	return bytesText(torn)
}
