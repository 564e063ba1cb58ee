package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

func streamMethod(id uint32, handle rpc.StreamHandler) rpc.Method {
	return rpc.Method{Name: fmt.Sprint("Stream", id), ID: id, Streaming: rpc.StreamingBidi, HandleStream: handle}
}

// echoStream sends back what comes.
func echoStream(_ context.Context, s *rpc.ServerStreamRaw) error {
	for {
		m, err := s.Recv()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = s.Send(m)
		}
		if err != nil {
			return err
		}
	}
}

func open(t testing.TB, c *rpc.Client, ctx context.Context, id uint32) *rpc.Stream {
	t.Helper()
	s, err := c.OpenStream(ctx, id)
	require.NoError(t, err)
	return s
}

// isCode expects an *Error with a code.
func isCode(t testing.TB, err error, code rpc.Code) *rpc.Error {
	t.Helper()
	var e *rpc.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
	return e
}

// freed expects that no session of a client is in use any more, and that nobody waits.
func freed(t testing.TB, c *rpc.Client) {
	t.Helper()
	eventually(t, "every session is free", func() bool { return rpc.SessionsInUse(c) == 0 })
	require.Zero(t, rpc.Expected(c))
}

// Several streams and calls on one connection, each with a goroutine that sends and one that receives.
func TestStreamsKeepOrderAndContent(t *testing.T) {
	const streams, messages = 4, 5000
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dial(t, address)
	var all sync.WaitGroup
	for i := range streams {
		s := open(t, c, patient(t), idWork)
		message := func(k int) []byte {
			return bytes.Repeat([]byte(number(k*streams+i)), 1+(k*7)%40)
		}
		all.Go(func() {
			for k := range messages {
				if err := s.Send(message(k)); err != nil {
					t.Errorf("stream %d, message %d: %v", i, k, err)
					return
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			for k := range messages {
				m, err := s.Recv()
				if err != nil || !bytes.Equal(m, message(k)) {
					t.Errorf("stream %d, message %d: %d bytes, %v", i, k, len(m), err)
					s.Close()
					return
				}
			}
			for range 2 {
				if _, err := s.Recv(); err != io.EOF {
					t.Errorf("stream %d: %v at its end", i, err)
				}
			}
		})
		all.Go(func() {
			for k := range 500 {
				m, err := c.Call(patient(t), idEcho, []byte(number(k)))
				if err != nil || numberOf(m.Payload()) != k {
					t.Errorf("call %d: %v", k, err)
					return
				}
				m.Release()
			}
		})
	}
	all.Wait()
	freed(t, c)
}

// One goroutine that sends, then receives: nobody else wakes it.
func TestAStreamOfOneGoroutine(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dial(t, address)
	s := open(t, c, patient(t), idWork)
	for i := range 2000 {
		require.NoError(t, s.Send([]byte(number(i))))
		m, err := s.Recv()
		require.NoError(t, err)
		require.Equal(t, i, numberOf(m))
	}
	require.NoError(t, s.CloseSend())
	_, err := s.Recv()
	require.Equal(t, io.EOF, err)
	isCode(t, s.Send([]byte("late")), rpc.CodeBadRequest)
	require.NoError(t, s.CloseSend())
	s.Close()
	_, err = s.Recv()
	require.Equal(t, io.EOF, err, "closing what has ended changes nothing")
	freed(t, c)
}

func TestAStreamsStatus(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, func(_ context.Context, s *rpc.ServerStreamRaw) error {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
		return &rpc.Error{Code: rpc.CodeConflict, Message: "on purpose", Details: []byte("more"), RetryAfter: time.Second}
	}))
	c := dial(t, address)
	s := open(t, c, patient(t), idWork)
	require.NoError(t, s.Send([]byte("one")))
	m, err := s.Recv()
	require.NoError(t, err)
	require.Equal(t, "one", string(m))
	for range 2 {
		_, err = s.Recv()
		e := isCode(t, err, rpc.CodeConflict)
		require.Equal(t, "on purpose", e.Message)
		require.Equal(t, "more", string(e.Details))
		require.Equal(t, time.Second, e.RetryAfter)
		require.True(t, e.MayHaveRun)
	}
	isCode(t, s.Send([]byte("two")), rpc.CodeConflict)
	freed(t, c)

	s = open(t, c, patient(t), idMore) // there is none
	_, err = s.Recv()
	isCode(t, err, rpc.CodeNotFound)
	s = open(t, c, patient(t), idEcho) // is no stream
	_, err = s.Recv()
	isCode(t, err, rpc.CodeBadRequest)
	freed(t, c)
	_, err = c.OpenStream(patient(t), 0)
	isCode(t, err, rpc.CodeBadRequest)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.OpenStream(ended, idWork)
	isCode(t, err, rpc.CodeCancelled)
}

// Who does not read stops his sender when the credit is used up, and nobody else.
func TestASlowReaderStopsItsSenderAndNobodyElse(t *testing.T) {
	const size = 1000
	var sent atomic.Int64
	flood := func(_ context.Context, s *rpc.ServerStreamRaw) error {
		for {
			if err := s.Send(make([]byte, size)); err != nil {
				return err
			}
			sent.Add(size)
		}
	}
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, flood), streamMethod(idMore, echoStream))
	c := dial(t, address)
	s := open(t, c, patient(t), idWork)
	// A sender that has sent less than he may has only not had the processor.
	stopped := func(least int64) int64 {
		var last int64
		eventually(t, "the sender stops", func() bool {
			before := sent.Load()
			for range 50 {
				require.Equal(t, "x", answer(t, c, idEcho, "x"), "calls go on, and drive the loop")
			}
			last = sent.Load()
			return last >= least && last == before
		})
		return last
	}
	credit := int64(hello.Credit)
	first := stopped(credit - size)
	require.LessOrEqual(t, first, credit+3*(64<<10), "more than the credit and what waits in the server")
	other := open(t, c, patient(t), idMore)
	for i := range 10 * int(credit) / (64 << 10) {
		require.NoError(t, other.Send(bytes.Repeat([]byte{byte(i)}, 64<<10)))
		m, err := other.Recv()
		require.NoError(t, err)
		require.Len(t, m, 64<<10)
	}
	other.Close()
	require.Equal(t, first, sent.Load())
	for range credit / size { // as much as the credit
		_, err := s.Recv()
		require.NoError(t, err)
	}
	_, err := s.Recv()
	require.NoError(t, err)
	second := stopped(first + 1)
	require.LessOrEqual(t, second-first, credit+size)
	s.Close()
	_, err = s.Recv()
	require.ErrorIs(t, err, context.Canceled)
	freed(t, c)
}

// A server that does not read stops who sends to it, and nobody else.
func TestASlowServerStopsItsSenderAndNobodyElse(t *testing.T) {
	gate := make(chan struct{})
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, func(ctx context.Context, s *rpc.ServerStreamRaw) error {
		<-gate
		return echoStream(ctx, s)
	}))
	c := dial(t, address)
	s := open(t, c, patient(t), idWork)
	const size = 1000
	var sent atomic.Int64
	done := make(chan error, 1)
	go func() {
		for range 2000 {
			if err := s.Send(make([]byte, size)); err != nil {
				done <- err
				return
			}
			sent.Add(size)
		}
		done <- s.CloseSend()
	}()
	var last int64
	eventually(t, "the sender stops", func() bool {
		before := sent.Load()
		for range 50 {
			answer(t, c, idEcho, "x")
		}
		last = sent.Load()
		return last >= int64(hello.Credit)-size && last == before // one who has sent less has only not had the processor
	})
	require.Less(t, last, int64(hello.Credit)+4*(64<<10))
	require.Empty(t, done)
	close(gate)
	for range 2000 {
		m, err := s.Recv()
		require.NoError(t, err)
		require.Len(t, m, size)
	}
	_, err := s.Recv()
	require.Equal(t, io.EOF, err)
	require.NoError(t, within(t, done, "sending ends"))
	freed(t, c)
}

// Whatever a stream is about when it is given up: the handler hears of it, and nothing is left over.
func TestCancellingAStream(t *testing.T) {
	var begun, ended atomic.Int64
	handler := func(ctx context.Context, s *rpc.ServerStreamRaw) error {
		begun.Add(1)
		defer ended.Add(1)
		m, err := s.Recv()
		for err == nil && string(m) == "read" {
			m, err = s.Recv()
		}
		if err == nil && string(m) == "flood" {
			for err == nil {
				err = s.Send(make([]byte, 1000))
			}
		} else if err == nil || err == io.EOF {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, handler))
	c := dial(t, address)
	answer(t, c, idEcho, "x")
	goroutines := runtime.NumGoroutine()
	await := func(t *testing.T, s *rpc.Stream) chan error {
		done := make(chan error, 1)
		go func() {
			for {
				if _, err := s.Recv(); err != nil {
					done <- err
					return
				}
			}
		}()
		return done
	}
	fill := func(t *testing.T, s *rpc.Stream) chan error {
		done := make(chan error, 1)
		var sent atomic.Int64
		go func() {
			for {
				if err := s.Send(make([]byte, 1000)); err != nil {
					done <- err
					return
				}
				sent.Add(1)
			}
		}()
		eventually(t, "it is full", func() bool {
			before := sent.Load()
			time.Sleep(20 * time.Millisecond)
			return before > 0 && before == sent.Load()
		})
		return done
	}
	states := map[string]func(*testing.T, *rpc.Stream) chan error{
		"opened":                    func(*testing.T, *rpc.Stream) chan error { return nil },
		"receiving":                 await,
		"sent":                      func(t *testing.T, s *rpc.Stream) chan error { require.NoError(t, s.Send([]byte("read"))); return nil },
		"sent, and nobody reads it": func(t *testing.T, s *rpc.Stream) chan error { require.NoError(t, s.Send([]byte("wait"))); return nil },
		"waiting for credit": func(t *testing.T, s *rpc.Stream) chan error {
			require.NoError(t, s.Send([]byte("wait")))
			return fill(t, s)
		},
		"half closed": func(t *testing.T, s *rpc.Stream) chan error { require.NoError(t, s.CloseSend()); return await(t, s) },
		"flooded":     func(t *testing.T, s *rpc.Stream) chan error { require.NoError(t, s.Send([]byte("flood"))); return nil },
		"reading": func(t *testing.T, s *rpc.Stream) chan error {
			require.NoError(t, s.Send([]byte("flood")))
			return await(t, s)
		},
	}
	for name, state := range states {
		for _, way := range []string{"Close", "cancel", "deadline"} {
			t.Run(name+" "+way, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				if way == "deadline" {
					ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
				}
				defer cancel()
				s := open(t, c, ctx, idWork)
				waiting := state(t, s)
				code := rpc.CodeCancelled
				switch way {
				case "Close":
					s.Close()
					s.Close()
				case "cancel":
					cancel()
				case "deadline":
					code = rpc.CodeDeadline
				}
				if waiting != nil {
					isCode(t, within(t, waiting, "it returns"), code)
				}
				eventually(t, "sending fails", func() bool { return s.Send([]byte("late")) != nil })
				if way == "deadline" { // may be told by the server
					<-ctx.Done()
				}
				for range 2 {
					err := error(nil)
					for err == nil {
						_, err = s.Recv()
					}
					isCode(t, err, code)
					if way == "deadline" {
						require.ErrorIs(t, err, context.DeadlineExceeded)
					} else {
						require.ErrorIs(t, err, context.Canceled)
					}
				}
				eventually(t, "the handler is told", func() bool { return begun.Load() == ended.Load() })
				freed(t, c)
			})
		}
	}
	require.Greater(t, begun.Load(), int64(len(states)))
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// Forgotten streams go when their context ends.
func TestForgottenStreams(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dial(t, address)
	answer(t, c, idEcho, "x")
	goroutines := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	for range 100 {
		require.NoError(t, open(t, c, ctx, idWork).Send([]byte("x")))
	}
	require.Equal(t, 100, rpc.SessionsInUse(c))
	cancel()
	freed(t, c)
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	require.Equal(t, "x", answer(t, c, idEcho, "x"))
}

func TestLargeMessagesInStreams(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dialWith(t, address, rpc.ClientOptions{FrameBytes: 64 << 20})
	sizes := []int{1 << 20, 1, 64<<10 + 1, 3 << 20, 60, 1 << 20, 64 << 20, 60}
	message := func(i, size int) []byte {
		m := bytes.Repeat([]byte{byte(i)}, size)
		m[size/2], m[size-1] = byte(size), 0xee
		return m
	}
	s := open(t, c, patient(t), idWork)
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer close(stop)
		for i, size := range sizes {
			m, err := s.Recv()
			if err != nil || !bytes.Equal(m, message(i, size)) {
				t.Errorf("message %d: %d bytes, %v", i, len(m), err)
				return
			}
		}
	})
	all.Go(func() {
		for i, size := range sizes {
			if err := s.Send(message(i, size)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	calls := 0
	for running := true; running; calls++ {
		select {
		case <-stop:
			running = false
		default:
			require.Equal(t, "small", answer(t, c, idEcho, "small"))
		}
	}
	all.Wait()
	t.Logf("%d calls beside", calls)
	require.Greater(t, calls, len(sizes))
	e := isCode(t, s.Send(make([]byte, 64<<20+1)), rpc.CodeTooLarge)
	require.Contains(t, e.Message, "67108865 bytes")
	require.NoError(t, s.Send([]byte("goes on")))
	m, err := s.Recv()
	require.NoError(t, err)
	require.Equal(t, "goes on", string(m))
	s.Close()
	freed(t, c)
}

func TestStreamsNeedLevel2(t *testing.T) {
	forgetful(t, time.Minute)
	_, address := start(t, rpc.ServerOptions{Level: 1})
	for range 2 { // the second time it is remembered
		c := dial(t, address)
		_, err := c.OpenStream(patient(t), idWork)
		e := isCode(t, err, rpc.CodeLevel)
		require.Contains(t, e.Message, "level 2 of the wire format on both sides")
		require.Contains(t, e.Message, "upgrade that server")
		require.False(t, e.MayHaveRun)
	}
	_, address = start(t, rpc.ServerOptions{})
	c := dialLevel1(t, address)
	_, err := c.OpenStream(patient(t), idWork)
	isCode(t, err, rpc.CodeLevel)
}

func TestStreamsEndWithTheClient(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dial(t, address)
	s := open(t, c, patient(t), idWork)
	done := make(chan error, 1)
	go func() {
		_, err := s.Recv()
		done <- err
	}()
	require.NoError(t, c.Close())
	err := within(t, done, "receiving ends")
	require.ErrorIs(t, err, rpc.ErrClosed)
	require.True(t, isCode(t, err, rpc.CodeUnavailable).MayHaveRun)
	isCode(t, s.Send([]byte("late")), rpc.CodeUnavailable)
	require.Error(t, s.CloseSend())
	s.Close()
	_, err = c.OpenStream(patient(t), idWork)
	require.ErrorIs(t, err, rpc.ErrClosed)
}

func TestAStreamDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const messages = 200_000
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	load := newStreamLoad(t, dial(t, address), idWork)
	require.NoError(t, load.run(messages))
	var err error
	count := allocations(func() { err = load.run(messages) })
	require.NoError(t, err)
	require.Less(t, count/messages, allocationsMax, "%v allocations in %d messages", count, messages)
}

// streamLoad has messages echoed by a stream: one goroutine sends, another one receives.
type streamLoad struct {
	stream  *rpc.Stream
	payload []byte
	quota   chan int
	failed  chan error
}

func newStreamLoad(t testing.TB, c *rpc.Client, id uint32) *streamLoad {
	l := &streamLoad{stream: open(t, c, patient(t), id), payload: make([]byte, 60), quota: make(chan int), failed: make(chan error, 1)}
	var all sync.WaitGroup
	all.Go(func() {
		for n := range l.quota {
			for range n {
				if err := l.stream.Send(l.payload); err != nil {
					l.failed <- err
					return
				}
			}
		}
	})
	t.Cleanup(func() {
		close(l.quota)
		l.stream.Close()
		all.Wait()
	})
	return l
}

func (l *streamLoad) run(messages int) error {
	l.quota <- messages
	for range messages {
		if m, err := l.stream.Recv(); err != nil {
			return err
		} else if len(m) != len(l.payload) {
			return errors.New("not what was sent")
		}
	}
	return nil
}

// Messages of 60 bytes that a stream echoes; an operation is one message, there and back.
func BenchmarkStreamEcho(b *testing.B) {
	_, address := start(b, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	load := newStreamLoad(b, dial(b, address), idWork)
	require.NoError(b, load.run(10_000))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run(b.N))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// Messages of 60 bytes that a server sends to one stream; an operation is one message.
func BenchmarkStream(b *testing.B) {
	payload := make([]byte, 60)
	_, address := start(b, rpc.ServerOptions{}, streamMethod(idWork, func(_ context.Context, s *rpc.ServerStreamRaw) error {
		for {
			if err := s.Send(payload); err != nil {
				return err
			}
		}
	}))
	s := open(b, dial(b, address), patient(b), idWork)
	read := func(n int) {
		for range n {
			if _, err := s.Recv(); err != nil {
				b.Fatal(err)
			}
		}
	}
	read(10_000)
	b.ReportAllocs()
	b.ResetTimer()
	read(b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.StopTimer()
	s.Close()
}
