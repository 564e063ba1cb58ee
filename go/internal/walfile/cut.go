package walfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// asideEnd is the end of the name of a file that was cut off. No reader looks at it.
const asideEnd = ".damaged"

const (
	folderMode  = 0o750
	fileMode    = 0o640
	blockNoFile = 4096 // of a file that follows none
)

// ErrLocked is for a log that a process writes to.
var ErrLocked = errors.New("another process writes to the log")

// Lock takes LOCK, as a process does that writes, until the file is closed.
func Lock(folder string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(folder, LockName), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	return take(file, unix.LOCK_EX)
}

// take locks a file, or closes it.
func take(file *os.File, how int) (*os.File, error) {
	err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, err
}

// LockToRead keeps processes from writing, until the file is closed, for who may have no more than the right to read:
// then the lock is a shared one. It returns nil where LOCK was never made: nobody has written there.
func LockToRead(folder string) (*os.File, error) {
	file, err := Lock(folder)
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return file, err
	}
	file, err = os.Open(filepath.Join(folder, LockName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return take(file, unix.LOCK_SH)
}

// cutter cuts a partition that is damaged.
type cutter struct {
	folder string // of the partition
	*Partition
	file File
}

// Cut ends a damaged partition where the damage begins: a new segment follows the last batch that counts,
// as after a cut of the tail. The files behind it get names that no reader looks at; nothing is overwritten
// or deleted. It returns these names, relative to the log's folder. The caller holds LOCK since before the
// partition was checked.
//
// A crash leaves the partition as it was, or cut.
func (r Reading) Cut(m *Meta, p *Partition) (aside []string, err error) {
	switch {
	case p.Later != nil:
		return nil, p.Later
	case !p.Damaged:
		return nil, fmt.Errorf("%s/%d is not damaged", p.Topic.Name, p.Number)
	case p.numberMost == 1<<32-1:
		return nil, fmt.Errorf("%s/%d has used up all numbers of files", p.Topic.Name, p.Number)
	}
	c := &cutter{folder: filepath.Join(r.Folder, p.Topic.Name, strconv.Itoa(int(p.Number))), Partition: p}
	if err := c.prepare(r.Folder); err != nil {
		return nil, err
	}
	c.begin()
	bytes, err := c.encode(m.items[p.Topic.ID])
	if err != nil {
		return nil, err
	}
	// Names first: files that are not part of the log are deleted by the next process that opens it.
	for _, path := range p.Behind {
		name, err := keepAside(filepath.Join(r.Folder, path))
		if err != nil {
			return aside, err
		}
		aside = append(aside, filepath.Join(filepath.Dir(path), name))
	}
	if err := syncPath(c.folder); err != nil {
		return aside, err
	}
	if err := c.enter(bytes); err != nil {
		return aside, err
	}
	for _, path := range p.Behind {
		if err := os.Remove(filepath.Join(r.Folder, path)); err != nil {
			return aside, err
		}
	}
	return aside, syncPath(c.folder)
}

// prepare makes durable what is to be followed, and the folder where it is missing.
func (c *cutter) prepare(root string) error {
	if err := os.MkdirAll(c.folder, folderMode); err != nil {
		return err
	}
	for folder := filepath.Dir(c.folder); ; folder = filepath.Dir(folder) {
		if err := syncPath(folder); err != nil {
			return err
		}
		if len(folder) <= len(root) {
			break
		}
	}
	for _, s := range c.Segments {
		if err := syncPath(filepath.Join(root, s.Path)); err != nil {
			return err
		}
	}
	return nil
}

// begin fills in block 0.
func (c *cutter) begin() {
	c.file = File{Kind: KindSegment, Number: c.numberMost + 1, BlockBytes: blockNoFile, FirstOffset: c.Next,
		Follows: c.End, DurableBefore: c.End, Partition: c.Number, TopicID: c.Topic.ID,
		Created: time.Now().UnixMicro(), TopicName: c.Topic.Name}
	if c.End != 0 {
		c.file.FollowsCRC = c.endCRC
		c.file.BlockBytes = c.Segments[len(c.Segments)-1].File.BlockBytes
	}
	c.file.ID = randomID()
}

// encode writes block 0 and the state batch.
func (c *cutter) encode(item []byte) ([]byte, error) {
	position := int64(c.file.BlockBytes)
	head, ok := c.file.Encode()
	batch := Batch{Kind: KindState, FirstOffset: c.file.FirstOffset, BaseTime: c.file.Created,
		MaxTime: c.file.Created, DurableBefore: c.file.DurableBefore, PrevCRC: c.file.FollowsCRC}
	state, stateOK := batch.Encode(item, &c.file, position)
	if !ok || !stateOK {
		return nil, fmt.Errorf("%s/%d: a file that goes on there can't be encoded", c.Topic.Name, c.Number)
	}
	bytes := make([]byte, roundUp(position+int64(len(state)), position))
	copy(bytes, head)
	copy(bytes[position:], state)
	return bytes, nil
}

// enter makes the new segment a part of the log: its bytes are durable before it has its name.
func (c *cutter) enter(bytes []byte) error {
	made := filepath.Join(c.folder, fmt.Sprintf("%010d.new", c.file.Number))
	if err := os.WriteFile(made, bytes, fileMode); err != nil {
		return err
	}
	if err := syncPath(made); err != nil {
		return err
	}
	if err := os.Rename(made, filepath.Join(c.folder, SegmentName(c.file.Number, c.file.FirstOffset))); err != nil {
		return err
	}
	return syncPath(c.folder)
}

// keepAside gives a file another name, and returns it.
func keepAside(path string) (string, error) {
	to := path + asideEnd
	for i := 2; ; i++ {
		err := os.Link(path, to)
		if !errors.Is(err, fs.ErrExist) {
			return filepath.Base(to), err
		}
		have, haveErr := os.Stat(to)
		want, wantErr := os.Stat(path)
		if haveErr == nil && wantErr == nil && os.SameFile(have, want) {
			return filepath.Base(to), nil // begun before, and not ended
		}
		to = path + asideEnd + strconv.Itoa(i)
	}
}

// syncPath makes a file durable, or the names in a folder.
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	err = file.Sync()
	return errors.Join(err, file.Close())
}
