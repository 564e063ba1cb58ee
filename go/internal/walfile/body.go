package walfile

import (
	"encoding/binary"
	"fmt"

	"github.com/smf-go/smf/go/internal/walbody"
)

// checkRecords verifies a body of records that has the right checksum: sizes, count, times, padding. Empty:
// nothing is wrong.
func checkRecords(b *Batch, body []byte) string {
	latest, count := int64(-1<<63), uint32(0)
	for rest := body; len(rest) > 0; count++ {
		var v walbody.View
		next, err := walbody.Next(rest, b.BaseTime, &v)
		if err != nil {
			return fmt.Sprintf("record %d has sizes that can't be", count)
		}
		latest = max(latest, v.Time)
		if !timeOK(v.Time) {
			return fmt.Sprintf("record %d has a time that can't be", count)
		}
		used := walbody.RecordHeaderSize + len(v.Value) + len(v.Key)
		if !isZero(rest[used : len(rest)-len(next)-len(v.Headers)]) {
			return fmt.Sprintf("the padding of record %d is not zero", count)
		}
		if why := checkHeaders(v.Headers); why != "" {
			return fmt.Sprintf("record %d: %s", count, why)
		}
		rest = next
	}
	switch {
	case count != b.Count:
		return fmt.Sprintf("its header says %d records, its body has %d", b.Count, count)
	case latest != b.MaxTime:
		return "its header's latest time is not that of its records"
	}
	return ""
}

func checkHeaders(headers []byte) string {
	for len(headers) > 0 {
		var h walbody.Header
		rest, err := walbody.NextHeader(headers, &h)
		if err != nil {
			return "a header has sizes that can't be"
		}
		if !isZero(headers[8+len(h.Name)+len(h.Value) : len(headers)-len(rest)]) {
			return "the padding of a header is not zero"
		}
		headers = rest
	}
	return ""
}

// checkItems verifies a body of items that has the right checksum.
func checkItems(body []byte) string {
	for n := 0; len(body) > 0; n++ {
		item, rest, status := NextItem(body)
		switch {
		case status == OutOfRange:
			return fmt.Sprintf("item %d says what can't be", n)
		case !item.paddingOK():
			return fmt.Sprintf("the padding of item %d is not zero", n)
		}
		body = rest
	}
	return ""
}

// checkContents verifies what checksums do not: what is in a batch, and its padding; bytes begin at it
// and go to the next one's first possible place.
func checkContents(f *Found) string {
	if binary.LittleEndian.Uint32(f.Data[batchReserved:]) != 0 {
		return "reserved bytes are not zero"
	}
	switch {
	case f.Status != Good || f.Compression != CompressionNone:
		return ""
	case f.Kind == KindRecords:
		return checkRecords(&f.Batch, f.Body())
	case f.Kind == KindState, f.Kind == KindMeta:
		return checkItems(f.Body())
	case f.Kind == KindStamp && f.BodyBytes > 0:
		return "a stamp has a body"
	}
	return ""
}
