package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/bench/go/walload"
)

// The bar: the best log that we can write in little plain Go. Writers encode into a group in memory; one
// goroutine writes what has come together, makes it durable with one flush and wakes them, while the next
// group fills. Files are zero-written and O_DIRECT, so that a flush has no metadata to write.

func init() {
	for name, dsync := range map[string]bool{"plain-fsync": false, "plain-dsync": true} {
		contenders = append(contenders, walload.Contender{
			Name: name,
			Open: func(folder string, o walload.Options) (walload.Log, error) {
				if o.Partitions > 1 {
					return openPlains(folder, o, dsync)
				}
				return openPlain(folder, o, dsync)
			},
			Read:   readPlain,
			Parted: true,
		})
	}
}

const groupBytes = 4 << 20 // of two groups: one fills, the other is written

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ticket is what the writers of a group wait for.
type ticket struct {
	done chan struct{}
	err  error // when done is closed
}

// group is records that become durable together.
type group struct {
	memory   []byte // aligned
	used     int
	records  uint32
	wanted   bool           // somebody has put something there, be it nothing to wait for the others
	encoding sync.WaitGroup // writers that still copy into it
	ticket   *ticket
}

func (g *group) reset() {
	g.used, g.records, g.wanted = groupHeaderBytes, 0, false
	g.ticket = &ticket{done: make(chan struct{})}
}

type plainLog struct {
	files *files // the committer's
	delay time.Duration
	dsync bool

	mu      sync.Mutex
	work    sync.Cond // there are records, or closing
	room    sync.Cond // a group is empty
	filling *group
	spare   *group // nil while it is written
	closing bool
	failed  error
	ended   chan struct{}
}

func openPlain(folder string, o walload.Options, dsync bool) (*plainLog, error) {
	f, err := openFiles(folder, o, dsync)
	if err != nil {
		return nil, err
	}
	l := &plainLog{files: f, delay: o.FlushDelay, dsync: dsync, ended: make(chan struct{})}
	l.work.L, l.room.L = &l.mu, &l.mu
	for _, g := range []**group{&l.filling, &l.spare} {
		memory, err := alignedMemory(groupBytes)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		*g = &group{memory: memory}
		(*g).reset()
	}
	go l.commit()
	return l, nil
}

// put copies records into the group that fills, waiting for room.
func (l *plainLog) put(batch [][]byte) (*ticket, error) {
	size := 0
	for _, record := range batch {
		size += recordHeaderBytes + len(record)
	}
	if size > groupBytes-groupHeaderBytes {
		return nil, fmt.Errorf("a batch of %d bytes is larger than a group", size)
	}
	l.mu.Lock()
	for l.failed == nil && l.filling.used+size > groupBytes {
		l.room.Wait()
	}
	if l.failed != nil {
		l.mu.Unlock()
		return nil, l.failed
	}
	g := l.filling
	at := g.used
	if !g.wanted {
		g.wanted = true
		l.work.Signal()
	}
	g.used += size
	g.records += uint32(len(batch))
	t := g.ticket
	g.encoding.Add(1)
	l.mu.Unlock()
	for _, record := range batch {
		putRecordHeader(g.memory[at:], record)
		at += recordHeaderBytes + copy(g.memory[at+recordHeaderBytes:], record)
	}
	g.encoding.Done()
	return t, nil
}

func (l *plainLog) Write(batch [][]byte) error {
	_, err := l.put(batch)
	return err
}

func (l *plainLog) Append(batch [][]byte) error {
	t, err := l.put(batch)
	if err != nil {
		return err
	}
	<-t.done
	return t.err
}

func (l *plainLog) Sync() error { return l.Append(nil) }

// EncodedBytes counts groups without what fills their last blocks.
func (l *plainLog) EncodedBytes() (int64, error) { return l.files.encoded.Load(), nil }

// commit is the one goroutine that writes. What failed is not tried again: nobody knows what is durable.
func (l *plainLog) commit() {
	defer close(l.ended)
	for {
		l.mu.Lock()
		for !l.filling.wanted && !l.closing {
			l.work.Wait()
		}
		if !l.filling.wanted {
			l.mu.Unlock()
			return
		}
		g := l.filling
		l.filling, l.spare = l.spare, nil
		l.room.Broadcast()
		l.mu.Unlock()
		g.encoding.Wait()
		t := g.ticket
		t.err = l.write(g)
		g.reset()
		l.mu.Lock()
		l.spare = g
		if t.err != nil {
			l.failed = t.err
			l.room.Broadcast()
		}
		l.mu.Unlock()
		close(t.done)
	}
}

func (l *plainLog) write(g *group) error {
	if err := l.files.write(g.memory, g.used, g.records); err != nil {
		return err
	}
	if !l.dsync {
		if err := l.files.flush(); err != nil {
			return err
		}
	}
	if l.delay > 0 {
		time.Sleep(l.delay)
	}
	return nil
}

func (l *plainLog) Close() error {
	l.mu.Lock()
	l.closing = true
	l.work.Signal()
	l.mu.Unlock()
	<-l.ended
	return errors.Join(l.failed, l.files.close(), unix.Munmap(l.filling.memory), unix.Munmap(l.spare.memory))
}
