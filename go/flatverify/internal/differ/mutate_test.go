package differ

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/smf-go/smf/go/internal/flatmake"
)

// mutator changes buffers where it hurts. It knows where the numbers were in the buffer that it began
// with; after a change of its length they are elsewhere, and what it does is only noise.
type mutator struct {
	*rand.Rand
	table  *table
	good   []byte
	deep   bool // and perhaps too much so to be good
	places []place
	by     [zeroPlace + 1][]place
	log    []string
}

func newMutator(r *rand.Rand, t *table) *mutator {
	m := &mutator{Rand: r, table: t}
	m.deep = r.IntN(64) == 0
	m.good = flatmake.Make(r, t.document.source, t.object, m.deep)
	m.places = t.places(m.good)
	for _, p := range m.places {
		m.by[p.kind] = append(m.by[p.kind], p)
	}
	return m
}

// unchanged is the good buffer itself.
func (m *mutator) unchanged() subject {
	return subject{table: m.table, buffer: m.good, made: "unchanged", good: !m.deep}
}

// next is a changed copy; sometimes it is judged as another table.
func (m *mutator) next() subject {
	out := subject{table: m.table, buffer: append([]byte(nil), m.good...)}
	m.log = m.log[:0]
	if m.IntN(32) == 0 {
		tables := m.table.document.tables
		out.table = tables[m.IntN(len(tables))]
		m.say("as another table")
	}
	for changes := max(1, m.IntN(8)-4); changes > 0 && len(out.buffer) > 0; changes-- {
		out.buffer = m.change(out.buffer)
	}
	out.made = strings.Join(m.log, "; ")
	return out
}

func (m *mutator) say(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *mutator) change(p []byte) []byte {
	switch n := m.IntN(100); {
	case n < 45:
		m.number(p)
	case n < 57:
		m.retarget(p)
	case n < 62:
		return m.atEnd(p)
	case n < 70:
		m.vtable(p)
	case n < 78:
		m.flip(p)
	case n < 84:
		m.splice(p)
	case n < 92:
		return m.shift(p)
	case n < 97:
		p = p[:m.IntN(len(p)+1)]
		m.say("cut to %d", len(p))
	default:
		m.say("longer")
		for range 1 + m.IntN(16) {
			p = append(p, byte(m.Uint32()))
		}
	}
	return p
}

// width of a place in bytes.
func (k kind) width() int {
	switch k {
	case entryPlace:
		return 2
	case typePlace, zeroPlace:
		return 1
	}
	return 4
}

func get(p []byte, pl place) (value uint32, ok bool) {
	var whole [4]byte
	if pl.at+pl.kind.width() > len(p) {
		return 0, false
	}
	copy(whole[:], p[pl.at:pl.at+pl.kind.width()])
	return binary.LittleEndian.Uint32(whole[:]), true
}

func (m *mutator) set(p []byte, pl place, value uint32) {
	if pl.at+pl.kind.width() <= len(p) {
		m.say("%d at %d", value, pl.at)
		copy(p[pl.at:pl.at+pl.kind.width()], binary.LittleEndian.AppendUint32(nil, value))
	}
}

// number changes one number: by a little, to the ends of what it may be, or to anything.
func (m *mutator) number(p []byte) {
	pl := m.places[m.IntN(len(m.places))]
	if kind := m.IntN(2 * len(m.by)); kind < len(m.by) && len(m.by[kind]) > 0 { // those that are rare
		pl = m.by[kind][m.IntN(len(m.by[kind]))]
	}
	old, ok := get(p, pl)
	if !ok {
		return
	}
	rest := uint32(len(p) - pl.at)
	near := []uint32{0, 1, 2, 3, 4, 5, 6, 8, 12, 16}[m.IntN(10)]
	switch m.IntN(8) {
	case 0:
		m.set(p, pl, near)
	case 1:
		m.set(p, pl, -near)
	case 2:
		m.set(p, pl, old+near)
	case 3:
		m.set(p, pl, old-near)
	case 4:
		m.set(p, pl, rest-near)
	case 5:
		m.set(p, pl, []uint32{1<<31 - 1, 1 << 31, 1<<32 - 1, 1<<16 - 1, 1 << 15, 1 << 30, 1 << 29}[m.IntN(7)]-near)
	case 6:
		m.set(p, pl, old^1<<m.IntN(8*pl.kind.width()))
	default:
		m.set(p, pl, m.Uint32N(rest+16))
	}
}

// retarget lets an offset lead where another one does, or anywhere behind it.
func (m *mutator) retarget(p []byte) {
	all := m.by[offsetPlace]
	pl, other := all[m.IntN(len(all))], all[m.IntN(len(all))]
	offset, ok := get(p, other)
	target := other.at + int(offset)
	if m.IntN(4) == 0 || !ok {
		target = m.IntN(len(p)+4) &^ []int{0, 1, 3, 3, 3, 7}[m.IntN(6)]
	}
	m.set(p, pl, uint32(target-pl.at))
}

// atEnd puts a table where there is hardly room for it, with the vtable that it had.
func (m *mutator) atEnd(p []byte) []byte {
	tables := m.by[vtablePlace]
	table := tables[m.IntN(len(tables))]
	offset, ok := get(p, table)
	if !ok {
		return p
	}
	for len(p)%4 != 0 {
		p = append(p, 0)
	}
	for _, pl := range m.by[offsetPlace] {
		if old, ok := get(p, pl); ok && pl.at+int(old) == table.at {
			m.set(p, pl, uint32(len(p)-pl.at))
			break
		}
	}
	m.say("table from %d at the end", table.at)
	end := len(p)
	p = append(p, make([]byte, m.IntN(28))...)
	if end+4 <= len(p) {
		binary.LittleEndian.PutUint32(p[end:], uint32(end-table.at)+offset)
	}
	return p
}

// vtable gives a table another vtable, or exchanges two entries.
func (m *mutator) vtable(p []byte) {
	tables, entries := m.by[vtablePlace], m.by[entryPlace]
	if m.IntN(2) == 0 {
		a, b := entries[m.IntN(len(entries))], entries[m.IntN(len(entries))]
		x, ok := get(p, a)
		y, also := get(p, b)
		if ok && also {
			m.set(p, a, y)
			m.set(p, b, x)
		}
		return
	}
	pl, other := tables[m.IntN(len(tables))], tables[m.IntN(len(tables))]
	offset, ok := get(p, other)
	target := other.at - int(int32(offset))
	if m.IntN(3) == 0 || !ok {
		target = m.IntN(len(p)+8) - 4
	}
	m.set(p, pl, uint32(pl.at-target))
}

func (m *mutator) flip(p []byte) {
	for range 1 + m.IntN(4) {
		at := m.IntN(len(p))
		p[at] ^= 1 << m.IntN(8)
		m.say("bit at %d", at)
	}
}

// splice copies bytes from elsewhere over others.
func (m *mutator) splice(p []byte) {
	from, to := m.IntN(len(p)), m.IntN(len(p))
	if m.IntN(2) == 0 {
		from, to = from&^3, to&^3
	}
	count := copy(p[to:], p[from:min(len(p), from+4*m.IntN(9))])
	m.say("%d bytes from %d to %d", count, from, to)
}

// shift inserts or removes bytes; what leads across them is off, and alignments are.
func (m *mutator) shift(p []byte) []byte {
	size := []int{1, 2, 4, 4, 8, 12}[m.IntN(6)]
	at := m.IntN(len(p))
	switch {
	case m.IntN(3) == 0 && len(p) >= 4: // all of it moves, and is found
		m.say("%d bytes inserted at 4", size)
		out := append(append(p[:4:4], make([]byte, size)...), p[4:]...)
		binary.LittleEndian.PutUint32(out, binary.LittleEndian.Uint32(out)+uint32(size))
		return out
	case m.IntN(2) == 0:
		m.say("%d bytes inserted at %d", size, at)
		return append(append(p[:at:at], make([]byte, size)...), p[at:]...)
	}
	end := min(len(p), at+size)
	m.say("bytes %d to %d removed", at, end)
	return append(p[:at:at], p[end:]...)
}
