package rpc

import (
	"encoding/binary"
	"io"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
)

// streamGiveParts is which part of the credit may be used up before the driver is told, while there are more
// messages to read. With what the core keeps back, a quarter, it is less than the half that a sender needs.
const streamGiveParts = 8

// inbox is messages, each behind its size.
type inbox struct {
	bytes []byte
	at    int // to be read next
}

func (b *inbox) isEmpty() bool { return b.at == len(b.bytes) }

func (b *inbox) add(payload []byte) {
	if cap(b.bytes) == 0 && len(payload) > messageKeepMax { // to be copied once only
		b.bytes = make([]byte, 0, binary.MaxVarintLen32+len(payload))
	}
	b.bytes = append(binary.AppendUvarint(b.bytes, uint64(len(payload))), payload...)
}

func (b *inbox) next() []byte {
	size, n := binary.Uvarint(b.bytes[b.at:])
	from := b.at + n
	b.at = from + int(size)
	return b.bytes[from:b.at:b.at]
}

// reset empties it; memory for the next messages is kept, up to a limit.
func (b *inbox) reset() {
	if cap(b.bytes) > messageKeepMax {
		b.bytes = nil
	}
	b.bytes, b.at = b.bytes[:0], 0
}

func (s *clientStream) recv() ([]byte, error) {
	s.used += s.lent
	s.lent = 0
	for {
		if s.reading.isEmpty() || s.stopped.Load() || s.used*streamGiveParts >= int(s.limits.CreditBytes) {
			if err := s.turnOver(); err != nil {
				return nil, err
			}
		}
		if !s.reading.isEmpty() {
			payload := s.reading.next()
			s.lent = len(payload)
			return payload, nil
		}
		s.loop.Await(s.arrived, nil)
	}
}

// turnOver takes over what has come, and has the server get credit for what was used up. Without an error there
// are messages to be read, or somebody will wake the receiver.
func (s *clientStream) turnOver() error {
	s.mu.Lock()
	s.taken += s.used
	s.used = 0
	if s.failure != nil {
		defer s.mu.Unlock()
		s.reading.reset()
		return s.failure
	}
	if s.reading.isEmpty() {
		s.reading.reset()
		s.reading, s.in = s.in, s.reading
		s.readBlocks()
		if s.reading.isEmpty() {
			if s.end != nil && !s.held {
				defer s.mu.Unlock()
				return s.end
			}
			s.recvWaits = true
			s.loop.Expect()
		}
	}
	run := s.taken > 0 && !s.recvWaits
	s.unlock(s.taken > 0)
	if run {
		s.loop.Run()
	}
	return nil
}

// readBlocks reads what the server has said. Under the lock.
func (s *clientStream) readBlocks() {
	for len(s.blocks) > 0 {
		block, fault := frame.ReadMetadata(s.blocks)
		if fault != frame.MetadataGood {
			break // those that come from the core were checked
		}
		for key, value := range block.All() {
			_ = s.said.Add(string(key), string(value))
		}
		s.blocks = s.blocks[block.Size():]
	}
	s.blocks = nil
}

func (s *clientStream) received() *Metadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readBlocks()
	return &s.said
}

// What follows is called by the driver; lost by Client.Close, too.

// message takes in what came. It reports whether somebody was woken.
func (s *clientStream) message(e *native.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return false // the core throws the rest away
	}
	if !s.heard {
		s.heard = true
		s.blocks = append(s.blocks, e.Metadata()...)
	}
	s.receive(e)
	return s.wakeReceiver()
}

// receive takes in the message that an event brings, if it does. Under the lock.
func (s *clientStream) receive(e *native.Event) {
	if e.Size == 0 {
		return
	}
	if compressionOf(e.Compression) != CompressionNone {
		s.stop(&Error{Code: CodeNotImplemented, Message: "a message of the reply is compressed, which was not asked for", MayHaveRun: true})
		if e.Kind == native.EventMessage {
			s.put(native.FlagReset, uint32(CodeCancelled), nil, nil)
			if !s.queued {
				s.queued = true
				s.conn.queueStream(s)
			}
		}
		return
	}
	s.in.add(e.Payload())
}

// isOver takes in the last frame. It reports whether somebody was woken.
func (s *clientStream) isOver(e *native.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setInCore(0)
	s.leaveSession()
	if s.failure != nil {
		return false
	}
	s.blocks = append(s.blocks, e.Metadata()...)
	if Code(e.Meta) == CodeOK {
		s.receive(e)
		s.end = io.EOF
	} else {
		s.place.code, s.place.compression = Code(e.Meta), compressionOf(e.Compression)
		s.place.refused = e.Flags&native.FlagReset != 0
		s.place.payload = append(s.place.payload[:0], e.Payload()...)
		s.end = s.place.asError(s.ctx)
		s.place.payload = nil
	}
	s.tellFilters()
	sender := s.wakeSender()
	return s.wakeReceiver() || sender
}

// leaveSession is the end of what the core knows of the stream. Under the lock.
func (s *clientStream) leaveSession() {
	s.ended, s.blocked = true, false
	s.out, s.outCount, s.taken = nil, 0, 0
	if s.watched != nil {
		s.watched()
	}
}

// lost ends the stream with its connection. Of one that was given up it returns the frames that say so, if the core
// has not got them.
func (s *clientStream) lost(why *Error) (last []byte, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, 0
	}
	last, count = s.out, s.outCount
	s.leaveSession()
	switch {
	case s.failure != nil && s.opened:
		return last, count
	case s.failure != nil:
		return nil, 0
	case !s.opened:
		s.stop(&Error{Code: CodeUnavailable, Message: why.Message + " before the stream was opened", Cause: why.Cause})
		return nil, 0
	}
	s.end = &Error{Code: CodeUnavailable, Message: why.Message + " before the stream ended", MayHaveRun: true, Cause: why.Cause}
	s.tellFilters()
	s.wakeSender()
	s.wakeReceiver()
	return nil, 0
}

// move says that the stream, which was not opened yet, belongs on another connection. False: it was opened.
func (s *clientStream) move() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		return false
	}
	s.leaveSession()
	if s.failure == nil {
		s.stop(errMoved)
	}
	return true
}

// writable says that the core has sent what it had of the stream.
func (s *clientStream) writable() {
	s.setInCore(0)
	s.mu.Lock()
	s.blocked = false
	s.unlock(len(s.out) > 0)
}

func (s *clientStream) setInCore(size int) {
	s.conn.streamed += int64(size - s.inCore)
	s.inCore = size
}

// flush hands to the core what there is for it. False: not now.
func (s *clientStream) flush(core *native.Core) bool {
	s.mu.Lock()
	if s.ended {
		s.queued = false
		s.mu.Unlock()
		s.setInCore(0)
		return true
	}
	if s.failure != nil && !s.opened {
		s.queued = false
		s.leaveSession()
		s.mu.Unlock()
		s.conn.unregister(s)
		return true
	}
	if s.taken > 0 {
		core.Taken(s.conn.id, s.session, s.taken)
		s.taken = 0
	}
	size := len(s.out)
	if size > 0 && s.failure == nil && s.inCore > 0 && s.inCore+size > streamOutMax {
		if s.blocked = !core.Writable(s.conn.id, s.session); !s.blocked {
			s.setInCore(0)
		}
	}
	if size == 0 || s.blocked {
		s.queued = false
		s.mu.Unlock()
		return true
	}
	if core.SendRoom() == 0 || !core.NeedLoan(size) {
		s.mu.Unlock()
		return false
	}
	frames, count := s.out, s.outCount
	s.out, s.outCount, s.queued, s.opened = s.spare[:0], 0, false, true
	if s.wakeSender() {
		s.loop.Woke()
	}
	s.mu.Unlock()
	core.PutInOrder(s.conn.id, frames, count)
	s.setInCore(s.inCore + size)
	if cap(frames) > queueKeepMax {
		frames = nil
	}
	s.spare = frames
	return true
}
