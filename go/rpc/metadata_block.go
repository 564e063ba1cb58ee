package rpc

import (
	"strings"
	"time"

	"github.com/smf-go/smf/go/internal/frame"
)

// readBlock makes m what a metadata block says, and keeps nothing of the block. A block that is none leaves
// it empty: those that come from the engine were checked.
//
// Cost: one allocation, and none for a block without entries.
func (m *Metadata) readBlock(block []byte) {
	m.Reset()
	if len(block) <= frame.MetadataSizeMin {
		return
	}
	read, fault := frame.ReadMetadata(block)
	if fault != frame.MetadataGood {
		return
	}
	var texts strings.Builder // one piece of memory for all of them
	texts.Grow(len(block))
	for key, value := range read.All() {
		from := texts.Len()
		texts.Write(key)
		texts.Write(value)
		all := texts.String()
		m.add(all[from:from+len(key)], all[from+len(key):])
	}
}

// appendBlock appends the block that says m, and how much time is left; 0: no deadline. Without either
// there is no block.
func (m *Metadata) appendBlock(b []byte, left time.Duration) []byte {
	if len(m.entries) == 0 && left == 0 {
		return b
	}
	// Rounded up: 0 would be no deadline.
	w := frame.BeginMetadata(b, uint64((left+time.Microsecond-1)/time.Microsecond))
	for i := range m.entries {
		if w.Add(m.entries[i].key, m.entries[i].value) != nil {
			break // Add and Set have refused what does not fit
		}
	}
	b, _ = w.End()
	return b
}
