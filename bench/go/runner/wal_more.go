package main

import (
	"fmt"
	"time"
)

// Partitions have small files, or filling all of them would take longer than everything else.
const walPartSegment = 8 << 20

const walPartitions = 64

func tailedPerSecond(m *measurement) float64 { return m.Wal.TailedPerSecond }
func takenMiB(m *measurement) float64        { return m.Wal.TakenMiB }
func residentBefore(m *measurement) float64  { return m.Wal.ResidentBeforeMiB }
func residentMax(m *measurement) float64     { return m.Wal.ResidentMaxMiB }
func heapMax(m *measurement) float64         { return m.Wal.HeapMaxMiB }
func residentGrowth(m *measurement) float64  { return m.Wal.ResidentMaxMiB - m.Wal.ResidentBeforeMiB }

// measurePartitions is what it costs that every writer has a partition of its own.
func (w *walBench) measurePartitions() (table, error) {
	one := walLoad{verb: "durable", size: 1 << 10, writers: 64, batch: 1, segment: walPartSegment}
	many := one
	many.partitions = walPartitions
	loads := []walLoad{one, many}
	names := []string{walSMF, walFsync, walDsync}
	cells, err := w.walGrid(w.rounds, loads, names, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := walTable("m", "A partition for each writer", loads, names, cells)
	t.Columns = append(t.Columns[:len(t.Columns)-1], "of one partition")
	for i, row := range t.Rows {
		name := t.Cells[i].Contender
		row[len(row)-1] = ""
		if t.Cells[i].Load == many.name() {
			row[len(row)-1] = pairwise(cells[1][name], cells[0][name], callsPerSecond).text("")
		}
	}
	t.Notes = w.notes(fmt.Sprintf("64 writers on one partition, and each on its own of %d, all of one core. Plain Go has for "+
		"each partition a log of its own: files, two groups in memory, and a goroutine that commits what has come together, "+
		"which is one record; only the kernel can bring their flushes together. Files of %d MiB instead of 32, in both rows.",
		walPartitions, walPartSegment>>20))
	if value := pairwise(cells[1][walSMF], cells[0][walSMF], callsPerSecond); value.Count > 0 {
		t.Targets = append(t.Targets, target{Name: many.name() + ": records/s of one partition (an aim)", Bar: 0.8,
			AtLeast: true, Unit: "×", Value: value})
	}
	return t, nil
}

// measureTails is a reader that follows the writers.
func (w *walBench) measureTails() (table, error) {
	loads := []walLoad{
		{verb: "tail", size: 1 << 10, writers: 1, batch: 1},
		{verb: "tail", size: 1 << 10, writers: 64, batch: 1},
		{verb: "tail", size: 1 << 10, writers: 1, batch: 128},
	}
	cells, err := w.walGrid(w.rounds, loads, []string{walSMF}, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := table{Letter: "n", Title: "A reader that follows",
		Columns: []string{"load", "records/s", "MiB/s", "read records/s", "append to reader p50 µs", "p99 µs", "p99.9 µs", "disk reads"}}
	t.Notes = w.notes("Writers whose records are durable, and one reader of what is durable, in the same process, that checks every " +
		"record. Latencies: from the call of an append to when the reader had its record. Disk reads: bytes that the whole process " +
		"read from the disk while it was measured, per byte of records (read_bytes of /proc/self/io; table (k) shows that they are " +
		"counted). The plain logs, Pebble and raft-wal as they are driven here have no reader that follows.")
	for i, l := range loads {
		measured := cells[i][walSMF]
		if measured.stat(callsPerSecond).Count == 0 {
			continue
		}
		t.Rows = append(t.Rows, []string{l.name(), measured.stat(callsPerSecond).text(""), number(measured.stat(mibPerSecond).Median),
			measured.stat(tailedPerSecond).text(""), measured.stat(p50).text(""), number(measured.stat(p99).Median),
			number(measured.stat(p999).Median), perByteText(measured, readPerByte)})
		t.Cells = append(t.Cells, cell{Load: l.name(), Contender: walSMF, Rounds: measured})
		reads := measured.stat(readPerByte)
		reads.Median = reads.Max // in no round
		if reads.Min >= 0 {
			t.Targets = append(t.Targets, target{Name: l.name() + ": bytes read from the disk per byte of records, at most in a round",
				Value: reads})
		}
	}
	return t, nil
}

const (
	walMemory      = 64 << 20
	walStalledFor  = 500 * time.Millisecond
	walMemoryBar   = 1.1 // of the budget: the process has other memory than the log's
	walMemoryLeast = 1.5 // seconds
)

// measureMemory is what a log keeps in memory when its disk stands still.
func (w *walBench) measureMemory() (table, error) {
	one := walLoad{verb: "stalled", size: 1 << 10, writers: 64, batch: 1, delay: walStalledFor, memory: walMemory}
	many := one
	many.partitions = walPartitions
	loads := []walLoad{one, many}
	seconds := w.seconds
	w.seconds = max(seconds, walMemoryLeast)
	cells, err := w.walGrid(w.rounds, loads, []string{walSMF}, w.measureLog)
	w.seconds = seconds
	if err != nil {
		return table{}, err
	}
	t := table{Letter: "o", Title: "Memory, while the disk stands still",
		Columns: []string{"load", "budget MiB", "resident before MiB", "at most MiB", "more MiB", "Go heap at most MiB", "taken MiB", "p99.9 µs"}}
	t.Notes = w.notes(fmt.Sprintf("Every write and flush ends %v later; 64 writers append records that they don't wait for, as fast as they "+
		"are taken, for at least %g s. Resident is VmRSS of the whole process, before the log was opened and at most after "+
		"that; the Go heap is objects and what is not given back yet; the budget is Options.MemoryBytes, three quarters of it native. "+
		"A measurement in which no append had to wait for memory is a failure.", walStalledFor, walMemoryLeast))
	for i, l := range loads {
		measured := cells[i][walSMF]
		if measured.stat(residentMax).Count == 0 {
			continue
		}
		median := func(of figure) string { return number(measured.stat(of).Median) }
		t.Rows = append(t.Rows, []string{l.name(), fmt.Sprint(walMemory >> 20), median(residentBefore), measured.stat(residentMax).text(""),
			measured.stat(residentGrowth).text(""), measured.stat(heapMax).text(""), median(takenMiB), median(p999)})
		t.Cells = append(t.Cells, cell{Load: l.name(), Contender: walSMF, Rounds: measured})
		t.Targets = append(t.Targets, target{Name: l.name() + ": resident memory more than before, MiB", Bar: walMemoryBar * (walMemory >> 20),
			Value: measured.stat(residentGrowth)})
	}
	return t, nil
}
