package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/schema/demo"
)

// The demo server takes requests in every way, whatever it does with its replies, and so does smf call.
func TestCompressedCalls(t *testing.T) {
	name := strings.Repeat("a", 50_000)
	for _, server := range [][]string{nil, {"--compress", "zstd"}, {"--compress", "lz4", "--compress-min", "0"}} {
		address := serveDemo(t, server...).addresses[0]
		for _, client := range [][]string{nil, {"--compress", "zstd", "--compress-min", "100"}, {"--compress", "lz4"}} {
			got := smf(t, append([]string{"call", address, "SmfStorage.Get", `{"name":"` + name + `"}`}, client...)...)
			require.Equal(t, outcome{0, `{"name":"` + name + "\"}\n", ""}, got, "%v %v", server, client)
		}
		got := smf(t, "load", address, "SmfStorage.Get", "--compress", "lz4", "--name-bytes", "5000", "--duration", "100ms", "--warmup", "0s")
		require.Zero(t, got.status, got.stderr)
	}
}

// What is on the wire is compressed where it is larger than the minimum, and nowhere else.
func TestRepliesAreCompressedAboveTheMinimum(t *testing.T) {
	p := newPeer(t, serveDemo(t, "--compress", "zstd", "--compress-min", "1000").addresses[0])
	for _, c := range []struct {
		size int
		want uint8
	}{{500, frame.CompressionNone}, {5000, frame.CompressionZstd}} {
		p.send(request(1, strings.Repeat("a", c.size)))
		require.Equal(t, c.want, p.receive().Compression)
	}
	codec, err := lz4.New(lz4.LevelFast)
	require.NoError(t, err)
	whole := request(2, strings.Repeat("a", 5000))
	room := make([]byte, frame.HeaderSize+codec.Bound(len(whole)))
	n, err := codec.Compress(room[frame.HeaderSize:], whole[frame.HeaderSize:])
	require.NoError(t, err)
	h := frame.Decode(whole)
	h.Compression, h.Size, h.Checksum = frame.CompressionLZ4, uint32(n), frame.Checksum(room[frame.HeaderSize:frame.HeaderSize+n])
	h.Put(room)
	p.send(room[:frame.HeaderSize+n])
	reply := p.receive()
	require.EqualValues(t, 200, reply.Meta)
	require.EqualValues(t, frame.CompressionZstd, reply.Compression)
	require.Less(t, reply.Size, uint32(500))
}

// A caller of level 2 that takes no compression gets none.
func TestRepliesAreCompressedForThoseWhoTakeThem(t *testing.T) {
	address := serveDemo(t, "--compress", "zstd", "--compress-min", "1000").addresses[0]
	for _, c := range []struct {
		offer uint32
		want  uint8
	}{{0, frame.CompressionNone}, {1 << frame.CompressionLZ4, frame.CompressionNone}, {1 << frame.CompressionZstd, frame.CompressionZstd}} {
		p := newPeer(t, address)
		offer := frame.Hello{Level: 2, Compressions: c.offer, FrameSizeMax: 1 << 20, CallsMax: 1, Credit: 64 << 10, MessageSizeMax: 1 << 20}.Append(nil)
		p.send(append(frame.Header{Session: 1, Size: uint32(len(offer)), Checksum: frame.Checksum(offer), Meta: frame.HelloMethodID}.Append(nil), offer...))
		require.EqualValues(t, 200, p.receive().Meta)
		payload := requestOf(strings.Repeat("a", 5000))
		h := frame.Header{Session: 1, Size: uint32(len(payload)), Meta: demo.SmfStorageGetMethodID}
		h.Checksum = h.ChecksumLevel2(payload)
		p.send(append(h.Append(nil), payload...))
		require.Equal(t, c.want, p.receive().Compression)
	}
}

func TestCompressionThatThereIsNot(t *testing.T) {
	for _, command := range [][]string{{"serve", "--demo"}, {"call", "127.0.0.1:1", "Get"}, {"load", "127.0.0.1:1", "Get"}} {
		require.Equal(t, outcome{2, "", "smf: --compress \"gzip\": there are zstd and lz4\n"}, smf(t, append(command, "--compress", "gzip")...))
		require.Equal(t, outcome{2, "", "smf: --compress-min -1 is negative\n"}, smf(t, append(command, "--compress-min", "-1")...))
	}
}
