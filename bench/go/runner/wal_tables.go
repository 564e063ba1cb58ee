package main

import "strings"

func mibPerSecond(m *measurement) float64   { return m.Wal.MiBPerSecond }
func cpuPerRecord(m *measurement) float64   { return m.Wal.CPUPerRecordUS }
func writtenPerByte(m *measurement) float64 { return m.Wal.WrittenPerByte }
func devicePerByte(m *measurement) float64  { return m.Wal.DevicePerByte }
func fillPerByte(m *measurement) float64    { return m.Wal.FillWrittenPerByte }
func fillDevice(m *measurement) float64     { return m.Wal.FillDevicePerByte }
func perEncoded(m *measurement) float64     { return m.Wal.WrittenPerEncoded }
func fillPerEncoded(m *measurement) float64 { return m.Wal.FillWrittenPerEncoded }
func readPerByte(m *measurement) float64    { return m.Wal.ReadPerByte }
func openMS(m *measurement) float64         { return m.Wal.OpenMS }

var (
	walBaselines = []string{walFsync, walDsync}
	walDurables  = []string{walSMF, walFsync, walDsync, walPebble, walRaft, walDevice}
)

const howToReadLogs = "Writers × records of a batch × bytes of a record. Medians, with the least and the greatest in " +
	"brackets. Ratios are of records per second, taken round by round, then their median; the baseline is the plain " +
	"Go with the greater median. Every log is first written full and over again, so that its files are used again. " +
	"Latencies are from a call to its return. CPU: user and system time of the whole process, the kernel's own threads not " +
	"among it. Written: bytes that the process wrote to its files per byte of records (write_bytes of /proc/self/io), and in " +
	"brackets while its first two files were filled, zeroes included; per encoded byte the same, of records as the log " +
	"encodes them (?: it does not tell); disk: bytes that the whole machine wrote on that disk " +
	"(/sys/dev/block/…/stat) per byte of records, metadata and everybody else's included. MiB/s: of records. The device: " +
	"the bare disk through io_uring, O_DIRECT, a file whose blocks were all written before; 8 writes of 128 KiB in flight " +
	"unless it says otherwise."

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
	add := func(some walTargets) { targets = append(targets, some...) }
	switch {
	case l.writers == 1:
		add(walTarget(cells, l.name()+": p50 of a bare write", p50, []string{walDevice}, 1.1, false))
	case l.writers == 64 && l.size == kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 2, true).aim(3))
		add(walTarget(cells, l.name()+": records/s of the baseline", callsPerSecond, walBaselines, 1.1, true).aim(1.5))
		add(walTarget(cells, l.name()+": CPU per record of the better baseline", cpuPerRecord, walBaselines, 1, false))
	case l.writers == 256 && l.size == kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 2.5, true))
		add(walTarget(cells, l.name()+": records/s of the baseline", callsPerSecond, walBaselines, 1.1, true).aim(1.5))
	case l.writers == 64 && l.size == 16*kib:
		add(walTarget(cells, l.name()+": records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 3, true))
		add(walTarget(cells, l.name()+": MiB/s of the device (an aim)", mibPerSecond, []string{walDevice}, 0.7, true))
	}
	return targets
}

// walTargets are a bar, or none.
type walTargets []target

// aim is what there is to be reached beyond the bar.
func (ts walTargets) aim(aim float64) walTargets {
	for i := range ts {
		ts[i].Aim = aim
	}
	return ts
}

// walTarget is a bar for a figure of ours relative to the best of others'; none when either was not measured.
func walTarget(cells map[string]rounds, name string, of figure, others []string, bar float64, atLeast bool) walTargets {
	other, found := best(cells, others, of, atLeast)
	if !found || cells[walSMF].stat(of).Count == 0 {
		return nil
	}
	return walTargets{{Name: name, Bar: bar, AtLeast: atLeast, Unit: "×", Value: pairwise(cells[walSMF], cells[other], of)}}
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
		aim    float64
	}{
		{0, "records/s of Pebble's WAL", callsPerSecond, []string{walPebble}, 2, 0},
		{0, "records/s of the baseline", callsPerSecond, walBaselines, 1, 0},
		{1, "MiB/s of the device", mibPerSecond, []string{walDevice}, 0.8, 0.9},
		{2, "MiB/s of the device, plain", mibPerSecond, []string{walDevice}, 0.8, 0.9},
	} {
		name := loads[bar.load].name() + ": " + bar.name
		t.Targets = append(t.Targets, walTarget(cells[bar.load], name, bar.of, bar.others, bar.bar, true).aim(bar.aim)...)
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
			aim := 0.0
			if other == walFile {
				aim = 3
			}
			t.Targets = append(t.Targets, walTarget(cells[i], l.name()+": records/s of the "+walLabels[other], callsPerSecond,
				[]string{other}, 1, true).aim(aim)...)
		}
	}
	return t, nil
}

// walTable makes a row for each cell.
func walTable(letter, title string, loads []walLoad, names []string, cells []map[string]rounds) table {
	t := table{Letter: letter, Title: title, Columns: []string{"load", "log", "records/s", "MiB/s", "p50 µs", "p99 µs",
		"p99.9 µs", "CPU µs/record", "written", "per encoded byte", "disk", "of the baseline", "of Pebble"}}
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
		return append(row, "", "", "", "", "", "")
	}
	row = append(row, median(cpuPerRecord), withFill(measured, writtenPerByte, fillPerByte),
		withFill(measured, perEncoded, fillPerEncoded), withFill(measured, devicePerByte, fillDevice))
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

// withFill is a figure in steady recycling, and of the first fill in brackets.
func withFill(measured rounds, steady, first figure) string {
	return perByteText(measured, steady) + " (" + perByteText(measured, first) + ")"
}
