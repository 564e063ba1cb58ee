package rpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/turns"
)

// ping is one that somebody waits for.
type ping struct {
	waiter  turns.Waiter
	failure *Error
}

// Ping asks the server for a sign of life, and returns how long it took to come: what the network and the
// server's poll loop take, without a handler. Any goroutine.
//
// Errors: *Error; CodeLevel at level 1 of the wire format, which has no pings; CodeLimit when 1024 pings of the
// connection wait for their answers; a ctx that ends, and a connection that does, as in Call, without
// MayHaveRun. Cost: some allocations.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, contextError(err, false)
	}
	giveWay(ctx)
	conn, err := c.current(ctx)
	if err != nil {
		return 0, err
	}
	if err := conn.needsLevel2("a ping"); err != nil {
		return 0, err
	}
	p := &ping{waiter: turns.NewWaiter()}
	begin := time.Now()
	token, err := conn.ping(p)
	if err != nil {
		return 0, err
	}
	if !c.engine.loop.Await(p.waiter, ctx.Done()) {
		if conn.takePing(token) != nil {
			c.engine.loop.Forget()
			return 0, contextError(ctx.Err(), false)
		}
		c.engine.loop.Await(p.waiter, nil)
	}
	if p.failure != nil {
		return 0, p.failure
	}
	return time.Since(begin), nil
}

// ping has one sent.
func (c *clientConn) ping(p *ping) (token uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down != nil {
		return 0, c.down
	}
	if c.pings == nil {
		c.pings = map[uint64]*ping{}
	}
	c.token++
	token = c.token
	c.pings[token] = p
	c.engine.loop.Expect()
	c.engine.loop.Do(func() { c.sendPing(token) })
	return token, nil
}

// sendPing is called by the driver. A ping that can't be sent has failed: nothing else would end its wait.
func (c *clientConn) sendPing(token uint64) {
	status := c.engine.loop.Core().Ping(c.id, token)
	if status == native.StatusOK {
		return
	}
	p := c.takePing(token)
	if p == nil {
		return
	}
	p.failure = &Error{Code: CodeUnavailable, Message: fmt.Sprintf("connection to %s ended before the ping was sent", c.address)}
	if status == native.StatusLimit {
		p.failure = &Error{Code: CodeLimit, Message: fmt.Sprintf("%d pings of the connection to %s wait for their answers; wait for some of them, or give it up", native.PingsMax, c.address)}
	}
	c.engine.loop.Answer(p.waiter)
}

// takePing is who waits for a ping, from now on nobody.
func (c *clientConn) takePing(token uint64) *ping {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.pings[token]
	delete(c.pings, token)
	return p
}

// ponged is told by the driver. It reports whether somebody was woken.
func (c *clientConn) ponged(e *native.Event) bool {
	p := c.takePing(binary.LittleEndian.Uint64(e.Payload()))
	if p == nil {
		return false
	}
	c.engine.loop.Answer(p.waiter)
	return true
}

// aliveness is what the driver knows of a connection that has to give signs of life.
type aliveness struct {
	timer *time.Timer
	heard uint64 // events
	then  uint64 // events, when it was last looked
	asked bool   // for a sign, then
	final bool   // there was none: it is looked once more, behind what may have come just now
}

// watch looks from time to time whether the connection is alive.
func (c *clientConn) watch(every time.Duration) {
	if every > 0 && c.limits.Level >= 2 {
		c.alive.timer = time.AfterFunc(every, func() { c.engine.loop.Do(c.look) })
	}
}

// look is called by the driver, after each time that the connection may have been silent.
func (c *clientConn) look() {
	c.mu.Lock()
	down := c.down != nil
	c.mu.Unlock()
	if down {
		return
	}
	every, a := c.client.options.KeepAlive, &c.alive
	switch {
	case a.heard != a.then:
		a.then, a.asked, a.final = a.heard, false, false
	case !a.asked:
		a.asked = true
		c.engine.loop.Core().Ping(c.id, 0)
	case !a.final:
		a.final = true
		c.engine.loop.Do(c.look)
		return
	default:
		c.isDown(&Error{Code: CodeUnavailable, Message: fmt.Sprintf("connection to %s ended: no sign of life for %v", c.address, 2*every)})
		c.engine.loop.Core().Disconnect(c.id)
		return
	}
	a.timer.Reset(every)
}
