package wal

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/walbody"
)

// CreateTopic makes a topic, durably. Its name has letters, digits, '.', '_' and '-'. Errors: ErrExists,
// ErrInvalid, ErrReadOnly, ErrNoSpace.
func (l *Log) CreateTopic(topic string, config TopicConfig) error {
	c := l.cores[0] // the others learn of it when they are asked for a partition
	return c.do(context.Background(), func() error {
		return fromNative(c.wal.CreateTopic(topic, config.native()))
	})
}

// Topics lists the log's topics.
func (l *Log) Topics() (topics []TopicInfo, err error) {
	c := l.cores[0]
	err = c.do(context.Background(), func() error {
		topics = c.topics()
		return nil
	})
	return topics, err
}

// topics is for the driver.
func (l *coreLog) topics() (topics []TopicInfo) {
	for i := 0; ; i++ {
		topic, config, ok := l.wal.TopicAt(i)
		if !ok {
			return topics
		}
		topics = append(topics, TopicInfo{Name: topic, TopicConfig: configOf(config)})
	}
}

// coreOf is the core that has a partition.
func (l *Log) coreOf(topic string, number int) *coreLog {
	return l.cores[native.WalCoreOf(topic, number, len(l.cores))]
}

// Partition is a partition of a topic; they are counted from 0. ErrNotFound: there is none.
func (l *Log) Partition(topic string, number int) (p *Partition, err error) {
	c := l.coreOf(topic, number)
	c.mu.Lock()
	p = c.partitions[name{topic, number}]
	c.mu.Unlock()
	if p != nil {
		return p, nil
	}
	err = c.do(context.Background(), func() error {
		p, err = c.partition(topic, number)
		return err
	})
	return p, err
}

// partition is for the driver: nobody else makes one.
func (l *coreLog) partition(topic string, number int) (*Partition, error) {
	if p := l.partitions[name{topic, number}]; p != nil {
		return p, nil
	}
	handle, err := l.wal.Partition(topic, number)
	if err != nil {
		return nil, fromNative(err)
	}
	info, err := l.wal.Info(handle)
	if err != nil {
		return nil, fromNative(err)
	}
	p := &Partition{log: l, topic: topic, number: number, handle: handle, next: info.Next}
	for _, t := range l.topics() {
		if t.Name == topic {
			p.recordMax = t.RecordBytesMax
		}
	}
	if p.recordMax == 0 {
		p.recordMax = walbody.RecordSizeMax
	}
	l.mu.Lock()
	l.partitions[name{topic, number}] = p
	l.mu.Unlock()
	return p, nil
}

// Topic is a topic with all its partitions, to append by key. Any goroutine.
type Topic struct {
	name       string
	partitions []*Partition
	turn       atomic.Uint32
}

// Topic finds a topic. ErrNotFound: there is none.
func (l *Log) Topic(topic string) (*Topic, error) {
	if _, err := l.Partition(topic, 0); err != nil {
		return nil, err
	}
	topics, err := l.Topics()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(topics, func(info TopicInfo) bool { return info.Name == topic })
	if i < 0 { // the cores of a log that is read only open it one after the other, beside a process that writes
		return nil, errorf(ErrNotFound, "topic %s was created while this log was being opened; open it again", topic)
	}
	t := &Topic{name: topic, partitions: make([]*Partition, topics[i].Partitions)}
	for _, c := range l.cores {
		err := c.do(context.Background(), func() (err error) {
			for i := range t.partitions {
				if err == nil && l.coreOf(topic, i) == c {
					t.partitions[i], err = c.partition(topic, i)
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.name }

// Partitions lists its partitions, by number.
func (t *Topic) Partitions() []*Partition { return append([]*Partition(nil), t.partitions...) }

// For is the partition of a key: number XXH64(key, seed 0) modulo the number of partitions, which a topic
// has for its life. A nil key has none: then partitions take turns.
func (t *Topic) For(key []byte) *Partition {
	if key == nil {
		return t.partitions[t.turn.Add(1)%uint32(len(t.partitions))]
	}
	return t.partitions[xxhash.Sum64(key)%uint64(len(t.partitions))]
}

// Append appends a record to the partition of its key, and says which that was; else as
// Partition.Append. Records that are to be atomic go to one partition: For(key).Append.
func (t *Topic) Append(ctx context.Context, record Record, ack Ack) (p *Partition, offset uint64, err error) {
	p = t.For(record.Key)
	offset, err = p.Append(ctx, Batch{record}, ack)
	return p, offset, err
}

// Sync makes everything durable that was appended to the partition until now.
func (p *Partition) Sync(ctx context.Context) error { return p.log.begin(ctx, p.drain) }

// TruncateHead gives up the records before an offset, durably: readers don't see them any more, and their
// files go when nobody reads them. A *RangeError when it is behind the last record; an offset whose records
// are gone already is fine.
func (p *Partition) TruncateHead(ctx context.Context, offset uint64) error {
	return p.truncate(ctx, offset, p.log.truncateHead, true)
}

// TruncateTail gives up the records from an offset on, durably; the next append gets that offset. Appends
// that are under way come before it. A *RangeError when there is no such offset.
func (p *Partition) TruncateTail(ctx context.Context, offset uint64) error {
	return p.truncate(ctx, offset, p.log.truncateTail, false)
}

func (l *coreLog) truncateHead(p *Partition, offset uint64) error {
	return l.wal.TruncateHead(p.handle, offset)
}
func (l *coreLog) truncateTail(p *Partition, offset uint64) error {
	return l.wal.TruncateTail(p.handle, offset)
}

// truncate has everything that is staged handed over before, so that offsets are what they seem. What is
// durable can be cut from the head beside appends.
func (p *Partition) truncate(ctx context.Context, offset uint64, cut func(*Partition, uint64) error, head bool) error {
	if p.log.options.ReadOnly {
		return errorf(ErrReadOnly, "%s: the log was opened to be read only; open it without ReadOnly to truncate", p)
	}
	return p.log.begin(ctx, func(done func(error)) {
		if info, err := p.log.border.Info(p.handle); head && err == nil && offset <= info.Durable {
			done(p.offsetError(cut(p, offset), offset))
			return
		}
		p.hold(func(release func(), err error) {
			if err == nil {
				err = p.offsetError(cut(p, offset), offset)
			}
			if info, infoErr := p.log.border.Info(p.handle); infoErr == nil {
				p.mu.Lock()
				p.next, p.told = info.Next, min(p.told, info.Next)
				p.mu.Unlock()
			}
			release()
			done(err)
		})
	})
}

// offsetError adds the range to an error about an offset. The driver.
func (p *Partition) offsetError(err error, offset uint64) error {
	if err = fromNative(err); err == nil {
		return nil
	}
	info, infoErr := p.log.wal.Info(p.handle)
	if infoErr != nil || offset >= info.Head && offset <= info.Next {
		return err
	}
	return &RangeError{Offset: offset, Head: info.Head, Next: info.Next, What: p.String()}
}

// OffsetForTime is the first offset of a durable record with that time or a later one; the next offset
// where there is none.
func (p *Partition) OffsetForTime(ctx context.Context, t time.Time) (offset uint64, err error) {
	err = p.log.do(ctx, func() error {
		offset, err = p.log.wal.OffsetForTime(p.handle, t.UnixMicro())
		return fromNative(err)
	})
	return offset, err
}

// Info is the state of a partition.
type Info struct {
	Err              error  // nil, or why nothing can be appended any more
	Head             uint64 // first offset that can be read
	Next             uint64 // that the next append gets
	Written, Durable uint64 // the first offsets that are not
	Segments, Bytes  uint64 // of files
	CutBytes         uint64 // of a torn tail that a crash had left, when the log was opened

	AppendedRecords, AppendedBytes, WrittenBytes uint64 // since the log was opened: encoded, and to the device
}

// Info reads the state of the partition.
func (p *Partition) Info() (info Info, err error) {
	err = p.log.do(context.Background(), func() error {
		n, err := p.log.wal.Info(p.handle)
		if err != nil {
			return fromNative(err)
		}
		info = Info{Head: n.Head, Next: n.Next, Written: n.Written, Durable: n.Durable, Segments: n.Segments,
			Bytes: n.Bytes, CutBytes: n.CutBytes, AppendedRecords: n.AppendedRecords,
			AppendedBytes: n.AppendedBytes, WrittenBytes: n.WrittenBytes}
		if n.Status != 0 {
			info.Err = p.reason(n.Status)
		}
		p.mu.Lock()
		info.Next = max(info.Next, p.next)
		p.mu.Unlock()
		return nil
	})
	return info, err
}

// Stats are a log's counters since it was opened.
type Stats struct {
	Appends   uint64 // that were staged
	HandOvers uint64 // calls into the native library for them
	Waits     uint64 // of appends for memory
}

// Stats reads the counters of all cores together.
func (l *Log) Stats() (sum Stats) {
	for _, s := range l.CoreStats() {
		sum.Appends += s.Appends
		sum.HandOvers += s.HandOvers
		sum.Waits += s.Waits
	}
	return sum
}

// CoreStats reads the counters of each core; Partition.Core says which one a partition is on.
func (l *Log) CoreStats() []Stats {
	stats := make([]Stats, 0, len(l.cores))
	for _, c := range l.cores {
		stats = append(stats, c.Stats())
	}
	return stats
}

// Stats reads the counters of the core.
func (l *coreLog) Stats() Stats {
	return Stats{Appends: l.appends.Load(), HandOvers: l.handOvers.Load(), Waits: l.waits.Load()}
}

// String is the folder and the number of partitions in use.
func (l *Log) String() string {
	used := 0
	for _, c := range l.cores {
		c.mu.Lock()
		used += len(c.partitions)
		c.mu.Unlock()
	}
	return fmt.Sprintf("log %s, %d partitions in use", l.folder, used)
}
