package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
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
is a line: file, byte, offset, what is wrong. It changes nothing, and goes on beside a process that writes.

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

type logRepairOptions struct {
	logFolder
	yes bool
}

func newLogRepairCommand() *cobra.Command {
	var o logRepairOptions
	command := &cobra.Command{
		Use:   "repair --dir DIR",
		Short: "Cut partitions where they are damaged, so that they can be appended to again",
		Long: `smf log repair says, of each partition that is damaged, what would be lost if it ended where the damage
begins. With --yes it does that: a new file goes on there. Files behind the damage are kept, under names
that end in .damaged and that the log does not look at; nothing is overwritten. Nobody may write to the log
meanwhile.

A META that is damaged is written anew first, of what can be read of it, and of what segments say of their
topics; the old one is kept as META.damaged. What cutting partitions would lose is said after that, and done
when --yes is given once more.

Where there is a copy of the log elsewhere, take that instead.

It ends with status 0 when nothing is damaged (any more), and with 1 when something is.`,
		Args: noArguments("repair"),
		RunE: func(command *cobra.Command, _ []string) error {
			return logRepair(&o, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	o.flag(command)
	command.Flags().BoolVar(&o.yes, "yes", false, "cut, and not only say what that would lose")
	return command
}

func logRepair(o *logRepairOptions, stdout, stderr io.Writer) error {
	if err := o.check("repair", true); err != nil {
		return err
	}
	lock, err := walfile.Lock(o.path)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	defer lock.Close()
	var seen atomic.Int64
	hide := progressLine(stderr, func(time.Duration) string { return bytesText(seen.Load()) + " read" })
	reading := walfile.Reading{Folder: o.path, Seen: func(n int64) { seen.Add(n) }}
	v, err := verify(reading)
	hide()
	switch {
	case err != nil:
		return o.explain(err)
	case v.later != nil:
		return v.later
	}
	if i := slices.IndexFunc(v.damages, isOfMeta); i >= 0 {
		fmt.Fprintln(stdout, v.damages[i].String())
		return o.mendMeta(reading, stdout)
	}
	return o.repair(reading, v, stdout)
}

func isOfMeta(d walfile.Damage) bool { return d.Path == walfile.MetaName && !d.Harmless }

// mendMeta writes META anew, of what can be read of it and of what segments say. Whether partitions are damaged can
// be told afterwards only: to cut them, too, takes another call.
func (o *logRepairOptions) mendMeta(reading walfile.Reading, stdout io.Writer) error {
	meta, _, err := walfile.ReadMeta(o.path)
	if err != nil {
		return o.explain(err)
	}
	plan, err := reading.PlanMeta(meta)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	for _, topic := range plan.Found {
		fmt.Fprintf(stdout, "  topic %s: as its segments say\n", topic)
	}
	for _, head := range plan.Heads {
		fmt.Fprintf(stdout, "  %s\n", head)
	}
	for _, path := range plan.Apart {
		fmt.Fprintf(stdout, "  %s comes before that and is not read any more: it is kept under another name\n", path)
	}
	for _, folder := range plan.Unknown {
		fmt.Fprintf(stdout, "  %s: no segment says which topic it was: it is left out\n", folder)
	}
	fmt.Fprintln(stdout, "  heads that were moved within a file, and topics that were deleted, may come back")
	if !o.yes {
		return errors.New("nothing was changed: with --yes META is written anew like that")
	}
	aside, err := reading.WriteMeta(plan)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	for _, path := range aside {
		fmt.Fprintf(stdout, "  kept as %s\n", path)
	}
	v, err := verify(reading)
	switch {
	case err != nil:
		return o.explain(err)
	case v.later != nil:
		return v.later
	}
	show := logRepairOptions{logFolder: o.logFolder}
	if err := show.repair(reading, v, stdout); err != nil {
		return fmt.Errorf("META was written anew; then %w", err)
	}
	return nil
}

func (o *logRepairOptions) repair(reading walfile.Reading, v *verified, stdout io.Writer) error {
	if len(v.damagedPartitions) == 0 {
		fmt.Fprintln(stdout, "nothing to repair")
		return nil
	}
	meta, _, err := walfile.ReadMeta(o.path)
	if err != nil {
		return o.explain(err)
	}
	for _, p := range v.damagedPartitions {
		tellLoss(stdout, p, o.path, o.yes)
		if !o.yes {
			continue
		}
		aside, err := reading.Cut(meta, p)
		if err != nil {
			return fmt.Errorf("%s/%d: %w", p.Topic.Name, p.Number, reasonOf(err))
		}
		for _, path := range aside {
			fmt.Fprintf(stdout, "  kept as %s\n", path)
		}
	}
	if !o.yes {
		return fmt.Errorf("nothing was changed: with --yes %s cut like that", isAre(len(v.damagedPartitions)))
	}
	return nil
}

func isAre(n int) string {
	if n == 1 {
		return "1 partition is"
	}
	return grouped(uint64(n)) + " partitions are"
}

// tellLoss says what ending a partition at its damage loses.
func tellLoss(w io.Writer, p *walfile.Partition, folder string, done bool) {
	var where []string
	for i := range p.Damages {
		where = append(where, p.Damages[i].String())
	}
	fmt.Fprintf(w, "%s/%d is damaged:\n  %s\n", p.Topic.Name, p.Number, strings.Join(where, "\n  "))
	verb := "ends at"
	if !done {
		verb = "would end at"
	}
	fmt.Fprintf(w, "  it %s offset %d; ", verb, p.Next)
	if p.LostNext > p.Next {
		fmt.Fprintf(w, "lost: offsets %d to %d, %d of them readable; %s of batches in %s\n", p.Next, p.LostNext-1, p.LostRecords,
			bytesText(p.LostBytes), counted(len(p.Behind)+inside(p), "file"))
		if p.LostRecords > 0 && !done {
			fmt.Fprintf(w, "  smf log read %s --partition %d --from %d --skip-damage --print-offsets --dir %s prints those that are readable\n",
				p.Topic.Name, p.Number, p.Next, folder)
		}
		return
	}
	fmt.Fprintf(w, "no record behind it is known\n")
}

// inside is 1 when a file that stays has lost bytes, too.
func inside(p *walfile.Partition) int {
	for i := range p.Damages {
		if !slices.Contains(p.Behind, p.Damages[i].Path) && filepath.Ext(p.Damages[i].Path) == ".seg" {
			return 1
		}
	}
	return 0
}
