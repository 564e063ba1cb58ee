package wal

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
	"github.com/smf-go/smf/go/internal/walbody"
)

// batchRecordsMax is how many records a reader gives at once.
const batchRecordsMax = 1024

// View reads a partition as far as it promises something. Any goroutine.
type View struct {
	partition *Partition
	sees      Ack
}

// View reads records as soon as they are Written, or Buffered and handed over: what it shows may vanish
// in a crash, and its offsets be given to others. The partition's own methods see what is Durable.
func (p *Partition) View(sees Ack) View { return View{p, sees} }

// Records reads forward from an offset to what is the end when it gets there. See View.Records.
func (p *Partition) Records(ctx context.Context, from uint64) iter.Seq2[Batch, error] {
	return p.View(Durable).Records(ctx, from)
}

// Follow is Records without an end: it waits for more, until the context ends.
func (p *Partition) Follow(ctx context.Context, from uint64) iter.Seq2[Batch, error] {
	return p.View(Durable).Follow(ctx, from)
}

// Read reads records from an offset on. See View.Read.
func (p *Partition) Read(ctx context.Context, from uint64, maxBytes int) (Batch, error) {
	return p.View(Durable).Read(ctx, from, maxBytes)
}

// Records reads forward from an offset (Info.Head to Info.Next) to what is the end when it gets there.
//
// A batch and the memory that its records point to are the loop body's: the next turn of the loop uses
// them again. It has some records, not those of one append. An error is the last thing that comes: a
// *RangeError, ErrDamaged, ErrNotFound (the records were given up meanwhile), ErrClosed, or the context's.
func (v View) Records(ctx context.Context, from uint64) iter.Seq2[Batch, error] {
	return v.read(ctx, from, false)
}

// Follow is Records without an end: it waits for more, until the context ends, or the log is closed.
func (v View) Follow(ctx context.Context, from uint64) iter.Seq2[Batch, error] {
	return v.read(ctx, from, true)
}

func (v View) read(ctx context.Context, from uint64, follow bool) iter.Seq2[Batch, error] {
	return func(yield func(Batch, error) bool) {
		c, err := v.open(ctx, from, follow)
		if err != nil {
			yield(nil, err)
			return
		}
		defer c.close()
		for {
			batch, err := c.next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(batch) == 0 || !yield(batch, nil) {
				return
			}
		}
	}
}

// Read reads records from an offset on: as many as have keys, values and headers of maxBytes together,
// and at least one; none at the end of the log. Their memory is the caller's. Every call begins anew: to
// read on and on take Records.
func (v View) Read(ctx context.Context, from uint64, maxBytes int) (Batch, error) {
	var read Batch
	left := maxBytes
	for batch, err := range v.Records(ctx, from) {
		if err != nil {
			return nil, err
		}
		for _, r := range batch {
			left -= len(r.Key) + len(r.Value)
			for _, h := range r.Headers {
				left -= len(h.Name) + len(h.Value)
			}
			if left < 0 && len(read) > 0 {
				return read, nil
			}
			read = append(read, r.Clone())
		}
		if left <= 0 {
			break
		}
	}
	return read, nil
}

// Clone copies a record with what it points to.
func (r Record) Clone() Record {
	r.Key, r.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	if r.Headers != nil {
		r.Headers = slices.Clone(r.Headers)
		for i := range r.Headers {
			h := &r.Headers[i]
			h.Name, h.Value = slices.Clone(h.Name), slices.Clone(h.Value)
		}
	}
	return r
}

// cursor is a reader at work.
type cursor struct {
	partition *Partition
	follow    bool
	user      uint64
	waiter    turns.Waiter

	// The driver's.
	native  *native.WalReader // nil: closed
	waiting bool              // for news

	// The driver's while the reader waits, else the reader's.
	err   error
	found bool

	// The reader's.
	inRun   bool // there are records that were not given out yet
	bytes   []byte
	records Batch
	headers []Header
}

func (v View) open(ctx context.Context, from uint64, follow bool) (*cursor, error) {
	if err := v.sees.check(); err != nil {
		return nil, err
	}
	l := v.partition.log
	c := &cursor{partition: v.partition, follow: follow, waiter: turns.NewWaiter()}
	err := l.do(ctx, func() error {
		l.nextUser++
		c.user = l.nextUser
		r, err := l.wal.OpenReader(v.partition.handle, from, v.sees.native(), c.user)
		if err != nil {
			return v.partition.offsetError(err, from)
		}
		c.native = r
		l.readers[c.user] = c
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// close ends the reader, also while it waits.
func (c *cursor) close() {
	l := c.partition.log
	l.loop.Do(func() {
		if c.waiting {
			c.waiting = false
			l.loop.Forget()
		}
		c.release()
	})
}

// release frees what the native library has for it, unless the log has done that. The driver.
func (c *cursor) release() {
	l := c.partition.log
	delete(l.readers, c.user)
	if c.native != nil && l.wal != nil {
		c.native.Close()
	}
	c.native = nil
}

// end wakes a reader that waits. The driver.
func (c *cursor) end(err error) {
	if c.waiting {
		c.waiting = false
		c.answer(err)
	}
}

func (c *cursor) answer(err error) {
	l := c.partition.log
	c.err = err
	l.loop.Answer(c.waiter)
	l.loop.Woke()
}

// look asks for the next run. The driver.
func (c *cursor) look() {
	if c.native == nil || c.partition.log.wal == nil {
		c.answer(errClosed)
		return
	}
	found, atEnd, err := c.native.Next()
	switch {
	case err != nil:
		c.answer(fromNative(err))
	case found || atEnd && !c.follow:
		c.found = found
		c.answer(nil)
	default:
		c.waiting = true
	}
}

// readable is called by the driver when there is more.
func (c *cursor) readable() {
	if c.waiting {
		c.waiting = false
		c.look()
	}
}

// next is the next batch; an empty one: that was all.
func (c *cursor) next(ctx context.Context) (Batch, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !c.inRun {
			if err := c.await(ctx); err != nil {
				return nil, err
			}
			if !c.found {
				return nil, nil
			}
		}
		batch, err := c.take()
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
}

// await waits for the next run.
func (c *cursor) await(ctx context.Context) error {
	l := c.partition.log
	if !l.use() { // what the loop is asked now is done before it ends
		return errClosed
	}
	c.found, c.err = false, nil
	l.loop.Expect()
	l.loop.Do(c.look)
	l.unuse()
	if !l.loop.Await(c.waiter, ctx.Done()) {
		return ctx.Err()
	}
	if c.err != nil || !c.found {
		return c.err
	}
	c.bytes, c.inRun = c.bytes[:0], true
	return nil
}

// take takes records out of the run, which is a copy: the native library's memory goes when the log is
// closed.
func (c *cursor) take() (Batch, error) {
	l := c.partition.log
	if !l.use() {
		return nil, errClosed
	}
	defer l.unuse()
	if len(c.bytes) == 0 {
		c.bytes = c.native.CopyRun(c.bytes)
	}
	c.records, c.headers = c.records[:0], c.headers[:0]
	var v native.WalView
	for len(c.records) < batchRecordsMax {
		ok, damaged := c.native.Record(c.bytes, &v)
		if damaged {
			return nil, errorf(ErrDamaged, "%s: a batch has other records than its header says; verify the log", c.partition)
		}
		if !ok {
			c.inRun = false
			break
		}
		if err := c.add(&v); err != nil {
			return nil, err
		}
		if err := c.takeRest(&v); err != nil {
			return nil, err
		}
	}
	return c.records, nil
}

// takeRest takes the records behind v that are in the same batch, without a crossing for each.
func (c *cursor) takeRest(v *native.WalView) error {
	rest, base, left := c.native.Rest(c.bytes)
	size, count := len(rest), uint64(0)
	for len(rest) > 0 && count < left && len(c.records) < batchRecordsMax {
		var r walbody.View
		var err error
		if rest, err = walbody.Next(rest, base, &r); err != nil {
			return errorf(ErrDamaged, "%s: records behind offset %d that no writer makes; verify the log", c.partition, v.Offset)
		}
		*v = native.WalView{Key: r.Key, Value: r.Value, Headers: r.Headers, Offset: v.Offset + 1, Micros: r.Time}
		if err := c.add(v); err != nil {
			return err
		}
		count++
	}
	c.native.Took(count, size-len(rest))
	return nil
}

// add adds a record to the batch.
func (c *cursor) add(v *native.WalView) error {
	headers, err := c.decode(v.Headers)
	if err != nil {
		return err
	}
	c.records = append(c.records, Record{Key: v.Key, Value: v.Value, Headers: headers,
		Time: time.UnixMicro(v.Micros), Offset: v.Offset})
	return nil
}

// decode reads a record's headers.
func (c *cursor) decode(encoded []byte) ([]Header, error) {
	if len(encoded) == 0 {
		return nil, nil
	}
	begin := len(c.headers)
	for len(encoded) > 0 {
		var h Header
		rest, err := walbody.NextHeader(encoded, &h)
		if errors.Is(err, walbody.ErrDamaged) {
			return nil, errorf(ErrDamaged, "%s: headers that no writer makes; verify the log", c.partition)
		}
		c.headers, encoded = append(c.headers, h), rest
	}
	return c.headers[begin:len(c.headers):len(c.headers)], nil
}
