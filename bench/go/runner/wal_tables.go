package main

import (
	"fmt"
	"strings"
	"time"
)

func mibPerSecond(m *measurement) float64   { return m.Wal.MiBPerSecond }
func cpuPerRecord(m *measurement) float64   { return m.Wal.CPUPerRecordUS }
func writtenPerByte(m *measurement) float64 { return m.Wal.WrittenPerByte }
func devicePerByte(m *measurement) float64  { return m.Wal.DevicePerByte }
func fillPerByte(m *measurement) float64    { return m.Wal.FillWrittenPerByte }
func openMS(m *measurement) float64         { return m.Wal.OpenMS }

var (
	walBaselines = []string{walFsync, walDsync}
	walDurables  = []string{walSMF, walFsync, walDsync, walPebble, walRaft, walDevice}
)

const howToReadLogs = "Writers × records of a batch × bytes of a record. Medians, with the least and the greatest in " +
	"brackets. Ratios are of records per second, taken round by round, then their median; the baseline is the plain " +
	"Go with the greater median. Every log is first written full and over again, so that its files are used again. CPU: " +
	"user and system time of the whole process. Written: bytes that the process wrote to its files per byte of " +
	"records (write_bytes of /proc/self/io), and in brackets while its first two files were filled, zeroes " +
	"included; disk: bytes that the whole machine wrote on that disk (/sys/dev/block/…/stat), metadata and " +
	"everybody else's included. MiB/s: of records. The device: the bare disk through io_uring, O_DIRECT, a file whose " +
	"blocks were all written before; 8 writes of 128 KiB in flight unless it says otherwise."

// notes are how to read the tables, once, and a table's own.
func (w *walBench) notes(own string) []string {
	if w.explained {
		return []string{own}
	}
	w.explained = true
	return []string{howToReadLogs, own}
}

func (w *walBench) measureDurable() (table, error) {
	var loads []walLoad
	for _, size := range []int{100, 1 << 10, 16 << 10} {
		for _, writers := range []int{1, 64, 256} {
			loads = append(loads, walLoad{verb: "durable", size: size, writers: writers, batch: 1})
		}
	}
	cells, err := w.walGrid(w.rounds, loads, walDurables, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := walTable("h", "Durable records, one per call", loads, walDurables, cells)
	t.Notes = w.notes("Each writer waits for its own record to be durable. raft-wal takes one " +
		"batch at a time: a goroutine hands it what has come together, up to 64 records, as Raft's leader does. " +
		"The device, with one writer: one write in flight as large as the record needs it; durable by RWF_DSYNC.")
	for i, l := range loads {
		t.Targets = append(t.Targets, durableTargets(l, cells[i])...)
	}
	return t, nil
}

// durableTargets are the bars for one load.
func durableTargets(l walLoad, cells map[string]rounds) (targets []target) {
	const kib = 1 << 10
	add := func(t target, found bool) {
		if found {
			targets = append(targets, t)
		}
	}
	switch {
	case l.writers == 1:
		add(walTarget(cells, l.name()+": p50 of a bare write", p50, []string{walDevice}, 1.1, false))
	case l.writers == 64 && l.size == kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL (aim: 3×)", callsPerSecond, []string{walPebble}, 2, true))
		add(walTarget(cells, l.name()+": records/s of the baseline (aim: 1.5×)", callsPerSecond, walBaselines, 1.1, true))
		add(walTarget(cells, l.name()+": CPU per record of the better baseline", cpuPerRecord, walBaselines, 1, false))
	case l.writers == 256 && l.size == kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 2.5, true))
		add(walTarget(cells, l.name()+": records/s of the baseline (aim: 1.5×)", callsPerSecond, walBaselines, 1.1, true))
	case l.writers == 64 && l.size == 16*kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 3, true))
		add(walTarget(cells, l.name()+": MiB/s of the device (an aim)", mibPerSecond, []string{walDevice}, 0.7, true))
	}
	return targets
}

// walTarget is a bar for a figure of ours relative to the best of others'; not found when either was not
// measured.
func walTarget(cells map[string]rounds, name string, of figure, others []string, bar float64,
	atLeast bool) (t target, found bool) {
	other, found := best(cells, others, of, atLeast)
	if !found || cells[walSMF].stat(of).Count == 0 {
		return t, false
	}
	return target{Name: name, Bar: bar, AtLeast: atLeast, Unit: "×", Value: pairwise(cells[walSMF], cells[other], of)}, true
}

func (w *walBench) measureBatches() (table, error) {
	batches := walLoad{verb: "durable", size: 1 << 10, writers: 1, batch: 1000}
	stream := walLoad{verb: "durable", size: 1 << 10, writers: 8, batch: 128}
	plain := walLoad{verb: "buffered", size: 1 << 10, writers: 1, batch: 128}
	cells, err := w.walGrid(w.rounds, []walLoad{batches, stream}, walDurables, w.measureLog)
	if err != nil {
		return table{}, err
	}
	// raft-wal has no way not to wait.
	unwaited := []string{walSMF, walFsync, walDsync, walPebble, walDevice}
	more, err := w.walGrid(w.rounds, []walLoad{plain}, unwaited, w.measureLog)
	if err != nil {
		return table{}, err
	}
	loads := []walLoad{batches, stream, plain}
	cells = append(cells, more...)
	t := walTable("i", "Batches and streams", loads, walDurables, cells)
	t.Notes = w.notes("A stream is batches of " +
		"128 KiB without end, from 8 writers that wait until theirs are durable, or from one that does not wait; files " +
		"of 32 MiB are used again and again. Latencies are those of a batch, and of one buffered batch in 64. " +
		"The device: RWF_DSYNC or, beside what is buffered, plain.")
	for _, bar := range []struct {
		load   int
		name   string
		of     figure
		others []string
		bar    float64
	}{
		{0, "records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 2},
		{0, "records/s of the baseline", callsPerSecond, walBaselines, 1},
		{1, "MiB/s of the device (aim: 0.9×)", mibPerSecond, []string{walDevice}, 0.8},
		{2, "MiB/s of the device, plain (aim: 0.9×)", mibPerSecond, []string{walDevice}, 0.8},
	} {
		name := loads[bar.load].name() + ": " + bar.name
		if target, found := walTarget(cells[bar.load], name, bar.of, bar.others, bar.bar, true); found {
			t.Targets = append(t.Targets, target)
		}
	}
	return t, nil
}

func (w *walBench) measureBuffered() (table, error) {
	loads := []walLoad{
		{verb: "buffered", size: 100, writers: 1, batch: 1},
		{verb: "buffered", size: 100, writers: 64, batch: 1},
	}
	names := []string{walSMF, walFile, walBufio, walFsync, walDsync, walPebble}
	cells, err := w.walGrid(w.rounds, loads, names, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := walTable("j", "Buffered records, one per call", loads, names, cells)
	t.Notes = w.notes("Nobody waits for anything to be durable, but for room in the log's memory. The " +
		"plain Go file has one write for every record, which a kill of the process does not lose, and as plain Go file + " +
		"bufio a buffer of 64 KiB before it; both have the checksums, write to the kernel's cache, and start over at " +
		"the beginning of the same 64 MiB. One call in 64 is timed. raft-wal has nothing of the kind.")
	for i, l := range loads {
		for _, other := range []string{walFile, walBufio} {
			aim := ""
			if other == walFile {
				aim = " (aim: 3×)"
			}
			if target, found := walTarget(cells[i], l.name()+": records/s of "+walLabels[other]+aim, callsPerSecond,
				[]string{other}, 1, true); found {
				t.Targets = append(t.Targets, target)
			}
		}
	}
	return t, nil
}

// measureCold is what reading costs, and opening after a kill.
func (w *walBench) measureCold() (table, error) {
	reads := walLoad{verb: "read", size: 1 << 10, writers: 1, batch: 1}
	reopens := walLoad{verb: "open", size: 1 << 10, writers: 1, batch: walReopenBytes >> 10}
	if w.quick {
		reopens.batch = walReopenBytesLess >> 10
	}
	names := []string{walSMF, walFsync, walPebble, walRaft, walDevice}
	read, err := w.walGrid(w.rounds, []walLoad{reads}, names, w.measureRead)
	if err != nil {
		return table{}, err
	}
	reopened, err := w.walGrid(1, []walLoad{reopens}, names, w.measureReopen)
	if err != nil {
		return table{}, err
	}
	verified := map[string]rounds{} // Pebble has nothing left to verify
	for name, measured := range reopened[0] {
		if name != walPebble {
			verified[name] = measured
		}
	}
	t := table{
		Letter: "k", Title: "Cold reading, and opening after a kill",
		Notes: []string{fmt.Sprintf("Reading: %d MiB of records of 1 KiB from the oldest on, checksums included, what the kernel "+
			"remembers of the files dropped before. Opening: once, %d MiB, the process killed (SIGKILL) while it appended, "+
			"until the log takes records; then all of it is read, cold, and what was acknowledged looked for. Pebble's log is "+
			"gone by then: what is in it goes into tables at open. Pebble's is read without Pebble's own way of opening, by "+
			"its package for files of a log. The device: 32 reads of 1 MiB in flight.", walReadBytes>>20, reopens.batch>>10)},
		Columns: []string{"log", "reads MiB/s", "CPU µs/record", "opens in ms", "then verifies MiB/s"},
	}
	for _, name := range names {
		if read[0][name] == nil {
			continue
		}
		opens := ""
		if name != walDevice && reopened[0][name].stat(openMS).Count > 0 {
			opens = number(reopened[0][name].stat(openMS).Median)
		}
		cpu := ""
		if name != walDevice {
			cpu = number(read[0][name].stat(cpuPerRecord).Median)
		}
		row := []string{walLabels[name], read[0][name].stat(mibPerSecond).text(""), cpu, opens, ""}
		if verified[name].stat(mibPerSecond).Count > 0 {
			row[4] = number(verified[name].stat(mibPerSecond).Median)
		}
		t.Rows = append(t.Rows, row)
		t.Cells = append(t.Cells, cell{Load: reads.name(), Contender: name, Rounds: read[0][name]},
			cell{Load: "reopen", Contender: name, Rounds: reopened[0][name]})
	}
	if target, found := walTarget(read[0], "cold read: MiB/s of the device", mibPerSecond, []string{walDevice}, 0.9, true); found {
		t.Targets = append(t.Targets, target)
	}
	if ours := reopened[0][walSMF].stat(openMS); ours.Count > 0 {
		t.Targets = append(t.Targets, target{Name: "open after a kill", Bar: 150, Unit: " ms", Value: ours})
	}
	if target, found := walTarget(verified, "verify: MiB/s of the device", mibPerSecond, []string{walDevice}, 0.8, true); found {
		t.Targets = append(t.Targets, target)
	}
	return t, nil
}

func (w *walBench) measureDelayed() (table, error) {
	const delay = time.Millisecond
	loads := []walLoad{
		{verb: "durable", size: 1 << 10, writers: 64, batch: 1, delay: delay},
		{verb: "durable", size: 1 << 10, writers: 256, batch: 1, delay: delay},
		{verb: "durable", size: 1 << 10, writers: 8, batch: 128, delay: delay},
	}
	names := []string{walSMF, walFsync, walDsync, walPebble}
	cells, err := w.walGrid(w.rounds, loads, names, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := walTable("l", "With flushes that take a millisecond longer", loads, names, cells)
	t.Notes = w.notes("Behind every flush (plain Go: behind every write that is one, too; Pebble: through " +
		"its file system) comes a sleep of 1 ms, as on a disk whose cache is slow to empty. raft-wal has no place for it.")
	return t, nil
}

// walTable makes a row for each cell.
func walTable(letter, title string, loads []walLoad, names []string, cells []map[string]rounds) table {
	t := table{Letter: letter, Title: title, Columns: []string{"load", "log", "records/s", "MiB/s", "p50 µs", "p99 µs",
		"p99.9 µs", "CPU µs/record", "written", "disk", "of the baseline", "of Pebble"}}
	for i, l := range loads {
		for _, name := range names {
			measured := cells[i][name]
			if measured.stat(callsPerSecond).Count == 0 {
				continue
			}
			t.Rows = append(t.Rows, walRow(l, name, measured, cells[i]))
			t.Cells = append(t.Cells, cell{Load: l.name(), Contender: name, Rounds: measured})
		}
	}
	return t
}

func walRow(l walLoad, name string, measured rounds, cells map[string]rounds) []string {
	median := func(of figure) string { return number(measured.stat(of).Median) }
	row := []string{l.name(), walLabels[name], measured.stat(callsPerSecond).text(""), median(mibPerSecond),
		measured.stat(p50).text(""), median(p99), median(p999)}
	if name == walDevice {
		row[1] += ", " + strings.TrimSuffix(l.ofDevice().name(), ", durable")
		return append(row, "", "", "", "", "")
	}
	row = append(row, median(cpuPerRecord), perByteText(measured, writtenPerByte)+" ("+perByteText(measured, fillPerByte)+")",
		perByteText(measured, devicePerByte))
	for _, others := range [][]string{walBaselines, {walPebble}} {
		text := ""
		if other, found := best(cells, others, callsPerSecond, true); found && other != name {
			text = number(pairwise(measured, cells[other], callsPerSecond).Median)
		}
		row = append(row, text)
	}
	return row
}

// perByteText is empty for a figure that the machine does not have.
func perByteText(measured rounds, of figure) string {
	s := measured.stat(of)
	if s.Count == 0 || s.Min < 0 {
		return "?"
	}
	return number(s.Median)
}
