package walfile

import "hash/crc32"

// Kinds of files.
const (
	KindSegment  = 1
	KindMetadata = 2
)

const magic = "\x89smfwal\n"

// Where the fields of block 0 stand.
const (
	fileVersion       = 8
	fileCRC           = 12
	fileFlags         = 16
	fileKind          = 20
	fileID            = 24
	fileNumber        = 32
	fileBlockBytes    = 36
	fileFirstOffset   = 40
	fileFollows       = 48
	fileDurableBefore = 56
	fileFollowsCRC    = 64
	filePartition     = 68
	fileTopicID       = 72
	fileCreated       = 80
	fileNameSize      = 88
	fileReserved      = 92
	fileName          = 96
)

// File is what block 0 says.
type File struct {
	Version       uint32
	Flags         uint32
	Kind          uint32
	ID            uint64
	Number        uint32
	BlockBytes    uint32
	FirstOffset   uint64
	Follows       Place
	DurableBefore Place
	FollowsCRC    uint32
	Partition     uint32
	TopicID       uint64
	Created       int64 // µs since 1970
	TopicName     string
}

func fileSum(b []byte) uint32 {
	sum := crc32.Checksum(b[:fileCRC], castagnoli)
	return crc32.Update(sum, castagnoli, b[fileFlags:FileHeaderSize])
}

// ParseFile reads the first 512 bytes of a file. The result is filled when the checksum matches and the
// version is known; after TooNew only Version is.
func ParseFile(data []byte) (f File, status Status) {
	if len(data) < FileHeaderSize {
		return f, Truncated
	}
	b := bytes(data)
	if string(data[:len(magic)]) != magic {
		return f, NotOurs
	}
	if b.u32(fileCRC) != fileSum(data) {
		return f, DamagedHeader
	}
	f.Version = b.u32(fileVersion)
	if f.Version > Version {
		return f, TooNew
	}
	f = File{
		Version: f.Version, Flags: b.u32(fileFlags), Kind: b.u32(fileKind), ID: b.u64(fileID),
		Number: b.u32(fileNumber), BlockBytes: b.u32(fileBlockBytes), FirstOffset: b.u64(fileFirstOffset),
		Follows: Place(b.u64(fileFollows)), DurableBefore: Place(b.u64(fileDurableBefore)),
		FollowsCRC: b.u32(fileFollowsCRC), Partition: b.u32(filePartition), TopicID: b.u64(fileTopicID),
		Created: int64(b.u64(fileCreated)),
	}
	size := b.u32(fileNameSize)
	if f.Version == 0 || size > TopicNameSizeMax {
		return f, OutOfRange
	}
	f.TopicName = string(data[fileName : fileName+size])
	return f, f.check()
}

func (f *File) check() Status {
	switch {
	case f.Flags&flagsMust != 0, f.Kind != KindSegment && f.Kind != KindMetadata:
		return Unsupported
	case f.BlockBytes < blockSizeMin, f.BlockBytes > blockSizeMax, f.BlockBytes&(f.BlockBytes-1) != 0,
		f.ID == 0, f.Number == 0, f.TopicID == 0, f.FirstOffset > OffsetMax,
		!f.topicOK(), !f.followsOK(), !timeOK(f.Created):
		return OutOfRange
	}
	return Good
}

func (f *File) topicOK() bool {
	if f.Kind == KindMetadata {
		return f.TopicName == "" && f.Partition == 0
	}
	return TopicNameOK(f.TopicName) && f.Partition < PartitionsMax
}

func (f *File) followsOK() bool {
	if f.Follows == 0 {
		return f.FollowsCRC == 0 && f.DurableBefore == 0
	}
	number, position := f.Follows.Number(), f.Follows.Position()
	return number > 0 && number < f.Number && position%alignment == 0 && position <= FileSizeMax &&
		f.DurableBefore <= f.Follows
}

// paddingOK says whether everything that is reserved in the first bytes of block 0 is zero.
func (f *File) paddingOK(b []byte) bool {
	return bytes(b).isZero(fileReserved, fileName) && isZero(b[fileName+len(f.TopicName):FileHeaderSize])
}

// Encode writes the first 512 bytes of a file. False: they could not be read back.
func (f *File) Encode() ([]byte, bool) {
	if f.check() != Good {
		return nil, false
	}
	b := make(bytes, FileHeaderSize)
	copy(b, magic)
	b.put32(fileVersion, Version)
	b.put32(fileFlags, f.Flags)
	b.put32(fileKind, f.Kind)
	b.put64(fileID, f.ID)
	b.put32(fileNumber, f.Number)
	b.put32(fileBlockBytes, f.BlockBytes)
	b.put64(fileFirstOffset, f.FirstOffset)
	b.put64(fileFollows, uint64(f.Follows))
	b.put64(fileDurableBefore, uint64(f.DurableBefore))
	b.put32(fileFollowsCRC, f.FollowsCRC)
	b.put32(filePartition, f.Partition)
	b.put64(fileTopicID, f.TopicID)
	b.put64(fileCreated, uint64(f.Created))
	b.put32(fileNameSize, uint32(len(f.TopicName)))
	copy(b[fileName:], f.TopicName)
	b.put32(fileCRC, fileSum(b))
	return b, true
}
