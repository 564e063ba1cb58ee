package rpc_test

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// Many callers that take nothing: what their streams queue in Go's memory is an eighth of the core's memory and a
// message of each, others are served meanwhile, and no message is lost.
func TestWhatStreamsQueueIsBounded(t *testing.T) {
	const memory, streams, size, count = 32 << 20, 150, 4000, 160
	server, address := start(t, rpc.ServerOptions{Cores: 1, MemoryBytes: memory},
		streaming(idWork, rpc.StreamingServer, func(_ context.Context, s *rpc.ServerStreamRaw) error {
			for i := range count {
				if err := s.Send(binary.LittleEndian.AppendUint32(make([]byte, 0, size), uint32(i))[:size]); err != nil {
					return err
				}
			}
			return nil
		}), streaming(idMore, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	var all []*peerStream
	for i := range uint16(streams) {
		s := p.at(i+1, idWork)
		s.greedy = true
		s.send("go", 0)
		all = append(all, s)
	}
	const most = memory/8 + streams*(size+16)
	within := func() int64 {
		queued := server.Stats().Cores[0].StreamsQueued
		require.LessOrEqual(t, queued, int64(most))
		return queued
	}
	eventually(t, "the share is used up", func() bool { return within() > memory/8-2*(64<<10) })
	for _, s := range all {
		eventually(t, "the credit is used up", func() bool {
			within()
			return s.come() > peerCredit-size
		})
	}
	other := p.open(streams+1, idMore, "")
	for i := range 300 {
		other.send(message(i), 0)
		other.gets(message(i))
		within()
	}
	p.echoes(streams + 2)
	for _, s := range all {
		s.greedy = false
		for i := range count {
			s.gets(string(binary.LittleEndian.AppendUint32(make([]byte, 0, size), uint32(i))[:size]))
		}
		s.ends(rpc.CodeOK)
		within()
	}
	eventually(t, "nothing is left in the queue", func() bool { return within() == 0 })
}
