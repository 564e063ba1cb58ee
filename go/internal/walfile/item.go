package walfile

// Types of items.
const (
	ItemTopic      = 1
	ItemTopicGone  = 2
	ItemHead       = 3
	ItemCheckpoint = 4
	itemMaySkip    = 0x8000
	itemHeaderSize = 8
)

// Item is one item of a state or meta batch: one of the fields below Size is set, by Type, or none.
type Item struct {
	Type uint32
	Size uint32 // of the payload
	Raw  []byte // with its header and padding

	Topic      *Topic
	TopicGone  uint64 // id
	Head       *Head
	Checkpoint *Checkpoint
}

// Topic is a topic and how it is kept.
type Topic struct {
	ID             uint64
	Created        int64 // µs since 1970
	Partitions     uint32
	RecordBytesMax uint32 // 0: 16 MiB
	SegmentBytes   uint64
	RetentionBytes uint64 // 0: all
	RetentionTime  uint64 // µs; 0: for ever
	Name           string
}

// Head is where a partition begins.
type Head struct {
	TopicID   uint64
	Partition uint32
	Offset    uint64
}

// Checkpoint is how far a partition is known to be whole, and durable.
type Checkpoint struct {
	TopicID    uint64
	Partition  uint32
	Clean      bool
	End        Place
	NextOffset uint64
	PrevCRC    uint32
}

// NextItem reads the first item of what is left of a body, and returns what is left then. Unsupported: the
// item is of an unknown type that must be understood.
func NextItem(body []byte) (item Item, rest []byte, status Status) {
	if len(body) < itemHeaderSize {
		return item, nil, OutOfRange
	}
	b := bytes(body)
	item.Size, item.Type = b.u32(0), uint32(b.u16(4))
	total := itemHeaderSize + roundUp(int64(item.Size), alignment)
	if item.Size > ItemSizeMax || total > int64(len(body)) {
		return item, nil, OutOfRange
	}
	item.Raw, rest = body[:total], body[total:]
	payload := bytes(body[itemHeaderSize : itemHeaderSize+item.Size])
	ok := true
	switch {
	case item.Type == ItemTopic:
		item.Topic, ok = parseTopic(payload)
	case item.Type == ItemTopicGone:
		if ok = len(payload) >= 8; ok {
			item.TopicGone = payload.u64(0)
			ok = item.TopicGone != 0
		}
	case item.Type == ItemHead:
		item.Head, ok = parseHead(payload)
	case item.Type == ItemCheckpoint:
		item.Checkpoint, ok = parseCheckpoint(payload)
	case item.Type < itemMaySkip:
		return item, rest, Unsupported
	}
	if !ok {
		return item, rest, OutOfRange
	}
	return item, rest, Good
}

// paddingOK says whether everything that is reserved in an item is zero.
func (i *Item) paddingOK() bool {
	return bytes(i.Raw).isZero(6, 8) && isZero(i.Raw[itemHeaderSize+i.Size:])
}

func parseTopic(b bytes) (*Topic, bool) {
	const nameAt = 56
	if len(b) < nameAt {
		return nil, false
	}
	at, size := uint64(b.u32(48)), uint64(b.u32(52))
	if at < nameAt || at+size > uint64(len(b)) {
		return nil, false
	}
	t := &Topic{ID: b.u64(0), Created: int64(b.u64(8)), Partitions: b.u32(16), RecordBytesMax: b.u32(20),
		SegmentBytes: b.u64(24), RetentionBytes: b.u64(32), RetentionTime: b.u64(40), Name: string(b[at : at+size])}
	return t, t.ID != 0 && timeOK(t.Created) && t.Partitions > 0 && t.Partitions <= PartitionsMax &&
		t.RecordBytesMax <= recordSizeMax && t.SegmentBytes <= FileSizeMax && TopicNameOK(t.Name)
}

func parseHead(b bytes) (*Head, bool) {
	if len(b) < 24 {
		return nil, false
	}
	h := &Head{TopicID: b.u64(0), Partition: b.u32(8), Offset: b.u64(16)}
	return h, h.TopicID != 0 && h.Partition < PartitionsMax && h.Offset <= OffsetMax
}

func parseCheckpoint(b bytes) (*Checkpoint, bool) {
	if len(b) < 40 {
		return nil, false
	}
	c := &Checkpoint{TopicID: b.u64(0), Partition: b.u32(8), Clean: b.u32(12)&1 != 0, End: Place(b.u64(16)),
		NextOffset: b.u64(24), PrevCRC: b.u32(32)}
	position := c.End.Position()
	return c, c.TopicID != 0 && c.Partition < PartitionsMax && c.NextOffset <= OffsetMax && c.End.Number() != 0 &&
		position%alignment == 0 && position >= blockSizeMin && position <= FileSizeMax
}
