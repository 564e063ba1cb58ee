package rpc_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// pinged expects a ping.
func (p peer2) pinged() (token string) {
	p.t.Helper()
	r := p.receive()
	require.EqualValues(p.t, frame.FlagControl, r.Flags)
	require.EqualValues(p.t, frame.ControlPing, r.Meta)
	return r.payload
}

func (p peer2) pongs(token string) {
	p.t.Helper()
	p.write(frame2(frame.FlagControl, 0, frame.ControlPong, token))
}

// sendsAway tells the client to call elsewhere.
func (p peer2) sendsAway() {
	p.t.Helper()
	p.sendsAwayBehind(frame.SessionAnyLast)
}

// sendsAwayBehind says that nothing behind a session will run.
func (p peer2) sendsAwayBehind(last uint32) {
	p.t.Helper()
	p.write(frame2(frame.FlagControl, 0, frame.ControlGoaway, string(frame.Goaway{Why: uint32(rpc.CodeUnavailable), Last: last}.Append(nil))))
}

func TestPing(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{})
	c := dial(t, address)
	var pinging sync.WaitGroup
	for range 20 {
		pinging.Go(func() {
			for range 20 {
				if took, err := c.Ping(context.Background()); err != nil || took <= 0 {
					t.Errorf("%v %v", took, err)
				}
			}
		})
	}
	pinging.Wait()
	_, err := dialLevel1(t, address).Ping(context.Background())
	require.Equal(t, rpc.CodeLevel, asError(t, err).Code)
	require.ErrorContains(t, err, "a ping needs level 2")
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = c.Ping(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Close())
	_, err = c.Ping(context.Background())
	require.ErrorIs(t, err, rpc.ErrClosed)
}

// A ping that is not answered ends with its context, or with the connection; a late answer is nobody's.
func TestPingsWithoutAnAnswer(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{BackoffMin: time.Hour, BackoffMax: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, 1)
	ping := func(ctx context.Context) { _, err := c.Ping(ctx); errs <- err }
	go ping(ctx)
	first := p.pinged()
	cancel()
	require.ErrorIs(t, within(t, errs, "it is given up"), context.Canceled)
	go ping(context.Background())
	second := p.pinged()
	require.NotEqual(t, first, second)
	p.pongs(first)
	p.pongs(string(binary.LittleEndian.AppendUint64(nil, 1<<60)))
	require.Empty(t, errs)
	p.pongs(second)
	require.NoError(t, within(t, errs, "the pong"))
	go ping(context.Background())
	p.pinged()
	require.NoError(t, p.Close())
	require.ErrorIs(t, within(t, errs, "the connection ends"), rpc.ErrUnavailable)
}

// A ping more than may wait for answers is an error at once, whatever its context is; with an answer there is
// a place again.
func TestPingsAreBounded(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	errs := make(chan error, 1024)
	tokens := make([]string, 1024)
	for i := range tokens {
		go func() { _, err := c.Ping(ctx); errs <- err }()
		tokens[i] = p.pinged()
	}
	_, err := c.Ping(patient(t))
	e := asError(t, err)
	require.Equal(t, rpc.CodeLimit, e.Code)
	require.False(t, e.MayHaveRun)
	require.ErrorContains(t, err, "1024 pings of the connection to ")
	p.pongs(tokens[0])
	require.NoError(t, within(t, errs, "the pong"))
	go func() { _, err := c.Ping(ctx); errs <- err }()
	p.pongs(p.pinged())
	require.NoError(t, within(t, errs, "the pong"))
	cancel()
	for range tokens[1:] {
		require.ErrorIs(t, within(t, errs, "it is given up"), context.Canceled)
	}
}

// A silent connection is asked for a sign of life, and ended when there is none.
func TestKeepAlive(t *testing.T) {
	c, p, accept := agreeing(t, rpc.ClientOptions{KeepAlive: 300 * time.Millisecond})
	for range 2 {
		p.pongs(p.pinged())
	}
	_, errs := answering(c, context.Background(), idWork, "x")
	for { // no pong from now on: a call that waits is no sign of life
		if r := p.receive(); r.Flags&frame.FlagControl == 0 {
			break
		}
	}
	e := asError(t, within(t, errs, "the call fails"))
	require.Equal(t, rpc.CodeUnavailable, e.Code)
	require.True(t, e.MayHaveRun)
	require.ErrorContains(t, e, "no sign of life for 600ms")
	p = accept().agrees()
	eventually(t, "calls go to the new connection", func() bool { return c.Level() == 2 })
	p.pongs(p.pinged())
}

// Servers answer it, and a connection on which enough happens is not asked.
func TestKeepAliveWithAServer(t *testing.T) {
	for _, level := range []int{1, 2} {
		_, address := start(t, rpc.ServerOptions{Level: level})
		c := dialWith(t, address, rpc.ClientOptions{KeepAlive: 50 * time.Millisecond})
		require.Equal(t, level, c.Level())
		before := rpc.ClientStats().BytesReceived
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, level == 2, rpc.ClientStats().BytesReceived > before, "level 1 has no pings")
		require.Equal(t, "x", answer(t, c, idEcho, "x"))
	}
	_, err := rpc.Dial(patient(t), "127.0.0.1:1", rpc.ClientOptions{KeepAlive: -1})
	require.ErrorContains(t, err, "KeepAlive")
}

// The server sends its client away: calls in flight end where they are, others go to another connection,
// and the old one ends with its last reply.
func TestGoaway(t *testing.T) {
	c, old, accept := agreeing(t, rpc.ClientOptions{})
	early, _ := answering(c, context.Background(), idWork, "early")
	one := old.receive()
	ctx, cancel := context.WithCancel(context.Background())
	_, given := answering(c, ctx, idWork, "given up")
	two := old.receive()
	cancel()
	require.ErrorIs(t, within(t, given, "it is given up"), context.Canceled)
	require.EqualValues(t, frame.FlagReset, old.receive().Flags)
	old.sendsAway()
	w := accept()
	late, _ := answering(c, patient(t), idWork, "late") // while there is no connection
	p := w.agrees()
	r := p.receive()
	require.Equal(t, "late", r.payload)
	p.replies(r, rpc.CodeOK, "done")
	require.Equal(t, "done", within(t, late, "its reply"))
	old.replies(one, rpc.CodeOK, "done, too")
	require.Equal(t, "done, too", within(t, early, "its reply"))
	old.replies(two, rpc.CodeCancelled, "")
	old.ends()
	again, _ := answering(c, patient(t), idWork, "again")
	r = p.receive()
	p.replies(r, rpc.CodeOK, "and stays")
	require.Equal(t, "and stays", within(t, again, "its reply"))
}

// A call that the server did not begin any more is made on the next connection; what it refuses for other
// reasons is an error.
func TestCallsThatCrossAGoaway(t *testing.T) {
	c, old, accept := agreeing(t, rpc.ClientOptions{})
	late, _ := answering(c, context.Background(), idWork, "late")
	r := old.receive()
	_, limited := answering(c, context.Background(), idWork, "too many")
	s := old.receive()
	old.sendsAway()
	old.write(frame2(frame.FlagReset, r.Session, uint32(rpc.CodeUnavailable), ""), frame2(frame.FlagReset, s.Session, uint32(rpc.CodeLimit), ""))
	e := asError(t, within(t, limited, "it is refused"))
	require.Equal(t, rpc.CodeLimit, e.Code)
	require.False(t, e.MayHaveRun)
	p := accept().agrees()
	r = p.receive()
	require.Equal(t, "late", r.payload)
	p.replies(r, rpc.CodeOK, "done")
	require.Equal(t, "done", within(t, late, "its reply"))
}

// A server may say which session is the last one that it answers. The client goes by what happens to each call:
// numbers wrap, so 65535 may be older than 1.
func TestAGoawayThatNamesASession(t *testing.T) {
	c, old, accept := agreeing(t, rpc.ClientOptions{})
	rpc.NextSession(c, 65534)
	var calls []reply2
	var replies []<-chan string
	for range 4 { // 65534, 65535, 1 and 2
		reply, _ := answering(c, patient(t), idWork, "x")
		replies, calls = append(replies, reply), append(calls, old.receive())
	}
	require.EqualValues(t, 1, calls[2].Session)
	old.sendsAwayBehind(1)
	old.write(frame2(frame.FlagReset, calls[3].Session, uint32(rpc.CodeUnavailable), ""))
	p := accept().agrees()
	p.replies(p.receive(), rpc.CodeOK, "elsewhere")
	require.Equal(t, "elsewhere", within(t, replies[3], "its reply"))
	for i, r := range calls[:3] {
		old.replies(r, rpc.CodeOK, number(i))
		require.Equal(t, number(i), within(t, replies[i], "its reply"))
	}
	old.ends()
}

// Nobody else listens there: calls fail, and have not run.
func TestGoawayToNowhere(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	c := dialWith(t, address, rpc.ClientOptions{BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond})
	answer(t, c, idEcho, "x")
	require.NoError(t, server.Close())
	eventually(t, "attempts fail", func() bool {
		_, err := call(c, patient(t), idEcho, "x")
		if err == nil {
			return false
		}
		e := asError(t, err)
		require.Equal(t, rpc.CodeUnavailable, e.Code)
		return !e.MayHaveRun
	})
}

// A server that sends everybody away at once is not hammered, and calls fail after a while.
func TestAServerThatSendsEverybodyAway(t *testing.T) {
	c, p, accept := agreeing(t, rpc.ClientOptions{BackoffMin: time.Millisecond, BackoffMax: 2 * time.Millisecond})
	_, errs := answering(c, context.Background(), idWork, "x")
	for range 9 {
		r := p.receive()
		p.sendsAway()
		p.write(frame2(frame.FlagReset, r.Session, uint32(rpc.CodeUnavailable), ""))
		p = accept().agrees()
	}
	e := asError(t, within(t, errs, "the call fails"))
	require.Equal(t, rpc.CodeUnavailable, e.Code)
	require.False(t, e.MayHaveRun)
}

// passing listens, and passes connections on to where one is told: as what stands in front of servers does.
func passing(t testing.TB, to *atomic.Pointer[string]) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", *to.Load())
			if err != nil {
				_ = from.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.(*net.TCPConn).CloseWrite()
			}
			go pass(server, from)
			go pass(from, server)
		}
	}()
	return l.Addr().String()
}

// Servers are drained one after the other, and the next one listens at the address before: no call fails.
func TestNoCallFailsByADrain(t *testing.T) {
	const servers, callers = 10, 8
	var to atomic.Pointer[string]
	address := passing(t, &to)
	server, first := start(t, rpc.ServerOptions{})
	to.Store(&first)
	c := dialWith(t, address, rpc.ClientOptions{Level: rpc.RequireLevel2})
	var stop atomic.Bool
	var good atomic.Int64
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for !stop.Load() {
				got, err := call(c, context.Background(), idEcho, "x")
				if err != nil || got != "x" {
					t.Errorf("%q %v", got, err)
					return
				}
				good.Add(1)
			}
		})
	}
	for range servers {
		enough := good.Load() + 200
		eventually(t, "calls are answered", func() bool { return good.Load() > enough || t.Failed() })
		if t.Failed() {
			break
		}
		next, second := start(t, rpc.ServerOptions{})
		to.Store(&second)
		require.NoError(t, server.Drain(patient(t)))
		server = next
	}
	stop.Store(true)
	calling.Wait()
	require.Equal(t, 2, c.Level())
}
