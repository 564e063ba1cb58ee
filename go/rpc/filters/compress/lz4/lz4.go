// Package lz4 is lz4 for package compress: the original's size as a little-endian u32, and one raw LZ4
// block, which is what every smf peer sends. It is Go, by github.com/pierrec/lz4.
package lz4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/pierrec/lz4/v4"

	"github.com/smf-go/smf/go/rpc"
)

// Levels. LevelFast is what lz4 is for; the others look for longer matches, at a fraction of the speed.
// They make no difference to whoever decompresses.
const (
	LevelFast = 0
	LevelMax  = 9
)

const (
	sizeBytes = 4   // of the original's size, in front of the block
	ratioMax  = 255 // more than this times its own size a block can't become
)

// Codec is a compress.Codec. Make it with New.
type Codec struct {
	level       int
	compressors sync.Pool // of blockCompressor, whose tables have 16 KiB to 1 MiB
}

type blockCompressor interface {
	CompressBlock(src, dst []byte) (int, error)
}

// New makes a codec that compresses at a level.
//
// Cost: tables are made when they are needed, and used again, about one set for each CPU.
func New(level int) (*Codec, error) {
	if level < LevelFast || level > LevelMax {
		return nil, fmt.Errorf("lz4: level %d; there are %d to %d", level, LevelFast, LevelMax)
	}
	c := &Codec{level: level}
	c.compressors.New = func() any {
		if level == LevelFast {
			return blockCompressor(new(lz4.Compressor))
		}
		return blockCompressor(&lz4.CompressorHC{Level: lz4.Level1 << (level - 1)})
	}
	return c, nil
}

// Compression is rpc.CompressionLZ4.
func (c *Codec) Compression() rpc.Compression { return rpc.CompressionLZ4 }

// Bound is the most bytes that size bytes may become.
func (c *Codec) Bound(size int) int { return sizeBytes + lz4.CompressBlockBound(size) }

// Compress compresses src into dst, which has at least Bound(len(src)) bytes.
func (c *Codec) Compress(dst, src []byte) (int, error) {
	switch {
	case len(dst) < c.Bound(len(src)):
		return 0, fmt.Errorf("lz4: room of %d bytes; %d bytes need %d", len(dst), len(src), c.Bound(len(src)))
	case uint64(len(src)) > math.MaxUint32:
		return 0, fmt.Errorf("lz4: %d bytes; at most 4 GiB can be said", len(src))
	}
	binary.LittleEndian.PutUint32(dst, uint32(len(src)))
	compressor := c.compressors.Get().(blockCompressor)
	n, err := compressor.CompressBlock(src, dst[sizeBytes:])
	c.compressors.Put(compressor)
	return sizeBytes + n, err
}

var (
	errIncomplete = errors.New("lz4: it is shorter than the smallest block")
	errNothing    = errors.New("lz4: it is of nothing")
)

// Size is what the first bytes say. Errors: there is no block.
func (c *Codec) Size(src []byte) (uint64, error) {
	if len(src) <= sizeBytes {
		return 0, errIncomplete
	}
	return uint64(binary.LittleEndian.Uint32(src)), nil
}

// Check finds a size that the block can't become, and one of nothing, which nobody compresses.
func (c *Codec) Check(src []byte, size uint64) error {
	if size == 0 {
		return errNothing
	}
	if size > ratioMax*uint64(len(src)-sizeBytes) {
		return fmt.Errorf("lz4: it claims %d bytes, more than its block can hold", size)
	}
	return nil
}

// Decompress fills dst, whose size is the original's.
func (c *Codec) Decompress(dst, src []byte) error {
	if len(src) <= sizeBytes {
		return errIncomplete
	}
	if len(dst) == 0 {
		return errNothing
	}
	n, err := lz4.UncompressBlock(src[sizeBytes:], dst)
	if err == nil && n != len(dst) {
		err = fmt.Errorf("lz4: the block holds %d bytes, not %d as is said in front of it", n, len(dst))
	}
	return err
}
