package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// compressOptions are the flags of whoever sends payloads.
type compressOptions struct {
	with  string // "zstd", "lz4"; "": nothing is compressed
	least int    // only payloads strictly larger are
}

func (o *compressOptions) addTo(flags *pflag.FlagSet, usage string) {
	flags.StringVar(&o.with, "compress", "", usage)
	flags.IntVar(&o.least, "compress-min", compress.MinBytesDefault, "with --compress: only payloads of more bytes than this")
}

// check finds what is wrong with the flags.
func (o *compressOptions) check() error {
	switch {
	case o.with != "" && o.with != "zstd" && o.with != "lz4":
		return fmt.Errorf("--compress %q: there are zstd and lz4", o.with)
	case o.least < 0:
		return fmt.Errorf("--compress-min %d is negative", o.least)
	}
	return nil
}

// compressions are what filter decompresses.
var compressions = []rpc.Compression{rpc.CompressionZstd, rpc.CompressionLZ4}

// filter takes what comes compressed, and compresses what is sent if the flags say so.
func (o *compressOptions) filter() (rpc.Filter, error) {
	fast, err := zstd.New(zstd.LevelDefault)
	if err != nil {
		return nil, err
	}
	faster, err := lz4.New(lz4.LevelFast)
	if err != nil {
		return nil, err
	}
	options := compress.Options{Accept: []compress.Codec{fast, faster}, MinBytes: o.least}
	if o.least == 0 {
		options.MinBytes = -1 // all of them
	}
	switch o.with {
	case "zstd":
		options.Send = fast
	case "lz4":
		options.Send = faster
	}
	return compress.New(options)
}
