package walload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// RecordMinBytes is what a record needs to say who wrote it.
const RecordMinBytes = 16

const recordMaxBytes = 1 << 20

// filler is what records are made of: noise, so that nothing on the way gains by packing it.
var filler = func() []byte {
	noise := rand.New(rand.NewPCG(1, 2))
	all := make([]byte, 2*recordMaxBytes)
	for i := 0; i < len(all); i += 8 {
		binary.LittleEndian.PutUint64(all[i:], noise.Uint64())
	}
	return all
}()

// fillerOf is where the noise of a writer's records begins.
func fillerOf(writer uint64) int { return int(writer * 7919 % recordMaxBytes) }

// Records is memory for records that are written together, used again and again.
type Records struct {
	writer  uint64
	number  uint64 // of the next record
	records [][]byte
}

// NewRecords is a batch of a writer's.
func NewRecords(writer, records, size int) *Records {
	b := &Records{writer: uint64(writer)}
	all := make([]byte, records*size)
	for i := range records {
		record := all[i*size : (i+1)*size : (i+1)*size]
		copy(record, filler[fillerOf(b.writer):])
		b.records = append(b.records, record)
	}
	return b
}

// Next makes the records the next ones. Only the numbers change: filling them would be measured.
func (b *Records) Next() [][]byte {
	for _, record := range b.records {
		binary.LittleEndian.PutUint64(record, b.writer)
		binary.LittleEndian.PutUint64(record[8:], b.number)
		b.number++
	}
	return b.records
}

// Checker looks whether what is read is what was written: every writer's records, whole, in order, without
// a gap.
type Checker struct {
	next map[uint64]uint64 // by writer
	size int
	// Records that were read.
	Records int64
	Bytes   int64
}

// NewChecker is for records of a size.
func NewChecker(size int) *Checker { return &Checker{next: map[uint64]uint64{}, size: size} }

// Visit is called with every record that is read.
func (c *Checker) Visit(record []byte) error {
	if len(record) != c.size {
		return fmt.Errorf("record %d has %d bytes instead of %d", c.Records, len(record), c.size)
	}
	writer, number := binary.LittleEndian.Uint64(record), binary.LittleEndian.Uint64(record[8:])
	if number != c.next[writer] {
		return fmt.Errorf("record %d is number %d of writer %d instead of %d", c.Records, number, writer, c.next[writer])
	}
	start := fillerOf(writer) + RecordMinBytes
	if !bytes.Equal(record[RecordMinBytes:], filler[start:start+c.size-RecordMinBytes]) {
		return fmt.Errorf("record %d, number %d of writer %d, is not what was written", c.Records, number, writer)
	}
	c.next[writer]++
	c.Records++
	c.Bytes += int64(len(record))
	return nil
}

// Of is how many records of a writer were read.
func (c *Checker) Of(writer int) int64 { return int64(c.next[uint64(writer)]) }
