package traffic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ending is what a server may make of an attacker's connection.
type ending uint8

const (
	stays   ending = iota // it goes on: what came is legal, or is answered
	mayEnd                // either
	mustEnd               // what came can't be trusted: wire.md says that it ends
)

// Attack is one way of being a bad peer.
type Attack struct {
	Name   string
	ending ending
	// life is that of one connection, which is made anew as long as the attack goes on. What it
	// returns is a rule that the server has broken, or errEnded, or that of its context.
	life func(p *peer) error
	raw  bool // it speaks Hello by itself, or does not
	// short: others use up the server's memory, and it may have none for a Hello.
	short bool
}

// errUnavailable is that a Hello was answered with 503.
var errUnavailable = errors.New("it is answered with 503")

// Counts are what an attack has come to.
type Counts struct {
	Connections, Refused, Ended, Frames atomic.Int64 // Ended: by the server; Frames: of the server
}

// Run attacks a server on so many connections at a time, until ctx ends. The error is the first rule that the
// server has broken; then everything has ended.
func (a *Attack) Run(ctx context.Context, address string, connections int, counts *Counts) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for range connections {
		all.Go(func() {
			for ctx.Err() == nil {
				err := a.once(ctx, address, counts)
				if a.short && errors.Is(err, errUnavailable) {
					err = nil
				}
				if err != nil && ctx.Err() == nil {
					stop(fmt.Errorf("%s: %w", a.Name, err))
				}
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// once is the life of one connection.
func (a *Attack) once(ctx context.Context, address string, counts *Counts) error {
	p, err := dial(ctx, address)
	if err != nil && (ctx.Err() != nil || isTimeout(err)) { // the deadline of ctx
		return nil
	}
	if err != nil {
		counts.Refused.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	}
	counts.Connections.Add(1)
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	defer func() {
		stop()
		_ = p.conn.Close()
		p.mu.Lock()
		counts.Frames.Add(p.frames)
		p.mu.Unlock()
	}()
	if !a.raw {
		if err = p.hello(); err != nil {
			return err
		}
	}
	err = a.life(p)
	if a.ending == mustEnd && (err == nil || errors.Is(err, errEnded)) {
		err = p.ends()
		if err == nil {
			counts.Ended.Add(1)
		}
		return err
	}
	if errors.Is(err, errEnded) {
		counts.Ended.Add(1)
		if a.ending == mayEnd {
			return nil
		}
	}
	return err
}

// Attacks are all of them.
func Attacks() []Attack {
	var all []Attack
	for _, some := range [][]Attack{callAttacks(), streamAttacks(), creditAttacks(), metadataAttacks(), helloAttacks(), sliceAttacks()} {
		all = append(all, some...)
	}
	return all
}
