package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"github.com/smf-go/smf/bench/go/walload"
)

// Pebble's log, by LogData: records go to the log and nowhere else. A memtable has one file of the log, so a
// flush of the memtable, in which there is next to nothing, is what makes Pebble go to the next file and use
// an old one again.
var pebbleLog = walload.Contender{
	Name: "pebble", Open: openPebble, Read: readPebble,
	EmptiesAtOpen: "what is in the log goes into tables at open, and LogData nowhere",
}

type pebbleDB struct {
	db      *pebble.DB
	options walload.Options
	written atomic.Int64
}

// quiet is a logger that only keeps Pebble's end of the program.
type quiet struct{}

func (quiet) Infof(string, ...any)                {}
func (quiet) Errorf(string, ...any)               {}
func (quiet) Fatalf(format string, values ...any) { panic(fmt.Sprintf(format, values...)) }

func openPebble(folder string, o walload.Options) (walload.Log, error) {
	options := &pebble.Options{Logger: quiet{}, MemTableSize: uint64(o.SegmentBytes), FormatMajorVersion: pebble.FormatNewest}
	if o.FlushDelay > 0 {
		options.FS = slowFS{FS: vfs.Default, delay: o.FlushDelay}
	}
	db, err := pebble.Open(folder, options)
	if err != nil {
		return nil, err
	}
	return &pebbleDB{db: db, options: o}, nil
}

func (p *pebbleDB) apply(records [][]byte, how *pebble.WriteOptions) error {
	batch := p.db.NewBatch()
	size := int64(0)
	for _, record := range records {
		if err := batch.LogData(record, nil); err != nil {
			return errors.Join(err, batch.Close())
		}
		size += int64(len(record))
	}
	if err := p.db.Apply(batch, how); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := batch.Close(); err != nil {
		return err
	}
	segment := p.options.SegmentBytes
	after := p.written.Add(size)
	if p.options.Recycle && after/segment != (after-size)/segment {
		return p.nextFile()
	}
	return nil
}

func (p *pebbleDB) nextFile() error {
	if err := p.db.Set([]byte("file"), nil, pebble.NoSync); err != nil {
		return err
	}
	_, err := p.db.AsyncFlush()
	return err
}

func (p *pebbleDB) Append(records [][]byte) error { return p.apply(records, pebble.Sync) }
func (p *pebbleDB) Write(records [][]byte) error  { return p.apply(records, pebble.NoSync) }
func (p *pebbleDB) Sync() error                   { return p.db.LogData(nil, pebble.Sync) }
func (p *pebbleDB) Close() error                  { return p.db.Close() }

// EncodedBytes is of batches, without the few bytes around each chunk of 32 KiB.
func (p *pebbleDB) EncodedBytes() (int64, error) { return int64(p.db.Metrics().WAL.BytesIn), nil }

// readPebble reads the files of the log without opening the database. With the package of single files: the
// one that reads whole logs takes all LogData but the first for repetitions.
func readPebble(folder string, _ walload.Options, visit func([]byte) error) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		number, _, ok := wal.ParseLogFilename(entry.Name())
		if !ok {
			continue
		}
		if err := readFile(filepath.Join(folder, entry.Name()), uint64(number), visit); err != nil {
			return err
		}
	}
	return nil
}

// numbered is record.NewReader: the type of its number has no name outside of Pebble.
func numbered[N ~uint64](make func(io.Reader, N) *record.Reader, in io.Reader, number uint64) *record.Reader {
	return make(in, N(number))
}

func readFile(path string, number uint64, visit func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader := numbered(record.NewReader, bufio.NewReaderSize(file, 1<<20), number)
	var batch bytes.Buffer
	for {
		in, err := reader.Next()
		if errors.Is(err, io.EOF) || record.IsInvalidRecord(err) { // the end of the log, as for Pebble itself
			return nil
		}
		if err != nil {
			return err
		}
		batch.Reset()
		if _, err := batch.ReadFrom(in); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) || record.IsInvalidRecord(err) {
				return nil
			}
			return err
		}
		if err := visitBatch(batch.Bytes(), visit); err != nil {
			return err
		}
	}
}

// visitBatch goes through the LogData of a batch. Pebble's own reader of batches passes over them.
func visitBatch(batch []byte, visit func([]byte) error) error {
	const kindLogData = 3
	if len(batch) < batchrepr.HeaderLen {
		return errors.New("a batch without a header")
	}
	for rest := batch[batchrepr.HeaderLen:]; len(rest) > 0; {
		kind := rest[0]
		if kind != kindLogData {
			return nil // a file's first record, of the database itself
		}
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || uint64(len(rest)-1-n) < size {
			return errors.New("a batch that is cut off")
		}
		if size > 0 { // else: a Sync
			if err := visit(rest[1+n:][:size]); err != nil {
				return err
			}
		}
		rest = rest[1+n:][size:]
	}
	return nil
}

// slowFS makes every flush of a log file take longer.
type slowFS struct {
	vfs.FS
	delay time.Duration
}

func (s slowFS) slow(name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil || filepath.Ext(name) != ".log" {
		return file, err
	}
	return slowFile{File: file, delay: s.delay}, nil
}

func (s slowFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.Create(name, category)
	return s.slow(name, file, err)
}

func (s slowFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := s.FS.ReuseForWrite(from, to, category)
	return s.slow(to, file, err)
}

type slowFile struct {
	vfs.File
	delay time.Duration
}

func (s slowFile) Sync() error {
	err := s.File.Sync()
	time.Sleep(s.delay)
	return err
}

func (s slowFile) SyncData() error {
	err := s.File.SyncData()
	time.Sleep(s.delay)
	return err
}
