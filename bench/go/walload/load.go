package walload

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

const (
	warming = iota
	measuring
	over
)

// Of calls that take far less than a microsecond only one in so many is timed.
const timedEvery = 64

// fillTimes is how many of its files a log, or a partition, writes before it is measured: by then those that
// it writes are used again, if it does so at all.
const fillTimes = 3

// fillersMax is how many partitions are filled at a time.
const fillersMax = 8

// crew are the writers of a measurement.
type crew struct {
	every  int // which calls are timed
	phase  atomic.Int32
	failed atomic.Bool // one of them
	team   []*writer
	done   sync.WaitGroup
}

type writer struct {
	_         [64]byte // one writer's counters are not in the other's cache line
	records   atomic.Int64
	_         [64]byte
	append    func([][]byte) error
	batch     *Records
	latencies *hdrhistogram.Histogram
	err       error
}

func durable(j job, out io.Writer) error {
	return j.measure(out, 1, Appender.Append)
}

func buffered(j job, out io.Writer) error {
	return j.measure(out, timedEvery, Appender.Write)
}

// measure fills a log until its files are used again, then lets writers append, and measures them; of every
// so many calls one is timed.
func (j job) measure(out io.Writer, every int, call func(Appender, [][]byte) error) (err error) {
	log, filled, err := j.openFull()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	c := &crew{every: every}
	c.startAll(j, log, call)
	m, err := c.watch(j)
	if err != nil {
		return err
	}
	m.Wal.FillWrittenPerByte, m.Wal.FillDevicePerByte = filled.figures.WrittenPerByte, filled.figures.DevicePerByte
	if m.First.LatencyUS, err = c.latencies(); err != nil {
		return err
	}
	if err := log.Sync(); err != nil {
		return err
	}
	ratio, err := filled.encodedPerByte(log, c.records()*int64(j.size))
	if err != nil {
		return err
	}
	if ratio > 0 {
		m.Wal.WrittenPerEncoded = m.Wal.WrittenPerByte / ratio
	}
	m.Wal.FillWrittenPerEncoded = filled.figures.FillWrittenPerEncoded
	return printJSON(out, m)
}

// filled is what is known of a log that was written full.
type filled struct {
	figures Figures // of its first two files
	encoded int64   // bytes so far; -1: it does not tell
}

// openFull opens a log and writes it full and over again.
func (j job) openFull() (Log, filled, error) {
	j.options.Recycle = true
	before, err := takeUsage(j.folder) // what opening writes, zeroes of a first file perhaps, is of the first fill
	if err != nil {
		return nil, filled{}, err
	}
	log, err := j.contender.Open(j.folder, j.options)
	if err != nil {
		return nil, filled{}, err
	}
	f, err := j.fillOver(log, before)
	if err != nil {
		return nil, f, errors.Join(err, log.Close())
	}
	return log, f, nil
}

func (j job) fillOver(log Log, before usage) (f filled, err error) {
	records, err := j.fillParts(log, 2*j.options.SegmentBytes)
	if err != nil {
		return f, err
	}
	after, err := takeUsage(j.folder)
	if err != nil {
		return f, err
	}
	f.figures = result(before, after, records, records*fillRecordBytes).Wal
	ratio, err := filled{}.encodedPerByte(log, records*fillRecordBytes)
	if err != nil {
		return f, err
	}
	if ratio > 0 {
		f.figures.FillWrittenPerEncoded = f.figures.WrittenPerByte / ratio
	}
	if _, err := j.fillParts(log, (fillTimes-2)*j.options.SegmentBytes); err != nil {
		return f, err
	}
	f.encoded, err = encodedBytes(log)
	return f, err
}

const (
	fillRecordBytes = 1024
	fillBatch       = 128 // records
)

// fillParts appends so many bytes of records to every partition.
func (j job) fillParts(log Log, bytes int64) (records int64, err error) {
	var all errgroup.Group
	all.SetLimit(fillersMax)
	each := (bytes + fillBatch*fillRecordBytes - 1) / (fillBatch * fillRecordBytes)
	for i := range j.options.Partitions {
		part := partOf(log, i)
		all.Go(func() error {
			b := NewRecords(j.writers+i, fillBatch, fillRecordBytes)
			for range each {
				if err := part.Append(b.Next()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return each * fillBatch * int64(j.options.Partitions), all.Wait()
}

// partOf is a partition of a log, or the log.
func partOf(log Log, number int) Appender {
	if parted, ok := log.(Parted); ok {
		return parted.Part(number)
	}
	return log
}

func encodedBytes(log Log) (int64, error) {
	if counted, ok := log.(Counted); ok {
		return counted.EncodedBytes()
	}
	return -1, nil
}

// encodedPerByte is how many bytes the log has made of one of records since then; 0: it does not tell.
func (f filled) encodedPerByte(log Log, payload int64) (float64, error) {
	now, err := encodedBytes(log)
	if err != nil || now < 0 || f.encoded < 0 || payload == 0 {
		return 0, err
	}
	return float64(now-f.encoded) / float64(payload), nil
}

func (c *crew) startAll(j job, log Log, call func(Appender, [][]byte) error) {
	for i := range j.writers {
		part := partOf(log, i%j.options.Partitions)
		c.start(NewRecords(i, j.batch, j.size), func(batch [][]byte) error { return call(part, batch) })
	}
}

// watch measures writers that were started, and waits for their end.
func (c *crew) watch(j job) (m Measurement, err error) {
	time.Sleep(time.Duration(j.warmup * 1e9))
	before, err := takeUsage(j.folder)
	recordsBefore := c.records()
	c.phase.Store(measuring)
	if err == nil {
		time.Sleep(time.Duration(j.seconds * 1e9))
	}
	for c.records() == recordsBefore && !c.failed.Load() { // so slow a log gets as long as it takes
		time.Sleep(time.Millisecond)
	}
	after, afterErr := takeUsage(j.folder)
	records := c.records() - recordsBefore
	c.phase.Store(over)
	c.done.Wait()
	return result(before, after, records, records*int64(j.size)), errors.Join(err, afterErr)
}

func (c *crew) records() (sum int64) {
	for _, w := range c.team {
		sum += w.records.Load()
	}
	return sum
}

func (c *crew) start(b *Records, call func([][]byte) error) {
	w := &writer{batch: b, append: call, latencies: hdrhistogram.New(50, int64(time.Minute), 2)}
	c.team = append(c.team, w)
	c.done.Go(func() {
		if w.err = c.write(w); w.err != nil {
			c.failed.Store(true)
		}
	})
}

func (c *crew) write(w *writer) error {
	for {
		phase := c.phase.Load()
		if phase == over {
			return nil
		}
		start := time.Now()
		if err := w.append(w.batch.Next()); err != nil {
			return err
		}
		if phase == measuring {
			// More than a minute is an error, and is counted as the greatest.
			_ = w.latencies.RecordValue(min(int64(time.Since(start)), int64(time.Minute)))
		}
		for range c.every - 1 {
			if err := w.append(w.batch.Next()); err != nil {
				return err
			}
		}
		w.records.Add(int64(c.every * len(w.batch.records)))
	}
}

// latencies of all writers, or the first error of one.
func (c *crew) latencies() (l Latency, err error) {
	all := hdrhistogram.New(50, int64(time.Minute), 2)
	for _, w := range c.team {
		if w.err != nil {
			return l, w.err
		}
		all.Merge(w.latencies)
	}
	return latencyOf(all), nil
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) / 1e3 }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e3}
}
