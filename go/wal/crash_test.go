package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/smf-go/smf/go/wal"
)

// The whole API against a list, with crashes: the log is in a process that is killed while it does what
// it was told, or while it opens the log.

// crasher does the same things to a log that may be killed and to a list.
type crasher struct {
	t       *rapid.T
	folder  string
	process *process
	topics  map[string]*keptTopic
	names   []string
	clock   int64
	number  int
}

type keptTopic struct {
	config     wal.TopicConfig
	partitions []*kept
	certain    bool
}

// told is an order with what has to come of it. Lists have it done already, and so far every order's
// answer follows from those before; what is under way at a crash has none.
type told struct {
	order
	check func(a answer) // of an answer without an error, or with the one that is expected
	fails func(a answer) bool
}

func (c *crasher) answered(o *told, a answer) {
	require.Equal(c.t, o.Number, a.Number)
	if o.fails != nil {
		require.NotEmpty(c.t, a.Error, "%s has to fail", o.Do)
		require.True(c.t, o.fails(a), "%s: %s", o.Do, a.Error)
		return
	}
	require.Empty(c.t, a.Error, "%s", o.Do)
	if o.check != nil {
		o.check(a)
	}
}

func drawOptions(t *rapid.T) wal.Options {
	return wal.Options{
		Create:    true,
		Cores:     rapid.IntRange(1, 4).Draw(t, "cores"),
		Linger:    rapid.SampledFrom([]time.Duration{time.Millisecond, 20 * time.Millisecond, time.Minute}).Draw(t, "linger"),
		Disk:      rapid.SampledFrom([]string{"", "posix"}).Draw(t, "disk"),
		PageCache: rapid.Float64().Draw(t, "page cache") > 0.8,
	}
}

// open starts a process that opens the log, kills it in the middle of that if it is to, and compares what is there.
func (c *crasher) open(t *rapid.T) {
	for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "crashes while opening") {
		p := startChild(t, c.folder)
		_ = p.orders.Encode(&order{Do: doOpen, Options: drawOptions(t)})
		time.Sleep(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "microseconds")) * time.Microsecond)
		p.kill()
	}
	c.process = startChild(t, c.folder)
	c.process.do(order{Do: doOpen, Options: drawOptions(t)})
	c.compare(t, c.process.do(order{Do: doTellAll}).Everything)
}

// compare looks at everything that a crash has left.
func (c *crasher) compare(t *rapid.T, all map[string][]content) {
	kept := c.names[:0]
	for _, name := range c.names {
		topic, found := c.topics[name], all[name]
		if found == nil && !topic.certain {
			delete(c.topics, name)
			continue
		}
		kept = append(kept, name)
		topic.certain = true
		require.Len(t, found, len(topic.partitions), "topic %s", name)
		for i, p := range topic.partitions {
			p.recovered(t, found[i])
		}
	}
	c.names = kept
	require.Len(t, all, len(c.names), "topics that nobody has created")
}

// --- orders ----------------------------------------------------------------------------------------

func (c *crasher) createTopic(t *rapid.T) told {
	name := rapid.StringMatching("[a-c]").Draw(t, "name")
	config := wal.TopicConfig{Partitions: rapid.IntRange(1, 3).Draw(t, "partitions"), SegmentBytes: 64 << 10}
	o := told{order: order{Do: doCreate, Topic: name, Config: config}}
	if c.topics[name] != nil {
		o.fails = func(a answer) bool { return a.Exists }
		return o
	}
	topic := &keptTopic{config: config}
	for range config.Partitions {
		topic.partitions = append(topic.partitions, newKept())
	}
	c.topics[name], c.names = topic, append(c.names, name)
	o.check = func(answer) { topic.certain = true }
	return o
}

// pick draws a partition, and makes an order that concerns it.
func (c *crasher) pick(t *rapid.T, do deed) (told, *kept) {
	name := rapid.SampledFrom(c.names).Draw(t, "topic")
	topic := c.topics[name]
	number := rapid.IntRange(0, len(topic.partitions)-1).Draw(t, "partition")
	return told{order: order{Do: do, Topic: name, Partition: number}}, topic.partitions[number]
}

var acks = rapid.Map(rapid.IntRange(0, 2), func(n int) wal.Ack { return wal.Ack(n) })

func (c *crasher) append(t *rapid.T, do deed) told {
	o, k := c.pick(t, do)
	o.Batch, o.Ack = drawBatch(t, &c.clock), acks.Draw(t, "ack")
	if rapid.IntRange(0, 4).Draw(t, "large") == 0 { // files are to fill up
		o.Batch[0].Value = make([]byte, rapid.IntRange(1, 6).Draw(t, "pages")<<12)
	}
	c.appended(&o, k)
	return o
}

func (c *crasher) appended(o *told, k *kept) {
	first := k.next()
	m := k.append(o.Batch)
	o.check = func(a answer) {
		require.Equal(c.t, first, a.Offset)
		if o.Do == doAppendByKey {
			require.Equal(c.t, o.Partition, a.Partition)
		}
		if o.Ack != wal.Buffered {
			k.tailIsCertain(m)
		}
	}
}

func (c *crasher) appendByKey(t *rapid.T) told {
	name := rapid.SampledFrom(c.names).Draw(t, "topic")
	topic := c.topics[name]
	batch := drawBatch(t, &c.clock)[:1]
	batch[0].Key = rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "key")
	number := int(xxhash.Sum64(batch[0].Key) % uint64(len(topic.partitions)))
	o := told{order: order{Do: doAppendByKey, Topic: name, Partition: number, Batch: batch, Ack: acks.Draw(t, "ack")}}
	c.appended(&o, topic.partitions[number])
	return o
}

// anyOffset draws an offset from 0 to one that is not there. Such ones fail.
func (o *told) anyOffset(t *rapid.T, k *kept, head uint64) bool {
	o.Offset = uint64(rapid.IntRange(0, int(k.next())+1).Draw(t, "offset"))
	want := wal.RangeError{Offset: o.Offset, Head: k.head(), Next: k.next(), What: fmt.Sprintf("%s/%d", o.Topic, o.Partition)}
	if o.Offset < head || o.Offset > k.next() {
		o.fails = func(a answer) bool { return a.Range != nil && *a.Range == want }
	}
	return o.fails == nil
}

func (c *crasher) cutHead(t *rapid.T) told {
	o, k := c.pick(t, doCutHead)
	if o.anyOffset(t, k, 0) {
		m := k.cutHead(o.Offset)
		o.check = func(answer) { k.headIsCertain(m) }
	}
	return o
}

func (c *crasher) cutTail(t *rapid.T) told {
	o, k := c.pick(t, doCutTail)
	if o.anyOffset(t, k, k.head()) {
		m := k.cutTail(o.Offset)
		o.check = func(answer) { k.tailIsCertain(m) }
	}
	return o
}

func (c *crasher) read(t *rapid.T, do deed) told {
	o, k := c.pick(t, do)
	o.Limit = rapid.IntRange(0, 20_000).Draw(t, "limit")
	if !o.anyOffset(t, k, k.head()) {
		return o
	}
	m, want := k.mark(), k.records()
	o.check = func(a answer) {
		isRead(c.t, want, o.Offset, a.Records)
		if do == doReadAll {
			require.Len(c.t, a.Records, len(want)-int(o.Offset))
		} else {
			require.Equal(c.t, o.Offset == uint64(len(want)), len(a.Records) == 0)
		}
		k.tailIsCertain(m)
	}
	return o
}

// peek reads what can be seen without making it durable before. What is durable stays.
func (c *crasher) peek(t *rapid.T) told {
	o, k := c.pick(t, doPeek)
	o.Ack = acks.Draw(t, "sees")
	o.Offset = k.head()
	want := k.records()
	o.check = func(a answer) {
		isRead(c.t, want, o.Offset, a.Records)
	}
	return o
}

func (c *crasher) findTime(t *rapid.T) told {
	o, k := c.pick(t, doFindTime)
	o.Micros = rapid.Int64Range(min(0, c.clock)-10, max(0, c.clock)+10).Draw(t, "time")
	if all := k.records()[k.head():]; len(all) > 0 && rapid.Bool().Draw(t, "of a record") {
		o.Micros = rapid.SampledFrom(all).Draw(t, "record").Time.UnixMicro()
	}
	m, want := k.mark(), k.firstSince(o.Micros)
	o.check = func(a answer) {
		require.Equal(c.t, want, a.Offset)
		k.tailIsCertain(m)
	}
	return o
}

func (c *crasher) sync(t *rapid.T) told {
	o, k := c.pick(t, doSync)
	m := k.mark()
	o.check = func(answer) { k.tailIsCertain(m) }
	return o
}

func (c *crasher) tellState(t *rapid.T) told {
	o, k := c.pick(t, doTellState)
	want := []uint64{k.head(), k.next()}
	o.check = func(a answer) {
		require.Empty(c.t, a.State.Error)
		require.Equal(c.t, want, []uint64{a.State.Head, a.State.Next})
		require.LessOrEqual(c.t, a.State.Durable, a.State.Written)
		require.LessOrEqual(c.t, a.State.Written, a.State.Next)
	}
	return o
}

func (c *crasher) reopen(t *rapid.T) told {
	marks := map[*kept]mark{}
	for _, topic := range c.topics {
		for _, k := range topic.partitions {
			marks[k] = k.mark()
		}
	}
	return told{order: order{Do: doReopen, Options: drawOptions(t)}, check: func(answer) {
		for k, m := range marks {
			k.isCertain(m)
		}
	}}
}

// drawOrders draws what is done in one piece. Appends that do not wait are what is under way at a crash.
func (c *crasher) drawOrders(t *rapid.T) (all []*told) {
	for range rapid.IntRange(1, 25).Draw(t, "orders") {
		var o told
		switch what := rapid.IntRange(0, 30).Draw(t, "what"); {
		case what == 30 || len(c.names) == 0:
			o = c.createTopic(t)
		case what == 29:
			o = c.reopen(t)
		case what >= 27:
			o = c.cutTail(t)
		case what >= 25:
			o = c.cutHead(t)
		case what >= 23:
			o = c.read(t, doRead)
		case what >= 21:
			o = c.read(t, doReadAll)
		case what == 20:
			o = c.peek(t)
		case what == 19:
			o = c.findTime(t)
		case what == 18:
			o = c.sync(t)
		case what == 17:
			o = c.tellState(t)
		case what >= 15:
			o = c.appendByKey(t)
		case what >= 12:
			o = c.append(t, doAppend)
		default:
			o = c.append(t, doAppendAsync)
		}
		c.number++
		o.Number = c.number
		all = append(all, &o)
	}
	return all
}

// --- steps -----------------------------------------------------------------------------------------

// feed gives orders to the process. It may be killed meanwhile.
func (c *crasher) feed(all []*told) (fed chan struct{}) {
	fed = make(chan struct{})
	p := c.process
	go func() {
		defer close(fed)
		for _, o := range all {
			if p.orders.Encode(&o.order) != nil {
				return
			}
		}
	}()
	return fed
}

// underWay are orders without an answer, by number.
type underWay map[int]*told

func (c *crasher) begin(all []*told) (underWay, chan struct{}) {
	u := underWay{}
	for _, o := range all {
		u[o.Number] = o
	}
	return u, c.feed(all)
}

func (c *crasher) take(u underWay, a answer) {
	o := u[a.Number]
	require.NotNil(c.t, o, "an answer to nothing, or the second")
	delete(u, a.Number)
	c.answered(o, a)
}

// carryOut has everything done that is drawn.
func (c *crasher) carryOut(t *rapid.T) {
	u, fed := c.begin(c.drawOrders(t))
	for len(u) > 0 {
		c.take(u, c.process.next())
	}
	<-fed
}

// crash kills the process after so many answers and a while, which is not always the same.
func (c *crasher) crash(t *rapid.T) {
	all := c.drawOrders(t)
	answers := rapid.IntRange(0, len(all)).Draw(t, "answers")
	micros := rapid.IntRange(0, 3000).Draw(t, "microseconds")
	beside := rapid.Bool().Draw(t, "look beside")
	u, fed := c.begin(all)
	for range answers {
		c.take(u, c.process.next())
	}
	time.Sleep(time.Duration(micros) * time.Microsecond)
	for _, a := range c.process.kill() {
		c.take(u, a)
	}
	<-fed
	if !beside {
		c.open(t)
		return
	}
	seen := c.lookBeside(t)
	c.open(t)
	for name, partitions := range seen {
		require.NotNil(t, c.topics[name], "topic %s was seen and is gone", name)
		for i, k := range c.topics[name].partitions {
			require.LessOrEqual(t, partitions[i].Head, k.head())
			isRead(t, k.records(), partitions[i].Head, partitions[i].Records)
		}
	}
}

// lookBeside reads what another process may see.
func (c *crasher) lookBeside(t *rapid.T) map[string][]content {
	log, err := wal.Open(c.folder, wal.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	all, err := everything(log)
	require.NoError(t, err)
	return all
}

// seeBeside looks while the log is open to be written. What it sees stays.
func (c *crasher) seeBeside(t *rapid.T) {
	seen := c.lookBeside(t)
	require.Len(t, seen, len(c.names))
	for name, partitions := range seen {
		for i, k := range c.topics[name].partitions {
			require.Empty(t, partitions[i].Error)
			require.Equal(t, k.head(), partitions[i].Head)
			isRead(t, k.records(), k.head(), partitions[i].Records)
			k.wasSeen(k.head() + uint64(len(partitions[i].Records)))
		}
	}
}

// end closes the log and ends its process, another one opens it.
func (c *crasher) end(t *rapid.T) {
	c.process.do(order{Do: doClose})
	for _, topic := range c.topics {
		for _, k := range topic.partitions {
			k.isCertain(k.mark())
		}
	}
	require.Empty(t, c.process.kill())
	c.open(t)
}

// The whole API against a list, with crashes between steps and in the middle of them. SMF_MODELS says how
// many lists.
func TestCrashes(t *testing.T) {
	checks(t, 3, os.Getenv("SMF_MODELS"))
	root, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		c := &crasher{t: t, folder: filepath.Join(root, strconv.Itoa(runs)), topics: map[string]*keptTopic{}}
		defer func() {
			if c.process != nil {
				c.process.kill()
			}
			_ = os.RemoveAll(c.folder)
		}()
		c.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"carry out": c.carryOut, "crash": c.crash, "look beside": c.seeBeside, "end": c.end,
		})
	})
}
