package walfile

import (
	"encoding/binary"
	"hash/crc32"
)

// Kinds of batches.
const (
	KindRecords = 1
	KindStamp   = 2
	KindState   = 3
	KindMeta    = 4
	kindMaySkip = 128 // an unknown one from here on may be ignored, where it takes no offsets
)

// Compressions that have a number.
const (
	CompressionNone = 0
	CompressionZstd = 2
	CompressionLZ4  = 3
)

// Where the fields of a batch's header stand.
const (
	batchHeaderCRC     = 0
	batchBodyCRC       = 4
	batchBodyBytes     = 8
	batchHeaderBytes   = 12
	batchKind          = 14
	batchCompression   = 15
	batchFlags         = 16
	batchCount         = 20
	batchFirstOffset   = 24
	batchBaseTime      = 32
	batchMaxTime       = 40
	batchDurableBefore = 48
	batchProducerID    = 56
	batchEpoch         = 64
	batchSequence      = 68
	batchIndex         = 72
	batchTerm          = 80
	batchReserved      = 84
	batchPrevCRC       = 88
	batchPlainBytes    = 92
)

// Batch is what the header of a batch says.
type Batch struct {
	HeaderCRC     uint32
	BodyCRC       uint32
	BodyBytes     uint32
	PlainBytes    uint32
	HeaderBytes   uint32
	Kind          uint32
	Compression   uint32
	Flags         uint32
	Count         uint32
	PrevCRC       uint32
	FirstOffset   uint64
	BaseTime      int64 // µs since 1970
	MaxTime       int64
	DurableBefore Place

	ProducerID       uint64
	ProducerEpoch    uint32
	ProducerSequence uint32
	ConsensusIndex   uint64
	ConsensusTerm    uint32
}

// Bytes is from the batch's beginning to where the next one may begin.
func (b *Batch) Bytes() int64 { return roundUp(int64(b.HeaderBytes)+int64(b.BodyBytes), alignment) }

// batchSum is the checksum of a header, which begins with where it stands.
func batchSum(header []byte, id uint64, position int64) uint32 {
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], id)
	binary.LittleEndian.PutUint64(seed[8:], uint64(position))
	return crc32.Update(crc32.Checksum(seed[:], castagnoli), castagnoli, header[batchBodyCRC:])
}

// ParseBatch reads the header of the batch at a position of a file; data begins there. The result is filled
// when the checksum matches; its sizes may be relied on after Good and Unsupported.
func ParseBatch(data []byte, f *File, position int64) (batch Batch, status Status) {
	if len(data) < BatchHeaderSize {
		return batch, Truncated
	}
	b := bytes(data)
	size := int(b.u16(batchHeaderBytes))
	if size < BatchHeaderSize || size > BatchHeaderSizeMax || size%alignment != 0 {
		return batch, DamagedHeader
	}
	if len(data) < size {
		return batch, Truncated
	}
	if b.u32(batchHeaderCRC) != batchSum(data[:size], f.ID, position) {
		return batch, DamagedHeader
	}
	batch = Batch{
		HeaderCRC: b.u32(batchHeaderCRC), BodyCRC: b.u32(batchBodyCRC), BodyBytes: b.u32(batchBodyBytes),
		PlainBytes: b.u32(batchPlainBytes), HeaderBytes: uint32(size), Kind: uint32(b[batchKind]),
		Compression: uint32(b[batchCompression]), Flags: b.u32(batchFlags), Count: b.u32(batchCount),
		PrevCRC: b.u32(batchPrevCRC), FirstOffset: b.u64(batchFirstOffset),
		BaseTime: int64(b.u64(batchBaseTime)), MaxTime: int64(b.u64(batchMaxTime)),
		DurableBefore: Place(b.u64(batchDurableBefore)), ProducerID: b.u64(batchProducerID),
		ProducerEpoch: b.u32(batchEpoch), ProducerSequence: b.u32(batchSequence),
		ConsensusIndex: b.u64(batchIndex), ConsensusTerm: b.u32(batchTerm),
	}
	return batch, batch.check(f, position)
}

func (b *Batch) check(f *File, position int64) Status {
	switch {
	case position%alignment != 0, position < int64(f.BlockBytes), b.BodyBytes > BodySizeMax,
		b.PlainBytes > BodySizeMax, position+b.Bytes() > FileSizeMax,
		b.Compression == CompressionNone && b.BodyBytes != b.PlainBytes,
		!b.countOK(), !timeOK(b.BaseTime), !timeOK(b.MaxTime), b.DurableBefore > At(f.Number, position):
		return OutOfRange
	case b.Flags&flagsMust != 0,
		b.Compression != CompressionNone && b.Compression != CompressionZstd && b.Compression != CompressionLZ4,
		// Offsets have no gaps: a batch that has some can't be passed over in silence.
		b.Kind > KindMeta && (b.Kind < kindMaySkip || b.Count > 0):
		return Unsupported
	}
	return Good
}

// countOK: a record takes 16 bytes at least. A kind that is not known may have offsets.
func (b *Batch) countOK() bool {
	if b.FirstOffset > OffsetMax-uint64(b.Count) {
		return false
	}
	switch {
	case b.Kind == KindRecords:
		return b.Count > 0 && b.Count <= b.PlainBytes/16
	case b.Kind > KindMeta:
		return true
	}
	return b.Kind != 0 && b.Count == 0
}

// CheckBody verifies the body behind a header; data begins at the header.
func (b *Batch) CheckBody(data []byte) Status {
	end := int64(b.HeaderBytes) + int64(b.BodyBytes)
	if int64(len(data)) < end {
		return Truncated
	}
	if crc32.Checksum(data[b.HeaderBytes:end], castagnoli) != b.BodyCRC {
		return DamagedBody
	}
	return Good
}

// Encode writes a batch for a position of a file: header, body, and zeroes to a multiple of 8. It fills
// in what follows from the body. False: it could not be read back.
func (b *Batch) Encode(body []byte, f *File, position int64) ([]byte, bool) {
	b.HeaderBytes, b.BodyBytes = BatchHeaderSize, uint32(len(body))
	b.PlainBytes, b.BodyCRC = b.BodyBytes, crc32.Checksum(body, castagnoli)
	if b.check(f, position) != Good || b.Kind > 255 || b.Compression > 255 {
		return nil, false
	}
	data := make(bytes, b.Bytes())
	data.put32(batchBodyCRC, b.BodyCRC)
	data.put32(batchBodyBytes, b.BodyBytes)
	data.put16(batchHeaderBytes, BatchHeaderSize)
	data[batchKind], data[batchCompression] = byte(b.Kind), byte(b.Compression)
	data.put32(batchFlags, b.Flags)
	data.put32(batchCount, b.Count)
	data.put64(batchFirstOffset, b.FirstOffset)
	data.put64(batchBaseTime, uint64(b.BaseTime))
	data.put64(batchMaxTime, uint64(b.MaxTime))
	data.put64(batchDurableBefore, uint64(b.DurableBefore))
	data.put64(batchProducerID, b.ProducerID)
	data.put32(batchEpoch, b.ProducerEpoch)
	data.put32(batchSequence, b.ProducerSequence)
	data.put64(batchIndex, b.ConsensusIndex)
	data.put32(batchTerm, b.ConsensusTerm)
	data.put32(batchPrevCRC, b.PrevCRC)
	data.put32(batchPlainBytes, b.PlainBytes)
	copy(data[BatchHeaderSize:], body)
	b.HeaderCRC = batchSum(data[:BatchHeaderSize], f.ID, position)
	data.put32(batchHeaderCRC, b.HeaderCRC)
	return data, true
}
