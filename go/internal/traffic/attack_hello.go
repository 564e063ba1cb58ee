package traffic

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/smf-go/smf/go/internal/frame"
)

// metadataBlock makes a block of one entry.
func metadataBlock(key, value string) []byte {
	w := frame.BeginMetadata(nil, 0)
	if err := w.Add(key, value); err != nil {
		panic(err) // of this package's own making
	}
	b, err := w.End()
	if err != nil {
		panic(err)
	}
	return b
}

// manyEntries is a block as large as one may be, of as many entries as it can have.
func manyEntries() string {
	w := frame.BeginMetadata(nil, 0)
	for range (frame.MetadataSizeMax - 8) / 5 {
		if err := w.Add("k", ""); err != nil {
			panic(err)
		}
	}
	b, err := w.End()
	if err != nil {
		panic(err)
	}
	return string(b)
}

// metadataAttacks are blocks at their limit, and such that are none.
func metadataAttacks() []Attack {
	largest := string(metadataBlock("k", strings.Repeat("v", frame.MetadataSizeMax-8-4-1-7)))
	blocks := []string{largest, manyEntries()}
	bad := func(p *peer, b string) { p.put(frame.FlagMetadata, 1, MethodEcho, b+"x") }
	head := func(size, left uint32) string { return string(word(size)) + string(word(left)) }
	entry := func(key, value int, text string) string {
		b := binary.LittleEndian.AppendUint16(nil, uint16(key))
		return string(binary.LittleEndian.AppendUint16(b, uint16(value))) + text
	}
	return []Attack{
		{Name: "metadata at its limit", life: func(p *peer) error {
			p.setGiving()
			for range 20 {
				for i, b := range blocks {
					n := uint16(10*i) + 1
					p.put(frame.FlagMetadata, n, MethodEcho, b+"x")
					p.put(frame.FlagMetadata|frame.FlagStream, n+1, MethodSync, b)
					p.put(frame.FlagMetadata|frame.FlagStream, n+1, MethodSync, b+"x")
					p.put(frame.FlagMetadata|frame.FlagStream|frame.FlagFin, n+1, MethodSync, b)
					p.put(frame.FlagMetadata|frame.FlagMore, n+2, MethodEcho, b+string(word(2))+"x")
					p.put(0, n+2, MethodEcho, "x")
					p.put(0, n+3, MethodHold, string(word(1000)))
					p.put(frame.FlagMetadata|frame.FlagReset, n+3, 499, b)
					p.put(frame.FlagMetadata|frame.FlagOneWay, 0, MethodEcho, b+"x")
				}
				if err := p.flush(); err != nil {
					return err
				}
				if err := p.answers(4*len(blocks), 200, 499); err != nil {
					return err
				}
			}
			return nil
		}},
		oneOf("metadata that is none",
			func(p *peer) { bad(p, head(0, 0)) },
			func(p *peer) { bad(p, head(12, 0)+"abcd") },
			func(p *peer) { bad(p, head(1<<32-8, 0)) },
			func(p *peer) { bad(p, head(16392, 0)+strings.Repeat("\x00", 16392)) },
			func(p *peer) { bad(p, head(64, 0)) },
			func(p *peer) { bad(p, head(16, 0)+entry(1, 3, "Kabc")) },
			func(p *peer) { bad(p, head(16, 0)+entry(1, 300, "kabc")) },
			func(p *peer) { bad(p, head(16, 0)+entry(300, 1, "kabc")) },
			func(p *peer) { bad(p, head(16, 0)+entry(0, 4, "kabc")) },
			func(p *peer) { bad(p, head(24, 0)+entry(1, 0, "k")+"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01") },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagReset, 9, 499, head(64, 0)) },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagOneWay, 0, MethodEcho, head(64, 0)+"x") },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagStream, 1, MethodSync, head(64, 0)+"x") },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagMore, 1, MethodEcho, head(64, 0)+"xxxxxxxxx") },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagCredit, 1, MethodEcho, head(8, 0)) },
			func(p *peer) { p.put(frame.FlagMetadata|frame.FlagControl, 0, 1, head(8, 0)) },
			func(p *peer) { p.put(frame.FlagMetadata, 1, MethodEcho, "abc") },
		),
	}
}

// helloAttacks are what may be instead of a Hello.
func helloAttacks() []Attack {
	good := string(offer.Append(nil))
	with := func(change func(h *frame.Hello)) string {
		h := offer
		change(&h)
		return string(h.Append(nil))
	}
	none := []string{
		good[:5], good[:len(good)/2], "\xff\xff\xff\xff" + good[4:], strings.Repeat("\xaa", 100_000), strings.Repeat("\x00", 64<<10),
		with(func(h *frame.Hello) { h.Level = 0 }), with(func(h *frame.Hello) { h.FrameSizeMax = 1 }),
		with(func(h *frame.Hello) { h.FrameSizeMax = 81923 }), with(func(h *frame.Hello) { h.CallsMax = 0 }),
		with(func(h *frame.Hello) { h.Credit = 0 }), with(func(h *frame.Hello) { h.Credit = 65535 }),
		with(func(h *frame.Hello) { h.MessageSizeMax = 0 }),
	}
	agreed := []string{
		good, with(func(h *frame.Hello) { h.Level = 1<<32 - 1; h.Features = 1<<64 - 1; h.Compressions = 1<<32 - 1 }),
		with(func(h *frame.Hello) {
			h.FrameSizeMax, h.CallsMax, h.Credit, h.MessageSizeMax = 1<<32-1, 1<<32-1, 1<<32-1, 1<<64-1
		}),
		with(func(h *frame.Hello) { h.FrameSizeMax, h.CallsMax, h.Credit, h.MessageSizeMax = 81924, 1, 65536, 1 }),
	}
	return []Attack{
		{Name: "a Hello that is none", raw: true, life: func(p *peer) error {
			return p.asks(400, none[rand.N(len(none))], false)
		}},
		{Name: "a Hello of large words", raw: true, life: func(p *peer) error {
			return p.asks(200, agreed[rand.N(len(agreed))], true)
		}},
		{Name: "a late Hello", raw: true, life: func(p *peer) error {
			if err := p.write(level1Frame(3, MethodEcho, "x")); err != nil {
				return err
			}
			if h, _, err := p.next(); err != nil || h.Meta != 200 {
				return fmt.Errorf("a call is answered with %d: %w", h.Meta, err)
			}
			return p.asks(404, good, false)
		}},
		{Name: "a second Hello", ending: mustEnd, life: func(p *peer) error {
			return p.write(level1Frame(2, frame.HelloMethodID, good))
		}},
		{Name: "half a Hello", raw: true, life: func(p *peer) error {
			whole := level1Frame(2, frame.HelloMethodID, good)
			if err := p.write(whole[:rand.N(len(whole))]); err != nil {
				return err
			}
			return p.stay(stayed)
		}},
		{Name: "level 2 without Hello", raw: true, ending: mustEnd, life: func(p *peer) error {
			p.level1 = true
			go p.read()
			return p.write(frame2(frame.FlagStream, 1, MethodSync, "x"))
		}},
	}
}

// asks sends something as Hello, expects a status for it, and that calls are answered at the level that follows.
func (p *peer) asks(status uint32, hello string, level2 bool) error {
	if err := p.write(level1Frame(2, frame.HelloMethodID, hello)); err != nil {
		return err
	}
	h, _, err := p.next()
	if err != nil {
		return fmt.Errorf("a Hello of %x…: %w", hello[:min(len(hello), 40)], err)
	}
	if h.Meta == 503 {
		return fmt.Errorf("a Hello of %x…: %w", hello[:min(len(hello), 40)], errUnavailable)
	}
	if h.Meta != status {
		return fmt.Errorf("a Hello of %x… is answered with %d", hello[:min(len(hello), 40)], h.Meta)
	}
	call := level1Frame(5, MethodEcho, "hello?")
	if level2 {
		call = frame2(0, 5, MethodEcho, "hello?")
	}
	if err = p.write(call); err != nil {
		return err
	}
	h, payload, err := p.next()
	if err != nil || h.Session != 5 || h.Meta != 200 || string(payload) != "hello?" {
		return fmt.Errorf("behind a Hello of %x…, a call is answered with %+v %q: %w", hello[:min(len(hello), 40)], h, payload, err)
	}
	return nil
}
