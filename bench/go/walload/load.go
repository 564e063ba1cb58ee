package walload

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	warming = iota
	measuring
	over
)

// Of calls that take far less than a microsecond only one in so many is timed.
const timedEvery = 64

// fillTimes is how many of its files a log writes before it is measured: by then those that it writes are
// used again, if it does so at all.
const fillTimes = 3

// crew are the writers of a measurement.
type crew struct {
	append func([][]byte) error
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
	batch     *Records
	latencies *hdrhistogram.Histogram
	err       error
}

func durable(j job, out io.Writer) error {
	return j.measure(out, func(log Log) *crew { return &crew{append: log.Append, every: 1} })
}

func buffered(j job, out io.Writer) error {
	return j.measure(out, func(log Log) *crew { return &crew{append: log.Write, every: timedEvery} })
}

// measure fills a log until its files are used again, then lets writers append, and measures them.
func (j job) measure(out io.Writer, crewOf func(Log) *crew) (err error) {
	j.options.Recycle = true
	log, err := j.contender.Open(j.folder, j.options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	filled, err := j.fillOver(log)
	if err != nil {
		return err
	}
	c := crewOf(log)
	for i := range j.writers {
		c.start(NewRecords(i, j.batch, j.size))
	}
	time.Sleep(time.Duration(j.warmup * 1e9))
	recordsBefore := c.records()
	before, err := takeUsage(j.folder)
	if err != nil {
		return err
	}
	c.phase.Store(measuring)
	time.Sleep(time.Duration(j.seconds * 1e9))
	for c.records() == recordsBefore && !c.failed.Load() { // so slow a log gets as long as it takes
		time.Sleep(time.Millisecond)
	}
	c.phase.Store(over)
	after, err := takeUsage(j.folder)
	if err != nil {
		return err
	}
	records := c.records() - recordsBefore
	c.done.Wait()
	m := result(before, after, records, records*int64(j.size))
	m.Wal.FillWrittenPerByte, m.Wal.FillDevicePerByte = filled.WrittenPerByte, filled.DevicePerByte
	if m.First.LatencyUS, err = c.latencies(); err != nil {
		return err
	}
	return errors.Join(printJSON(out, m), log.Sync())
}

// fillOver writes a log full and over again, and returns what the first two files cost.
func (j job) fillOver(log Log) (f Figures, err error) {
	before, err := takeUsage(j.folder)
	if err != nil {
		return f, err
	}
	b := NewRecords(j.writers, 128, 1024)
	payload := int64(128 * 1024)
	for written := int64(0); written < fillTimes*j.options.SegmentBytes; written += payload {
		if err := log.Append(b.Next()); err != nil {
			return f, err
		}
		if next := written + payload; next >= 2*j.options.SegmentBytes && f.MiBPerSecond == 0 {
			after, err := takeUsage(j.folder)
			if err != nil {
				return f, err
			}
			f = result(before, after, int64(b.number), next).Wal
		}
	}
	return f, nil
}

func (c *crew) records() (sum int64) {
	for _, w := range c.team {
		sum += w.records.Load()
	}
	return sum
}

func (c *crew) start(b *Records) {
	w := &writer{batch: b, latencies: hdrhistogram.New(50, int64(time.Minute), 2)}
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
		if err := c.append(w.batch.Next()); err != nil {
			return err
		}
		if phase == measuring {
			// More than a minute is an error, and is counted as the greatest.
			_ = w.latencies.RecordValue(min(int64(time.Since(start)), int64(time.Minute)))
		}
		for range c.every - 1 {
			if err := c.append(w.batch.Next()); err != nil {
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
	at := func(percent float64) float64 { return float64(all.ValueAtQuantile(percent)) / 1e3 }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(all.Max()) / 1e3}, nil
}
