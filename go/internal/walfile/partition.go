package walfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
)

// Segment is a file of a partition that was read.
type Segment struct {
	Path             string // relative to the log's folder
	File             File
	Size             int64 // of the file
	End              int64 // of its last batch that counts
	Batches, Records uint64
}

// Partition is what a partition's files hold.
type Partition struct {
	Topic    *Topic
	Number   uint32
	Segments []Segment // those that count, in order
	Head     uint64    // the first offset that can be read
	Next     uint64    // the one behind the last record
	End      Place     // of the last batch that counts; 0: there is none
	Torn     int64     // bytes behind End that don't count: torn by a crash, or being written
	Damages  []Damage

	// Where something is damaged that can't be done without, only what is before that counts. Behind it
	// there may be more.
	Damaged     bool
	LostRecords uint64   // that can be read behind it
	LostNext    uint64   // the highest offset behind a record that was found, or that META knows of
	LostBytes   int64    // of batches from there on
	Behind      []string // files behind it, relative
	Later       error    // not nil: something is of a later version, and can't be judged

	endCRC     uint32
	numberMost uint32 // of all files and checkpoints
}

// Reading says where a log is, and who is told how much of it was read.
type Reading struct {
	Folder string
	Seen   func(bytes int64) // or nil
	// Records is called with every batch of records that Check finds, in the order of files and bytes, with those
	// behind a damage, too; or it is nil. Records from until on are not the log's any more: another file begins
	// there. The partition is as far as it was read, and the batch is lent for the call.
	Records func(p *Partition, f *Found, until uint64)
}

// walk is the reading of one partition.
type walk struct {
	reading Reading
	*Partition
	relative   string
	names      []segmentName
	checkpoint *Checkpoint
	durable    Place // everything before this is known to have been durable
	vouched    Place // what files alone say of that
	lies       bool  // the checkpoint names a batch that is not there
	files      []*piece
}

// piece is a file that may belong to the log.
type piece struct {
	segmentName
	path   string // relative
	reader *Reader
	good   bool   // block 0 is what name and folder promise
	broken string // what is wrong with what leads to this file; empty: nothing
	said   *said  // nil: nobody has asked yet
	silent bool   // the rest of it was looked through for what was durable, and said nothing
}

// said is what all of a file says to those before it: read once, however many gaps ask for it.
type said struct {
	durable  Place
	size     int64 // of its batches, in bytes
	isUnread bool  // not all of it can be read
}

// Check reads a partition and verifies everything. Damage is no error; err is for folders and files that
// can't be opened.
func (r Reading) Check(m *Meta, t *Topic, number uint32) (*Partition, error) {
	w := &walk{reading: r, Partition: &Partition{Topic: t, Number: number, Head: m.Head(t, number)},
		relative: filepath.Join(t.Name, strconv.Itoa(int(number))), checkpoint: m.Checkpoint(t, number)}
	names, err := listSegments(filepath.Join(r.Folder, w.relative))
	if err != nil {
		return nil, err
	}
	w.names = names
	if w.checkpoint != nil {
		w.durable = w.checkpoint.End
		w.LostNext = w.checkpoint.NextOffset
	}
	w.numberMost = w.durable.Number()
	if len(names) > 0 {
		w.numberMost = max(w.numberMost, names[len(names)-1].number)
	}
	w.Next = w.Head
	defer func() {
		for _, p := range w.files {
			if p.reader != nil {
				p.reader.Close()
			}
		}
	}()
	if err := w.chain(); err != nil {
		return nil, err
	}
	if err := w.read(); err != nil {
		return nil, err
	}
	w.conclude()
	return w.Partition, nil
}

// damage notes damage that ends what counts, or is behind that.
func (w *walk) damage(path string, position int64, offset uint64, text string) {
	w.Damages = append(w.Damages, Damage{Path: path, Position: position, Offset: offset, Text: text})
	w.Damaged = true
}

// chain finds the files that make up the log, from the last one to the first.
func (w *walk) chain() error {
	for i := len(w.names) - 1; i >= 0; {
		p := &piece{segmentName: w.names[i], path: filepath.Join(w.relative, w.names[i].String())}
		w.files = append(w.files, p)
		status, err := w.open(p)
		if err != nil {
			return err
		}
		p.good = status == Good
		switch {
		case i > 0 && w.names[i-1].number == p.number:
			p.broken = fmt.Sprintf("another file has the same number: %s", w.names[i-1])
		case status == TooNew || status == Unsupported:
			p.broken = "block 0: " + status.String()
			w.Later = fmt.Errorf("%s is of a later format (version %d; %s): read it with a newer program", p.path, p.reader.File.Version, status)
		case status != Good:
			p.broken = "block 0: " + p.reader.Why(status)
		}
		if p.broken != "" {
			i--
			continue
		}
		f := &p.reader.File
		w.durable, w.vouched = max(w.durable, f.DurableBefore), max(w.vouched, f.DurableBefore)
		if f.Follows == 0 || f.FirstOffset <= w.Head {
			break
		}
		for i--; i >= 0 && w.names[i].number > f.Follows.Number(); i-- { // left behind by a cut
		}
		if i < 0 || w.names[i].number != f.Follows.Number() {
			p.broken = fmt.Sprintf("it follows segment %d, and that file is not there", f.Follows.Number())
		}
	}
	slices.Reverse(w.files)
	return nil
}

// open reads block 0 of a file. The piece has no reader when it can't be read.
func (w *walk) open(p *piece) (Status, error) {
	r, status, err := Open(filepath.Join(w.reading.Folder, p.path))
	if err != nil {
		return Good, err
	}
	p.reader = r
	r.window.seen = w.reading.Seen
	f := &r.File
	if status == Good && (f.Kind != KindSegment || f.TopicID != w.Topic.ID || f.Partition != w.Number ||
		f.Number != p.number || f.FirstOffset != p.first) {
		status = Misplaced
	}
	return status, nil
}

// read reads the files from the first to the last.
func (w *walk) read() error {
	for i, p := range w.files {
		if p.broken != "" {
			offset := p.first
			if !w.Damaged {
				offset = w.Next
			}
			w.damage(p.path, 0, offset, p.broken)
		}
		if w.Damaged {
			w.Behind = append(w.Behind, p.path)
			w.LostNext = max(w.LostNext, p.first)
		}
		if !p.good {
			continue
		}
		var next *piece
		if i+1 < len(w.files) && w.files[i+1].follows(p) {
			next = w.files[i+1]
		}
		ends, err := w.segment(p, next)
		if err != nil || ends {
			return err
		}
		p.reader.window.data = nil
	}
	return nil
}

// follows says whether this file was found by what it follows.
func (p *piece) follows(before *piece) bool {
	return p.good && before.good && p.broken == "" && p.reader.File.Follows.Number() == before.number
}

// segment reads a file. True: the log ends here, and nothing is wrong with that.
func (w *walk) segment(p, next *piece) (bool, error) {
	r := p.reader
	counts := !w.Damaged
	s := Segment{Path: p.path, File: r.File, Size: r.Size, End: r.End}
	c := checker{path: p.path, damages: &w.Damages}
	if counts && len(w.Segments) == 0 {
		w.Head = max(w.Head, r.File.FirstOffset)
	}
	if err := c.blockZero(r); err != nil {
		return false, err
	}
	until := int64(FileSizeMax)
	if next != nil {
		until = next.reader.File.Follows.Position()
	}
	ends := false
	for r.End < until {
		before := r.End
		found, status, err := r.Next()
		if err != nil {
			w.damage(p.path, before, r.NextOffset, readFailed(err))
			w.lose(r, &s, &counts)
			break
		}
		if status == Good || status == Unsupported {
			w.note(&s, &found, counts)
			if w.reading.Records != nil && status == Good && found.Kind == KindRecords {
				w.reading.Records(w.Partition, &found, w.until(p))
			}
			if status == Unsupported {
				w.Later = fmt.Errorf("%s has a batch at byte %d that needs a later version: read it with a newer program", p.path, found.Position)
			}
			if err := c.batch(r, before, &found); err != nil {
				return false, err
			}
			w.compare(&c, r, before)
			continue
		}
		found.Status = status
		more, end, err := w.gap(p, &s, &found, &counts)
		if err != nil {
			return false, err
		}
		if !more {
			ends = end
			break
		}
	}
	if counts {
		w.count(r, &s)
	} else if r.End <= until {
		w.LostNext = max(w.LostNext, r.NextOffset)
	}
	if next != nil && !ends {
		w.link(p, next)
	}
	return ends, nil
}

// until is the first offset that files behind this one begin with.
func (w *walk) until(p *piece) uint64 {
	offset := uint64(OffsetMax)
	for _, other := range w.files[slices.Index(w.files, p)+1:] {
		if other.good {
			offset = min(offset, other.reader.File.FirstOffset)
		}
	}
	return offset
}

// note counts a batch.
func (w *walk) note(s *Segment, f *Found, counts bool) {
	if counts {
		s.Batches++
		s.Records += uint64(f.Count)
		return
	}
	w.LostRecords += uint64(f.Count)
	w.LostBytes += f.Bytes()
}

// count takes what was read of a segment as a part of the log.
func (w *walk) count(r *Reader, s *Segment) {
	s.End = r.End
	w.Segments = append(w.Segments, *s)
	w.End, w.endCRC = At(r.File.Number, r.End), r.PrevCRC
	w.Next = max(r.NextOffset, w.Head)
}

// lose ends what counts, in the middle of a segment.
func (w *walk) lose(r *Reader, s *Segment, counts *bool) {
	if *counts {
		w.count(r, s)
		*counts = false
	}
}

// gap is for a place where no batch is that belongs there. more: reading goes on behind it. ends: the log
// ends here, and nothing is wrong with that.
func (w *walk) gap(p *piece, s *Segment, f *Found, counts *bool) (more, ends bool, err error) {
	r := p.reader
	place := At(r.File.Number, r.End)
	isBoundary := w.isBoundary(p)
	wasDurable := w.durableIn(p) > place || !isBoundary && w.durable > place
	var behind Behind
	// Once nothing in the rest of the file said so, it is asked again only where it matters: a stretch that can't be
	// read makes this damage anyway.
	if !wasDurable && !(p.silent && len(r.window.unreadable(r.End, r.Size)) > 0) {
		if behind, err = r.behindUntil(place); err != nil {
			return false, false, err
		}
		wasDurable = behind.DurableBefore > place
		p.silent = !wasDurable
	}
	var rest said // of the files behind this one
	var unread string
	if !wasDurable && !isBoundary {
		if rest, unread, err = w.later(p); err != nil {
			return false, false, err
		}
		wasDurable = rest.durable > place
	}
	// What can't be read may have been durable, or have said of something that it was.
	isUnread := !wasDurable && len(r.window.unreadable(r.End, r.Size)) > 0
	if !wasDurable && !isUnread && unread == "" {
		if *counts && !isBoundary {
			w.Torn = max(0, behind.End-r.End) + rest.size
		}
		return false, !isBoundary, nil
	}
	position, offset := r.End, r.NextOffset
	if f.Status == DamagedBody {
		position = f.Position
	}
	w.lose(r, s, counts)
	more, err = r.Resume()
	for more && err == nil && len(r.window.unreadable(r.End, r.End+1)) > 0 { // behind a batch that ends in a stretch
		more, err = r.Resume()
	}
	if err != nil {
		return false, false, err
	}
	w.LostBytes += max(0, r.End-position)
	to := r.Size
	if more { // what is behind that is told where it is met
		to = r.End
	}
	bad := r.window.unreadable(place.Position(), to)
	if !wasDurable && len(bad) == 0 {
		f.Status = Unreadable
		if isUnread {
			unread = p.path
		}
	}
	for _, text := range gapTexts(f.Status, bad, unread) {
		if more {
			text += fmt.Sprintf("; reading goes on at byte %d, offset %d", r.End, r.NextOffset)
		}
		w.damage(p.path, position, offset, text)
	}
	return more, false, nil
}

// gapTexts say what a gap is: what can't be read, or what is wrong with what is read. unread is this file or a
// later one, which might have said whether it was durable.
func gapTexts(status Status, bad []Stretch, unread string) (texts []string) {
	switch {
	case len(bad) == 0 && status == Unreadable:
		return []string{"a batch is not there, and was durable, perhaps: not all of " + unread + " can be read"}
	case len(bad) == 0:
		return []string{fmt.Sprintf("%s: a batch that was durable is not there", status)}
	}
	for _, s := range bad {
		texts = append(texts, s.String())
	}
	return texts
}

// isBoundary says whether other files come behind this one, and it can't be told how they go on from it:
// that is the damage then, and not where this one ends.
func (w *walk) isBoundary(p *piece) bool {
	i := slices.Index(w.files, p)
	return i+1 < len(w.files) && !w.files[i+1].follows(p)
}

// durableIn is what is known to be durable of a file, from elsewhere.
func (w *walk) durableIn(p *piece) (durable Place) {
	if w.checkpoint != nil && w.checkpoint.End.Number() == p.number {
		durable = w.checkpoint.End
	}
	for _, other := range w.files {
		if f := &other.reader.File; other.good && f.DurableBefore.Number() == p.number {
			durable = max(durable, f.DurableBefore)
		}
	}
	return durable
}

// later is the most that batches in the files behind this one say of what was durable, and how many bytes these
// batches have. unread is one of these files if not all of it can be read.
func (w *walk) later(p *piece) (sum said, unread string, err error) {
	for _, other := range w.files[slices.Index(w.files, p)+1:] {
		if err := other.tell(); err != nil {
			return said{}, "", err
		}
		sum.durable = max(sum.durable, other.said.durable)
		sum.size += other.said.size
		if other.said.isUnread {
			unread = other.path
		}
	}
	return sum, unread, nil
}

// tell reads what a file says, before its own turn.
func (p *piece) tell() error {
	if p.said != nil {
		return nil
	}
	says := said{}
	if p.good {
		p.reader.Rewind()
		behind, err := p.reader.Behind()
		if err != nil {
			return err
		}
		p.reader.Rewind()
		says.durable, says.size = behind.DurableBefore, max(0, behind.End-p.reader.End)
	}
	says.isUnread = len(p.reader.Unreadable()) > 0
	p.said = &says
	return nil
}

// compare holds the last checkpoint against what was read, unless a later file vouches for as much: then nobody
// begins at the checkpoint.
func (w *walk) compare(c *checker, r *Reader, before int64) {
	if w.checkpoint == nil || w.checkpoint.End.Number() != r.File.Number || w.vouched >= w.checkpoint.End {
		return
	}
	position := w.checkpoint.End.Position()
	if position <= before || position > r.End {
		return
	}
	if position != r.End || r.PrevCRC != w.checkpoint.PrevCRC || r.NextOffset != w.checkpoint.NextOffset {
		c.add(r.End, r.NextOffset, fmt.Sprintf("the checkpoint in META (byte %d, offset %d) does not fit to what is there", position, w.checkpoint.NextOffset), false)
		w.lies = true
	}
}

// link verifies that a file goes on where the one before it ends.
func (w *walk) link(p, next *piece) {
	r, f := p.reader, &next.reader.File
	switch {
	case r.End != f.Follows.Position() || r.PrevCRC != f.FollowsCRC:
		if !w.Damaged {
			w.damage(p.path, r.End, r.NextOffset, fmt.Sprintf("%s follows another batch (byte %d)", next.segmentName, f.Follows.Position()))
		}
	case f.FirstOffset > r.NextOffset:
		w.damage(next.path, 0, r.NextOffset, fmt.Sprintf("it begins with offset %d: there are none between", f.FirstOffset))
	case !w.Damaged:
		w.Next = max(f.FirstOffset, w.Head)
	}
}

// conclude looks at what META says and no file has.
func (w *walk) conclude() {
	if len(w.Segments) == 0 && !w.Damaged && (w.checkpoint != nil || w.Head > 0) {
		w.damage(w.relative, 0, w.Head, "META knows of records, and there is no file")
	}
	w.Damaged = w.Damaged || w.lies // nothing is appended there, until a file behind it vouches
	if w.Damaged {
		w.LostNext = max(w.LostNext, w.Next)
	}
}

// Torn is how many bytes stand behind the last batch that counts in the last file of a partition, which is
// read from its last checkpoint on. A file that can't be read has none: Check tells why.
func (r Reading) Torn(m *Meta, t *Topic, number uint32) (int64, error) {
	folder := filepath.Join(r.Folder, t.Name, strconv.Itoa(int(number)))
	names, err := listSegments(folder)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	last, status, err := Open(filepath.Join(folder, names[len(names)-1].String()))
	if err != nil {
		return 0, err
	}
	defer last.Close()
	if status != Good {
		return 0, nil
	}
	if c := m.Checkpoint(t, number); c != nil && c.End.Number() == last.File.Number {
		last.End, last.NextOffset, last.PrevCRC = c.End.Position(), c.NextOffset, c.PrevCRC
	}
	for {
		_, status, err := last.Next()
		if err != nil {
			return 0, err
		}
		if status != Good && status != Unsupported {
			break
		}
	}
	behind, err := last.Behind()
	return max(0, behind.End-last.End), err
}
