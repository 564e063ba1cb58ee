package walfile

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

const metaNewName = MetaName + ".new"

// MetaPlan is a META that would take the place of a damaged one, or of one that is gone: of what can be read of it,
// and of what segments say of the topics that they belong to.
type MetaPlan struct {
	// Found are the topics that only segments know of.
	Found []FoundTopic
	// Heads are the partitions that begin later than META can tell, since files before that are gone.
	Heads []string
	// Apart are files of these partitions from before what is missing, which may hold records all the same: WriteMeta
	// keeps them under other names. Relative.
	Apart []string
	// Unknown are folders that have no segment to say what they are; relative.
	Unknown []string
	// Unreadable are files whose block 0 can't be read, and why: nothing is told by them.
	Unreadable []string

	meta   *Meta
	unsure map[uint64]bool // topics that may have more partitions than were found
}

// FoundTopic is a topic that META does not tell of.
type FoundTopic struct {
	*Topic
	// Guessed: no state of it can be read. Name and id are those of its files, it has the partitions that have folders,
	// and the rest is what a topic has that is created without saying more.
	Guessed bool
}

// topicFolder is a folder that may be one of a topic.
type topicFolder struct {
	name    string
	numbers []uint32 // of partitions
}

// listTopics lists the folders of topics, by name.
func listTopics(root string) (found []topicFolder, err error) {
	folders, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if !folder.IsDir() || !TopicNameOK(folder.Name()) {
			continue
		}
		partitions, err := os.ReadDir(filepath.Join(root, folder.Name()))
		if err != nil {
			return nil, err
		}
		f := topicFolder{name: folder.Name()}
		for _, partition := range partitions {
			number, err := strconv.ParseUint(partition.Name(), 10, 16)
			if err == nil && partition.IsDir() && partition.Name() == strconv.FormatUint(number, 10) {
				f.numbers = append(f.numbers, uint32(number))
			}
		}
		slices.Sort(f.numbers)
		found = append(found, f)
	}
	return found, nil
}

func partitionFolder(root, topic string, number uint32) string {
	return filepath.Join(root, topic, strconv.Itoa(int(number)))
}

// MetaIsLost says whether a folder has segments of a log, and no META.
func MetaIsLost(folder string) (bool, error) {
	if _, err := os.Lstat(filepath.Join(folder, MetaName)); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	topics, err := listTopics(folder)
	for _, t := range topics {
		for _, number := range t.numbers {
			names, err := listSegments(partitionFolder(folder, t.name, number))
			if err != nil || len(names) > 0 {
				return err == nil, err
			}
		}
	}
	return false, err
}

// NoMeta is what can be read of a META that is gone.
func NoMeta() *Meta {
	return &Meta{heads: map[partitionID]uint64{}, checkpoints: map[partitionID]*Checkpoint{}, items: map[uint64][]byte{},
		gone: map[uint64]bool{}}
}

// PlanMeta says what a new META would hold, in place of the damaged one that m was read of. The caller holds LOCK.
func (r Reading) PlanMeta(m *Meta) (*MetaPlan, error) {
	p := &MetaPlan{unsure: map[uint64]bool{}, meta: &Meta{File: m.File, Topics: slices.Clone(m.Topics), heads: maps.Clone(m.heads),
		checkpoints: maps.Clone(m.checkpoints), items: maps.Clone(m.items), gone: m.gone}}
	folders, err := listTopics(r.Folder)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if err := p.find(r.Folder, folder); err != nil {
			return nil, err
		}
		t := p.meta.Topic(folder.name)
		if t == nil {
			p.Unknown = append(p.Unknown, folder.name)
			continue
		}
		for _, number := range folder.numbers {
			if err := p.begin(r.Folder, t, number); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(p.meta.Topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	return p, nil
}

// Topics is how many the new META would have.
func (p *MetaPlan) Topics() int { return len(p.meta.Topics) }

// SetPartitions gives a topic more partitions than were found, where nothing says how many there were.
func (p *MetaPlan) SetPartitions(topic string, count uint32) error {
	t := p.meta.Topic(topic)
	switch {
	case t == nil:
		return fmt.Errorf("there is no topic %q", topic)
	case count < t.Partitions:
		return fmt.Errorf("%s has %d partitions at least", topic, t.Partitions)
	case count > PartitionsMax:
		return fmt.Errorf("a topic has at most %d partitions", PartitionsMax)
	case count != t.Partitions && !p.unsure[t.ID]:
		return fmt.Errorf("%s has %d partitions, as is known: with more of them keys would go to others", topic, t.Partitions)
	}
	p.setPartitions(t, count)
	return nil
}

func (p *MetaPlan) setPartitions(t *Topic, count uint32) {
	t.Partitions = count
	bytes(p.meta.items[t.ID][itemHeaderSize:]).put32(16, count)
}

// open reads block 0 of a segment. The reader is nil when it is none of this partition.
func (p *MetaPlan) open(folder, topic string, number uint32, name segmentName) (*Reader, error) {
	path := filepath.Join(folder, name.String())
	r, status, err := Open(path)
	if err != nil {
		return nil, err
	}
	file := &r.File
	switch {
	case status == TooNew || status == Unsupported:
		err = fmt.Errorf("%s is of a later format (version %d; %s): mend the log with a newer program", path, file.Version, status)
	case status == Good && file.Kind == KindSegment && file.Partition == number && file.TopicName == topic &&
		file.Number == name.number && file.FirstOffset == name.first:
		return r, nil
	case status == Unreadable:
		text := filepath.Join(topic, strconv.Itoa(int(number)), name.String()) + ": block 0: " + r.Why(status)
		if !slices.Contains(p.Unreadable, text) { // a file may be opened twice
			p.Unreadable = append(p.Unreadable, text)
		}
	}
	r.Close()
	return nil, err
}

// heard is what block 0 of files says of a topic.
type heard struct {
	most    uint32 // the greatest number of a partition
	created int64  // the first file
}

// find looks in a folder for what segments say of their topic.
func (p *MetaPlan) find(root string, f topicFolder) error {
	said, first := map[uint64]heard{}, uint64(0)
	for _, number := range f.numbers {
		folder := partitionFolder(root, f.name, number)
		names, err := listSegments(folder)
		if err != nil {
			return err
		}
		for _, name := range slices.Backward(names) {
			r, err := p.open(folder, f.name, number, name)
			if err != nil {
				return err
			}
			if r == nil {
				continue
			}
			taken, id := p.take(r, f.name, number), r.File.TopicID
			h, ok := said[id]
			if !ok || r.File.Created < h.created {
				h.created = r.File.Created
			}
			h.most = number
			said[id] = h
			if first == 0 {
				first = id
			}
			r.Close()
			if taken {
				break
			}
		}
	}
	t := p.meta.Topic(f.name)
	if t != nil {
		if h, ok := said[t.ID]; ok && h.most >= t.Partitions {
			p.setPartitions(t, h.most+1)
			p.unsure[t.ID] = true
		}
	} else if first != 0 && !p.meta.gone[first] {
		most := f.numbers[len(f.numbers)-1] // also one that holds nothing: keys went to it, or would have
		p.guess(&Topic{ID: first, Created: said[first].created, Partitions: most + 1, Name: f.name})
	}
	return nil
}

// guess takes a topic of which only block 0 of its files tells.
func (p *MetaPlan) guess(t *Topic) {
	const nameAt = 56
	payload := make(bytes, nameAt+len(t.Name))
	payload.put64(0, t.ID)
	payload.put64(8, uint64(t.Created))
	payload.put32(16, t.Partitions)
	payload.put32(48, nameAt)
	payload.put32(52, uint32(len(t.Name)))
	copy(payload[nameAt:], t.Name)
	p.meta.Topics = append(p.meta.Topics, t)
	p.meta.items[t.ID] = itemOf(ItemTopic, payload)
	p.Found = append(p.Found, FoundTopic{t, true})
	p.unsure[t.ID] = true
}

// begin finds where a partition begins, from its last file to its first.
func (p *MetaPlan) begin(root string, t *Topic, number uint32) error {
	folder := partitionFolder(root, t.Name, number)
	names, err := listSegments(folder)
	if err != nil {
		return err
	}
	var first *File
	for _, name := range slices.Backward(names) {
		if first != nil && name.number != first.Follows.Number() {
			continue
		}
		r, err := p.open(folder, t.Name, number, name)
		if err != nil {
			return err
		}
		var file File
		if r != nil {
			file = r.File
			r.Close()
		}
		if file.TopicID == t.ID {
			first = &file
		} else if first != nil {
			return nil // damage, which is for Cut to deal with
		}
	}
	at := partitionID{t.ID, number}
	if first == nil || first.Follows == 0 || p.meta.heads[at] >= first.FirstOffset {
		return nil
	}
	// What it follows is gone: what was deleted last for a head begins behind it.
	p.meta.heads[at] = first.FirstOffset
	p.Heads = append(p.Heads, fmt.Sprintf("%s/%d begins at offset %d: the file before is not there", t.Name, number, first.FirstOffset))
	for _, name := range names {
		if name.number < first.Number {
			p.Apart = append(p.Apart, filepath.Join(t.Name, strconv.Itoa(int(number)), name.String()))
		}
	}
	return nil
}

// take takes a topic from the state batch of a segment, if META does not have it. True: the topic is known.
func (p *MetaPlan) take(r *Reader, topic string, number uint32) bool {
	id := r.File.TopicID
	known := p.meta.Topic(topic)
	if known != nil && (known.ID != id || number < known.Partitions) {
		return known.ID == id
	}
	found, status, err := r.Next()
	if err != nil || status != Good || found.Kind != KindState || p.meta.gone[id] {
		return false
	}
	for body := found.Body(); len(body) > 0; {
		item, rest, status := NextItem(body)
		if status == OutOfRange {
			return false
		}
		if t := item.Topic; t != nil && t.ID == id && t.Name == topic && number < t.Partitions {
			p.meta.forget(id)
			p.Found = slices.DeleteFunc(p.Found, func(f FoundTopic) bool { return f.ID == id })
			p.meta.Topics = append(p.meta.Topics, t)
			p.Found = append(p.Found, FoundTopic{Topic: t})
			p.meta.items[id] = slices.Clone(item.Raw)
			return true
		}
		body = rest
	}
	return false
}

// WriteMeta puts the new META in the place of the old one. It keeps that, where there is one, and the plan's files that are apart, under
// other names, which it returns. A crash leaves one META or the other.
func (r Reading) WriteMeta(p *MetaPlan) (aside []string, err error) {
	data, err := p.encode()
	if err != nil {
		return nil, err
	}
	// Names first: files before the head are deleted by the next process that opens the log.
	for _, path := range p.Apart {
		name, err := keepAside(filepath.Join(r.Folder, path))
		if err != nil {
			return aside, err
		}
		aside = append(aside, filepath.Join(filepath.Dir(path), name))
		if err := syncPath(filepath.Join(r.Folder, filepath.Dir(path))); err != nil {
			return aside, err
		}
	}
	path, made := filepath.Join(r.Folder, MetaName), filepath.Join(r.Folder, metaNewName)
	if err := os.WriteFile(made, data, fileMode); err != nil {
		return aside, err
	}
	if err := syncPath(made); err != nil {
		return aside, err
	}
	name, err := keepAside(path)
	switch {
	case err == nil:
		aside = append(aside, name)
	case !errors.Is(err, fs.ErrNotExist): // where it was lost there is none
		return aside, err
	}
	if err := os.Rename(made, path); err != nil {
		return aside, err
	}
	if err := syncPath(r.Folder); err != nil {
		return aside, err
	}
	for _, path := range p.Apart {
		if err := os.Remove(filepath.Join(r.Folder, path)); err != nil {
			return aside, err
		}
	}
	return aside, nil
}

// encode is the new META's bytes.
func (p *MetaPlan) encode() ([]byte, error) {
	file := File{Kind: KindMetadata, Number: p.meta.File.Number + 1, BlockBytes: blockNoFile,
		TopicID: p.meta.File.TopicID, ID: randomID(), Created: time.Now().UnixMicro()}
	if file.TopicID == 0 {
		file.TopicID = randomID()
	}
	head, ok := file.Encode()
	if !ok {
		return nil, errors.New("META has used up all of its numbers")
	}
	data := make([]byte, file.BlockBytes)
	copy(data, head)
	prev := uint32(0)
	for _, item := range p.items() {
		b := Batch{Kind: KindMeta, PrevCRC: prev, BaseTime: file.Created, MaxTime: file.Created}
		batch, ok := b.Encode(item, &file, int64(len(data)))
		if !ok {
			return nil, errors.New("META can't be encoded")
		}
		prev = b.HeaderCRC
		data = append(data, batch...)
	}
	return append(data, make([]byte, roundUp(int64(len(data)), int64(file.BlockBytes))-int64(len(data)))...), nil
}

// items are those of the new META. No checkpoint is clean: that may have been taken back where META is damaged.
func (p *MetaPlan) items() (items [][]byte) {
	for _, t := range p.meta.Topics {
		items = append(items, p.meta.items[t.ID])
		for number := range t.Partitions {
			if head := p.meta.Head(t, number); head > 0 {
				payload := make(bytes, 24)
				payload.put64(0, t.ID)
				payload.put32(8, number)
				payload.put64(16, head)
				items = append(items, itemOf(ItemHead, payload))
			}
			if c := p.meta.Checkpoint(t, number); c != nil {
				payload := make(bytes, 40)
				payload.put64(0, t.ID)
				payload.put32(8, number)
				payload.put64(16, uint64(c.End))
				payload.put64(24, c.NextOffset)
				payload.put32(32, c.PrevCRC)
				items = append(items, itemOf(ItemCheckpoint, payload))
			}
		}
	}
	return items
}

func itemOf(kind uint16, payload []byte) []byte {
	item := make(bytes, itemHeaderSize+roundUp(int64(len(payload)), alignment))
	item.put32(0, uint32(len(payload)))
	item.put16(4, kind)
	copy(item[itemHeaderSize:], payload)
	return item
}

func randomID() uint64 {
	var id [8]byte
	for binary.LittleEndian.Uint64(id[:]) == 0 {
		_, _ = rand.Read(id[:]) // never fails
	}
	return binary.LittleEndian.Uint64(id[:])
}
