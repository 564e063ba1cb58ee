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

// MetaPlan is a META that would take the place of a damaged one: of what can be read of it, and of what segments
// say of the topics that they belong to.
type MetaPlan struct {
	// Found are the topics that only segments know of.
	Found []string
	// Heads are the partitions that begin later than META can tell, since files before that are gone.
	Heads []string
	// Apart are files of these partitions from before what is missing, which may hold records all the same: WriteMeta
	// keeps them under other names. Relative.
	Apart []string
	// Unknown are folders that have no segment to say what they are; relative.
	Unknown []string

	meta *Meta
}

// PlanMeta says what a new META would hold, in place of the damaged one that m was read of. The caller holds LOCK.
func (r Reading) PlanMeta(m *Meta) (*MetaPlan, error) {
	p := &MetaPlan{meta: &Meta{File: m.File, Topics: slices.Clone(m.Topics), heads: maps.Clone(m.heads),
		checkpoints: maps.Clone(m.checkpoints), items: maps.Clone(m.items), gone: m.gone}}
	folders, err := os.ReadDir(r.Folder)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if !folder.IsDir() || !TopicNameOK(folder.Name()) {
			continue
		}
		partitions, err := os.ReadDir(filepath.Join(r.Folder, folder.Name()))
		if err != nil {
			return nil, err
		}
		known := p.meta.Topic(folder.Name()) != nil
		for _, partition := range partitions {
			number, err := strconv.ParseUint(partition.Name(), 10, 16)
			if err != nil || !partition.IsDir() {
				continue
			}
			found, err := p.partition(r.Folder, folder.Name(), uint32(number))
			if err != nil {
				return nil, err
			}
			known = known || found
		}
		if !known {
			p.Unknown = append(p.Unknown, folder.Name())
		}
	}
	slices.SortFunc(p.meta.Topics, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	return p, nil
}

// partition looks through the files of a folder, from the last one to the first. False: none of them tells which
// topic they belong to.
func (p *MetaPlan) partition(root, topic string, number uint32) (bool, error) {
	folder := filepath.Join(root, topic, strconv.Itoa(int(number)))
	names, err := listSegments(folder)
	if err != nil {
		return false, err
	}
	var id uint64
	var first *File
	for i := len(names) - 1; i >= 0; i-- {
		if first != nil && names[i].number != first.Follows.Number() {
			continue
		}
		r, status, err := Open(filepath.Join(folder, names[i].String()))
		if err != nil {
			return false, err
		}
		file := r.File
		good := status == Good && file.Kind == KindSegment && file.Partition == number && file.TopicName == topic
		if good && id == 0 && p.take(r, topic, number) {
			id = file.TopicID
		}
		r.Close()
		if good && file.TopicID == id {
			first = &file
		} else if first != nil {
			return true, nil // damage, which is for Cut to deal with
		}
	}
	if first == nil || first.Follows == 0 {
		return id != 0, nil
	}
	// What it follows is gone: what was deleted last for a head begins behind it.
	at := partitionID{id, number}
	if p.meta.heads[at] < first.FirstOffset {
		p.meta.heads[at] = first.FirstOffset
		p.Heads = append(p.Heads, fmt.Sprintf("%s/%d begins at offset %d: the file before is not there", topic, number, first.FirstOffset))
		for _, name := range names {
			if name.number < first.Number {
				p.Apart = append(p.Apart, filepath.Join(topic, strconv.Itoa(int(number)), name.String()))
			}
		}
	}
	return true, nil
}

// take takes a topic from the state batch of a segment, if META does not have it.
func (p *MetaPlan) take(r *Reader, topic string, number uint32) bool {
	id := r.File.TopicID
	if known := p.meta.Topic(topic); known != nil && number < known.Partitions {
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
			if !slices.Contains(p.Found, topic) {
				p.Found = append(p.Found, topic)
			}
			p.meta.forget(id)
			p.meta.Topics = append(p.meta.Topics, t)
			p.meta.items[id] = slices.Clone(item.Raw)
			return true
		}
		body = rest
	}
	return false
}

// WriteMeta puts the new META in the place of the old one. It keeps that, and the plan's files that are apart, under
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
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return aside, err
	}
	aside = append(aside, name)
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
