package rpc_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// peer2 is a wire that has agreed on level 2.
type peer2 struct{ wire }

// hello is what peers of tests offer.
var hello = frame.Hello{Level: 2, FrameSizeMax: 16 << 20, CallsMax: 4096, Credit: 256 << 10, MessageSizeMax: 64 << 20}

func dialLevel2(t testing.TB, address string) peer2 {
	t.Helper()
	w := dialWire(t, address)
	w.send(1, frame.HelloMethodID, string(hello.Append(nil)))
	h, payload := w.receive()
	require.EqualValues(t, rpc.CodeOK, h.Meta)
	agreed, err := frame.ReadHello([]byte(payload))
	require.NoError(t, err)
	require.EqualValues(t, 2, agreed.Level)
	return peer2{w}
}

// frame2 makes a frame of level 2.
func frame2(flags uint8, session uint16, meta uint32, payload string) []byte {
	h := frame.Header{Flags: flags, Session: session, Size: uint32(len(payload)), Meta: meta}
	h.Checksum = h.ChecksumLevel2([]byte(payload))
	return append(h.Append(nil), payload...)
}

// block makes a metadata block of keys and values.
func block(left time.Duration, texts ...string) string {
	w := frame.BeginMetadata(nil, uint64(left/time.Microsecond))
	for i := 0; i < len(texts); i += 2 {
		if err := w.Add(texts[i], texts[i+1]); err != nil {
			panic(err)
		}
	}
	b, err := w.End()
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (p peer2) write(frames ...[]byte) {
	p.t.Helper()
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	_, err := p.Write(all)
	require.NoError(p.t, err)
}

func (p peer2) call(session uint16, id uint32, payload string) {
	p.t.Helper()
	p.write(frame2(0, session, id, payload))
}

// callWith calls with a metadata block.
func (p peer2) callWith(session uint16, id uint32, block, payload string) {
	p.t.Helper()
	p.write(frame2(frame.FlagMetadata, session, id, block+payload))
}

func (p peer2) cancel(session uint16) {
	p.t.Helper()
	p.write(frame2(frame.FlagReset, session, uint32(rpc.CodeCancelled), ""))
}

// reply2 is a frame as a client of level 2 sees it.
type reply2 struct {
	frame.Header
	metadata frame.Metadata
	payload  string
}

// values are those of a key.
func (r reply2) values(key string) (all []string) {
	for k, v := range r.metadata.All() {
		if string(k) == key {
			all = append(all, string(v))
		}
	}
	return all
}

// failure is the error that a reply carries.
func (r reply2) failure(t testing.TB) frame.Error {
	t.Helper()
	require.NotEmpty(t, r.payload)
	e, err := frame.ReadError([]byte(r.payload))
	require.NoError(t, err)
	return e
}

func (p peer2) receive() reply2 {
	p.t.Helper()
	r, err := p.next()
	require.NoError(p.t, err)
	return r
}

func (p peer2) next() (r reply2, err error) {
	var head [frame.HeaderSize]byte
	if _, err := io.ReadFull(p, head[:]); err != nil {
		return r, err
	}
	r.Header = frame.Decode(head[:])
	if fault := r.CheckLevel2(); fault != frame.Good {
		return r, fmt.Errorf("a header that is not level 2: %v", fault)
	}
	payload := make([]byte, r.Size)
	if _, err := io.ReadFull(p, payload); err != nil {
		return r, err
	}
	if r.ChecksumLevel2(payload) != r.Checksum {
		return r, fmt.Errorf("a wrong checksum")
	}
	if r.Flags&frame.FlagMetadata != 0 {
		var fault frame.MetadataFault
		if r.metadata, fault = frame.ReadMetadata(payload); fault != frame.MetadataGood {
			return r, fmt.Errorf("a metadata block that is none: %v", fault)
		}
	}
	r.payload = string(payload[r.metadata.Size():])
	return r, nil
}

// answered receives the reply to a session.
func (p peer2) answered(session uint16, code rpc.Code) reply2 {
	p.t.Helper()
	r := p.receive()
	require.Equal(p.t, session, r.Session)
	require.EqualValues(p.t, code, r.Meta, "%q", r.payload)
	return r
}

// echoes expects that nothing but the echo of a call comes: all that was to be answered was.
func (p peer2) echoes(session uint16) {
	p.t.Helper()
	p.call(session, idEcho, "is there anything else?")
	require.Equal(p.t, "is there anything else?", p.answered(session, rpc.CodeOK).payload)
}

// pings expects a pong, which comes when the server has dealt with all that was sent before.
func (p peer2) pings(token uint64) {
	p.t.Helper()
	p.write(frame2(frame.FlagControl, 0, frame.ControlPing, string(binary.LittleEndian.AppendUint64(nil, token))))
	r := p.receive()
	require.EqualValues(p.t, frame.FlagControl, r.Flags)
	require.EqualValues(p.t, frame.ControlPong, r.Meta)
	require.EqualValues(p.t, token, binary.LittleEndian.Uint64([]byte(r.payload)))
}

// coreOf are the counters of a server's only core.
func coreOf(t testing.TB, s *rpc.Server) rpc.CoreStats {
	t.Helper()
	cores := s.Stats().Cores
	require.Len(t, cores, 1)
	return cores[0]
}
