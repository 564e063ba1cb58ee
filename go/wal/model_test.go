package wal_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/smf-go/smf/go/wal"
)

// modelled is a partition as it should be: all that was appended, from the head on.
type modelled struct {
	head    uint64
	records []wal.Record
}

func (m *modelled) next() uint64 { return m.head + uint64(len(m.records)) }

// machine does the same things to a log and to a list.
type machine struct {
	t      *rapid.T
	folder string
	log    *wal.Log
	names  []string
	topics map[string][]*modelled
	clock  int64
}

func (m *machine) open(options wal.Options) {
	var err error
	m.log, err = wal.Open(m.folder, options)
	require.NoError(m.t, err)
}

// pick draws a partition; nil: there is no topic yet.
func (m *machine) pick(t *rapid.T) (*wal.Partition, *modelled) {
	if len(m.names) == 0 {
		t.Skip("no topic")
	}
	name := rapid.SampledFrom(m.names).Draw(t, "topic")
	number := rapid.IntRange(0, len(m.topics[name])-1).Draw(t, "partition")
	p, err := m.log.Partition(name, number)
	require.NoError(t, err)
	return p, m.topics[name][number]
}

var bytesOrNone = rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 40),
	rapid.Map(rapid.IntRange(0, 9000), func(n int) []byte { return make([]byte, n) }))

func (m *machine) draw(t *rapid.T) wal.Batch { return drawBatch(t, &m.clock) }

// drawBatch draws records, whose times go on from a clock.
func drawBatch(t *rapid.T, clock *int64) wal.Batch {
	batch := make(wal.Batch, rapid.IntRange(1, 5).Draw(t, "records"))
	for i := range batch {
		r := &batch[i]
		r.Key = bytesOrNone.Draw(t, "key")
		r.Value = bytesOrNone.Draw(t, "value")
		*clock += int64(rapid.IntRange(-3, 1000).Draw(t, "later"))
		r.Time = time.UnixMicro(*clock)
		for range rapid.IntRange(0, 2).Draw(t, "headers") {
			r.Headers = append(r.Headers, wal.Header{
				Name:  rapid.SliceOfN(rapid.Byte(), 1, 10).Draw(t, "name"),
				Value: bytesOrNone.Draw(t, "header"),
			})
		}
	}
	return batch
}

func (m *machine) createTopic(t *rapid.T) {
	name := rapid.StringMatching("[a-c]").Draw(t, "name")
	config := wal.TopicConfig{Partitions: rapid.IntRange(1, 3).Draw(t, "partitions"), SegmentBytes: 64 << 10}
	err := m.log.CreateTopic(name, config)
	if m.topics[name] != nil {
		require.ErrorIs(t, err, wal.ErrExists)
		return
	}
	require.NoError(t, err)
	m.names = append(m.names, name)
	for range config.Partitions {
		m.topics[name] = append(m.topics[name], &modelled{})
	}
}

func (m *machine) append(t *rapid.T) {
	p, model := m.pick(t)
	batch := m.draw(t)
	first, err := p.Append(context.Background(), batch, wal.Ack(rapid.IntRange(0, 2).Draw(t, "ack")))
	require.NoError(t, err)
	require.Equal(t, model.next(), first)
	model.append(batch)
}

func (m *modelled) append(batch wal.Batch) {
	for _, r := range batch {
		r.Offset = m.next()
		m.records = append(m.records, r)
	}
}

// appendMany does not wait between appends.
func (m *machine) appendMany(t *rapid.T) {
	p, model := m.pick(t)
	count := rapid.IntRange(1, 30).Draw(t, "appends")
	told := make(chan error, count)
	for range count {
		batch := m.draw(t)
		want := model.next()
		err := p.AppendAsync(context.Background(), batch, wal.Ack(rapid.IntRange(0, 2).Draw(t, "ack")), func(first uint64, err error) {
			if err == nil && first != want {
				err = fmt.Errorf("offset %d, not %d", first, want)
			}
			told <- err
		})
		require.NoError(t, err)
		model.append(batch)
	}
	for range count {
		require.NoError(t, <-told)
	}
}

// read compares some records, from any offset.
func (m *machine) read(t *rapid.T) {
	p, model := m.pick(t)
	require.NoError(t, p.Sync(context.Background()))
	from := uint64(rapid.IntRange(0, int(model.next())+1).Draw(t, "from"))
	if from < model.head || from > model.next() {
		var e *wal.RangeError
		_, err := p.Read(context.Background(), from, 1)
		require.ErrorAs(t, err, &e)
		require.Equal(t, []uint64{model.head, model.next()}, []uint64{e.Head, e.Next})
		return
	}
	at := from
	for batch, err := range p.Records(context.Background(), from) {
		require.NoError(t, err)
		for _, r := range batch {
			model.same(t, at, r)
			at++
		}
	}
	require.Equal(t, model.next(), at)
}

func (m *modelled) same(t *rapid.T, at uint64, got wal.Record) {
	require.Less(t, at, m.next())
	want := m.records[at-m.head]
	require.True(t, want.Time.Equal(got.Time), "%v and %v", want.Time, got.Time)
	want.Time = got.Time
	require.Equal(t, want, got)
}

func (m *machine) readSome(t *rapid.T) {
	p, model := m.pick(t)
	require.NoError(t, p.Sync(context.Background()))
	from := model.head + uint64(rapid.IntRange(0, len(model.records)).Draw(t, "from"))
	limit := rapid.IntRange(0, 20000).Draw(t, "limit")
	batch, err := p.Read(context.Background(), from, limit)
	require.NoError(t, err)
	require.Equal(t, from == model.next(), len(batch) == 0)
	for i, r := range batch {
		model.same(t, from+uint64(i), r)
	}
}

func (m *machine) offsetForTime(t *rapid.T) {
	p, model := m.pick(t)
	require.NoError(t, p.Sync(context.Background()))
	micros := rapid.Int64Range(min(0, m.clock)-10, max(0, m.clock)+10).Draw(t, "time")
	if len(model.records) > 0 && rapid.Bool().Draw(t, "of a record") {
		micros = rapid.SampledFrom(model.records).Draw(t, "record").Time.UnixMicro()
	}
	want := model.next()
	for _, r := range model.records {
		if r.Time.UnixMicro() >= micros {
			want = r.Offset
			break
		}
	}
	got, err := p.OffsetForTime(context.Background(), time.UnixMicro(micros))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func (m *machine) truncateHead(t *rapid.T) {
	p, model := m.pick(t)
	offset := uint64(rapid.IntRange(0, int(model.next())+1).Draw(t, "offset"))
	err := p.TruncateHead(context.Background(), offset)
	if offset > model.next() {
		require.ErrorIs(t, err, wal.ErrOutOfRange)
		return
	}
	require.NoError(t, err)
	if offset > model.head {
		model.records = model.records[offset-model.head:]
		model.head = offset
	}
}

func (m *machine) truncateTail(t *rapid.T) {
	p, model := m.pick(t)
	offset := uint64(rapid.IntRange(0, int(model.next())+1).Draw(t, "offset"))
	err := p.TruncateTail(context.Background(), offset)
	if offset < model.head || offset > model.next() {
		require.ErrorIs(t, err, wal.ErrOutOfRange)
		return
	}
	require.NoError(t, err)
	model.records = model.records[:offset-model.head]
}

func (m *machine) reopen(t *rapid.T) {
	require.NoError(t, m.log.Close())
	m.open(wal.Options{Cores: rapid.IntRange(1, 4).Draw(t, "cores")})
}

// check looks at what needs no disk.
func (m *machine) check(t *rapid.T) {
	topics, err := m.log.Topics()
	require.NoError(t, err)
	require.Len(t, topics, len(m.names))
	for _, topic := range topics {
		require.Len(t, m.topics[topic.Name], topic.Partitions)
		for i, model := range m.topics[topic.Name] {
			p, err := m.log.Partition(topic.Name, i)
			require.NoError(t, err)
			info, err := p.Info()
			require.NoError(t, err)
			require.NoError(t, info.Err)
			require.Equal(t, []uint64{model.head, model.next()}, []uint64{info.Head, info.Next}, "%s", p)
			require.LessOrEqual(t, info.Durable, info.Written)
			require.LessOrEqual(t, info.Written, info.Next)
			require.Zero(t, info.CutBytes)
		}
	}
}

// checks sets how many lists are tried, where -rapid.checks says nothing: as many as told, or count.
func checks(t *testing.T, count int, told string) {
	f := flag.Lookup("rapid.checks")
	if f.Value.String() != f.DefValue {
		return
	}
	if told == "" {
		told = strconv.Itoa(count)
	}
	require.NoError(t, f.Value.Set(told), "not a count of lists")
	t.Cleanup(func() { require.NoError(t, f.Value.Set(f.DefValue)) })
}

// The whole API against a list, reopened between steps. -rapid.checks says how many lists.
func TestModel(t *testing.T) {
	checks(t, 25, "") // every step waits for a disk
	root, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		m := &machine{t: t, folder: filepath.Join(root, fmt.Sprint(runs)), topics: map[string][]*modelled{}}
		m.open(wal.Options{Create: true, Linger: time.Millisecond, Cores: rapid.IntRange(1, 4).Draw(t, "cores")})
		defer func() { _ = m.log.Close() }()
		m.createTopic(t)
		t.Repeat(map[string]func(*rapid.T){
			"create topic": m.createTopic, "append": m.append, "append many": m.appendMany, "read": m.read,
			"read some": m.readSome, "offset for time": m.offsetForTime, "truncate head": m.truncateHead,
			"truncate tail": m.truncateTail, "reopen": m.reopen, "": m.check,
		})
	})
}
