package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/smf-go/smf/go/internal/frame"
)

// patience is how long something that has to happen may take.
const patience = 30 * time.Second

// offer is the Hello of attackers that want to be believed.
var offer = frame.Hello{Level: 2, FrameSizeMax: 16 << 20, CallsMax: 65535, Credit: 256 << 10, MessageSizeMax: 64 << 20}

var (
	errEnded  = errors.New("the server has ended the connection")
	errSilent = errors.New("the server does not answer")
)

// peer is an attacker's connection. It writes what it likes, and checks and counts what comes.
type peer struct {
	conn net.Conn
	ctx  context.Context
	out  []byte // not written yet

	mu       sync.Mutex
	changed  chan struct{} // closed and made anew at every frame
	answered map[uint16][]uint32
	pongs    int
	frames   int64
	wrong    error // a frame that the server must not send
	ended    bool  // the server has ended the connection
	gives    bool  // credit, for all that comes
	deaf     bool  // does not read
	level1   bool
}

func dial(ctx context.Context, address string) (*peer, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // ports are free at once, and the server sees the worst kind of leaving
	}
	if err = conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return &peer{conn: conn, ctx: ctx, changed: make(chan struct{}), answered: map[uint16][]uint32{}}, nil
}

// level1Frame makes a frame of level 1.
func level1Frame(session uint16, meta uint32, payload string) []byte {
	h := frame.Header{Session: session, Size: uint32(len(payload)), Checksum: frame.Checksum([]byte(payload)), Meta: meta}
	return append(h.Append(nil), payload...)
}

// hello agrees on level 2, and reads from then on.
func (p *peer) hello() error {
	if _, err := p.conn.Write(level1Frame(1, frame.HelloMethodID, string(offer.Append(nil)))); err != nil {
		return err
	}
	h, payload, err := p.next()
	if err != nil {
		return err
	}
	if h.Meta == 503 {
		return fmt.Errorf("a good Hello: %w", errUnavailable)
	}
	if agreed, err := frame.ReadHello(payload); err != nil || h.Meta != 200 || agreed.Level != 2 {
		return fmt.Errorf("a good Hello is answered with %d (%v)", h.Meta, err)
	}
	go p.read()
	return nil
}

// next reads a frame, as it is.
func (p *peer) next() (h frame.Header, payload []byte, err error) {
	var head [frame.HeaderSize]byte
	if _, err = io.ReadFull(p.conn, head[:]); err != nil {
		return h, nil, err
	}
	h = frame.Decode(head[:])
	payload = make([]byte, h.Size)
	_, err = io.ReadFull(p.conn, payload)
	return h, payload, err
}

// read takes all that comes.
func (p *peer) read() {
	for {
		h, payload, err := p.next()
		p.mu.Lock()
		if err != nil {
			p.ended = true
		} else {
			p.note(h, payload)
		}
		close(p.changed)
		p.changed = make(chan struct{})
		deaf, give := p.deaf, p.gives && h.Flags&(frame.FlagStream|frame.FlagMore) != 0 && h.Flags&frame.FlagFin == 0
		p.mu.Unlock()
		if err != nil || deaf {
			return
		}
		if give && len(payload) > 0 { // beside what the attacker writes, a frame at a time
			_, _ = p.conn.Write(frame2(frame.FlagCredit, h.Session, MethodEcho, string(word(uint32(len(payload))))))
		}
	}
}

// note checks and counts a frame.
func (p *peer) note(h frame.Header, payload []byte) {
	p.frames++
	switch {
	case p.level1 && frame.Checksum(payload) != h.Checksum:
		p.wrong = fmt.Errorf("a wrong checksum: %+v", h)
	case p.level1:
	case h.CheckLevel2() != frame.Good:
		p.wrong = fmt.Errorf("a header that is not level 2 (%v): %+v", h.CheckLevel2(), h)
	case h.ChecksumLevel2(payload) != h.Checksum:
		p.wrong = fmt.Errorf("a wrong checksum: %+v", h)
	}
	const more = frame.FlagMore | frame.FlagCredit | frame.FlagControl
	switch {
	case h.Flags == frame.FlagControl && h.Meta == frame.ControlPong:
		p.pongs++
	case h.Flags&more != 0:
	case h.Flags&(frame.FlagStream|frame.FlagFin) != frame.FlagStream:
		p.answered[h.Session] = append(p.answered[h.Session], h.Meta)
	}
}

// until waits until a condition holds, which is asked with the lock.
func (p *peer) until(what string, condition func() bool) error {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		p.mu.Lock()
		changed, ended, wrong, holds := p.changed, p.ended, p.wrong, condition()
		p.mu.Unlock()
		switch {
		case wrong != nil:
			return wrong
		case holds:
			return nil
		case ended:
			return errEnded
		}
		select {
		case <-changed:
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-late.C:
			return fmt.Errorf("%w: %s", errSilent, what)
		}
	}
}

// answers waits until every session from 1 to count was answered, with one of some statuses, and forgets it.
func (p *peer) answers(count int, allowed ...uint32) error {
	if err := p.until("answers to calls", func() bool { return len(p.answered) >= count }); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for session, got := range p.answered {
		if len(got) != 1 {
			return fmt.Errorf("session %d was answered %d times: %v", session, len(got), got)
		}
		if !contains(allowed, got[0]) {
			return fmt.Errorf("session %d was answered with %d; it may be one of %v", session, got[0], allowed)
		}
	}
	p.answered = map[uint16][]uint32{}
	return nil
}

func contains(all []uint32, one uint32) bool {
	for _, a := range all {
		if a == one {
			return true
		}
	}
	return false
}

// pong waits for the answer to a ping: the server has dealt with all that was sent before.
func (p *peer) pong() error {
	p.mu.Lock()
	before := p.pongs
	p.mu.Unlock()
	p.put(frame.FlagControl, 0, frame.ControlPing, "12345678")
	if err := p.flush(); err != nil {
		return err
	}
	return p.until("a pong", func() bool { return p.pongs > before })
}

// ends waits until the server ends the connection.
func (p *peer) ends() error {
	if err := p.flush(); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	err := p.until("the end of the connection", func() bool { return false })
	if errors.Is(err, errEnded) {
		return nil
	}
	return err
}

// frame2 makes a frame of level 2.
func frame2(flags uint8, session uint16, meta uint32, payload string) []byte {
	return sealed(frame.Header{Flags: flags, Session: session, Meta: meta}, payload)
}

// sealed makes a frame with what its header lacks.
func sealed(h frame.Header, payload string) []byte {
	h.Size = uint32(len(payload))
	h.Checksum = h.ChecksumLevel2([]byte(payload))
	return append(h.Append(make([]byte, 0, frame.HeaderSize+len(payload))), payload...)
}

func word(value uint32) []byte { return binary.LittleEndian.AppendUint32(nil, value) }

// put adds a frame to what flush writes.
func (p *peer) put(flags uint8, session uint16, meta uint32, payload string) {
	p.out = append(p.out, frame2(flags, session, meta, payload)...)
}

// flush writes. errEnded: the server does not want it.
func (p *peer) flush() error {
	out := p.out
	p.out = p.out[:0]
	return p.write(out)
}

func (p *peer) write(bytes []byte) error {
	if _, err := p.conn.Write(bytes); err != nil {
		if p.ctx.Err() != nil {
			return p.ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			return fmt.Errorf("%w: it does not read any more", errSilent)
		}
		return errEnded
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// stay keeps the connection for a while, or until the server ends it.
func (p *peer) stay(d time.Duration) error {
	select {
	case <-p.ctx.Done():
	case <-time.After(d):
	}
	return nil
}

func (p *peer) setDeaf() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = true
}

func (p *peer) setGiving() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gives = true
}
