// Hostile is every bad peer at once: connections that say nothing, that say a byte a second, garbage at
// full speed, headers that promise what never comes, and knocking without end.
//
//	hostile --address HOST:PORT [--idle N] [--slow N] [--garbage N] [--liars N] [--leavers N] --seconds S [--json]
//
// It says "ready" when the connections that stay are there, and ends by itself, or on SIGTERM, with what it
// has done.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// dialersMax is how many connections are being opened at once.
const dialersMax = 64

// lieBytes is what a liar promises: as much as a server takes by default.
const lieBytes = 16 << 20

// A liar sends all of it but for so much, if the server takes it, and then waits.
const lieKeptBytes = 4 << 10

const (
	garbageBytes = 64 << 10
	headerBytes  = 16
)

var nothing = make([]byte, 64<<10)

// header is a good one: of a request to a method that is not there, with a checksum that is not right.
func header(size uint32) []byte {
	h := make([]byte, headerBytes)
	h[2] = 1
	binary.LittleEndian.PutUint32(h[4:], size)
	binary.LittleEndian.PutUint32(h[8:], 1)
	binary.LittleEndian.PutUint32(h[12:], 1)
	return h
}

type attack struct {
	address string
	ctx     context.Context
	dialing chan struct{}

	opened   atomic.Int64 // connections
	refused  atomic.Int64 // could not be opened
	closed   atomic.Int64 // by the server
	written  atomic.Int64 // bytes of garbage
	received atomic.Int64 // bytes
}

func main() {
	a := &attack{dialing: make(chan struct{}, dialersMax)}
	flag.StringVar(&a.address, "address", "", "`HOST:PORT` to attack")
	idle := flag.Int("idle", 10_000, "connections that say nothing")
	slow := flag.Int("slow", 1_000, "connections that say a byte a second")
	garbage := flag.Int("garbage", 4, "connections at a time that send garbage at full speed")
	liars := flag.Int("liars", 200, "connections that promise 16 MiB and keep the last 4 KiB")
	leavers := flag.Int("leavers", 4, "goroutines that connect and leave at once")
	seconds := flag.Float64("seconds", 5, "how long, once the connections that stay are there")
	asJSON := flag.Bool("json", false, "print JSON at the end")
	flag.Parse()
	if a.address == "" || *seconds <= 0 {
		fmt.Fprintln(os.Stderr, "hostile: needs --address, and --seconds above 0")
		os.Exit(2)
	}
	a.run(*idle, *slow, *liars, *garbage, *leavers, time.Duration(*seconds*float64(time.Second)))
	counts := map[string]int64{"opened": a.opened.Load(), "refused": a.refused.Load(), "closed_by_server": a.closed.Load(),
		"garbage_bytes": a.written.Load(), "received_bytes": a.received.Load()}
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(counts)
		return
	}
	fmt.Println(counts)
}

// run is all of it. Those that stay are opened first.
func (a *attack) run(idle, slow, liars, garbage, leavers int, length time.Duration) {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	a.ctx = ctx
	var all, staying sync.WaitGroup
	stay := func(count int, behave func(net.Conn)) {
		for range count {
			staying.Add(1)
			var once sync.Once
			all.Go(func() { a.again(func() { once.Do(staying.Done) }, behave) })
		}
	}
	stay(idle, a.reads)
	stay(slow, a.drips)
	stay(liars, a.lies)
	staying.Wait()
	fmt.Println("ready")
	for range garbage {
		all.Go(func() { a.again(func() {}, a.babbles) })
	}
	for range leavers {
		all.Go(func() { a.again(func() {}, func(net.Conn) {}) })
	}
	stopped, forget := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer forget()
	select {
	case <-time.After(length):
	case <-stopped.Done():
	}
	end()
	all.Wait()
}

// again connects and misbehaves, time after time. ready is called after the first attempt.
func (a *attack) again(ready func(), behave func(net.Conn)) {
	for a.ctx.Err() == nil {
		conn := a.dial()
		ready()
		if conn == nil {
			a.wait(10 * time.Millisecond)
			continue
		}
		stop := context.AfterFunc(a.ctx, func() { conn.Close() })
		behave(conn)
		stop()
		conn.Close()
	}
}

func (a *attack) dial() net.Conn {
	a.dialing <- struct{}{}
	defer func() { <-a.dialing }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(a.ctx, "tcp", a.address)
	if err != nil {
		a.refused.Add(1)
		return nil
	}
	// Closing sends a reset: ports are free at once, and the server sees the worst kind of leaving.
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	a.opened.Add(1)
	return conn
}

func (a *attack) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-a.ctx.Done():
	}
}

// reads until the server closes.
func (a *attack) reads(conn net.Conn) {
	n, err := io.Copy(io.Discard, conn)
	a.received.Add(n)
	if err == nil || !errors.Is(err, net.ErrClosed) {
		a.closed.Add(1)
	}
}

// drips sends a frame's header a byte a second.
func (a *attack) drips(conn net.Conn) {
	slowly := header(64)
	a.wait(rand.N(time.Second)) // they were opened all at once, and need not speak so
	for i := range slowly {
		if _, err := conn.Write(slowly[i : i+1]); err != nil {
			if a.ctx.Err() == nil {
				a.closed.Add(1)
			}
			return
		}
		a.wait(time.Second)
		if a.ctx.Err() != nil {
			return
		}
	}
	a.reads(conn)
}

// lies promises a large payload and sends the beginning of it.
func (a *attack) lies(conn net.Conn) {
	if _, err := conn.Write(header(lieBytes)); err != nil {
		return
	}
	for left := lieBytes - lieKeptBytes; left > 0; left -= len(nothing) {
		if _, err := conn.Write(nothing[:min(left, len(nothing))]); err != nil {
			return
		}
	}
	a.reads(conn)
}

// babbles sends random bytes until the server has enough. Every other time they begin with a good
// header, so that the server has to compute a checksum.
func (a *attack) babbles(conn net.Conn) {
	garbage := make([]byte, garbageBytes)
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	if rand.N(2) == 0 {
		copy(garbage, header(garbageBytes-headerBytes))
	}
	for {
		n, err := conn.Write(garbage)
		a.written.Add(int64(n))
		if err != nil {
			if a.ctx.Err() == nil {
				a.closed.Add(1)
			}
			return
		}
	}
}
