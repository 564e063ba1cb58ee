package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/bench/go/walload"
	"github.com/smf-go/smf/go/wal"
)

func init() {
	contenders = append(contenders, walload.Contender{Name: "smf", Open: openSMF, Read: readSMF,
		Parted: true, Followed: true, Budget: true})
}

const smfTopic = "bench"

// smfLog is the log of this repository, one topic of it.
type smfLog struct {
	*smfPart // the first one
	log      *wal.Log
	parts    []*smfPart
}

// smfPart is a partition.
type smfPart struct {
	p       *wal.Partition
	options walload.Options
	batches sync.Pool

	bytes   atomic.Int64  // taken so far, payload
	dropped atomic.Uint64 // when that many files have been filled, the head was cut last
	mu      sync.Mutex
	begins  []uint64 // offsets at which files begin, about
}

func openSMF(folder string, o walload.Options) (walload.Log, error) {
	log, parts, err := openPartitions(folder, o, wal.Options{Create: true, MemoryBytes: o.MemoryBytes,
		SlowDiskForTests: wal.SlowDisk{Flush: o.FlushDelay, Write: o.WriteDelay}})
	if err != nil {
		return nil, err
	}
	return &smfLog{smfPart: parts[0], log: log, parts: parts}, nil
}

func openPartitions(folder string, o walload.Options, options wal.Options) (*wal.Log, []*smfPart, error) {
	log, err := wal.Open(folder, options)
	if err != nil {
		return nil, nil, err
	}
	parts, err := partitions(log, o, options.Create)
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return log, parts, nil
}

func partitions(log *wal.Log, o walload.Options, create bool) (parts []*smfPart, err error) {
	if create {
		err = log.CreateTopic(smfTopic, wal.TopicConfig{SegmentBytes: o.SegmentBytes, Partitions: o.Partitions})
	}
	if err != nil && !errors.Is(err, wal.ErrExists) {
		return nil, err
	}
	for i := range max(o.Partitions, 1) {
		p, err := log.Partition(smfTopic, i)
		if err != nil {
			return nil, err
		}
		parts = append(parts, &smfPart{p: p, options: o})
	}
	return parts, nil
}

func (l *smfPart) append(records [][]byte, ack wal.Ack) error {
	batch, _ := l.batches.Get().(*wal.Batch)
	if batch == nil {
		batch = new(wal.Batch)
	}
	*batch = (*batch)[:0]
	size := 0
	for _, r := range records {
		*batch = append(*batch, wal.Record{Value: r})
		size += len(r)
	}
	first, err := l.p.Append(context.Background(), *batch, ack)
	l.batches.Put(batch)
	if err != nil || !l.options.Recycle {
		return err
	}
	return l.drop(first, int64(size))
}

// drop gives up what is older than two files, each time that another one was filled.
func (l *smfPart) drop(first uint64, size int64) error {
	files := uint64(l.bytes.Add(size) / l.options.SegmentBytes)
	if before := l.dropped.Load(); files == before || !l.dropped.CompareAndSwap(before, files) {
		return nil
	}
	l.mu.Lock()
	l.begins = append(l.begins, first)
	var head uint64
	if len(l.begins) > 2 {
		head, l.begins = l.begins[0], l.begins[1:]
	}
	l.mu.Unlock()
	if head == 0 {
		return nil
	}
	return l.p.TruncateHead(context.Background(), head)
}

func (l *smfPart) Append(batch [][]byte) error { return l.append(batch, wal.Durable) }
func (l *smfPart) Write(batch [][]byte) error  { return l.append(batch, wal.Buffered) }

func (l *smfLog) Part(number int) walload.Appender { return l.parts[number] }
func (l *smfLog) Close() error                     { return l.log.Close() }

func (l *smfLog) Sync() (err error) {
	for _, part := range l.parts {
		err = errors.Join(err, part.p.Sync(context.Background()))
	}
	return err
}

func (l *smfLog) Waits() uint64 { return l.log.Stats().Waits }

func (l *smfLog) EncodedBytes() (sum int64, err error) {
	for _, part := range l.parts {
		info, err := part.p.Info()
		if err != nil {
			return 0, err
		}
		sum += int64(info.AppendedBytes)
	}
	return sum, nil
}

func (l *smfLog) Follow(ctx context.Context) (func(func([]byte, time.Time) error) error, error) {
	info, err := l.p.Info()
	if err != nil {
		return nil, err
	}
	return func(visit func([]byte, time.Time) error) error {
		for batch, err := range l.p.Follow(ctx, info.Next) {
			for i := 0; err == nil && i < len(batch); i++ {
				err = visit(batch[i].Value, batch[i].Time)
			}
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func readSMF(folder string, o walload.Options, visit func(record []byte) error) error {
	o.Partitions = 1
	log, parts, err := openPartitions(folder, o, wal.Options{})
	if err != nil {
		return err
	}
	for batch, err := range parts[0].p.Records(context.Background(), 0) {
		for i := 0; err == nil && i < len(batch); i++ {
			err = visit(batch[i].Value)
		}
		if err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return log.Close()
}
