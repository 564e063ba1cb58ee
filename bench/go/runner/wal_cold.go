package main

import (
	"fmt"
	"time"
)

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
	reopened, err := w.walGrid(w.rounds, []walLoad{reopens}, names, w.measureReopen)
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
			"remembers of the files dropped before; disk reads are what the process read from it per byte of records. Opening: %d MiB, the process killed (SIGKILL) while it appended, "+
			"until the log takes records; then all of it is read, cold, and what was acknowledged looked for. Pebble's log is "+
			"gone by then: what is in it goes into tables at open. Pebble's is read without Pebble's own way of opening, by "+
			"its package for files of a log. The device: 32 reads of 1 MiB in flight.", walReadBytes>>20, reopens.batch>>10)},
		Columns: []string{"log", "reads MiB/s", "CPU µs/record", "disk reads", "opens in ms", "then verifies MiB/s"},
	}
	for _, name := range names {
		if read[0][name] == nil {
			continue
		}
		opens := ""
		if name != walDevice && reopened[0][name].stat(openMS).Count > 0 {
			opens = reopened[0][name].stat(openMS).text("")
		}
		cpu, fromDisk := "", ""
		if name != walDevice {
			cpu, fromDisk = number(read[0][name].stat(cpuPerRecord).Median), perByteText(read[0][name], readPerByte)
		}
		row := []string{walLabels[name], read[0][name].stat(mibPerSecond).text(""), cpu, fromDisk, opens, ""}
		if name != walDevice && verified[name].stat(mibPerSecond).Count > 0 {
			row[5] = verified[name].stat(mibPerSecond).text("")
		}
		t.Rows = append(t.Rows, row)
		t.Cells = append(t.Cells, cell{Load: reads.name(), Contender: name, Rounds: read[0][name]},
			cell{Load: "reopen", Contender: name, Rounds: reopened[0][name]})
	}
	t.Targets = append(t.Targets, walTarget(read[0], "cold read: MiB/s of the device", mibPerSecond, []string{walDevice}, 0.9, true)...)
	if ours := reopened[0][walSMF].stat(openMS); ours.Count > 0 {
		t.Targets = append(t.Targets, target{Name: "open after a kill", Bar: 150, Unit: " ms", Value: ours})
	}
	t.Targets = append(t.Targets, walTarget(verified, "verify: MiB/s of the device", mibPerSecond, []string{walDevice}, 0.8, true)...)
	return t, nil
}

func (w *walBench) measureDelayed() (table, error) {
	const delay = time.Millisecond
	loads := []walLoad{
		{verb: "durable", size: 1 << 10, writers: 64, batch: 1, delay: delay},
		{verb: "durable", size: 1 << 10, writers: 256, batch: 1, delay: delay},
		{verb: "durable", size: 1 << 10, writers: 8, batch: 128, delay: delay},
	}
	names := []string{walSMF, walFsync, walDsync, walPebble, walRaft}
	cells, err := w.walGrid(w.rounds, loads, names, w.measureLog)
	if err != nil {
		return table{}, err
	}
	t := walTable("l", "With flushes that take a millisecond longer", loads, names, cells)
	t.Notes = w.notes("Every flush, and every write that is one, ends 1 ms later, as on a disk whose cache is slow to empty: " +
		"smf by its disk for tests (writes that are under way together wait side by side, as they do for the disk itself), " +
		"plain Go by a sleep behind the write, Pebble and raft-wal by a sleep of the same length behind each flush " +
		"of a file of the log, in the file system that they are given. There is no bar here.")
	return t, nil
}
