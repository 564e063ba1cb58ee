package loop

import (
	"testing"

	"github.com/stretchr/testify/require"

	native "github.com/smf-go/smf/cgo"
)

// aloneLoop is a loop that nobody drives but the test, in a turn of its core.
func aloneLoop(t *testing.T, memory int64) *Loop {
	t.Helper()
	engine, err := native.Open(native.Config{Cores: 1, MemoryBytes: memory})
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	l := New(engine.Cores()[0], nil, 1000)
	require.GreaterOrEqual(t, l.core.Poll(native.WaitNone), 0)
	return l
}

// full is a stream whose handler has sent as much as may wait.
func full(t *testing.T, l *Loop) *Stream {
	t.Helper()
	s := &Stream{loop: l, conn: conn(1, 0), session: 1, arrived: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	payload := make([]byte, 4<<10-native.HeaderSize)
	for range streamOutMax / (4 << 10) {
		require.Equal(t, SentGood, s.Send(nil, 200, nil, payload))
	}
	return s
}

// However many streams have something for the core, it gets a bounded part of it in a turn; in their order, and
// nothing is left in the end.
func TestATurnOfStreamsIsBounded(t *testing.T) {
	l := aloneLoop(t, 64<<20)
	var streams []*Stream
	for range 30 {
		streams = append(streams, full(t, l))
	}
	require.GreaterOrEqual(t, l.Stats().Queued, int64(30*streamOutMax))
	last := full(t, l)
	answer := letter{reply: true, task: &task{call: Call{stream: last}}}
	for gone, turns := 0, 1; gone < len(streams); turns++ {
		l.deliver()
		require.LessOrEqual(t, l.given, streamTurnBytes+streamOutMax)
		require.Less(t, turns, 20, "it goes on turn by turn")
		for gone < len(streams) && streams[gone].out == nil {
			gone++
		}
		for _, s := range streams[gone:] {
			require.NotNil(t, s.out, "one has overtaken another")
		}
		if gone < len(streams) {
			require.True(t, l.isDue())
			require.GreaterOrEqual(t, l.given, streamTurnBytes)
			require.False(t, l.deal(&answer), "the rest of a stream that ends counts, too")
		}
		require.GreaterOrEqual(t, l.core.Poll(native.WaitNone), 0)
	}
	l.deliver()
	require.False(t, l.isDue())
	require.Zero(t, l.Stats().Queued)
}

// When the share of all streams is used up, one that moves has room for a message and no more, and one that does
// not has none until it moves again.
func TestTheShareOfAllStreams(t *testing.T) {
	l := aloneLoop(t, 8<<20)
	still, moving := &Stream{loop: l, blocked: true, room: make(chan struct{}, 1)}, &Stream{loop: l, room: make(chan struct{}, 1)}
	require.True(t, still.hasRoom(100))
	l.queued.Add(l.queueLimit)
	require.False(t, still.hasRoom(100))
	require.True(t, moving.hasRoom(100<<20), "of any size: it goes alone")
	moving.blocked = true // it is not handed over here
	moving.out = moving.queue(100)
	require.Equal(t, l.queueLimit+100, l.queued.Load(), "not more memory than it needs")
	moving.blocked = false
	require.False(t, moving.hasRoom(100))
	moving.unqueue()
	require.True(t, moving.hasRoom(100))
	still.sendWaits = true
	l.writable(still)
	require.Len(t, still.room, 1, "its sender is woken")
	require.True(t, still.hasRoom(100))
	l.queued.Add(-l.queueLimit)
	require.Zero(t, l.queued.Load())
}
