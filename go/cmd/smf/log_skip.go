package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/smf-go/smf/go/internal/walbody"
	"github.com/smf-go/smf/go/internal/walfile"
	"github.com/smf-go/smf/go/wal"
)

// logSkip prints what can be read of partitions that are damaged, with the reader of files that verify has.
type logSkip struct {
	*logReader
	stderr io.Writer

	begun   bool
	next    uint64 // the offset that comes next, where nothing is missing
	failure error
}

// logReadDamaged is smf log read --skip-damage.
func logReadDamaged(o *logReadOptions, stdout, stderr io.Writer) error {
	if o.follow {
		return wrongUsage(errors.New("--skip-damage prints what is there and ends: leave out --follow"))
	}
	separator, err := parseSeparator(o.separator)
	if err != nil {
		return err
	}
	if err := o.check("read", true); err != nil {
		return err
	}
	lock, err := walfile.LockToRead(o.path)
	switch {
	case errors.Is(err, walfile.ErrLocked): // what it is just writing looks like damage
		return fmt.Errorf("--dir %s: another process writes to the log: stop it first, or leave out --skip-damage", o.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s can't be read, so that nobody can tell whether another process writes to the log: read it as a user who may, or leave out --skip-damage",
			filepath.Join(o.path, walfile.LockName))
	case err != nil:
		return o.explain(reasonOf(err))
	}
	defer lock.Close() // nil: it says so, and that is all
	meta, damages, err := walfile.ReadMeta(o.path)
	if err != nil {
		return o.explain(reasonOf(err))
	}
	t := meta.Topic(o.topic)
	if t == nil && slices.ContainsFunc(damages, isOfMeta) {
		return fmt.Errorf("META is damaged and does not tell of %q: smf log repair --dir %s says what can be saved", o.topic, o.path)
	}
	if t == nil {
		var names []string
		for _, t := range meta.Topics {
			names = append(names, t.Name)
		}
		return o.noTopic(o.topic, names)
	}
	if err := o.verify(wal.TopicInfo{Name: t.Name, TopicConfig: wal.TopicConfig{Partitions: int(t.Partitions)}}); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // writing says so as well
	s := &logSkip{stderr: stderr, logReader: &logReader{options: o, separator: separator,
		out: bufio.NewWriterSize(stdout, lineBufferSize), left: o.count}}
	err = s.read(meta, t)
	if errors.Is(err, errEnough) {
		err = nil
	}
	if flushed := s.flush(); err == nil && !errors.Is(flushed, errEnough) {
		err = flushed
	}
	return err
}

func (s *logSkip) read(meta *walfile.Meta, t *walfile.Topic) error {
	reading := walfile.Reading{Folder: s.options.path, Records: func(p *walfile.Partition, f *walfile.Found, until uint64) {
		if s.failure == nil {
			s.failure = s.batch(p, f, until)
		}
	}}
	for number := range t.Partitions {
		if s.options.partition != allPartitions && number != uint32(s.options.partition) {
			continue
		}
		s.begun = false
		p, err := reading.Check(meta, t, number)
		if err != nil {
			return s.options.explain(reasonOf(err))
		}
		if s.failure != nil {
			return s.failure
		}
		s.begin(p)
		if p.Damaged { // else what a checkpoint tells of was given up
			s.missing(p, p.LostNext)
			s.unknown(p)
		}
	}
	return nil
}

// begin takes the first offset that is wanted.
func (s *logSkip) begin(p *walfile.Partition) {
	if !s.begun {
		s.next = max(p.Head, uint64(max(0, s.options.from)))
	}
	s.begun = true
}

// missing tells that the next record is not the one that would come next.
func (s *logSkip) missing(p *walfile.Partition, next uint64) {
	if next > s.next {
		fmt.Fprintf(s.stderr, "smf: %s/%d: offsets %d to %d can't be read\n", p.Topic.Name, p.Number, s.next, next-1)
	}
}

// unknown tells of damage behind all that was found, where nothing says how much was there.
func (s *logSkip) unknown(p *walfile.Partition) {
	for i := range p.Damages {
		if d := &p.Damages[i]; !d.Harmless && d.Offset >= p.LostNext {
			fmt.Fprintf(s.stderr, "smf: %s/%d: what was written from offset %d on, if anything, can't be read: %s\n",
				p.Topic.Name, p.Number, d.Offset, d)
		}
	}
}

// batch prints those records of a batch that are the log's, and wanted.
func (s *logSkip) batch(p *walfile.Partition, f *walfile.Found, until uint64) error {
	s.begin(p)
	if f.Compression != walfile.CompressionNone {
		return nil
	}
	offset, from := f.FirstOffset, max(p.Head, uint64(max(0, s.options.from)))
	for body := f.Body(); len(body) > 0 && offset < until; offset++ {
		var v walbody.View
		rest, err := walbody.Next(body, f.BaseTime, &v)
		if err != nil {
			return nil // what is missing then is told with the next batch
		}
		body = rest
		if offset < from {
			continue
		}
		s.missing(p, offset)
		s.next = offset + 1
		record := wal.Record{Key: v.Key, Value: v.Value, Time: time.UnixMicro(v.Time), Offset: offset}
		if err := s.write(int(p.Number), wal.Batch{record}); err != nil {
			return err
		}
	}
	return nil
}
