package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/smf-go/smf/bench/go/workload"
)

const (
	headerSize = 16
	readSize   = 64 << 10
	sizeMax    = 1 << 20
	statusOK   = 200
)

// plainClient is a client as one writes it with Go's net package: callers queue their frames under a
// mutex, a goroutine writes all that has gathered at once, another reads replies and finds their callers
// in a map of channels.
//
// Tuned, it uses calls and their channels again, and its writer yields before it writes, so that the
// callers that can run queue their frames first: what one knows who has measured.
type plainClient struct {
	socket net.Conn
	tuned  bool

	mu      sync.Mutex
	waiting map[uint16]*plainCall
	next    uint16
	out     []byte
	failure error

	written chan struct{} // one element: there is something to write
}

type plainCall struct {
	done    chan error
	payload []byte
}

func newPlainCall() *plainCall { return &plainCall{done: make(chan error, 1)} }

var plainCalls = sync.Pool{New: func() any { return newPlainCall() }}

func dialPlain(address string, tuned bool) (*plainClient, error) {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &plainClient{socket: socket, tuned: tuned, waiting: map[uint16]*plainCall{}, written: make(chan struct{}, 1)}
	go c.writes()
	go c.reads()
	return c, nil
}

func (c *plainClient) close() { _ = c.socket.Close() }

func (c *plainClient) call(payload []byte) error {
	var call *plainCall
	if c.tuned {
		call = plainCalls.Get().(*plainCall)
	} else {
		call = newPlainCall()
	}
	c.mu.Lock()
	if c.failure != nil {
		c.mu.Unlock()
		return c.failure
	}
	for c.waiting[c.next] != nil {
		c.next++
	}
	session := c.next
	c.next++
	c.waiting[session] = call
	var head [headerSize]byte
	binary.LittleEndian.PutUint16(head[2:], session)
	binary.LittleEndian.PutUint32(head[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[8:], uint32(xxhash.Sum64(payload)))
	binary.LittleEndian.PutUint32(head[12:], workload.Echo)
	c.out = append(append(c.out, head[:]...), payload...)
	c.mu.Unlock()
	select {
	case c.written <- struct{}{}:
	default:
	}
	err := <-call.done
	if err == nil {
		err = checkEcho(payload, call.payload)
	}
	if c.tuned {
		plainCalls.Put(call)
	}
	return err
}

func (c *plainClient) writes() {
	var batch []byte
	for range c.written {
		if c.tuned {
			runtime.Gosched()
		}
		c.mu.Lock()
		batch, c.out = c.out, batch[:0]
		c.mu.Unlock()
		if len(batch) == 0 {
			continue
		}
		if _, err := c.socket.Write(batch); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *plainClient) reads() {
	in := bufio.NewReaderSize(c.socket, readSize)
	var head [headerSize]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			c.fail(err)
			return
		}
		if err := c.reply(in, &head); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *plainClient) reply(in *bufio.Reader, head *[headerSize]byte) error {
	session := binary.LittleEndian.Uint16(head[2:])
	size := int(binary.LittleEndian.Uint32(head[4:]))
	if size == 0 || size > sizeMax {
		return fmt.Errorf("a reply of %d bytes", size)
	}
	c.mu.Lock()
	call := c.waiting[session]
	delete(c.waiting, session)
	c.mu.Unlock()
	if call == nil {
		return errors.New("a reply that nobody waits for")
	}
	if cap(call.payload) < size {
		call.payload = make([]byte, size)
	}
	call.payload = call.payload[:size]
	_, err := io.ReadFull(in, call.payload)
	switch {
	case err != nil:
	case uint32(xxhash.Sum64(call.payload)) != binary.LittleEndian.Uint32(head[8:]):
		err = errors.New("a reply with a wrong checksum")
	case binary.LittleEndian.Uint32(head[12:]) != statusOK:
		err = fmt.Errorf("status %d", binary.LittleEndian.Uint32(head[12:]))
	}
	call.done <- err
	return err
}

// fail ends every call that waits, and those to come.
func (c *plainClient) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = err
	}
	for session, call := range c.waiting {
		delete(c.waiting, session)
		call.done <- err
	}
}
