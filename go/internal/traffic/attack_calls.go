package traffic

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// stayed is how long an attacker that has done what it wanted to keeps its connection.
const stayed = 200 * time.Millisecond

// callAttacks are those by calls of one frame, cancels, and control frames.
func callAttacks() []Attack {
	return []Attack{
		{Name: "bombs", life: bombs},
		{Name: "bombs in streams", life: streamBombs},
		{Name: "calls and cancels", ending: mayEnd, life: cancels},
		{Name: "cancels of nothing", ending: mayEnd, life: func(p *peer) error {
			for range 64 << 10 {
				p.put(frame.FlagReset, uint16(1+rand.N(65535)), 499, "")
			}
			if err := p.flush(); err != nil {
				return err
			}
			return p.pong()
		}},
		{Name: "calls over the limit", ending: stays, life: tooManyCalls},
		{Name: "calls, and gone", ending: stays, life: func(p *peer) error {
			for session := range uint16(50) {
				p.put(0, session+1, MethodHold, string(word(10_000)))
			}
			return p.flush()
		}},
		{Name: "a session twice", ending: mustEnd, life: func(p *peer) error {
			p.put(0, 7, MethodHold, string(word(20))) // what is due still goes out
			p.put(0, 7, MethodHold, string(word(20)))
			return p.flush()
		}},
		{Name: "one-way messages", ending: stays, life: func(p *peer) error {
			for range 5000 {
				p.put(frame.FlagOneWay, 0, MethodEcho, "nobody answers")
			}
			return p.pong()
		}},
		{Name: "pings", ending: mayEnd, life: func(p *peer) error { return controls(p, frame.ControlPing) }},
		{Name: "pings that are not read", ending: mayEnd, life: func(p *peer) error {
			p.setDeaf()
			if err := controls(p, frame.ControlPing); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "pongs", ending: mayEnd, life: func(p *peer) error { return controls(p, frame.ControlPong) }},
		{Name: "goaways", ending: mayEnd, life: func(p *peer) error {
			p.put(0, 1, MethodHold, string(word(20)))
			if err := controls(p, frame.ControlGoaway); err != nil {
				return err
			}
			return p.answers(1, 200)
		}},
		{Name: "calls behind a goaway", ending: mayEnd, life: func(p *peer) error {
			p.put(0, 1, MethodHold, string(word(5)))
			p.put(frame.FlagControl, 0, frame.ControlGoaway, string(append(word(503), word(1)...)))
			for session := range uint16(32) {
				p.put(0, session+2, MethodEcho, "x")
			}
			if err := p.flush(); err != nil {
				return err
			}
			return p.answers(33, 200, 429, 503)
		}},
		{Name: "noise", ending: mayEnd, life: noise},
	}
}

var packed = sync.OnceValues(func() (zeros map[uint8][]string, err error) {
	zeros = map[uint8][]string{}
	fast, err := zstd.New(zstd.LevelDefault)
	if err != nil {
		return nil, err
	}
	faster, err := lz4.New(lz4.LevelFast)
	if err != nil {
		return nil, err
	}
	for _, codec := range []compress.Codec{fast, faster} {
		for _, size := range []int{1 << 20, InflatedBytes, 16 << 20} {
			plain := make([]byte, size)
			room := make([]byte, codec.Bound(size))
			n, err := codec.Compress(room, plain)
			if err != nil {
				return nil, err
			}
			whole := string(room[:n])
			zeros[uint8(codec.Compression())] = append(zeros[uint8(codec.Compression())], whole, whole[:n-1], whole[:min(n, 40)])
			if codec == compress.Codec(faster) { // claims a thousand times what is there
				zeros[uint8(codec.Compression())] = append(zeros[uint8(codec.Compression())], string(word(uint32(n*1000)))+whole[4:])
			}
		}
	}
	return zeros, nil
})

// bombs sends payloads that become up to 10,000 times as large, or say so. A server that decompresses nothing
// sends them back.
func bombs(p *peer) error {
	zeros, err := packed()
	if err != nil {
		return err
	}
	p.setGiving()
	for range 8 {
		session := uint16(0)
		for compression, payloads := range zeros {
			for _, payload := range payloads {
				session++
				p.out = append(p.out, sealed(frame.Header{Compression: compression, Session: session, Meta: MethodEcho}, payload)...)
			}
		}
		if err := p.flush(); err != nil {
			return err
		}
		if err := p.answers(int(session), 200, 400, 413, 429); err != nil {
			return err
		}
	}
	return nil
}

// streamBombs sends the same as messages of streams, which nobody decompresses.
func streamBombs(p *peer) error {
	zeros, err := packed()
	if err != nil {
		return err
	}
	session := uint16(0)
	for compression, payloads := range zeros {
		for _, payload := range payloads {
			session++
			h := frame.Header{Compression: compression, Flags: frame.FlagStream, Session: session, Meta: MethodSync}
			p.out = append(p.out, sealed(h, payload)...)
			p.put(frame.FlagReset, session, 499, "")
		}
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.answers(int(session), 501, 499, 429)
}

// cancels calls and gives up, calls and gives up, twice, and what it has never called.
func cancels(p *peer) error {
	const calls = 40
	for range 20 {
		for session := uint16(1); session <= calls; session++ {
			p.put(0, session, MethodHold, string(word(10_000)))
			p.put(frame.FlagReset, session, 499, "")
			p.put(frame.FlagReset, session, 408, "")
			p.put(frame.FlagReset, session+calls, 499, "")
		}
		if err := p.flush(); err != nil {
			return err
		}
		if err := p.answers(calls, 499, 408, 429); err != nil {
			return err
		}
	}
	return nil
}

// tooManyCalls is over the limit of a connection all the time, and gives up in the end what waits.
func tooManyCalls(p *peer) error {
	const calls = 1000
	for session := uint16(1); session <= calls; session++ {
		p.put(0, session, MethodHold, string(word(30)))
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.answers(calls, 200, 429)
}

// controls sends as many frames of a kind as go into a few reads, and a few more.
func controls(p *peer, kind uint32) error {
	for range 20_000 {
		p.put(frame.FlagControl, 0, kind, "\xf7\x01\x00\x00\xff\xff\xff\xff")
	}
	return p.flush()
}

// noise sends legal frames in which something is changed; nearly all of them with the right checksum.
func noise(p *peer) error {
	good := []frame.Header{
		{Session: 1, Meta: MethodEcho}, {Flags: frame.FlagStream, Session: 2, Meta: MethodSync},
		{Flags: frame.FlagMore, Session: 3, Meta: MethodEcho}, {Flags: frame.FlagMetadata, Session: 4, Meta: MethodEcho},
		{Flags: frame.FlagControl, Meta: frame.ControlPing}, {Flags: frame.FlagCredit, Session: 2, Meta: MethodSync},
		{Flags: frame.FlagStream | frame.FlagFin, Session: 2, Meta: MethodSync}, {Flags: frame.FlagReset, Session: 1, Meta: 499},
	}
	for range 50 {
		h := good[rand.N(len(good))]
		payload := strings.Repeat("\x08", rand.N(40))
		switch rand.N(8) {
		case 0:
			h.Flags ^= 1 << rand.N(8)
		case 1:
			h.Compression = uint8(rand.N(256))
		case 2:
			h.Session = uint16(rand.N(65536))
		case 3:
			h.Meta = rand.Uint32()
		case 4:
			payload = string(word(rand.Uint32())) + payload
		}
		bytes := sealed(h, payload)
		if rand.N(30) == 0 {
			bytes[rand.N(len(bytes))] ^= 1 << rand.N(8)
		}
		p.out = append(p.out, bytes...)
	}
	return p.flush()
}
