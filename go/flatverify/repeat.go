package flatverify

import "encoding/binary"

// The tables of a vector mostly have the same fields, and so share a vtable. What the vtable says about
// fields in the table itself then needs to be looked at only once.

// refsMax is how many offsets such a table may have; those with more are checked one by one.
const refsMax = 12

// repeated is a vtable that a table with it has passed with.
type repeated struct {
	start  int64 // position of the vtable; negative: none
	known  bool  // the rest is filled in
	vtable []byte
	at     int // position of the table
	mask   int // another one is aligned as well if it differs in none of these bits
	size   int // of the table, by its vtable
	extent int // from the table's begin to the end of its last field, at least size
	count  int
	refs   [refsMax]ref
}

// ref is a field that is an offset.
type ref struct {
	field  *Field
	offset int // in the table
}

// tableVector checks the tables that count offsets at position at lead to.
func (v *verifier) tableVector(t *Table, f *Field, at, count, depth int) error {
	table := &v.schema[f.Table]
	last := repeated{start: -1}
	for end := at + count*offsetSize; at < end; at += offsetSize {
		target, ok := v.follow(at)
		if !ok {
			return newError(t, f, at, "offset in a vector is out of range or not aligned")
		}
		start := int64(target) - int64(int32(binary.LittleEndian.Uint32(v.bytes[target:])))
		if last.known && start == last.start && (target^last.at)&last.mask == 0 && last.extent <= len(v.bytes)-target {
			if err := v.again(table, &last, target, depth+1); err != nil {
				return err
			}
			continue
		}
		if err := v.table(table, target, depth+1); err != nil {
			return err
		}
		if start == last.start { // for the second time: it is worth it
			v.learn(table, &last, target)
		} else {
			last.start, last.known = start, false
		}
	}
	return nil
}

// learn fills in what is to be known about tables like the one at position at, which has passed.
func (v *verifier) learn(t *Table, r *repeated, at int) {
	vtable, size, _ := v.frame(at)
	r.vtable, r.at, r.size, r.extent, r.mask, r.count = vtable, at, size, size, offsetSize-1, 0
	for i := range t.Fields {
		f := &t.Fields[i]
		offset := slotOf(vtable, int(f.Slot))
		union := f.Kind == Union || f.Kind == UnionVector
		switch {
		case offset == 0 && union && slotOf(vtable, int(f.Slot)-slotSize) != 0:
			return // it depends on the type
		case offset == 0:
		case f.Kind == Inline:
			r.mask |= int(f.Align) - 1
			r.extent = max(r.extent, offset+int(f.Size))
		case r.count == refsMax:
			return
		default:
			r.extent = max(r.extent, offset+offsetSize)
			r.refs[r.count] = ref{f, offset}
			r.count++
		}
	}
	r.known = true
}

// slotOf is what a vtable says about a slot; 0: the field is not there.
func slotOf(vtable []byte, slot int) int {
	if slot < vtableHead || slot+slotSize > len(vtable) {
		return 0
	}
	return int(binary.LittleEndian.Uint16(vtable[slot:]))
}

// again is table for one of which all is known but where its offsets lead.
func (v *verifier) again(t *Table, r *repeated, at, depth int) error {
	if v.tables--; v.tables < 0 {
		return newError(t, nil, at, "too many tables")
	}
	if v.reach -= int64(r.size); v.reach < 0 {
		return newError(t, nil, at, reachProblem)
	}
	for i := range r.refs[:r.count] {
		f, position := r.refs[i].field, at+r.refs[i].offset
		var err error
		if f.Kind == Union || f.Kind == UnionVector {
			err = v.union(t, f, frame{r.vtable, at}, position, depth)
		} else {
			err = v.reference(t, f, position, depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
