package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/smf-go/smf/go/internal/walfile"
	"github.com/smf-go/smf/go/wal"
)

// logCommands are what smf log does, for help and for who asks for something else.
const logCommands = "create, append, read, topics, stat, dump, verify, repair and bench"

func newLogCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "log",
		Short: "Write, read and look after a write-ahead log",
		Long: `smf log works on a log: a folder (--dir) of topics, their partitions, and records with dense offsets.
One process at a time writes to a log; reading, stat, dump and verify go on beside it.`,
		Example: `  smf log create orders --partitions 4 --dir /var/lib/orders
  smf log append orders --dir /var/lib/orders <orders.txt
  smf log read orders --dir /var/lib/orders --partition 2 --from 1000 --count 10`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: there are %s (smf log --help)", args[0], logCommands)
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newLogCreateCommand(), newLogAppendCommand(), newLogReadCommand(), newLogTopicsCommand(),
		newLogStatCommand(), newLogDumpCommand(), newLogVerifyCommand(), newLogRepairCommand(), newLogBenchCommand())
	return command
}

// logFolder is the --dir that every command of smf log has.
type logFolder struct{ path string }

func (f *logFolder) flag(command *cobra.Command) {
	command.Flags().StringVar(&f.path, "dir", "", "folder of the log")
}

// check says what is wrong with --dir; withLog: there has to be a log in it.
func (f *logFolder) check(command string, withLog bool) error {
	if f.path == "" {
		return wrongUsage(fmt.Errorf("smf log %s wants --dir, the folder of the log", command))
	}
	advice := "smf log create TOPIC --dir " + f.path + " makes a log there"
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !withLog:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return wrongUsage(fmt.Errorf("--dir %s: there is no such folder; %s", f.path, advice))
	case err != nil:
		return wrongUsage(fmt.Errorf("--dir %s: %w", f.path, reasonOf(err)))
	case !info.IsDir():
		return wrongUsage(fmt.Errorf("--dir %s: not a folder", f.path))
	case !withLog:
		return nil
	}
	if _, err := os.Stat(filepath.Join(f.path, walfile.MetaName)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if lost, err := walfile.MetaIsLost(f.path); err == nil && lost {
		return fmt.Errorf("--dir %s: %w; smf log repair --dir %s says what can be saved", f.path, errMetaLost, f.path)
	}
	return wrongUsage(fmt.Errorf("--dir %s: there is no log in this folder; %s", f.path, advice))
}

// errMetaLost is for a log whose META is gone.
var errMetaLost = errors.New("there are segments of a log in this folder, but no META")

// reasonOf is an error without the path that it is about.
func reasonOf(err error) error {
	var problem *fs.PathError
	if errors.As(err, &problem) {
		return problem.Err
	}
	return err
}

// open opens the log, which has to be there.
func (f *logFolder) open(command string, options wal.Options) (*wal.Log, error) {
	if err := f.check(command, !options.Create); err != nil {
		return nil, err
	}
	raiseProcs(options.Cores) // the log's loops
	log, err := wal.Open(f.path, options)
	return log, f.explain(err)
}

// explain adds what to do where the log's error does not know it.
func (f *logFolder) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wal.ErrLocked), errors.Is(err, walfile.ErrLocked):
		return fmt.Errorf("--dir %s: another process writes to the log: stop it first (smf log read, stat, dump and verify work beside it)", f.path)
	case errors.Is(err, walfile.ErrNoLog):
		return f.check("", true)
	}
	return fmt.Errorf("%s", textOf(err))
}

// textOf is an error of the log without the package that it comes from.
func textOf(err error) string { return strings.TrimPrefix(err.Error(), "wal: ") }

// findTopic finds a topic of an open log.
func (f *logFolder) findTopic(log *wal.Log, name string) (wal.TopicInfo, error) {
	topics, err := log.Topics()
	if err != nil {
		return wal.TopicInfo{}, f.explain(err)
	}
	names := make([]string, 0, len(topics))
	for _, t := range topics {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return wal.TopicInfo{}, f.noTopic(name, names)
}

func (f *logFolder) noTopic(name string, names []string) error {
	there := "there is none yet"
	if len(names) > 0 {
		there = "there are " + listed(names)
	}
	return wrongUsage(fmt.Errorf("no topic %q in --dir %s: %s (smf log create %s --dir %s makes it)", name, f.path, there, name, f.path))
}

// listedMax is how many names an error tells.
const listedMax = 20

// listed writes names: a, b and c.
func listed(names []string) string {
	if len(names) > listedMax {
		return strings.Join(names[:listedMax], ", ") + fmt.Sprintf(" and %d more", len(names)-listedMax)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// allPartitions is the --partition that was not given.
const allPartitions = -1

// noDefaults hides what flags have that were not given, where it means something else.
func noDefaults(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		flags.Lookup(name).DefValue = "0"
	}
}

// checkPartition verifies --partition.
func checkPartition(partition int, t wal.TopicInfo) error {
	if partition < 0 || partition >= t.Partitions {
		return wrongUsage(fmt.Errorf("--partition %d: %s has %s, counted from 0", partition, t.Name, counted(t.Partitions, "partition")))
	}
	return nil
}

// logCores is the --cores of commands that append.
type logCores struct{ cores int }

func (c *logCores) flag(command *cobra.Command) {
	command.Flags().IntVar(&c.cores, "cores", 1, "cores of the engine that partitions are spread over; files do not depend on it")
}

func (c *logCores) check() error {
	if c.cores < 1 || c.cores > logCoresMax {
		return wrongUsage(fmt.Errorf("--cores %d: it must be from 1 to %d", c.cores, logCoresMax))
	}
	return nil
}

// logCoresMax is how many cores a log can have.
const logCoresMax = 256

// oneTopic takes the argument of commands that want a topic.
func oneTopic(command string, topic *string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("smf log %s wants one topic: smf log %s orders --dir DIR", command, command)
		}
		*topic = args[0]
		return nil
	}
}

// noArguments is for commands that take none.
func noArguments(command string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("smf log %s takes no arguments, and there is %q", command, args[0])
		}
		return nil
	}
}

// acks are what --ack takes.
var acks = []wal.Ack{wal.Durable, wal.Written, wal.Buffered}

const acksHelp = "what is waited for: durable (it survives a power cut), written (it survives the end of the program) or buffered (nothing)"

func parseAck(text string) (wal.Ack, error) {
	for _, ack := range acks {
		if ack.String() == text {
			return ack, nil
		}
	}
	return 0, wrongUsage(fmt.Errorf("--ack %q: there are durable, written and buffered", text))
}

// parseSeparator reads --key-separator; \t is a tab, which shells are slow to write.
func parseSeparator(text string) ([]byte, error) {
	if text == `\t` {
		text = "\t"
	}
	if strings.ContainsAny(text, "\n") {
		return nil, wrongUsage(errors.New("--key-separator: a line ends at a newline, so that none is in it"))
	}
	return []byte(text), nil
}

// bytesText is a size for people: 1.5 MiB.
func bytesText(n int64) string {
	unit, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for unit >= 1024 && len(units) > 1 {
		unit, units = unit/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", unit, units[0])
}

// progressLine shows a line on a terminal, written again and again until the returned function is called.
// Elsewhere it shows nothing.
func progressLine(w io.Writer, line func(elapsed time.Duration) string) (stop func()) {
	file, ok := w.(*os.File)
	if !ok || !isTerminal(file) {
		return func() {}
	}
	began, over, gone := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(progressStep)
		defer tick.Stop()
		for {
			select {
			case <-over:
				fmt.Fprint(w, "\r\x1b[K")
				return
			case <-tick.C:
				fmt.Fprintf(w, "\r%s\x1b[K", line(time.Since(began)))
			}
		}
	}()
	return func() {
		close(over)
		<-gone
	}
}
