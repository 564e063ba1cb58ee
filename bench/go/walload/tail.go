package walload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// tailPatience is how long a reader may take for what is left when the writers have ended.
const tailPatience = 20 * time.Second

// tailer reads what the writers append, and checks it.
type tailer struct {
	crew    *crew
	checker *Checker
	records atomic.Int64
	behind  *hdrhistogram.Histogram // from append to reader
}

// visit is called with every record.
func (t *tailer) visit(record []byte, appended time.Time) error {
	if err := t.checker.Visit(record); err != nil {
		return err
	}
	if t.crew.phase.Load() == measuring {
		_ = t.behind.RecordValue(max(0, min(int64(time.Since(appended)), int64(time.Minute))))
	}
	t.records.Add(1)
	return nil
}

// tail measures writers and a reader that follows them. Latencies are the reader's: from an append to when
// its record was seen.
func tail(j job, out io.Writer) (err error) {
	log, _, err := j.openFull()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	followed, ok := log.(Followed)
	if !ok {
		return fmt.Errorf("tail: %s can't be read while it is written", j.contender.Name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run, err := followed.Follow(ctx)
	if err != nil {
		return err
	}
	c := &crew{every: 1}
	t := &tailer{crew: c, checker: NewChecker(j.size), behind: hdrhistogram.New(50, int64(time.Minute), 2)}
	ended := make(chan error, 1)
	go func() { ended <- run(t.visit) }()
	c.startAll(j, log, Appender.Append)
	time.Sleep(time.Duration(j.warmup * 1e9))
	began, seen := time.Now(), t.records.Load()
	j.warmup = 0
	m, err := c.watch(j)
	if err != nil {
		return err
	}
	m.Wal.TailedPerSecond = float64(t.records.Load()-seen) / time.Since(began).Seconds()
	if _, err := c.latencies(); err != nil {
		return err
	}
	if err := t.catchUp(c.records(), ended); err != nil {
		return err
	}
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	m.First.LatencyUS = latencyOf(t.behind)
	return printJSON(out, m)
}

// catchUp waits until the reader has seen every record.
func (t *tailer) catchUp(records int64, ended chan error) error {
	for late := time.After(tailPatience); t.records.Load() < records; {
		select {
		case err := <-ended:
			return errors.Join(errors.New("the reader ended before the writers"), err)
		case <-late:
			return fmt.Errorf("the reader has seen %d of %d records", t.records.Load(), records)
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}
