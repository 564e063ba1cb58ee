package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/internal/walfile"
)

// againAfter is when a log is looked at again that seems to be damaged: what was being written is there then.
const againAfter = 200 * time.Millisecond

func newLogVerifyCommand() *cobra.Command {
	var folder logFolder
	command := &cobra.Command{
		Use:   "verify --dir DIR",
		Short: "Read everything, and report what is damaged",
		Long: `smf log verify reads META and all files of all partitions, with a reader of the format that shares nothing
with the engine, and verifies checksums, links between batches and files, contents and padding. Each damage
is a line: file, byte, offset, what is wrong. Bytes that the disk does not give are damage, too, and reading
goes on behind them. It changes nothing, and goes on beside a process that writes.

What a crash has torn is no damage: nobody was told that it is durable.

It ends with status 1 when something is damaged.`,
		Args: noArguments("verify"),
		RunE: func(command *cobra.Command, _ []string) error {
			return logVerify(&folder, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	folder.flag(command)
	return command
}

// verified is what verifying a log has found.
type verified struct {
	damages           []walfile.Damage
	partitions        int
	segments          int
	records           uint64
	bytes, torn       int64
	later             error
	damagedPartitions []*walfile.Partition
}

func logVerify(folder *logFolder, stdout, stderr io.Writer) error {
	if err := folder.check("verify", true); err != nil {
		return err
	}
	var seen atomic.Int64
	hide := progressLine(stderr, func(elapsed time.Duration) string {
		n := seen.Load()
		return fmt.Sprintf("%s read  %s/s", bytesText(n), bytesText(int64(float64(n)/elapsed.Seconds())))
	})
	reading := walfile.Reading{Folder: folder.path, Seen: func(n int64) { seen.Add(n) }}
	v, err := verify(reading)
	if err == nil && len(v.damages) > 0 {
		time.Sleep(againAfter)
		var again *verified
		if again, err = verify(reading); err == nil {
			again.damages = slices.DeleteFunc(again.damages, func(d walfile.Damage) bool { return !slices.Contains(v.damages, d) })
			v = again
		}
	}
	hide()
	if err != nil {
		return folder.explain(err)
	}
	return v.tell(folder, stdout)
}

func verify(reading walfile.Reading) (*verified, error) {
	meta, damages, err := walfile.ReadMeta(reading.Folder)
	if err != nil {
		return nil, err
	}
	v := &verified{damages: damages, torn: meta.TornBytes}
	for _, t := range meta.Topics {
		for number := range t.Partitions {
			p, err := checkPartitionTwice(reading, meta, t, number)
			if err != nil {
				return nil, err
			}
			v.partitions++
			v.damages = append(v.damages, p.Damages...)
			v.torn += p.Torn
			if p.Later != nil {
				v.later = p.Later
			}
			if p.Damaged {
				v.damagedPartitions = append(v.damagedPartitions, p)
			}
			for _, s := range p.Segments {
				v.segments++
				v.records += s.Records
				v.bytes += s.Size
			}
		}
	}
	return v, nil
}

// checkPartitionTwice reads a partition again when a file was taken away while it was being read.
func checkPartitionTwice(reading walfile.Reading, meta *walfile.Meta, t *walfile.Topic, number uint32) (*walfile.Partition, error) {
	p, err := reading.Check(meta, t, number)
	if errors.Is(err, fs.ErrNotExist) {
		if meta, _, err = walfile.ReadMeta(reading.Folder); err == nil {
			p, err = reading.Check(meta, t, number)
		}
	}
	return p, err
}

func (v *verified) tell(folder *logFolder, stdout io.Writer) error {
	for i := range v.damages {
		fmt.Fprintln(stdout, v.damages[i].String())
	}
	torn := ""
	if v.torn > 0 {
		torn = fmt.Sprintf("; %s behind the ends, torn by a crash or being written", bytesText(v.torn))
	}
	fmt.Fprintf(stdout, "%s, %s, %s records, %s%s\n", counted(v.partitions, "partition"), counted(v.segments, "file"), grouped(v.records), bytesText(v.bytes), torn)
	switch {
	case v.later != nil:
		return v.later
	case len(v.damages) == 0:
		return nil
	case !slices.ContainsFunc(v.damages, func(d walfile.Damage) bool { return !d.Harmless }):
		return fmt.Errorf("%s, only of padding: all records can be read", counted(len(v.damages), "damage"))
	case len(v.damagedPartitions) == 0 && !slices.ContainsFunc(v.damages, isOfMeta):
		return fmt.Errorf("%s that smf log repair can't mend; take a copy of the log", counted(len(v.damages), "damage"))
	}
	return fmt.Errorf("%s; smf log repair --dir %s says what can be saved", counted(len(v.damages), "damage"), folder.path)
}

func isOfMeta(d walfile.Damage) bool { return d.Path == walfile.MetaName && !d.Harmless }
