package traffic

import (
	"context"
	"encoding/binary"
	"io"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

// Methods of the service, by their ids. What they take and give are any bytes. native/test/traffic_serve.c has
// the same ones.
const (
	MethodEcho   uint32 = 7001 + iota // answers with its payload
	MethodHold                        // the same, after so many ms as its first 4 bytes say, or when it is cancelled: 499
	MethodUpload                      // a client's stream: answers with its messages and their bytes, a u64 each
	MethodList                        // a server's stream: its payload, as often as its first 4 bytes say
	MethodSync                        // a stream both ways: each message, as it comes
	MethodStall                       // likewise, but takes and sends nothing until it is cancelled
	MethodDeaf                        // as Hold, but cancels do not end it; in Go alone
)

// Service is the service in Go. It counts the handlers that run, by itself.
type Service struct {
	running, max atomic.Int64
}

// Running is how many handlers run, and the most of them that ever did at once.
func (s *Service) Running() (now, most int64) { return s.running.Load(), s.max.Load() }

// Register registers the service.
func (s *Service) Register(r rpc.Registrar) error {
	unary := func(name string, id uint32, handle rpc.Handler) rpc.Method {
		return rpc.Method{Name: name, ID: id, Handle: func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			defer s.run()()
			return handle(ctx, req, reply)
		}}
	}
	stream := func(name string, id uint32, kind rpc.Streaming, handle rpc.StreamHandler) rpc.Method {
		return rpc.Method{Name: name, ID: id, Streaming: kind, HandleStream: func(ctx context.Context, st *rpc.ServerStreamRaw) error {
			defer s.run()()
			return handle(ctx, st)
		}}
	}
	held := unary("Hold", MethodHold, hold)
	held.Slow = true
	deaf := unary("Deaf", MethodDeaf, func(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
		return hold(context.Background(), req, reply)
	})
	deaf.Slow = true
	return r.Register(rpc.Service{Name: "Traffic", Methods: []rpc.Method{
		unary("Echo", MethodEcho, echo), held, deaf,
		stream("Upload", MethodUpload, rpc.StreamingClient, upload), stream("List", MethodList, rpc.StreamingServer, list),
		stream("Sync", MethodSync, rpc.StreamingBidi, synchronize), stream("Stall", MethodStall, rpc.StreamingBidi, stall),
	}})
}

// run counts a handler, until what it returns is called.
func (s *Service) run() func() {
	now := s.running.Add(1)
	for most := s.max.Load(); now > most && !s.max.CompareAndSwap(most, now); most = s.max.Load() {
	}
	return func() { s.running.Add(-1) }
}

// first is the number at the beginning of a payload; 0 where there is none.
func first(payload []byte) uint32 {
	if len(payload) < 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(payload)
}

func echo(_ context.Context, req *rpc.Request, reply *rpc.Reply) error {
	if len(req.Payload()) == 0 {
		return reply.Bytes([]byte("?"))
	}
	return reply.Bytes(req.Payload())
}

func hold(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
	timer := time.NewTimer(time.Duration(first(req.Payload())) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return echo(ctx, req, reply)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func upload(_ context.Context, s *rpc.ServerStreamRaw) error {
	var counts [16]byte
	messages, bytes := 0, 0
	for {
		m, err := s.Recv()
		if err == io.EOF {
			binary.LittleEndian.PutUint64(counts[:], uint64(messages))
			binary.LittleEndian.PutUint64(counts[8:], uint64(bytes))
			return s.Reply().Bytes(counts[:])
		}
		if err != nil {
			return err
		}
		messages++
		bytes += len(m)
	}
}

func list(_ context.Context, s *rpc.ServerStreamRaw) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	payload := append([]byte(nil), m...)
	for range first(payload) {
		if err := s.Send(payload); err != nil {
			return err
		}
	}
	return nil
}

func synchronize(_ context.Context, s *rpc.ServerStreamRaw) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}

func stall(ctx context.Context, _ *rpc.ServerStreamRaw) error {
	<-ctx.Done()
	return context.Cause(ctx)
}
