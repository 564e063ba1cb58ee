package walfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Damage is something in a log that should not be so. Paths are relative to the log's folder.
type Damage struct {
	Path     string
	Position int64
	Offset   uint64 // of the first record that it may touch; of META always 0
	Text     string
	Harmless bool // everything can be read all the same
}

// String is one line.
func (d *Damage) String() string {
	return fmt.Sprintf("%s: byte %d, offset %d: %s", d.Path, d.Position, d.Offset, d.Text)
}

// Meta is what META says.
type Meta struct {
	File        File
	Topics      []*Topic // by name
	Items       int
	TornBytes   int64 // behind its end
	heads       map[partitionID]uint64
	checkpoints map[partitionID]*Checkpoint
	items       map[uint64][]byte // of topics, as they stand there
	gone        map[uint64]bool   // topics
}

type partitionID struct {
	topic  uint64
	number uint32
}

// Topic finds a topic, or nil.
func (m *Meta) Topic(name string) *Topic {
	for _, t := range m.Topics {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Head is where a partition begins, and Checkpoint its last one, or nil.
func (m *Meta) Head(t *Topic, partition uint32) uint64 { return m.heads[partitionID{t.ID, partition}] }

// Checkpoint is a partition's last one, or nil.
func (m *Meta) Checkpoint(t *Topic, partition uint32) *Checkpoint {
	return m.checkpoints[partitionID{t.ID, partition}]
}

// ErrNoLog is for a folder that has no META.
var ErrNoLog = errors.New("there is no log")

// ReadMeta reads META. What can't be read of it is among the damages; err is for files that can't be
// opened, and for a log that this version can't read.
func ReadMeta(folder string) (*Meta, []Damage, error) {
	r, status, err := Open(filepath.Join(folder, MetaName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, ErrNoLog
	}
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	m := NoMeta()
	m.File = r.File
	if status == Good && r.File.Kind != KindMetadata {
		status = Misplaced
	}
	switch status {
	case Good:
	case TooNew, Unsupported:
		return nil, nil, fmt.Errorf("%s is of a later format (version %d; %s): read it with a newer program",
			MetaName, r.File.Version, status)
	default:
		return m, []Damage{{Path: MetaName, Text: "block 0: " + r.Why(status)}}, nil
	}
	damages, err := m.read(r)
	slices.SortFunc(m.Topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	return m, damages, err
}

func (m *Meta) read(r *Reader) (damages []Damage, err error) {
	c := checker{path: MetaName, damages: &damages}
	if err := c.blockZero(r); err != nil {
		return damages, err
	}
	for {
		end := r.End
		found, status, err := r.Next()
		if err != nil {
			return append(damages, Damage{Path: MetaName, Position: end, Text: readFailed(err)}), nil
		}
		switch status {
		case Good:
		case Unsupported:
			return damages, fmt.Errorf("%s has a batch at byte %d that needs a later version: read it with a newer program", MetaName, found.Position)
		default:
			behind, err := r.Behind()
			// Wherever it is: who appends to META reads all of it.
			for _, s := range r.window.unreadable(int64(r.File.BlockBytes), FileSizeMax) {
				c.add(r.End, 0, s.String(), false)
			}
			if err == nil && behind.DurableBefore > At(r.File.Number, r.End) {
				c.add(r.End, 0, status.String()+": a batch that was durable is not there", false)
			}
			m.TornBytes = max(0, behind.End-r.End)
			return damages, err
		}
		for body := found.Body(); found.Kind == KindMeta && len(body) > 0; {
			item, rest, status := NextItem(body)
			if status == OutOfRange {
				break
			}
			m.take(&item)
			body = rest
		}
		if err := c.batch(r, end, &found); err != nil {
			return damages, err
		}
	}
}

func (m *Meta) take(i *Item) {
	m.Items++
	switch {
	case i.Topic != nil:
		m.forget(i.Topic.ID)
		m.Topics = append(m.Topics, i.Topic)
		m.items[i.Topic.ID] = slices.Clone(i.Raw)
	case i.TopicGone != 0:
		m.forget(i.TopicGone)
		m.gone[i.TopicGone] = true
	case i.Head != nil:
		m.heads[partitionID{i.Head.TopicID, i.Head.Partition}] = i.Head.Offset
	case i.Checkpoint != nil:
		m.checkpoints[partitionID{i.Checkpoint.TopicID, i.Checkpoint.Partition}] = i.Checkpoint
	}
}

func (m *Meta) forget(id uint64) {
	m.Topics = slices.DeleteFunc(m.Topics, func(t *Topic) bool { return t.ID == id })
}

func readFailed(err error) string { return fmt.Sprintf("can't be read: %s", reasonOf(err)) }

// checker collects damages of one file.
type checker struct {
	path    string
	damages *[]Damage
}

func (c *checker) add(position int64, offset uint64, text string, harmless bool) {
	*c.damages = append(*c.damages, Damage{c.path, position, offset, text, harmless})
}

// blockZero verifies what no checksum covers of block 0.
func (c *checker) blockZero(r *Reader) error {
	data, err := r.window.at(0, FileHeaderSize)
	if err != nil {
		return err
	}
	if !r.File.paddingOK(data) {
		c.add(0, r.File.FirstOffset, "reserved bytes of block 0 are not zero", true)
	}
	for _, s := range r.window.unreadable(FileHeaderSize, int64(r.File.BlockBytes)) {
		c.add(0, r.File.FirstOffset, s.String()+", in the padding of block 0", true)
	}
	return c.zero(r, FileHeaderSize, int64(r.File.BlockBytes), r.File.FirstOffset)
}

// zero verifies padding.
func (c *checker) zero(r *Reader, from, to int64, offset uint64) error {
	ok, err := r.isZero(from, to)
	if err == nil && !ok {
		c.add(from, offset, fmt.Sprintf("padding is not zero (to byte %d)", to), true)
	}
	return err
}

// batch verifies what checksums do not cover: contents, and padding between the batch before it and the
// one behind. before is where the one before it ended.
func (c *checker) batch(r *Reader, before int64, f *Found) error {
	if why := checkContents(f); why != "" {
		c.add(f.Position, f.FirstOffset, why, false)
	}
	end := f.Position + int64(f.HeaderBytes) + int64(f.BodyBytes)
	// The window may move: what is lent is not used any more.
	if f.Position-before < int64(r.File.BlockBytes) {
		if err := c.zero(r, before, f.Position, f.FirstOffset); err != nil {
			return err
		}
	}
	return c.zero(r, end, r.End, r.NextOffset)
}

// segmentName is a file of a partition's folder, by its name.
type segmentName struct {
	number uint32
	first  uint64
}

func (s segmentName) String() string { return SegmentName(s.number, s.first) }

// listSegments lists them by number. A folder that is not there has none.
func listSegments(folder string) ([]segmentName, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []segmentName
	for _, e := range entries {
		if number, first, ok := ParseSegmentName(e.Name()); ok {
			found = append(found, segmentName{number, first})
		}
	}
	slices.SortFunc(found, func(a, b segmentName) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.first, b.first))
	})
	return found, err
}
