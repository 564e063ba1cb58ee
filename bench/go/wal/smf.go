package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/smf-go/smf/bench/go/walload"
	"github.com/smf-go/smf/go/wal"
)

func init() {
	contenders = append(contenders, walload.Contender{Name: "smf", Open: openSMF, Read: readSMF})
}

const smfTopic = "bench"

// smfLog is the log of this repository, one partition of it.
type smfLog struct {
	log     *wal.Log
	p       *wal.Partition
	options walload.Options
	batches sync.Pool

	bytes   atomic.Int64  // taken so far, payload
	dropped atomic.Uint64 // when that many files have been filled, the head was cut last
	mu      sync.Mutex
	begins  []uint64 // offsets at which files begin, about
}

func openSMF(folder string, o walload.Options) (walload.Log, error) {
	if o.FlushDelay != 0 {
		return nil, errors.New("smf: flushes can't be made slower from outside")
	}
	log, p, err := openPartition(folder, o, wal.Options{Create: true})
	if err != nil {
		return nil, err
	}
	return &smfLog{log: log, p: p, options: o}, nil
}

func openPartition(folder string, o walload.Options, options wal.Options) (*wal.Log, *wal.Partition, error) {
	log, err := wal.Open(folder, options)
	if err != nil {
		return nil, nil, err
	}
	if options.Create {
		err = log.CreateTopic(smfTopic, wal.TopicConfig{SegmentBytes: o.SegmentBytes})
	}
	if err != nil && !errors.Is(err, wal.ErrExists) {
		return nil, nil, errors.Join(err, log.Close())
	}
	p, err := log.Partition(smfTopic, 0)
	if err != nil {
		return nil, nil, errors.Join(err, log.Close())
	}
	return log, p, nil
}

func (l *smfLog) append(records [][]byte, ack wal.Ack) error {
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
func (l *smfLog) drop(first uint64, size int64) error {
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

func (l *smfLog) Append(batch [][]byte) error { return l.append(batch, wal.Durable) }
func (l *smfLog) Write(batch [][]byte) error  { return l.append(batch, wal.Buffered) }
func (l *smfLog) Sync() error                 { return l.p.Sync(context.Background()) }
func (l *smfLog) Close() error                { return l.log.Close() }

func readSMF(folder string, o walload.Options, visit func(record []byte) error) error {
	log, p, err := openPartition(folder, o, wal.Options{})
	if err != nil {
		return err
	}
	for batch, err := range p.Records(context.Background(), 0) {
		for i := 0; err == nil && i < len(batch); i++ {
			err = visit(batch[i].Value)
		}
		if err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return log.Close()
}
