package loop

import native "github.com/smf-go/smf/cgo"

// acceptsAll is what callers of level 1 decompress, where nobody says it.
const acceptsAll = 0xff

// agreedKept is how many connections' compressions are remembered; a power of two.
const agreedKept = 64

// agreed is what Hello has come to on a connection: it does not change as long as that lasts.
type agreed struct {
	conn    uint64 // 0: none
	accepts uint8
}

// TellAccepts has calls say what their callers decompress: Call.Accepts. Before Start; it is worth the trouble
// where the core offers compressions.
func (l *Loop) TellAccepts() { l.accepts = new([agreedKept]agreed) }

// acceptedBy is what who sent e decompresses, of the compressions that the core offers.
func (l *Loop) acceptedBy(e *native.Event) uint8 {
	switch {
	case e.Level < 2:
		return acceptsAll
	case l.accepts == nil:
		return 0
	}
	a := &l.accepts[e.Conn%agreedKept]
	if a.conn != e.Conn {
		level, _ := l.core.Level(e.Conn)
		*a = agreed{conn: e.Conn, accepts: uint8(level.Compressions)}
	}
	return a.accepts
}
