package rpc_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

const batchCalls = 64

// batchLoad pipelines batches of calls on one connection, and allocates nothing itself.
type batchLoad struct {
	conn    net.Conn
	batch   []byte
	replies []byte
}

// newBatchLoad learns how large the replies are by calling once.
func newBatchLoad(t testing.TB, address string, id uint32, payload string) *batchLoad {
	w := dialWire(t, address)
	w.send(1, id, payload)
	h, reply := w.receive()
	require.EqualValues(t, rpc.CodeOK, h.Meta)
	l := &batchLoad{conn: w.Conn, replies: make([]byte, batchCalls*(16+len(reply)))}
	for i := range batchCalls {
		l.batch = append(l.batch, request(uint16(i), id, payload)...)
	}
	require.NoError(t, w.SetDeadline(time.Time{}))
	return l
}

// run makes at least so many calls.
func (l *batchLoad) run(calls int) error {
	for done := 0; done < calls; done += batchCalls {
		if _, err := l.conn.Write(l.batch); err != nil {
			return err
		}
		if _, err := io.ReadFull(l.conn, l.replies); err != nil {
			return err
		}
	}
	return nil
}

// withTimeout registers generated services with a deadline for every method.
type withTimeout struct{ *rpc.Server }

func (s withTimeout) Register(service rpc.Service) error {
	for i := range service.Methods {
		service.Methods[i].Timeout = time.Minute
	}
	return s.Server.Register(service)
}

// startTyped serves what a real service has: a typed handler, a verifier, deadlines and a filter.
func startTyped(t testing.TB) (*rpc.Server, string) {
	var calls atomic.Int64
	server, err := rpc.NewServer(rpc.ServerOptions{Cores: 1, Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			calls.Add(1)
			if _, ok := ctx.Deadline(); !ok || ctx.Err() != nil {
				return rpc.Errorf(rpc.CodeInternal, "no deadline")
			}
			return next(ctx, call)
		},
	}})
	require.NoError(t, err)
	require.NoError(t, demo.RegisterSmfStorageServer(withTimeout{server}, typed{}))
	address, err := server.Listen("127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		servedWell(t, served)
	})
	return server, address
}

// callerLoad is many goroutines that call through one client, each with a builder of its own.
type callerLoad struct {
	callers, calls int
	start, done    sync.WaitGroup
	begin          chan struct{}
	failed         chan error
}

// newCallerLoad starts the callers; each has made a call when it returns.
func newCallerLoad(t testing.TB, c *rpc.Client, callers, calls int) *callerLoad {
	l := &callerLoad{callers: callers, calls: calls, begin: make(chan struct{}), failed: make(chan error, callers)}
	storage := demo.NewSmfStorageClient(c)
	for range callers {
		l.start.Add(1)
		l.done.Go(func() {
			b := rpc.GetBuilder()
			name := b.CreateString("Hello, smf-world!")
			demo.RequestStart(b)
			demo.RequestAddName(b, name)
			b.Finish(demo.RequestEnd(b))
			for i := range calls + 10 {
				result, err := storage.Get(context.Background(), b)
				if err != nil {
					l.failed <- err
					if i < 10 {
						l.start.Done()
					}
					return
				}
				if len(result.Table().Name()) != 17 {
					l.failed <- rpc.ErrNotFound
				}
				result.Release()
				if i == 9 {
					l.start.Done()
					<-l.begin
				}
			}
		})
	}
	l.start.Wait()
	return l
}

func (l *callerLoad) run() error {
	close(l.begin)
	l.done.Wait()
	select {
	case err := <-l.failed:
		return err
	default:
		return nil
	}
}
