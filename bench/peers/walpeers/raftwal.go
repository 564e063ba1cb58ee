package main

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"github.com/smf-go/smf/bench/go/walload"
)

// HashiCorp's log takes batches from one caller at a time: in Raft that is the leader's loop, which takes
// what has come together, by default up to 64 entries. So does this one.
var raftWAL = walload.Contender{Name: "raft-wal", Open: openRaftWAL, Read: readRaftWAL}

const raftEntriesMax = 64 // raft.Config's MaxAppendEntries

// opened is a log with its metadata, which it does not close by itself.
type opened struct {
	*wal.WAL
	meta *metadb.BoltMetaDB
}

func (o opened) Close() error { return errors.Join(o.WAL.Close(), o.meta.Close()) }

type raftLog struct {
	wal     opened
	options walload.Options
	asked   chan request
	ended   chan struct{}
	sizes   int64 // of records since old ones were given up

}

type request struct {
	records [][]byte
	done    chan error
}

func openWAL(folder string, o walload.Options) (opened, error) {
	meta := &metadb.BoltMetaDB{}
	files := segment.NewFiler(folder, slowFiles{FS: fs.New(), delay: o.FlushDelay})
	w, err := wal.Open(folder, wal.WithSegmentSize(int(o.SegmentBytes)), wal.WithLogger(hclog.NewNullLogger()),
		wal.WithMetaStore(meta), wal.WithSegmentFiler(files))
	return opened{WAL: w, meta: meta}, err
}

// slowFiles makes every flush of a segment take longer. Those of the database of metadata are as they are:
// there is one when a segment is full.
type slowFiles struct {
	*fs.FS
	delay time.Duration
}

func (s slowFiles) slow(file types.WritableFile, err error) (types.WritableFile, error) {
	if err != nil || s.delay == 0 {
		return file, err
	}
	return slowSegment{WritableFile: file, delay: s.delay}, nil
}

func (s slowFiles) Create(dir, name string, size uint64) (types.WritableFile, error) {
	return s.slow(s.FS.Create(dir, name, size))
}

func (s slowFiles) OpenWriter(dir, name string) (types.WritableFile, error) {
	return s.slow(s.FS.OpenWriter(dir, name))
}

type slowSegment struct {
	types.WritableFile
	delay time.Duration
}

func (s slowSegment) Sync() error {
	err := s.WritableFile.Sync()
	time.Sleep(s.delay)
	return err
}

func openRaftWAL(folder string, o walload.Options) (walload.Log, error) {
	w, err := openWAL(folder, o)
	if err != nil {
		return nil, err
	}
	last, err := w.LastIndex()
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	l := &raftLog{wal: w, options: o, asked: make(chan request, raftEntriesMax), ended: make(chan struct{})}
	go l.lead(last + 1)
	return l, nil
}

// lead appends what has come together.
func (l *raftLog) lead(next uint64) {
	defer close(l.ended)
	marks := []uint64{next} // where segments begin, about
	for first := range l.asked {
		group := []request{first}
		count := len(first.records)
	more:
		for count < raftEntriesMax {
			select {
			case r, open := <-l.asked:
				if !open {
					break more
				}
				group = append(group, r)
				count += len(r.records)
			default:
				break more
			}
		}
		err := l.store(group, next, count)
		next += uint64(count)
		if err == nil && l.options.Recycle && l.sizes >= l.options.SegmentBytes {
			l.sizes = 0
			if marks = append(marks, next); len(marks) > 3 {
				err = l.wal.DeleteRange(marks[0], marks[1]-1)
				marks = marks[1:]
			}
		}
		for _, r := range group {
			r.done <- err
		}
	}
}

func (l *raftLog) store(group []request, next uint64, count int) error {
	entries := make([]raft.Log, 0, count)
	logs := make([]*raft.Log, 0, count)
	for _, r := range group {
		for _, record := range r.records {
			entries = append(entries, raft.Log{Index: next, Term: 1, Data: record})
			logs = append(logs, &entries[len(entries)-1])
			l.sizes += int64(len(record))
			next++
		}
	}
	if len(logs) == 0 {
		return nil
	}
	return l.wal.StoreLogs(logs)
}

func (l *raftLog) Append(records [][]byte) error {
	done := make(chan error, 1)
	l.asked <- request{records, done}
	return <-done
}

// Write is Append: this log knows no other.
func (l *raftLog) Write(records [][]byte) error { return l.Append(records) }
func (l *raftLog) Sync() error                  { return nil }

func (l *raftLog) Close() error {
	close(l.asked)
	<-l.ended
	return l.wal.Close()
}

func readRaftWAL(folder string, o walload.Options, visit func([]byte) error) (err error) {
	w, err := openWAL(folder, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	first, err := w.FirstIndex()
	if err != nil {
		return err
	}
	last, err := w.LastIndex()
	if err != nil || last == 0 {
		return err
	}
	var entry raft.Log
	for index := first; index <= last; index++ {
		if err := w.GetLog(index, &entry); err != nil {
			return err
		}
		if err := visit(entry.Data); err != nil {
			return err
		}
	}
	return nil
}
