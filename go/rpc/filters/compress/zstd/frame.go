package zstd

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Of the frame format (RFC 8878).
const (
	magic         = 0xFD2FB528
	blockBytesMax = 128 << 10 // of what one block decompresses to
	blockHeader   = 3
	checksumSize  = 4

	flagSingleSegment = 0x20
	flagReserved      = 0x08
	flagChecksum      = 0x04

	blockRLE      = 1
	blockReserved = 3
)

var (
	errIncomplete = errors.New("zstd: the frame is not complete")
	errNothing    = errors.New("zstd: it is of nothing")
	errNoSize     = errors.New("zstd: the frame does not say its content's size")
)

// head is what a frame says of itself in front of its blocks.
type head struct {
	size     uint64 // of the content
	checksum bool   // there is one at the end
	blocks   []byte // and what comes behind them
}

func readHead(b []byte) (head, error) {
	if len(b) < 5 {
		return head{}, errIncomplete
	}
	if m := binary.LittleEndian.Uint32(b); m != magic {
		return head{}, fmt.Errorf("zstd: it begins with %08x, and not with %08x as a frame does", m, uint32(magic))
	}
	size, rest, err := contentSize(b[4], b[5:])
	return head{size: size, checksum: b[4]&flagChecksum != 0, blocks: rest}, err
}

// check goes through the headers of the blocks: what is inside of them is the library's business.
func (h *head) check(size uint64) error {
	count, rest, err := skipBlocks(h.blocks)
	if err != nil {
		return err
	}
	if h.checksum {
		if len(rest) < checksumSize {
			return errIncomplete
		}
		rest = rest[checksumSize:]
	}
	if len(rest) > 0 {
		return fmt.Errorf("zstd: %d bytes follow the frame", len(rest))
	}
	if size == 0 {
		return errNothing
	}
	if size > count*blockBytesMax {
		return fmt.Errorf("zstd: the frame claims %d bytes, more than its blocks can hold", size)
	}
	return nil
}

// contentSize reads what follows the frame's descriptor, and returns what comes behind it.
func contentSize(descriptor byte, b []byte) (size uint64, rest []byte, err error) {
	single := descriptor&flagSingleSegment != 0
	window, dictionary, content := 1, [4]int{0, 1, 2, 4}[descriptor&3], [4]int{0, 2, 4, 8}[descriptor>>6]
	if single {
		window = 0
		content = max(content, 1)
	}
	switch {
	case descriptor&flagReserved != 0:
		return 0, nil, errors.New("zstd: the frame uses what is reserved")
	case content == 0:
		return 0, nil, errNoSize
	case len(b) < window+dictionary+content:
		return 0, nil, errIncomplete
	}
	b = b[window:]
	for _, id := range b[:dictionary] {
		if id != 0 {
			return 0, nil, errors.New("zstd: the frame needs a dictionary, and there is none")
		}
	}
	b = b[dictionary:]
	switch content {
	case 1:
		size = uint64(b[0])
	case 2:
		size = uint64(binary.LittleEndian.Uint16(b)) + 256
	case 4:
		size = uint64(binary.LittleEndian.Uint32(b))
	case 8:
		size = binary.LittleEndian.Uint64(b)
	}
	return size, b[content:], nil
}

// skipBlocks counts the blocks of a frame, and returns what comes behind them.
func skipBlocks(b []byte) (count uint64, rest []byte, err error) {
	for {
		if len(b) < blockHeader {
			return 0, nil, errIncomplete
		}
		header := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		last, kind, size := header&1 != 0, header>>1&3, int(header>>3)
		switch kind {
		case blockRLE:
			size = 1 // one byte, as often as the header says
		case blockReserved:
			return 0, nil, errors.New("zstd: a block of the reserved kind")
		}
		if len(b)-blockHeader < size {
			return 0, nil, errIncomplete
		}
		b = b[blockHeader+size:]
		count++
		if last {
			return count, b, nil
		}
	}
}
