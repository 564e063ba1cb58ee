package traffic

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/conformance"
)

// Ordinary is a peer that keeps the rules and expects as much of the server: whatever it does, it checks what
// comes of it. It may be used by many goroutines.
type Ordinary struct {
	Client *rpc.Client
	// Allowed are codes with which any call may fail: of a server that restarts, for example.
	Allowed []rpc.Code
	// Done and Failed count what was done, and of it what failed with one of Allowed.
	Done, Failed atomic.Int64
}

// act is something that an ordinary peer does.
type act struct {
	name   string
	level2 bool // does not work at level 1
	run    func(ctx context.Context, o *Ordinary) error
}

// smallActs need next to no memory of the server, the others some.
var smallActs, largeActs = []act{
	{"echo", false, func(ctx context.Context, o *Ordinary) error { return o.echo(ctx, 1+rand.N(200)) }},
	{"hold", false, func(ctx context.Context, o *Ordinary) error {
		return o.call(ctx, MethodHold, append(word(uint32(rand.N(10))), "held"...))
	}},
	{"ping", true, func(ctx context.Context, o *Ordinary) error {
		_, err := o.Client.Ping(ctx)
		return err
	}},
	{"one-way", true, func(ctx context.Context, o *Ordinary) error {
		return o.Client.OneWay(ctx, MethodEcho, noiseOf(1+rand.N(100)))
	}},
	{"metadata", true, func(ctx context.Context, o *Ordinary) error {
		return o.echo(rpc.WithMetadata(ctx, "traffic", "yes", string(noiseOf(rand.N(4000)))), 100)
	}},
	{"deadline", false, deadline},
	{"cancel", false, cancel},
	{"sync", true, func(ctx context.Context, o *Ordinary) error { return o.sync(ctx, rand.N(50), 300) }},
	{"upload", true, func(ctx context.Context, o *Ordinary) error { return o.upload(ctx, rand.N(50), 300) }},
	{"list", true, func(ctx context.Context, o *Ordinary) error { return o.list(ctx, rand.N(50), 300) }},
	{"stream given up", true, giveUp},
}, []act{
	{"large echo", false, func(ctx context.Context, o *Ordinary) error { return o.echo(ctx, 1<<10<<rand.N(11)) }},
	{"large sync", true, func(ctx context.Context, o *Ordinary) error { return o.sync(ctx, rand.N(8), 300<<10) }},
	{"large upload", true, func(ctx context.Context, o *Ordinary) error { return o.upload(ctx, rand.N(20), 200<<10) }},
	{"large list", true, func(ctx context.Context, o *Ordinary) error { return o.list(ctx, rand.N(20), 100<<10) }},
}

// Act does one thing, by chance, small or perhaps large. The error says what the server did wrong.
func (o *Ordinary) Act(ctx context.Context, large bool) error {
	acts := smallActs
	if large && rand.N(5) == 0 {
		acts = largeActs
	}
	a := acts[rand.N(len(acts))]
	if a.level2 && o.Client.Level() < 2 {
		a = acts[0]
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	o.Done.Add(1)
	err := a.run(ctx, o)
	if err == nil {
		return nil
	}
	if slices.Contains(o.Allowed, rpc.CodeOf(err)) {
		o.Failed.Add(1)
		return nil
	}
	return fmt.Errorf("%s, at level %d: %w", a.name, o.Client.Level(), err)
}

// noiseOf are bytes that compress somewhat.
func noiseOf(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = "smf traffic 0123"[rand.Uint32()&15]
	}
	return b
}

func (o *Ordinary) echo(ctx context.Context, size int) error {
	return o.call(ctx, MethodEcho, noiseOf(size))
}

func (o *Ordinary) call(ctx context.Context, method uint32, payload []byte) error {
	m, err := o.Client.Call(ctx, method, payload)
	if err != nil {
		return err
	}
	defer m.Release()
	if !bytes.Equal(m.Payload(), payload) {
		return fmt.Errorf("%d bytes were sent, and %d others came back", len(payload), len(m.Payload()))
	}
	return nil
}

// deadline lets a call's deadline pass, as a rule.
func deadline(ctx context.Context, o *Ordinary) error {
	ctx, stop := context.WithTimeout(ctx, time.Duration(1+rand.N(10))*time.Millisecond)
	defer stop()
	return expect(o.call(ctx, MethodHold, word(200)), rpc.CodeDeadline)
}

// cancel gives a call up.
func cancel(ctx context.Context, o *Ordinary) error {
	ctx, stop := context.WithCancel(ctx)
	timer := time.AfterFunc(time.Duration(rand.N(10))*time.Millisecond, stop)
	defer timer.Stop()
	return expect(o.call(ctx, MethodHold, word(200)), rpc.CodeCancelled)
}

// expect turns an error that has to come into none.
func expect(err error, code rpc.Code) error {
	if err == nil {
		return fmt.Errorf("a call that was to end with %d was answered", code)
	}
	if rpc.CodeOf(err) == code {
		return nil
	}
	return err
}

// message makes the i-th one of a stream, of at most size bytes.
func message(i, size int) []byte {
	return append(word(uint32(i)), noiseOf(rand.N(size))...)
}

func stubOf(o *Ordinary) *rpc.Stub {
	stub := rpc.NewStub(o.Client)
	return &stub
}

type table = conformance.Question // any table: what is sent and received are bytes

func (o *Ordinary) sync(ctx context.Context, count, size int) error {
	s, err := rpc.OpenBidiStream[table, table](ctx, stubOf(o), MethodSync, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	sent := make(chan []byte, 8)
	failed := make(chan error, 1)
	go func() {
		defer close(sent)
		for i := range count {
			m := message(i, size)
			if err := s.SendBytes(m); err != nil {
				failed <- err
				return
			}
			select {
			case sent <- m:
			case <-ctx.Done():
				return
			}
		}
		failed <- s.CloseSend()
	}()
	defer func() { // whoever sends is not left behind
		s.Close()
		for range sent {
		}
	}()
	for m := range sent {
		got, err := s.Recv()
		if err != nil {
			return err
		}
		if t := got.Table(); !bytes.Equal(t.Bytes, m) {
			return fmt.Errorf("a message of %d bytes was sent, and %d others came back", len(m), len(t.Bytes))
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more messages came back than were sent")
		}
		return err
	}
	return <-failed
}

func (o *Ordinary) upload(ctx context.Context, count, size int) error {
	s, err := rpc.OpenClientStream[table, table](ctx, stubOf(o), MethodUpload, nil)
	if err != nil {
		return err
	}
	defer s.Cancel()
	total := 0
	for i := range count {
		m := message(i, size)
		if err := s.SendBytes(m); err != nil {
			_, err = s.CloseAndRecv() // it tells why
			return errors.Join(err, errors.New("an upload has ended early"))
		}
		total += len(m)
	}
	r, err := s.CloseAndRecv()
	if err != nil {
		return err
	}
	defer r.Release()
	counts := r.Table().Table().Bytes
	if len(counts) != 16 || binary.LittleEndian.Uint64(counts) != uint64(count) || binary.LittleEndian.Uint64(counts[8:]) != uint64(total) {
		return fmt.Errorf("%d messages of %d bytes were sent; %x came", count, total, counts)
	}
	return nil
}

// open opens a server's stream; word is how many messages.
func (o *Ordinary) open(ctx context.Context, count int, payload []byte) (*rpc.BidiStream[table, table], error) {
	s, err := rpc.OpenBidiStream[table, table](ctx, stubOf(o), MethodList, nil)
	if err != nil {
		return nil, err
	}
	if err = s.SendBytes(append(word(uint32(count)), payload...)); err == nil {
		err = s.CloseSend()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (o *Ordinary) list(ctx context.Context, count, size int) error {
	payload := noiseOf(rand.N(size))
	s, err := o.open(ctx, count, payload)
	if err != nil {
		return err
	}
	defer s.Close()
	for range count {
		got, err := s.Recv()
		if err != nil {
			return err
		}
		if t := got.Table(); len(t.Bytes) < 4 || !bytes.Equal(t.Bytes[4:], payload) {
			return fmt.Errorf("a list of %d bytes a message has one of %d others", len(payload)+4, len(t.Bytes))
		}
	}
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("a list of %d messages goes on: %w", count, err)
	}
	return nil
}

// giveUp leaves a stream in the middle.
func giveUp(ctx context.Context, o *Ordinary) error {
	s, err := o.open(ctx, 1<<30, noiseOf(rand.N(2000)))
	if err != nil {
		return err
	}
	for range rand.N(20) {
		if _, err = s.Recv(); err != nil {
			break
		}
	}
	s.Close()
	return err
}
