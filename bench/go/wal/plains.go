package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/smf-go/smf/bench/go/walload"
)

// plainLogs are partitions in plain Go: a log for each, with files, groups and a committing goroutine of its
// own. No flush is shared between them, but by the kernel.
type plainLogs struct {
	*plainLog // the first one
	parts     []*plainLog
}

func openPlains(folder string, o walload.Options, dsync bool) (walload.Log, error) {
	l := &plainLogs{}
	for i := range o.Partitions {
		name := filepath.Join(folder, fmt.Sprint(i))
		if err := os.MkdirAll(name, 0o755); err != nil {
			return nil, errors.Join(err, l.Close())
		}
		part, err := openPlain(name, o, dsync)
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.parts = append(l.parts, part)
	}
	l.plainLog = l.parts[0]
	return l, nil
}

func (l *plainLogs) Part(number int) walload.Appender { return l.parts[number] }

func (l *plainLogs) Sync() (err error) {
	for _, part := range l.parts {
		err = errors.Join(err, part.Sync())
	}
	return err
}

func (l *plainLogs) Close() (err error) {
	for _, part := range l.parts {
		err = errors.Join(err, part.Close())
	}
	return err
}

func (l *plainLogs) EncodedBytes() (sum int64, err error) {
	for _, part := range l.parts {
		sum += part.files.encoded.Load()
	}
	return sum, nil
}
