package rpc

import (
	"fmt"
	"iter"
)

// Bounds of metadata: what a block on the wire can hold.
const (
	metadataKeyMax   = 255
	metadataBytesMax = 16 << 10
	metadataHead     = 8 // the block's own size, and a deadline
	metadataPerEntry = 4 // the sizes of a key and of a value
)

// Metadata is what is said of a request or of a reply beside its payload: texts by key, in their order,
// and a key may occur more than once. Keys are of 1 to 255 bytes: lower case ASCII letters, digits, '-',
// '_' and '.'. Values are any bytes. All of it has to fit into 16 KiB.
//
// The zero value is empty, and ready. Not for several goroutines at once. Nil pointers are not allowed.
//
// Level 1 of the wire format has no place for metadata: there, what is set stays on this side of the
// connection, where filters and the handler see it.
type Metadata struct {
	entries []metadataEntry
	size    int // in bytes, with what each entry needs beside its texts
}

type metadataEntry struct{ key, value string }

// Len is the number of entries.
func (m *Metadata) Len() int { return len(m.entries) }

// Get is the first value of a key, or "" when there is none. Cost: it looks at every entry before it.
func (m *Metadata) Get(key string) string {
	for i := range m.entries {
		if m.entries[i].key == key {
			return m.entries[i].value
		}
	}
	return ""
}

// Has reports whether there is an entry with that key.
func (m *Metadata) Has(key string) bool {
	for i := range m.entries {
		if m.entries[i].key == key {
			return true
		}
	}
	return false
}

// Values gives every value of a key, in their order.
func (m *Metadata) Values(key string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range m.entries {
			if m.entries[i].key == key && !yield(m.entries[i].value) {
				return
			}
		}
	}
}

// All gives every key and value, in their order.
func (m *Metadata) All() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for i := range m.entries {
			if !yield(m.entries[i].key, m.entries[i].value) {
				return
			}
		}
	}
}

// Add puts an entry behind the others. Errors: a key that is none, or no room; the metadata is as it was.
func (m *Metadata) Add(key, value string) error {
	if err := m.check(key, value, 0); err != nil {
		return err
	}
	m.add(key, value)
	return nil
}

// Set replaces every entry of a key by one, in the place of the first of them, or behind the others. A
// filter that may see a call twice wants this one. Errors: as Add.
func (m *Metadata) Set(key, value string) error {
	freed := 0
	for i := range m.entries {
		if e := &m.entries[i]; e.key == key {
			freed += e.size()
		}
	}
	if err := m.check(key, value, freed); err != nil {
		return err
	}
	if freed == 0 {
		m.add(key, value)
		return nil
	}
	kept, found := m.entries[:0], false
	for _, e := range m.entries {
		switch {
		case e.key != key:
		case found:
			continue
		default:
			found, e.value = true, value
		}
		kept = append(kept, e)
	}
	m.keep(kept)
	m.size += metadataPerEntry + len(key) + len(value) - freed
	return nil
}

// Delete removes every entry of a key. It reports whether there was one.
func (m *Metadata) Delete(key string) bool {
	kept := m.entries[:0]
	for _, e := range m.entries {
		if e.key != key {
			kept = append(kept, e)
		} else {
			m.size -= e.size()
		}
	}
	deleted := len(kept) < len(m.entries)
	m.keep(kept)
	return deleted
}

// Reset removes everything. Memory is kept for what is added next.
func (m *Metadata) Reset() {
	m.keep(m.entries[:0])
	m.size = 0
}

// append puts the entries of others behind m's, as many as there is room for.
func (m *Metadata) append(others *Metadata) {
	for _, e := range others.entries {
		if m.check(e.key, e.value, 0) == nil {
			m.add(e.key, e.value)
		}
	}
}

func (m *Metadata) add(key, value string) {
	m.entries = append(m.entries, metadataEntry{key, value})
	m.size += metadataPerEntry + len(key) + len(value)
}

// keep leaves the first entries, and nothing behind them that would keep texts in memory.
func (m *Metadata) keep(kept []metadataEntry) {
	clear(m.entries[len(kept):])
	m.entries = kept
}

func (e *metadataEntry) size() int { return metadataPerEntry + len(e.key) + len(e.value) }

// check says why an entry can't be had, where freed bytes of others go away.
func (m *Metadata) check(key, value string, freed int) error {
	if len(key) == 0 || len(key) > metadataKeyMax {
		return fmt.Errorf("rpc: a metadata key of %d bytes; it may have 1 to %d", len(key), metadataKeyMax)
	}
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return fmt.Errorf("rpc: metadata key %q: use lower case ASCII letters, digits, '-', '_' and '.'", key)
		}
	}
	size := metadataHead + m.size - freed + metadataPerEntry + len(key) + len(value)
	if size > metadataBytesMax {
		return fmt.Errorf("rpc: metadata %q would make the block %d bytes; at most %d: send it as (a part of) the payload",
			key, size, metadataBytesMax)
	}
	return nil
}
