package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/internal/walfile"
)

type logRepairOptions struct {
	logFolder
	yes        bool
	partitions []string // TOPIC=N
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

A META that is gone is made anew of what segments say. They know names, ids, partitions and limits of topics,
but not where a head was moved to within a file, and nothing of a topic that was never written to. Where all
that is left of a topic is block 0 of its files, it has the partitions that have folders, and --partitions
says when there were more: records of a key go to another partition when their number is another one.

What is behind a damage is not in the log any more when its partition was cut. smf log read --skip-damage
prints it before, and smf log dump the files that were kept.

Where there is a copy of the log elsewhere, take that instead.

It ends with status 0 when nothing is damaged (any more), and with 1 when something is.`,
		Args: noArguments("repair"),
		RunE: func(command *cobra.Command, _ []string) error {
			return logRepair(&o, command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	o.flag(command)
	command.Flags().BoolVar(&o.yes, "yes", false, "cut, and not only say what that would lose")
	command.Flags().StringArrayVar(&o.partitions, "partitions", nil, "TOPIC=N: partitions of a topic, where META is made anew (may be repeated)")
	return command
}

func logRepair(o *logRepairOptions, stdout, stderr io.Writer) error {
	partitions, err := parsePartitions(o.partitions)
	if err != nil {
		return wrongUsage(err)
	}
	err = o.check("repair", true)
	isLost := errors.Is(err, errMetaLost)
	if err != nil && !isLost {
		return err
	}
	lock, err := walfile.Lock(o.path)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	defer lock.Close()
	var seen atomic.Int64
	reading := walfile.Reading{Folder: o.path, Seen: func(n int64) { seen.Add(n) }}
	if isLost {
		fmt.Fprintln(stdout, "META is not there")
		return o.mendMeta(reading, walfile.NoMeta(), partitions, stdout)
	}
	hide := progressLine(stderr, func(time.Duration) string { return bytesText(seen.Load()) + " read" })
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
		meta, _, err := walfile.ReadMeta(o.path)
		if err != nil {
			return o.explain(err)
		}
		return o.mendMeta(reading, meta, partitions, stdout)
	}
	if len(partitions) > 0 {
		return wrongUsage(errors.New("--partitions is for a META that is made anew, and this one is whole"))
	}
	return o.repair(reading, v, stdout)
}

// partitionCount is a --partitions.
type partitionCount struct {
	topic string
	count uint32
}

func parsePartitions(texts []string) (counts []partitionCount, err error) {
	for _, text := range texts {
		topic, number, _ := strings.Cut(text, "=")
		count, err := strconv.ParseUint(number, 10, 32)
		if err != nil || topic == "" {
			return nil, fmt.Errorf("--partitions %s: it has to be a topic and a number, orders=4", text)
		}
		counts = append(counts, partitionCount{topic, uint32(count)})
	}
	return counts, nil
}

// mendMeta writes META anew, of what can be read of it and of what segments say. Whether partitions are damaged can
// be told afterwards only: to cut them, too, takes another call.
func (o *logRepairOptions) mendMeta(reading walfile.Reading, meta *walfile.Meta, partitions []partitionCount, stdout io.Writer) error {
	plan, err := reading.PlanMeta(meta)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	for _, p := range partitions {
		if err := plan.SetPartitions(p.topic, p.count); err != nil {
			return wrongUsage(fmt.Errorf("--partitions %s=%d: %w", p.topic, p.count, err))
		}
	}
	tellPlan(stdout, plan)
	isBlank := meta.File.ID == 0
	if isBlank && plan.Topics() == 0 && len(plan.Unknown) > 0 {
		return errors.New("no segment says which topic it belongs to, so that no META can be made: take a copy of the log")
	}
	fmt.Fprintln(stdout, "  heads that were moved within a file, and topics that were deleted, may come back")
	if isBlank {
		fmt.Fprintln(stdout, "  how far partitions were durable is not known without it: records that are missing at an end look torn by a crash")
	}
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

// tellPlan says what a new META would hold.
func tellPlan(w io.Writer, plan *walfile.MetaPlan) {
	for _, t := range plan.Found {
		fmt.Fprintf(w, "  topic %s: %s, ", t.Name, counted(int(t.Partitions), "partition"))
		if t.Guessed {
			fmt.Fprintf(w, "as many as are found; nothing tells its limits, so it gets the usual ones: "+
				"if it had more partitions, add --partitions %s=N\n", t.Name)
			continue
		}
		fmt.Fprintln(w, "as its segments say")
	}
	for _, text := range plan.Unreadable {
		fmt.Fprintf(w, "  %s\n", text)
	}
	for _, head := range plan.Heads {
		fmt.Fprintf(w, "  %s\n", head)
	}
	for _, path := range plan.Apart {
		fmt.Fprintf(w, "  %s comes before that and is not read any more: it is kept under another name\n", path)
	}
	for _, folder := range plan.Unknown {
		fmt.Fprintf(w, "  %s: no segment says which topic it was: it is left out\n", folder)
	}
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
