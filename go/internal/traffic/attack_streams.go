package traffic

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/smf-go/smf/go/internal/frame"
)

const (
	credit    = 256 << 10 // of Hello, each way
	slice     = 64 << 10
	streamsOf = 100 // more than a connection may have in tests
)

var block64 = strings.Repeat("x", slice)

// streamAttacks are those by streams.
func streamAttacks() []Attack {
	return []Attack{
		{Name: "streams that say nothing", life: func(p *peer) error {
			for session := range uint16(streamsOf) {
				p.put(frame.FlagStream, session+1, MethodStall, "")
			}
			if err := p.pong(); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "streams that are not read", life: func(p *peer) error {
			p.setDeaf()
			for session := range uint16(streamsOf) {
				p.put(frame.FlagStream|frame.FlagFin, session+1, MethodList, string(word(1<<30))+block64[:4000])
			}
			if err := p.flush(); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "streams without credit", life: func(p *peer) error {
			for session := range uint16(streamsOf) {
				p.put(frame.FlagStream|frame.FlagFin, session+1, MethodList, string(word(1<<30))+block64[:4000])
			}
			if err := p.flush(); err != nil {
				return err
			}
			if err := p.pong(); err != nil { // in spite of them
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "streams opened and reset", ending: mayEnd, life: func(p *peer) error { return openAndReset(p, 40) }},
		{Name: "streams over the limit, opened and reset", ending: mayEnd, life: func(p *peer) error { return openAndReset(p, 4000) }},
		{Name: "streams that fill their windows", life: func(p *peer) error {
			for session := range uint16(40) {
				for range credit / slice {
					p.put(frame.FlagStream, session+1, MethodStall, block64)
				}
			}
			if err := p.pong(); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "streams of empty frames", life: func(p *peer) error {
			p.put(frame.FlagStream, 1, MethodSync, "")
			for range 20_000 {
				p.put(frame.FlagStream, 1, MethodSync, "")
			}
			p.put(frame.FlagStream|frame.FlagFin, 1, MethodSync, "")
			if err := p.flush(); err != nil {
				return err
			}
			return p.answers(1, 200)
		}},
		{Name: "streams of messages of a byte", life: bytesOneByOne},
		{Name: "a stream's frame behind fin", ending: mustEnd, life: func(p *peer) error {
			p.put(frame.FlagStream|frame.FlagFin, 1, MethodStall, "")
			p.put(frame.FlagStream, 1, MethodStall, "x")
			return p.flush()
		}},
		{Name: "a stream of another method", ending: mustEnd, life: func(p *peer) error {
			p.put(frame.FlagStream, 1, MethodStall, "x")
			p.put(frame.FlagStream, 1, MethodSync, "x")
			return p.flush()
		}},
	}
}

// openAndReset opens so many streams, and resets each at once.
func openAndReset(p *peer, count uint16) error {
	for range 10 {
		for session := uint16(1); session <= count; session++ {
			p.put(frame.FlagStream, session, MethodStall, "hello")
			p.put(frame.FlagReset|frame.FlagStream, session, 499, "")
		}
		if err := p.flush(); err != nil {
			return err
		}
		if err := p.answers(int(count), 499, 429); err != nil {
			return err
		}
	}
	return nil
}

// bytesOneByOne is a legal stream of as many small messages as there is credit, echoed.
func bytesOneByOne(p *peer) error {
	p.setGiving()
	for session := uint16(1); session <= 8; session++ {
		for range 4000 {
			p.put(frame.FlagStream, session, MethodSync, "x")
		}
		p.put(frame.FlagStream|frame.FlagFin, session, MethodSync, "")
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.answers(8, 200)
}

// oneOf makes an attack of several ways to break a rule, of which each connection takes one.
func oneOf(name string, ways ...func(p *peer)) Attack {
	return Attack{Name: name, ending: mustEnd, life: func(p *peer) error {
		way := rand.N(len(ways))
		ways[way](p)
		if err := p.ends(); err != nil {
			return fmt.Errorf("way %d: %w", way, err)
		}
		return errEnded
	}}
}

// creditAttacks are lies about credit.
func creditAttacks() []Attack {
	give := func(p *peer, session uint16, size uint32) {
		p.put(frame.FlagCredit, session, MethodStall, string(word(size)))
	}
	opened := func(p *peer) { p.put(frame.FlagStream, 1, MethodStall, "hello") }
	return []Attack{
		oneOf("credit that can't be",
			func(p *peer) { opened(p); give(p, 1, 0) },
			func(p *peer) { opened(p); give(p, 1, 1) },
			func(p *peer) { opened(p); give(p, 1, 1<<32-1) },
			func(p *peer) { opened(p); give(p, 1, credit) },
			func(p *peer) { opened(p); p.put(frame.FlagCredit, 1, MethodStall, "abc") },
			func(p *peer) { opened(p); p.put(frame.FlagCredit, 0, MethodStall, string(word(4))) },
			func(p *peer) { opened(p); p.put(frame.FlagCredit|frame.FlagStream, 1, MethodStall, string(word(4))) },
		),
		oneOf("more than the credit",
			func(p *peer) {
				for range credit/slice + 1 {
					p.put(frame.FlagStream, 1, MethodStall, block64)
				}
			},
			func(p *peer) { p.put(frame.FlagStream, 1, MethodStall, strings.Repeat(block64, 5)) },
			func(p *peer) {
				opened(p)
				p.put(frame.FlagStream, 1, MethodStall, strings.Repeat(block64, 4)[:credit-4])
			},
		),
		{Name: "credit for nobody", life: func(p *peer) error {
			for range 20_000 {
				give(p, uint16(1+rand.N(65535)), 1+rand.Uint32()>>1)
			}
			return p.pong()
		}},
	}
}

// sliceAttacks are those by messages in slices.
func sliceAttacks() []Attack {
	sized := func(size uint32, payload string) string { return string(word(size)) + payload }
	begin := func(p *peer, session uint16, size uint32, payload string) {
		p.put(frame.FlagMore, session, MethodEcho, sized(size, payload))
	}
	return []Attack{
		{Name: "slices that never end", life: func(p *peer) error {
			for session := range uint16(40) {
				begin(p, session+1, 1<<20, "x")
			}
			for range 1000 {
				p.put(frame.FlagMore, uint16(1+rand.N(40)), MethodEcho, "y")
			}
			if err := p.pong(); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "large messages that are begun", life: func(p *peer) error {
			for session := range uint16(40) {
				begin(p, session+1, 4<<20, block64[:slice-4])
			}
			if err := p.flush(); err != nil { // which may not be read for want of memory
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "large messages that are given up", ending: mayEnd, life: func(p *peer) error {
			for session := range uint16(40) {
				begin(p, session+1, 4<<20, block64[:slice-4])
				p.put(frame.FlagReset, session+1, 499, "")
			}
			if err := p.flush(); err != nil {
				return err
			}
			return p.answers(40, 499, 429, 503)
		}},
		{Name: "messages over the limit", life: func(p *peer) error {
			for session := range uint16(20) {
				begin(p, session+1, 1<<32-1-uint32(rand.N(1<<30)), "x")
			}
			if err := p.flush(); err != nil {
				return err
			}
			return p.answers(20, 413)
		}},
		oneOf("slices that are not what was told",
			func(p *peer) { begin(p, 1, 100, block64[:101]) },
			func(p *peer) { begin(p, 1, 100, block64[:50]); p.put(0, 1, MethodEcho, block64[:51]) },
			func(p *peer) { begin(p, 1, 100, block64[:50]); p.put(0, 1, MethodEcho, block64[:49]) },
			func(p *peer) { begin(p, 1, 100, block64[:50]); p.put(frame.FlagMore, 1, MethodEcho, block64[:51]) },
			func(p *peer) { begin(p, 1, 100, block64[:50]); p.put(frame.FlagMore, 1, MethodEcho, "") },
			func(p *peer) { begin(p, 1, 0, "x") },
			func(p *peer) { p.put(frame.FlagMore, 1, MethodEcho, "\x05\x00\x00") },
			func(p *peer) { p.put(frame.FlagMore, 1, MethodEcho, "\x05\x00\x00\x00") },
			func(p *peer) { begin(p, 1, 100, block64[:50]); p.put(frame.FlagMore, 1, MethodHold, "x") },
			func(p *peer) {
				begin(p, 1, 100, block64[:50])
				p.put(frame.FlagMore|frame.FlagMetadata, 1, MethodEcho, string(metadataBlock("a", "b"))+sized(20, "x"))
			},
		),
	}
}
