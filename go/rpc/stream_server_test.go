package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

func streaming(id uint32, kind rpc.Streaming, handle rpc.StreamHandler) rpc.Method {
	return rpc.Method{Name: fmt.Sprint("Method", id), ID: id, Streaming: kind, HandleStream: handle}
}

// streamEcho sends back what it receives.
func streamEcho(_ context.Context, s *rpc.ServerStreamRaw) error {
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

func TestStreamsOfEveryKind(t *testing.T) {
	upload := func(_ context.Context, s *rpc.ServerStreamRaw) error {
		var all []string
		for {
			m, err := s.Recv()
			if err == io.EOF {
				return s.Reply().Bytes([]byte(strings.Join(all, "+")))
			}
			if err != nil {
				return err
			}
			all = append(all, string(m))
		}
	}
	list := func(_ context.Context, s *rpc.ServerStreamRaw) error {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		for i := range 3 {
			if err := s.Send([]byte(fmt.Sprint(string(m), i))); err != nil {
				return err
			}
		}
		return nil
	}
	server, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingClient, upload),
		streaming(idGate, rpc.StreamingServer, list), streaming(idMore, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	for range 3 { // the same sessions, once more
		s := p.open(1, idWork, "")
		s.send("a", 0)
		s.send("b", 0)
		s.fin()
		require.Equal(t, "a+b", s.ends(rpc.CodeOK).payload)

		s = p.open(2, idWork, "first")
		s.send("last", frame.FlagFin)
		require.Equal(t, "first+last", s.ends(rpc.CodeOK).payload)

		s = p.at(3, idGate)
		s.send("x", frame.FlagFin)
		for i := range 3 {
			s.gets(fmt.Sprint("x", i))
		}
		require.Empty(t, s.ends(rpc.CodeOK).payload)

		s = p.open(4, idMore, "")
		for i := range 100 {
			s.send(number(i), 0)
			s.gets(number(i))
		}
		s.fin()
		require.Empty(t, s.ends(rpc.CodeOK).payload)

		s = p.at(5, idMore)
		s.send("", frame.FlagFin) // nothing at all
		require.Empty(t, s.ends(rpc.CodeOK).payload)

		s = p.at(6, idWork)
		s.send("", frame.FlagFin)
		require.Len(t, s.ends(rpc.CodeOK).payload, 12, "a reply that was not given is an empty table")
	}
	eventually(t, "all is counted", func() bool {
		return slices.ContainsFunc(server.Stats().Methods, func(m rpc.MethodStats) bool {
			return m.Name == fmt.Sprint("Method", idMore) && m.Replies[rpc.CodeOK] == 6 && m.Goroutines == 6
		})
	})
}

// Order and content of a hundred thousand messages, which are more than the credit at any time.
func TestManyMessages(t *testing.T) {
	const count = 100_000
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	s := p.open(1, idWork, "")
	go func() {
		for i := range count {
			s.send(message(i), 0)
		}
		s.fin()
	}()
	for i := range count {
		s.gets(message(i))
	}
	s.ends(rpc.CodeOK)
}

// message is a text of some length, with a number.
func message(i int) string { return fmt.Sprint(i, strings.Repeat(".", i%97)) }

// Messages of a megabyte, and some that fit a frame in between.
func TestLargeMessages(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	s := p.open(1, idWork, "")
	sizes := []int{1 << 20, 10, 64 << 10, 64<<10 + 1, 1 << 20, 3 << 20, 100, 128 << 10, 1}
	text := strings.Repeat("0123456789abcdef", 3<<16)
	go func() {
		for i, size := range sizes {
			s.send(text[i:][:min(size, len(text)-i)], 0)
		}
		s.fin()
	}()
	for i, size := range sizes {
		r := s.recv()
		require.EqualValues(t, rpc.CodeOK, r.Meta)
		require.True(t, text[i:][:min(size, len(text)-i)] == r.payload, "message %d of %d bytes has %d", i, size, len(r.payload))
	}
	s.ends(rpc.CodeOK)
}

// A handler that does not receive stops its own caller, when the credit is used up, and nobody else.
func TestAHandlerThatDoesNotReceive(t *testing.T) {
	gate := make(chan struct{})
	var bytes atomic.Int64
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingClient, func(_ context.Context, s *rpc.ServerStreamRaw) error {
		<-gate
		for {
			m, err := s.Recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			bytes.Add(int64(len(m)))
		}
	}), streaming(idMore, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	const size = 1000
	s, other := p.open(1, idWork, ""), p.open(2, idMore, "")
	for range peerCredit / size {
		s.send(strings.Repeat("x", size), 0)
	}
	for i := range 1000 { // others go on
		other.send(message(i), 0)
		other.gets(message(i))
		if i%100 == 0 {
			p.echoes(3)
		}
	}
	require.Equal(t, peerCredit%size, s.left(), "no credit came back")
	close(gate)
	for range 1000 { // which is four times the credit
		s.send(strings.Repeat("x", size), 0)
	}
	s.fin()
	s.ends(rpc.CodeOK)
	require.EqualValues(t, (peerCredit/size+1000)*size, bytes.Load())
	other.fin()
	other.ends(rpc.CodeOK)
}

// A caller that takes nothing stops the handler that sends, and nobody else.
func TestACallerThatTakesNothing(t *testing.T) {
	const size, count = 1000, 3000
	var sent atomic.Int64
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingServer, func(_ context.Context, s *rpc.ServerStreamRaw) error {
		for i := range count {
			if err := s.Send([]byte(fmt.Sprintf("%0*d", size, i))); err != nil {
				return err
			}
			sent.Add(1)
		}
		return nil
	}), streaming(idMore, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	s, other := p.open(1, idWork, "go"), p.open(2, idMore, "")
	s.greedy = true
	eventually(t, "the credit is used up", func() bool { return s.come() > peerCredit-size })
	for i := range 1000 {
		other.send(message(i), 0)
		other.gets(message(i))
		if i%100 == 0 {
			p.echoes(3)
		}
	}
	require.LessOrEqual(t, s.come(), peerCredit)
	// What waits in the server: 64 KiB for the loop, and at most twice that in the core.
	require.LessOrEqual(t, sent.Load()*size, int64(peerCredit+3*(64<<10)+size))
	s.greedy = false
	for i := range count {
		s.gets(fmt.Sprintf("%0*d", size, i))
	}
	s.ends(rpc.CodeOK)
}

// Each way in which a handler may be when its caller gives up, or is gone, or the deadline passes.
func TestTheEndReachesAHandler(t *testing.T) {
	states := map[string]rpc.StreamHandler{
		"receives": func(_ context.Context, s *rpc.ServerStreamRaw) error {
			_, err := s.Recv()
			return err
		},
		"sends": func(_ context.Context, s *rpc.ServerStreamRaw) error {
			for {
				if err := s.Send(make([]byte, 10_000)); err != nil {
					return err
				}
			}
		},
		"waits": func(ctx context.Context, s *rpc.ServerStreamRaw) error {
			<-ctx.Done()
			_, err := s.Recv()
			if sending := s.Send([]byte("x")); err == nil || sending == nil || sending.Error() != err.Error() {
				return rpc.Errorf(rpc.CodeConflict, "%v, %v", err, sending)
			}
			return err
		},
		"receives in another goroutine": func(ctx context.Context, s *rpc.ServerStreamRaw) error {
			ended := make(chan error)
			go func() {
				_, err := s.Recv()
				ended <- err
			}()
			return <-ended
		},
	}
	for name, handle := range states {
		t.Run(name, func(t *testing.T) {
			running, ended := make(chan struct{}, 1), make(chan error, 1)
			server, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, func(ctx context.Context, s *rpc.ServerStreamRaw) error {
				running <- struct{}{}
				err := handle(ctx, s)
				ended <- err
				return err
			}))
			p := dialStreams(t, address)
			code := func(err error) rpc.Code {
				var e *rpc.Error
				require.ErrorAs(t, err, &e)
				return e.Code
			}
			last := func(s *peerStream, want ...rpc.Code) {
				s.greedy = true
				for {
					if r := s.recv(); r.Flags&frame.FlagFin != 0 {
						require.Contains(t, want, rpc.Code(r.Meta), "%q", r.payload)
						return
					}
				}
			}
			for range 3 {
				s := p.open(1, idWork, "")
				within(t, running, "the handler runs")
				s.cancel()
				require.Equal(t, rpc.CodeCancelled, code(within(t, ended, "the handler returns")))
				last(s, rpc.CodeCancelled)

				s = p.at(1, idWork)
				s.put(frame.FlagStream|frame.FlagMetadata, s.id, block(10*time.Millisecond))
				within(t, running, "the handler runs")
				require.Equal(t, rpc.CodeDeadline, code(within(t, ended, "the handler returns")))
				if name == "sends" { // the last frame is behind messages that there is no credit for
					s.cancel()
					last(s, rpc.CodeCancelled, rpc.CodeDeadline) // as the cancel comes before it or behind it
				} else {
					last(s, rpc.CodeDeadline)
					s.cancel() // as a caller does whose direction is open at the end
				}
			}
			p.open(9, idWork, "")
			within(t, running, "the handler runs")
			_ = p.Close()
			err := within(t, ended, "the handler returns")
			require.Equal(t, rpc.CodeCancelled, code(err))
			require.ErrorIs(t, err, rpc.ErrDisconnected)
			eventually(t, "nothing is in flight", func() bool { return coreOf(t, server).InFlight == 0 })
		})
	}
}

func TestStreamsOfTheWrongKind(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, streamEcho),
		streaming(idMore, rpc.StreamingServer, func(_ context.Context, s *rpc.ServerStreamRaw) error {
			_, err := rpc.StreamRequest[demo.Request](s)
			return err
		}))
	p := dialStreams(t, address)
	refused := func(s *peerStream, code rpc.Code, message string) {
		t.Helper()
		r := s.frame()
		require.EqualValues(t, code, r.Meta)
		require.NotZero(t, r.Flags&frame.FlagReset, "no handler saw it")
		e := r.failure(t)
		require.Equal(t, message, e.Message)
		require.False(t, e.MayHaveRun)
	}
	refused(p.open(1, idEcho, "x"), rpc.CodeBadRequest, "the method has one request and one reply; call it without a stream")
	s := p.at(2, idWork)
	s.put(0, idWork, "x")
	refused(s, rpc.CodeBadRequest, "the method streams; open a stream")
	refused(p.open(3, 77, "x"), rpc.CodeNotFound, "no such method")
	s = p.at(4, idMore)
	s.send("", frame.FlagFin)
	require.Equal(t, "the stream has no request; send one with its opening", s.ends(rpc.CodeBadRequest).failure(t).Message)
	p.echoes(5)

	w := dialWire(t, address)
	w.send(1, idWork, "x")
	h, _ := w.receive()
	require.EqualValues(t, rpc.CodeLevel, h.Meta)
}

// How a handler may end, with a caller that goes on.
func TestHandlersOfStreamsThatEnd(t *testing.T) {
	var log bytes.Buffer
	var logging sync.Mutex
	how := func(_ context.Context, s *rpc.ServerStreamRaw) error {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		switch string(m) {
		case "return":
			return nil
		case "fail":
			return &rpc.Error{Code: rpc.CodeConflict, Message: "on purpose", Details: []byte("details")}
		case "panic":
			panic("on purpose")
		case "goexit":
			runtime.Goexit()
		case "malformed":
			if _, err := s.Recv(); err == nil {
				return errors.New("it is malformed")
			}
			if _, err := s.Recv(); err == nil {
				return errors.New("and stays it")
			}
			return nil
		}
		return errors.New("secret")
	}
	m := streaming(idWork, rpc.StreamingBidi, how)
	m.Verify = func(payload []byte) error {
		if string(payload) == "bad" {
			return errors.New("it is bad")
		}
		return nil
	}
	_, address := start(t, rpc.ServerOptions{Logger: slog.New(slog.NewTextHandler(&locked{&logging, &log}, nil))}, m)
	p := dialStreams(t, address)
	for i, c := range []struct {
		first   string
		code    rpc.Code
		message string
	}{
		{"return", rpc.CodeOK, ""}, {"fail", rpc.CodeConflict, "on purpose"}, {"panic", rpc.CodeInternal, "the handler panicked"},
		{"goexit", rpc.CodeInternal, "the handler ended its goroutine"}, {"bad", rpc.CodeBadRequest, "a message of the stream is malformed: it is bad"},
		{"malformed", rpc.CodeBadRequest, "a message of the stream is malformed: it is bad"}, {"else", rpc.CodeInternal, ""},
	} {
		s := p.open(uint16(i+1), idWork, c.first)
		s.send("bad", 0)
		for range 200 { // it goes on, within its credit
			s.send(strings.Repeat("x", 1000), 0)
		}
		r := s.ends(c.code)
		if c.code != rpc.CodeOK {
			require.Equal(t, c.message, r.failure(t).Message, c.first)
		}
		s.cancel() // as a caller does whose direction is open at the end
		p.echoes(100)
	}
	logging.Lock()
	require.Contains(t, log.String(), "handler panicked")
	require.Contains(t, log.String(), "runtime.Goexit")
	logging.Unlock()

	s := p.open(50, idWork, "")
	h := frame.Header{Compression: frame.CompressionLZ4, Flags: frame.FlagStream, Session: 50, Size: 4, Meta: idWork}
	h.Checksum = h.ChecksumLevel2([]byte("1234"))
	p.writing.Lock()
	p.write(append(h.Append(nil), "1234"...))
	p.writing.Unlock()
	require.Contains(t, s.ends(rpc.CodeNotImplemented).failure(t).Message, "compressed")
}

type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// What is said beside messages, both ways; and filters see the call from its opening to its end.
func TestMetadataAndFiltersOfStreams(t *testing.T) {
	seen := make(chan string, 10)
	filter := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if call.RequestMetadata().Get("user") == "" {
			return rpc.Errorf(rpc.CodeUnauthenticated, "who are you?")
		}
		_ = call.ReplyMetadata().Add("by", "filter")
		err := next(ctx, call)
		seen <- fmt.Sprint(call.Method().Streaming, " ", len(call.Payload()), " ", err)
		return err
	}
	_, address := start(t, rpc.ServerOptions{Filters: []rpc.Filter{filter}}, streaming(idWork, rpc.StreamingBidi, func(_ context.Context, s *rpc.ServerStreamRaw) error {
		_ = rpc.StreamSender[demo.Request](s).Metadata().Add("hello", s.Metadata().Get("user"))
		err := streamEcho(context.Background(), s)
		if err == nil && s.Metadata().Get("fail") != "" {
			return rpc.ErrNotFound
		}
		return err
	}))
	p := dialStreams(t, address)
	s := p.at(1, idWork)
	s.put(frame.FlagStream|frame.FlagMetadata, idWork, block(0, "user", "ann")+"x")
	r := s.recv()
	require.Equal(t, "x", r.payload)
	require.Equal(t, []string{"ann"}, r.values("hello"))
	require.Equal(t, []string{"filter"}, r.values("by"))
	s.send("y", frame.FlagFin)
	require.Zero(t, s.recv().Flags&frame.FlagMetadata)
	require.Zero(t, s.ends(rpc.CodeOK).Flags&frame.FlagMetadata, "once")
	require.Equal(t, "bidi 0 <nil>", within(t, seen, "the filter sees the end"))

	s = p.at(2, idWork)
	s.put(frame.FlagStream|frame.FlagMetadata|frame.FlagFin, idWork, block(0, "user", "bob", "fail", "yes"))
	r = s.ends(rpc.CodeNotFound)
	require.Equal(t, []string{"bob"}, r.values("hello"), "with the end, where there is no message")
	require.Equal(t, "bidi 0 rpc: 404 not found", within(t, seen, "the filter sees the end"))

	r = p.open(3, idWork, "x").recv()
	require.EqualValues(t, rpc.CodeUnauthenticated, r.Meta)
	require.EqualValues(t, frame.FlagReset, r.Flags&^frame.FlagMetadata, "no handler saw it")
	require.Equal(t, "who are you?", r.failure(t).Message)
}

// Streams are calls in flight: for the limits, and for a drain.
func TestStreamsAreInFlight(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 3}}, streaming(idWork, rpc.StreamingBidi, streamEcho))
	p := dialStreams(t, address)
	var open []*peerStream
	for i := range uint16(3) {
		s := p.open(i+1, idWork, "x")
		s.gets("x")
		open = append(open, s)
	}
	s := p.open(4, idWork, "x")
	r := s.frame()
	require.EqualValues(t, rpc.CodeLimit, r.Meta)
	require.NotZero(t, r.Flags&frame.FlagReset)
	s.cancel() // as a caller does whose direction is open at the end
	open[2].fin()
	open[2].ends(rpc.CodeOK)
	s = p.open(5, idWork, "y")
	s.gets("y")
	s.fin()
	s.ends(rpc.CodeOK)

	drained := make(chan error, 1)
	go func() { drained <- server.Drain(patient(t)) }()
	eventually(t, "it drains", func() bool { return errors.Is(server.Ready(), rpc.ErrDraining) })
	open[0].send("still here", 0)
	open[0].gets("still here")
	eventually(t, "new streams are refused", func() bool {
		s := p.open(6, idWork, "z")
		r := s.frame()
		if r.Meta == uint32(rpc.CodeUnavailable) {
			s.cancel()
			return true
		}
		s.fin()
		s.ends(rpc.CodeOK)
		return false
	})
	require.Empty(t, drained, "two streams are open")
	for _, s := range open[:2] {
		s.fin()
		s.ends(rpc.CodeOK)
	}
	require.NoError(t, within(t, drained, "the drain ends"))
}

// Nothing is left of streams: not after their ends in all ways, and not when their handlers go on using them.
func TestNothingIsLeftOfStreams(t *testing.T) {
	stray := make(chan error, 1000)
	server, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, streamEcho),
		streaming(idGate, rpc.StreamingBidi, func(_ context.Context, s *rpc.ServerStreamRaw) error {
			go func() {
				for {
					if _, err := s.Recv(); err != nil {
						stray <- s.Send([]byte("x"))
						return
					}
				}
			}()
			return nil
		}))
	before := runtime.NumGoroutine()
	for round := range 20 {
		p := dialStreams(t, address)
		for i := range uint16(10) {
			s := p.open(i+1, idWork, strings.Repeat("x", 1+round*10_000))
			g := p.open(i+100, idGate, "y")
			g.ends(rpc.CodeOK)
			require.Error(t, within(t, stray, "who goes on is told"))
			if i%3 == 0 {
				s.cancel()
			} else if i%3 == 1 {
				s.recv()
				s.fin()
				s.ends(rpc.CodeOK)
			}
		}
		_ = p.Close()
	}
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+2 })
	eventually(t, "nothing is in flight", func() bool { return coreOf(t, server).InFlight == 0 })
}

func TestAStreamOfAServerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const burst, bursts = 1024, 200
	_, address := start(t, rpc.ServerOptions{}, streaming(idWork, rpc.StreamingBidi, streamEcho))
	p := dialLevel2(t, address)
	frames := bytes.Repeat(frame2(frame.FlagStream, 1, idWork, strings.Repeat("x", 64)), burst)
	credit := frame2(frame.FlagCredit, 1, idWork, "\x00\x00\x01\x00") // 64 KiB: a burst
	in := make([]byte, 1<<20)
	echoed := func(count int) {
		for range count {
			if _, err := p.Write(frames); err != nil {
				panic(err)
			}
			for got, have, at := 0, 0, 0; got < burst; {
				n, err := p.Read(in[have:])
				if err != nil {
					panic(err)
				}
				for have += n; have-at >= frame.HeaderSize; {
					h := frame.Decode(in[at:])
					if have-at < frame.HeaderSize+int(h.Size) {
						break
					}
					at += frame.HeaderSize + int(h.Size)
					if h.Flags == frame.FlagStream {
						got++
					}
				}
			}
			if _, err := p.Write(credit); err != nil {
				panic(err)
			}
		}
	}
	echoed(20)
	count := allocations(func() { echoed(bursts) })
	require.Less(t, count/burst/bursts, allocationsMax, "%v allocations for %d messages", count, burst*bursts)
}
