package native

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const level2Block = "\x18\x00\x00\x00\x00\x00\x00\x00\x03\x00\x05\x00keyvalue\x00\x00\x00\x00" // {"key": "value"}

// level2Pair is a server core and a client core, driven by one goroutine.
type level2Pair struct {
	t              *testing.T
	server, client *Core
	conn           uint64
	requests       []Event
	hold           bool
	inLoan         bool
}

func newLevel2Pair(t *testing.T) *level2Pair {
	var cores [2]*Core
	var address string
	for i := range cores {
		engine, err := Open(Config{Cores: 1, MemoryBytes: small, SpinMicros: -1, CreditBytes: 64 << 10})
		require.NoError(t, err)
		t.Cleanup(engine.Close)
		cores[i] = engine.Cores()[0]
		if i == 0 {
			address, err = engine.Listen("127.0.0.1:0")
			require.NoError(t, err)
		}
	}
	p := &level2Pair{t: t, server: cores[0], client: cores[1]}
	var err error
	p.conn, err = p.client.ConnectWith(address, 0, ConnectHello)
	require.NoError(t, err)
	return p
}

// until drives both cores until the client has an event of a kind.
func (p *level2Pair) until(kind EventKind) Event {
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		p.server.Poll(WaitNone)
		for _, e := range p.server.Events() {
			p.serve(e)
		}
		p.client.Poll(WaitNone)
		for _, e := range p.client.Events() {
			if e.Kind == kind {
				return e
			}
			require.NotEqual(p.t, EventClosed, e.Kind)
		}
	}
	require.Fail(p.t, "no event", "%v", kind)
	return Event{}
}

// serve answers in the loan, or with copies.
func (p *level2Pair) serve(e Event) {
	if e.Kind != EventRequest && e.Kind != EventCancel {
		return
	}
	p.requests = append(p.requests, e)
	if e.Kind == EventRequest && p.hold {
		return
	}
	r := Reply{Payload: e.Payload(), Metadata: e.Metadata(), Conn: e.Conn, Session: e.Session, Status: 200, Compression: e.Compression}
	if p.inLoan {
		loan := p.server.Loan()
		r.Payload = loan[len(loan)-len(e.Payload()):]
		copy(r.Payload, e.Payload())
		r.InLoan = true
	}
	require.True(p.t, p.server.Send(&r))
}

func TestLevel2OverTheBorder(t *testing.T) {
	p := newLevel2Pair(t)
	require.EqualValues(t, 2, p.until(EventConnected).Level)
	level, ok := p.client.Level(p.conn)
	require.True(t, ok)
	require.Equal(t, Level{Level: 2, FrameBytesMax: 16 << 20, CallsMax: 4096, CreditBytes: 64 << 10, MessageBytesMax: 64 << 20}, level)
	_, ok = p.client.Level(p.conn + 1)
	require.False(t, ok)

	for _, p.inLoan = range []bool{false, true} {
		require.True(t, p.client.Send(&Reply{Payload: []byte("ping"), Metadata: []byte(level2Block), Compression: 2,
			Conn: p.conn, Session: 5, Status: 9}))
		e := p.until(EventReply)
		require.Equal(t, "ping", string(e.Payload()))
		require.Equal(t, level2Block, string(e.Metadata()))
		require.EqualValues(t, 2, e.Compression)
		require.Equal(t, FlagMetadata, e.Flags)
		require.EqualValues(t, 5, e.Session)
	}
	require.True(t, p.client.Send(&Reply{Payload: []byte("bare"), Conn: p.conn, Session: 6, Status: 9}))
	require.Nil(t, func() []byte { e := p.until(EventReply); return e.Metadata() }())

	require.Equal(t, StatusOK, p.client.Ping(p.conn, 77))
	pong := p.until(EventPong)
	require.EqualValues(t, 77, binary.LittleEndian.Uint64(pong.Payload()))
	require.Equal(t, StatusClosed, p.client.Ping(p.conn+1, 77))

	p.hold = true
	require.True(t, p.client.Send(&Reply{Payload: []byte("long"), Conn: p.conn, Session: 7, Status: 9}))
	require.Equal(t, StatusOK, p.client.Cancel(p.conn, 7, 499))
	require.EqualValues(t, 7, func() uint16 { e := p.until(EventReply); return e.Session }())
	require.Equal(t, EventCancel, p.requests[len(p.requests)-1].Kind)
	require.Equal(t, StatusClosed, p.client.Taken(p.conn+1, 7, 1))

	require.Equal(t, StatusOK, p.server.Goaway(p.requests[0].Conn, 503))
	require.EqualValues(t, 503, func() uint32 { e := p.until(EventGoaway); return e.Meta }())
	require.EqualValues(t, 1, p.server.Stats().Hellos)
	require.EqualValues(t, 1, p.server.Stats().ConnectionsLevel2)
	require.EqualValues(t, 1, p.server.Stats().Cancels)
}

// A payload that is in a loan with no room in front of it for the block.
func TestMetadataThatDoesNotFitTheLoan(t *testing.T) {
	p := newLevel2Pair(t)
	p.until(EventConnected)
	loan := p.client.Loan()
	for i := range loan {
		loan[i] = byte(i)
	}
	want := append([]byte(nil), loan...)
	require.True(t, p.client.Send(&Reply{Payload: loan, Metadata: []byte(level2Block), InLoan: true, Conn: p.conn, Session: 1, Status: 9}))
	p.hold = true
	for len(p.requests) == 0 {
		p.server.Poll(WaitNone)
		for _, e := range p.server.Events() {
			if e.Kind == EventRequest {
				require.Equal(t, want, e.Payload())
				require.Equal(t, level2Block, string(e.Metadata()))
				p.requests = append(p.requests, e)
			}
		}
		p.client.Poll(WaitNone)
	}
}
