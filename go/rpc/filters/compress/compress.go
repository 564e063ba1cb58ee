// Package compress is a filter that compresses payloads before they are sent, and decompresses what has
// come, on either side of calls:
//
//	fast, err := zstd.New(zstd.LevelDefault)
//	options := compress.Options{Send: fast}
//	filter, err := compress.New(options)
//	server, err := rpc.NewServer(rpc.ServerOptions{Filters: []rpc.Filter{filter}, Compressions: options.Compressions()})
//
// The codecs are in packages below it: zstd, which needs a C compiler as smf itself does, and lz4, which
// is Go.
//
// In a server the filters in front of it in the list see payloads as they are on the wire, those behind it as they
// are for the handler; in a client it is the other way round.
//
// At level 2 of the wire format both sides tell what they decompress (rpc.ServerOptions.Compressions,
// rpc.ClientOptions.Compressions), and only what both list is sent compressed, in either direction: a side that
// does not list it gets payloads as they are, and sends them so. At level 1 nobody says what he understands:
// whoever compresses must know that the other side can take it. A peer without a filter for it answers 501.
package compress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// Codec is one way to compress. Any goroutine may call its methods. None of them keeps what it is given.
type Codec interface {
	// Compression is what frames call it.
	Compression() rpc.Compression
	// Bound is the most bytes that size bytes may become.
	Bound(size int) int
	// Compress compresses src, which is not empty, into dst, which has Bound(len(src)) bytes, and returns
	// how many of them it has filled.
	Compress(dst, src []byte) (int, error)
	// Size is how many bytes src claims to become, by its first bytes alone. An error says what is
	// malformed.
	Size(src []byte) (uint64, error)
	// Check finds what is malformed in src, whose Size is size, without memory for that: above all a size
	// that so few bytes can't become.
	Check(src []byte, size uint64) error
	// Decompress fills dst, which has as many bytes as Size has said. An error says what is malformed;
	// dst then holds anything.
	Decompress(dst, src []byte) error
}

// Bounds, unless Options say otherwise.
const (
	MinBytesDefault   = 1 << 10
	MaxBytesDefault   = 64 << 20
	TotalBytesDefault = 256 << 20
)

// Options of New. At least one of Send and Accept is needed.
type Options struct {
	// Send compresses what this side sends: requests in a client, replies in a server; to peers of level 2
	// that accept it, and to all of level 1. nil: that is left as it is. What it compresses is accepted, too.
	Send Codec
	// Accept are further codecs whose payloads are decompressed. What comes compressed otherwise is left as
	// it is, which ends in status 501.
	Accept []Codec
	// MinBytes: only payloads strictly larger are compressed. 0: MinBytesDefault; < 0: all of them.
	MinBytes int
	// MaxBytes bounds one payload after decompression; a larger one is an error with code 413. 0:
	// MaxBytesDefault.
	MaxBytes int64
	// TotalBytes bounds, in a server, the requests that are decompressed at one time; one that would
	// exceed it is an error with code 429. 0: TotalBytesDefault, or MaxBytes where that is more.
	TotalBytes int64
}

// Compressions are those of Send and Accept: what a filter with these options decompresses, for
// rpc.ServerOptions.Compressions and rpc.ClientOptions.Compressions.
func (o Options) Compressions() []rpc.Compression {
	var all []rpc.Compression
	for _, c := range append([]Codec{o.Send}, o.Accept...) {
		if c != nil && !slices.Contains(all, c.Compression()) {
			all = append(all, c.Compression())
		}
	}
	return all
}

// filter is what New has made of Options.
type filter struct {
	options  Options
	codecs   [frame.CompressionMax + 1]Codec
	held     atomic.Int64 // bytes of decompressed requests
	finished rpc.Done     // compresses a reply
}

// New makes a filter for servers, services, methods and clients; one may serve several of them, and
// TotalBytes is then for all together.
//
// A payload whose frame says "compression disabled" is left alone, and so is one that did not become
// smaller.
//
// Errors: options that can't be.
//
// Cost: tens of nanoseconds for payloads that it leaves alone; nothing is allocated in steady state for
// payloads up to 1 MiB.
func New(options Options) (rpc.Filter, error) {
	f := &filter{options: options}
	if err := f.fill(); err != nil {
		return nil, err
	}
	f.finished = f.compressReply
	return f.run, nil
}

// fill checks the options and puts in what they leave open.
func (f *filter) fill() error {
	o := &f.options
	if o.Send == nil && len(o.Accept) == 0 {
		return errors.New("compress: a filter with neither Send nor Accept does nothing: give it a codec")
	}
	if o.Send != nil {
		if err := f.accept(o.Send); err != nil {
			return err
		}
	}
	for _, c := range o.Accept {
		if c == nil {
			return errors.New("compress: a codec in Options.Accept is nil")
		}
		if o.Send != nil && c.Compression() == o.Send.Compression() {
			continue
		}
		if err := f.accept(c); err != nil {
			return err
		}
	}
	if o.MaxBytes < 0 || o.TotalBytes < 0 {
		return fmt.Errorf("compress: MaxBytes is %d and TotalBytes %d; neither may be negative", o.MaxBytes, o.TotalBytes)
	}
	if o.MinBytes == 0 {
		o.MinBytes = MinBytesDefault
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = MaxBytesDefault
	}
	if o.TotalBytes == 0 {
		o.TotalBytes = max(TotalBytesDefault, o.MaxBytes)
	}
	if o.TotalBytes < o.MaxBytes {
		return fmt.Errorf("compress: TotalBytes is %d, less than the largest payload, MaxBytes %d", o.TotalBytes, o.MaxBytes)
	}
	return nil
}

func (f *filter) accept(c Codec) error {
	kind := c.Compression()
	switch {
	case kind <= frame.CompressionDisabled || int(kind) >= len(f.codecs):
		return fmt.Errorf("compress: the wire format knows no compression %d", kind)
	case f.codecs[kind] != nil:
		return fmt.Errorf("compress: two codecs for %s", kind)
	}
	f.codecs[kind] = c
	return nil
}

func (f *filter) run(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	if call.Side() == rpc.SideClient {
		return f.client(ctx, call, next)
	}
	if f.options.Send != nil {
		call.OnDone(f.finished)
	}
	codec := f.codecOf(call.Compression())
	if codec == nil {
		return next(ctx, call)
	}
	size, err := f.size(codec, call.Payload(), "request")
	if err != nil {
		return err
	}
	if f.held.Add(size) > f.options.TotalBytes {
		f.held.Add(-size)
		return rpc.Errorf(rpc.CodeLimit, "decompressed requests of %d bytes are being served; this one of %d is over the bound", f.options.TotalBytes, size)
	}
	defer f.held.Add(-size) // also if what is inside panics
	payload := call.Buffer(int(size))
	if err := codec.Decompress(payload, call.Payload()); err != nil {
		return malformed(codec, "request", err)
	}
	call.SetPayload(payload, rpc.CompressionNone)
	return next(ctx, call)
}

func (f *filter) client(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	if f.options.Send != nil && call.Compression() == rpc.CompressionNone {
		if smaller := f.compress(call, call.Payload()); smaller != nil {
			call.SetPayload(smaller, f.options.Send.Compression())
		}
	}
	if err := next(ctx, call); err != nil {
		return err
	}
	codec := f.codecOf(call.ReplyCompression())
	if codec == nil {
		return nil
	}
	size, err := f.size(codec, call.ReplyPayload(), "reply")
	if err != nil {
		return ofReply(err)
	}
	payload := call.Buffer(int(size))
	if err := codec.Decompress(payload, call.ReplyPayload()); err != nil {
		return ofReply(malformed(codec, "reply", err))
	}
	call.SetReply(payload, rpc.CompressionNone)
	return nil
}

// compressReply is a server's: replies that are promised come here, too.
func (f *filter) compressReply(call *rpc.Call, err error) error {
	if err == nil && call.ReplyCompression() == rpc.CompressionNone {
		if smaller := f.compress(call, call.ReplyPayload()); smaller != nil {
			call.SetReply(smaller, f.options.Send.Compression())
		}
	}
	return err
}

// compress returns nil for what is better left alone.
func (f *filter) compress(call *rpc.Call, payload []byte) []byte {
	if len(payload) <= f.options.MinBytes || len(payload) == 0 || !call.PeerAccepts(f.options.Send.Compression()) {
		return nil
	}
	buffer := call.Buffer(f.options.Send.Bound(len(payload)))
	n, err := f.options.Send.Compress(buffer, payload)
	// Level 1 allows no checksum of 0, and these bytes can't be padded.
	if err != nil || n >= len(payload) || frame.Checksum(buffer[:n]) == 0 {
		return nil
	}
	return buffer[:n]
}

// codecOf returns nil for what nobody here decompresses.
func (f *filter) codecOf(kind rpc.Compression) Codec {
	if int(kind) >= len(f.codecs) {
		return nil
	}
	return f.codecs[kind]
}

// size is a payload's after decompression, within the bound, and worth memory.
func (f *filter) size(codec Codec, payload []byte, what string) (int64, *rpc.Error) {
	size, err := codec.Size(payload)
	if err != nil {
		return 0, malformed(codec, what, err)
	}
	if size > uint64(f.options.MaxBytes) {
		return 0, rpc.Errorf(rpc.CodeTooLarge, "the %s has %d bytes when it is decompressed (%s); at most %d are taken", what, size,
			codec.Compression(), f.options.MaxBytes)
	}
	if err := codec.Check(payload, size); err != nil {
		return 0, malformed(codec, what, err)
	}
	return int64(size), nil
}

func malformed(codec Codec, what string, err error) *rpc.Error {
	return &rpc.Error{Code: rpc.CodeBadRequest, Message: fmt.Sprintf("the %s is malformed (%s): %v", what, codec.Compression(), err), Cause: err}
}

// ofReply marks an error of a reply: its call has run.
func ofReply(err *rpc.Error) *rpc.Error {
	err.MayHaveRun = true
	return err
}
