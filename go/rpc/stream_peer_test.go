package rpc_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

const peerCredit = 256 << 10 // of Hello, both ways

// streamPeer is a hand-written client of level 2 that has streams: it keeps the rules of credit and slices by
// itself.
type streamPeer struct {
	peer2
	writing sync.Mutex

	mu      sync.Mutex
	changed *sync.Cond
	streams map[uint16]*peerStream
	closed  error
}

// peerStream is a session of a streamPeer. What comes is kept without a limit.
type peerStream struct {
	p       *streamPeer
	session uint16
	id      uint32

	credit  int // that the server gave
	frames  []reply2
	greedy  bool // no credit is given back
	partial string
	whole   int
	given   int
}

func dialStreams(t testing.TB, address string) *streamPeer {
	t.Helper()
	p := &streamPeer{peer2: dialLevel2(t, address), streams: map[uint16]*peerStream{}}
	p.changed = sync.NewCond(&p.mu)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.read()
	}()
	t.Cleanup(func() {
		_ = p.Close()
		<-ended
	})
	return p
}

func (p *streamPeer) read() {
	for {
		r, err := p.next()
		p.mu.Lock()
		if err != nil {
			p.closed = err
			p.changed.Broadcast()
			p.mu.Unlock()
			return
		}
		s := p.streams[r.Session]
		switch {
		case s == nil: // forgotten
		case r.Flags == frame.FlagCredit:
			s.credit += int(binary.LittleEndian.Uint32([]byte(r.payload)))
		default:
			s.frames = append(s.frames, r)
		}
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

// at begins with a session; nothing is sent.
func (p *streamPeer) at(session uint16, id uint32) *peerStream {
	s := &peerStream{p: p, session: session, id: id, credit: peerCredit}
	p.mu.Lock()
	p.streams[session] = s
	p.mu.Unlock()
	return s
}

// open opens a stream, with a first message unless payload is empty.
func (p *streamPeer) open(session uint16, id uint32, payload string) *peerStream {
	p.t.Helper()
	s := p.at(session, id)
	s.send(payload, 0)
	return s
}

func (s *peerStream) put(flags uint8, meta uint32, payload string) {
	s.p.t.Helper()
	s.p.writing.Lock()
	defer s.p.writing.Unlock()
	s.p.write(frame2(flags, s.session, meta, payload))
}

// send sends a message, in slices if it is large, when there is credit.
func (s *peerStream) send(payload string, flags uint8) {
	s.p.t.Helper()
	const slice = 64 << 10
	if len(payload) <= slice {
		s.spend(len(payload))
		s.put(frame.FlagStream|flags, s.id, payload)
		return
	}
	rest := string(binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))) + payload
	for len(rest) > slice {
		s.spend(slice)
		s.put(frame.FlagStream|frame.FlagMore, s.id, rest[:slice])
		rest = rest[slice:]
	}
	s.spend(len(rest))
	s.put(frame.FlagStream|flags, s.id, rest)
}

func (s *peerStream) spend(size int) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for s.credit < size && s.p.closed == nil {
		s.p.changed.Wait()
	}
	s.credit -= size
}

// left is the credit that there is now.
func (s *peerStream) left() int {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.credit
}

func (s *peerStream) fin() { s.put(frame.FlagStream|frame.FlagFin, s.id, "") }

func (s *peerStream) cancel() { s.put(frame.FlagReset, uint32(rpc.CodeCancelled), "") }

// give gives the server credit.
func (s *peerStream) give(size int) {
	s.put(frame.FlagCredit, s.id, string(binary.LittleEndian.AppendUint32(nil, uint32(size))))
}

// come are bytes of messages that have come and were not looked at.
func (s *peerStream) come() (bytes int) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for i := range s.frames {
		bytes += len(s.frames[i].payload)
	}
	return bytes
}

// frame waits for the session's next frame.
func (s *peerStream) frame() reply2 {
	s.p.t.Helper()
	s.p.mu.Lock()
	for len(s.frames) == 0 && s.p.closed == nil {
		s.p.changed.Wait()
	}
	if len(s.frames) == 0 {
		err := s.p.closed
		s.p.mu.Unlock()
		require.NoError(s.p.t, err)
	}
	r := s.frames[0]
	s.frames = s.frames[1:]
	s.p.mu.Unlock()
	return r
}

// recv waits for the session's next message, or its end.
func (s *peerStream) recv() reply2 {
	s.p.t.Helper()
	for {
		r := s.frame()
		last := r.Flags&frame.FlagFin != 0 || r.Flags&frame.FlagStream == 0
		if n := len(r.payload); !s.greedy && !last && n > 0 {
			if s.given += n; s.given >= peerCredit/4 || r.Flags&frame.FlagMore != 0 {
				s.give(s.given)
				s.given = 0
			}
		}
		if r.Flags&frame.FlagMore != 0 && s.whole == 0 {
			s.whole = int(binary.LittleEndian.Uint32([]byte(r.payload)))
			r.payload = r.payload[4:]
		}
		s.partial += r.payload
		if r.Flags&frame.FlagMore != 0 {
			continue
		}
		r.payload = s.partial
		if s.whole != 0 {
			require.Len(s.p.t, r.payload, s.whole)
		}
		s.partial, s.whole = "", 0
		return r
	}
}

// ends expects the last frame.
func (s *peerStream) ends(code rpc.Code) reply2 {
	s.p.t.Helper()
	r := s.recv()
	require.EqualValues(s.p.t, code, r.Meta, "%q", r.payload)
	require.EqualValues(s.p.t, frame.FlagStream|frame.FlagFin, r.Flags&^frame.FlagMetadata)
	return r
}

// gets expects a message.
func (s *peerStream) gets(payload string) {
	s.p.t.Helper()
	r := s.recv()
	require.EqualValues(s.p.t, frame.FlagStream, r.Flags&^frame.FlagMetadata)
	require.EqualValues(s.p.t, rpc.CodeOK, r.Meta)
	require.Equal(s.p.t, payload, r.payload)
}

// echoes expects that a call on the same connection is answered, whatever the streams do.
func (p *streamPeer) echoes(session uint16) {
	p.t.Helper()
	s := p.at(session, idEcho)
	s.put(0, idEcho, "is there anybody?")
	r := s.frame()
	require.EqualValues(p.t, rpc.CodeOK, r.Meta)
	require.Equal(p.t, "is there anybody?", r.payload)
}
