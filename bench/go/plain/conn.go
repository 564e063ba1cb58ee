package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"github.com/cespare/xxhash/v2"
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/bench/go/workload"
	"github.com/smf-go/smf/schema/demo"
)

const (
	headerSize = 16
	readSize   = 256 << 10 // four of the largest messages of the benchmark at once
	writeSize  = 256 << 10 // written when so much has gathered
	sizeMax    = 1 << 20
)

const (
	statusOK        = 200
	statusMalformed = 400
	statusNotFound  = 404
)

// emptyTable is a FlatBuffer without any field, the payload of a reply that is not 200.
var emptyTable = []byte{8, 0, 0, 0, 4, 0, 4, 0, 4, 0, 0, 0}

var errFrame = errors.New("plain: not a frame")

type conn struct {
	socket  net.Conn
	in      *bufio.Reader
	out     []byte // replies that were not written yet
	large   []byte // a request that is larger than the read buffer
	typed   bool
	builder *flatbuffers.Builder

	lateStart sync.Once
	lateLock  sync.Mutex
	late      []byte        // replies of slow methods
	lateRing  chan struct{} // has one element when late is not empty
	done      chan struct{} // closed when the connection ended
}

func newConn(socket net.Conn, typed bool) *conn {
	return &conn{
		socket:   socket,
		in:       bufio.NewReaderSize(socket, readSize),
		out:      make([]byte, 0, writeSize+headerSize),
		typed:    typed,
		builder:  flatbuffers.NewBuilder(256),
		lateRing: make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
}

// serve reads until the peer leaves or sends something that is no frame.
func (c *conn) serve() {
	defer c.socket.Close()
	defer close(c.done)
	for {
		if err := c.next(); err != nil {
			return
		}
	}
}

// next serves one request. Before it reads from the socket it writes what has gathered.
func (c *conn) next() error {
	if err := c.flushUnless(headerSize); err != nil {
		return err
	}
	head, err := c.in.Peek(headerSize)
	if err != nil {
		return err
	}
	session := binary.LittleEndian.Uint16(head[2:])
	size := int(binary.LittleEndian.Uint32(head[4:]))
	checksum := binary.LittleEndian.Uint32(head[8:])
	method := binary.LittleEndian.Uint32(head[12:])
	if head[0] > 3 || head[1] != 0 || size == 0 || size > sizeMax || checksum == 0 || method == 0 {
		return errFrame
	}
	if err := c.flushUnless(headerSize + size); err != nil {
		return err
	}
	payload, err := c.payload(size)
	if err != nil {
		return err
	}
	if uint32(xxhash.Sum64(payload)) != checksum {
		return errFrame
	}
	c.answer(session, method, payload)
	if size <= readSize-headerSize {
		_, err = c.in.Discard(headerSize + size)
	}
	return err
}

// flushUnless writes the gathered replies unless that many bytes can be read without waiting, or when
// many have gathered.
func (c *conn) flushUnless(buffered int) error {
	if len(c.out) == 0 || c.in.Buffered() >= buffered && len(c.out) < writeSize {
		return nil
	}
	_, err := c.socket.Write(c.out)
	c.out = c.out[:0]
	return err
}

// payload returns the request's payload: where it lies in the read buffer, if that can hold it.
func (c *conn) payload(size int) ([]byte, error) {
	if size <= readSize-headerSize {
		frame, err := c.in.Peek(headerSize + size)
		if err != nil {
			return nil, err
		}
		return frame[headerSize:], nil
	}
	if cap(c.large) < size {
		c.large = make([]byte, size)
	}
	if _, err := c.in.Discard(headerSize); err != nil {
		return nil, err
	}
	payload := c.large[:size]
	for read := 0; read < size; {
		n, err := c.in.Read(payload[read:])
		if err != nil {
			return nil, err
		}
		read += n
	}
	return payload, nil
}

func (c *conn) answer(session uint16, method uint32, payload []byte) {
	switch {
	case c.typed && method != demo.SmfStorageGetMethodID, !c.typed && !workload.Known(method):
		c.out = appendFrame(c.out, session, statusNotFound, emptyTable)
	case c.typed:
		c.answerTyped(session, payload)
	case method == workload.Echo:
		c.out = appendFrame(c.out, session, statusOK, payload)
	default:
		c.lateStart.Do(func() { go c.writeLate() })
		go c.answerLate(session, method, append([]byte(nil), payload...))
	}
}

// answerTyped is SmfStorage.Get: a Response with the name of the Request.
func (c *conn) answerTyped(session uint16, payload []byte) {
	builder := c.builder
	builder.Reset()
	if err := demo.VerifyRequest(payload); err != nil {
		c.out = appendFrame(c.out, session, statusMalformed, emptyTable)
		return
	}
	var request demo.Request
	request.Init(payload, flatbuffers.GetUOffsetT(payload))
	name := builder.CreateByteString(request.Name())
	demo.ResponseStart(builder)
	demo.ResponseAddName(builder, name)
	builder.Finish(demo.ResponseEnd(builder))
	c.out = appendFrame(c.out, session, statusOK, builder.FinishedBytes())
}

func (c *conn) answerLate(session uint16, method uint32, payload []byte) {
	workload.Do(method)
	c.lateLock.Lock()
	c.late = appendFrame(c.late, session, statusOK, payload)
	c.lateLock.Unlock()
	select {
	case c.lateRing <- struct{}{}:
	default:
	}
}

// writeLate writes the replies of slow methods until the connection ends. A frame is never split by
// another: a Write of a socket is one piece, whoever calls it.
func (c *conn) writeLate() {
	var batch []byte
	for {
		select {
		case <-c.lateRing:
		case <-c.done:
			return
		}
		c.lateLock.Lock()
		batch, c.late = c.late, batch[:0]
		c.lateLock.Unlock()
		if _, err := c.socket.Write(batch); err != nil {
			return
		}
	}
}

func appendFrame(out []byte, session uint16, status uint32, payload []byte) []byte {
	var head [headerSize]byte
	binary.LittleEndian.PutUint16(head[2:], session)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[8:], uint32(xxhash.Sum64(payload)))
	binary.LittleEndian.PutUint32(head[12:], status)
	return append(append(out, head[:]...), payload...)
}
