package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/smf-go/smf/bench/go/walload"
)

// A file as a program writes one that has no log library: os.File, with one write for every record
// (plain-file: a kill loses nothing) and with a buffer in front of it (plain-bufio: it does). Records are
// those of the other plain logs. With Recycle it starts over at the beginning, which keeps nothing, and is as
// cheap as can be.

func init() {
	for name, buffered := range map[string]bool{"plain-file": false, "plain-bufio": true} {
		contenders = append(contenders, walload.Contender{
			Name: name,
			Open: func(folder string, o walload.Options) (walload.Log, error) { return openFile(folder, o, buffered) },
			Read: readFile,
		})
	}
}

const bufioBytes = 64 << 10

type fileLog struct {
	mu      sync.Mutex
	file    *os.File
	buffer  *bufio.Writer // nil: none
	scratch []byte
	options walload.Options
	written int64
	failed  error
}

func openFile(folder string, o walload.Options, buffered bool) (walload.Log, error) {
	flags := os.O_RDWR | os.O_CREATE
	if !o.Recycle {
		flags |= os.O_APPEND
	}
	file, err := os.OpenFile(filepath.Join(folder, "log"), flags, 0o644)
	if err != nil {
		return nil, err
	}
	l := &fileLog{file: file, options: o}
	if buffered {
		l.buffer = bufio.NewWriterSize(file, bufioBytes)
	}
	return l, nil
}

func (l *fileLog) Write(batch [][]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = l.put(batch)
	}
	return l.failed
}

func (l *fileLog) put(batch [][]byte) error {
	if l.buffer == nil {
		l.scratch = l.scratch[:0]
	}
	for _, record := range batch {
		var header [recordHeaderBytes]byte
		putRecordHeader(header[:], record)
		l.written += int64(len(header) + len(record))
		if l.buffer == nil {
			l.scratch = append(append(l.scratch, header[:]...), record...)
			continue
		}
		if _, err := l.buffer.Write(header[:]); err != nil {
			return err
		}
		if _, err := l.buffer.Write(record); err != nil {
			return err
		}
	}
	if l.buffer == nil {
		if _, err := l.file.Write(l.scratch); err != nil {
			return err
		}
	}
	if l.options.Recycle && l.written > 2*l.options.SegmentBytes {
		return l.startOver()
	}
	return nil
}

func (l *fileLog) startOver() error {
	if l.buffer != nil {
		if err := l.buffer.Flush(); err != nil {
			return err
		}
	}
	l.written = 0
	_, err := l.file.Seek(0, io.SeekStart)
	return err
}

func (l *fileLog) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = l.sync()
	}
	return l.failed
}

func (l *fileLog) sync() error {
	if l.buffer != nil {
		if err := l.buffer.Flush(); err != nil {
			return err
		}
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	time.Sleep(l.options.FlushDelay)
	return nil
}

func (l *fileLog) Append(batch [][]byte) error { return errors.Join(l.Write(batch), l.Sync()) }

func (l *fileLog) Close() error { return errors.Join(l.Sync(), l.file.Close()) }

func readFile(folder string, _ walload.Options, visit func([]byte) error) error {
	file, err := os.Open(filepath.Join(folder, "log"))
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<20)
	var record []byte
	for number := 0; ; number++ {
		var header [recordHeaderBytes]byte
		_, err := io.ReadFull(in, header[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", number, err)
		}
		size := int(binary.LittleEndian.Uint32(header[:]))
		if size > groupBytes {
			return fmt.Errorf("record %d has %d bytes", number, size)
		}
		record = append(record[:0], make([]byte, size)...)
		if _, err := io.ReadFull(in, record); err != nil {
			return fmt.Errorf("record %d: %w", number, err)
		}
		if crc32.Checksum(record, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
			return fmt.Errorf("record %d is damaged", number)
		}
		if err := visit(record); err != nil {
			return err
		}
	}
}
