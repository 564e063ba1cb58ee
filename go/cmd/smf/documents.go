package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/smf-go/smf/go/schema"
)

// documents are JSON documents that follow each other, on lines of their own or not.
type documents struct {
	decoder *json.Decoder
	lines   lineReader
}

func newDocuments(r io.Reader) *documents {
	d := &documents{lines: lineReader{reader: r, limit: schema.MaxJSON, passed: 1}}
	d.decoder = json.NewDecoder(&d.lines)
	return d
}

// next is the next document and the line that it begins on. The error is io.EOF behind the last one;
// after any error there is no next one.
func (d *documents) next() (document []byte, line int, err error) {
	var text json.RawMessage
	err = d.decoder.Decode(&text)
	end := d.decoder.InputOffset()
	switch {
	case err == nil:
		line = d.lines.line(end - int64(len(text)))
		d.lines.begin = end
		return text, line, nil
	case errors.Is(err, io.EOF):
		return nil, 0, io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it ends too early")
	}
	// The decoder stands behind the document before.
	rest, _ := io.ReadAll(d.decoder.Buffered()) // from memory
	space := len(rest) - len(bytes.TrimLeft(rest, " \t\r\n"))
	if !errors.Is(err, errDocumentSize) && d.lines.failure == nil {
		err = fmt.Errorf("not JSON: %w; what follows is not read", err)
	}
	return nil, d.lines.line(end + int64(space)), err
}

var errDocumentSize = errors.New("the document is longer")

// lineReader remembers where lines end, and stops at documents that are too long.
type lineReader struct {
	reader  io.Reader
	limit   int64   // bytes of a document
	read    int64   // bytes
	begin   int64   // of the document that is read
	ends    []int64 // of lines that nobody has asked for
	passed  int     // lines before those, and one
	failure error   // of reader
}

func (l *lineReader) Read(p []byte) (int, error) {
	if l.read-l.begin > l.limit {
		return 0, fmt.Errorf("%w than %d bytes", errDocumentSize, l.limit)
	}
	n, err := l.reader.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.ends = append(l.ends, l.read+int64(i))
		}
	}
	l.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		l.failure = err
	}
	return n, err
}

// line is the number of the line that a byte is on. Later calls ask for later bytes.
func (l *lineReader) line(at int64) int {
	for len(l.ends) > 0 && l.ends[0] < at {
		l.ends = l.ends[1:]
		l.passed++
	}
	return l.passed
}
