// Package zstd is zstd for package compress: one frame with its content size in it, without a dictionary,
// which is what every smf peer sends.
//
// It links the C library through github.com/DataDog/zstd: the copy that comes with that module, or, with
// the build tag external_libzstd, the system's (Debian: libzstd-dev), by pkg-config. Either way a program
// has one zstd: libsmf itself has none.
package zstd

import (
	"errors"
	"fmt"
	"sync"

	"github.com/DataDog/zstd"

	"github.com/smf-go/smf/go/rpc"
)

// Levels: higher ones are slower and compress more. Those above LevelMax would need more than 100 MiB
// for each payload that is being compressed.
const (
	LevelMin     = 1
	LevelDefault = 3
	LevelMax     = 19
)

// Codec is a compress.Codec. Make it with New.
type Codec struct {
	level         int
	compressors   sync.Pool // of zstd.Ctx; each has some 100 KiB to 100 MiB, by level
	decompressors sync.Pool // of zstd.Ctx, which have 100 KiB
}

// New makes a codec that compresses at a level; it decompresses what was made at any.
//
// Cost: contexts are made when they are needed, and used again, about one for each CPU. The garbage
// collector frees those that are not used any more.
func New(level int) (*Codec, error) {
	if level < LevelMin || level > LevelMax {
		return nil, fmt.Errorf("zstd: level %d; there are %d to %d", level, LevelMin, LevelMax)
	}
	newContext := func() any { return zstd.NewCtx() }
	return &Codec{level: level, compressors: sync.Pool{New: newContext}, decompressors: sync.Pool{New: newContext}}, nil
}

// Compression is rpc.CompressionZstd.
func (c *Codec) Compression() rpc.Compression { return rpc.CompressionZstd }

// Bound is the most bytes that size bytes may become.
func (c *Codec) Bound(size int) int { return zstd.CompressBound(size) }

// Compress compresses src into dst, which has at least Bound(len(src)) bytes.
func (c *Codec) Compress(dst, src []byte) (int, error) {
	if len(dst) < c.Bound(len(src)) {
		return 0, fmt.Errorf("zstd: room of %d bytes; %d bytes need %d", len(dst), len(src), c.Bound(len(src)))
	}
	context := c.compressors.Get().(zstd.Ctx)
	out, err := context.CompressLevel(dst, src, c.level)
	c.compressors.Put(context) // and it is reachable until here: a finalizer frees it
	return len(out), err
}

// Size is the content size that the frame says. Errors: it is no frame, says no size, or needs a
// dictionary.
func (c *Codec) Size(src []byte) (uint64, error) {
	head, err := readHead(src)
	return head.size, err
}

// Check finds a frame that is not complete, that something follows, that claims more than its blocks can
// hold, or that is of nothing, which nobody compresses.
func (c *Codec) Check(src []byte, size uint64) error {
	head, err := readHead(src)
	if err != nil {
		return err
	}
	return head.check(size)
}

var errWrongSize = errors.New("zstd: the content has another size than the frame says")

// Decompress fills dst, whose size is the content's.
func (c *Codec) Decompress(dst, src []byte) error {
	if len(dst) == 0 {
		return errNothing
	}
	if len(src) == 0 {
		return errIncomplete
	}
	context := c.decompressors.Get().(zstd.Ctx)
	n, err := context.DecompressInto(dst, src)
	c.decompressors.Put(context)
	if err == nil && n != len(dst) {
		err = errWrongSize
	}
	return err
}
