package rpc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// opening is a stream that c opens, and its first frame.
func opening(t testing.TB, c *rpc.Client, p peer2, ctx context.Context) (*rpc.Stream, reply2) {
	t.Helper()
	s := open(t, c, ctx, idWork)
	r := p.receive()
	require.EqualValues(t, frame.FlagStream, r.Flags&^frame.FlagMetadata)
	require.EqualValues(t, idWork, r.Meta)
	require.NotZero(t, r.Session)
	require.Empty(t, r.payload)
	return s, r
}

// says sends a frame of a stream.
func (p peer2) says(to reply2, flags uint8, code rpc.Code, payload string) {
	p.t.Helper()
	p.write(frame2(frame.FlagStream|flags, to.Session, uint32(code), payload))
}

// gets expects a frame of a stream.
func (p peer2) gets(of reply2, flags uint8, payload string) {
	p.t.Helper()
	r := p.receive()
	require.Equal(p.t, of.Session, r.Session)
	require.EqualValues(p.t, flags, r.Flags)
	require.EqualValues(p.t, idWork, r.Meta)
	require.Equal(p.t, payload, r.payload)
}

// resets expects the client to give a stream up, and ends it.
func (p peer2) resets(of reply2, code rpc.Code) {
	p.t.Helper()
	r := p.receive()
	for r.Flags == frame.FlagCredit { // of what was used up just now
		r = p.receive()
	}
	require.Equal(p.t, of.Session, r.Session)
	require.EqualValues(p.t, frame.FlagReset, r.Flags&^frame.FlagStream)
	require.EqualValues(p.t, code, r.Meta)
	p.says(of, frame.FlagFin, code, "")
}

func receives(t testing.TB, s *rpc.Stream, message string) {
	t.Helper()
	m, err := s.Recv()
	require.NoError(t, err)
	require.Equal(t, message, string(m))
}

// What goes over the wire from a stream's opening to its end.
func TestTheFramesOfAStream(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	ctx, cancel := context.WithTimeout(rpc.WithMetadata(context.Background(), "user", "ann"), patience)
	defer cancel()
	s, r := opening(t, c, p, ctx)
	require.Equal(t, []string{"ann"}, r.values("user"))
	require.NotZero(t, r.metadata.DeadlineUS())
	require.Zero(t, s.Metadata().Len())

	require.NoError(t, s.Send([]byte("one")))
	p.gets(r, frame.FlagStream, "one")
	p.write(frame2(frame.FlagStream|frame.FlagMetadata, r.Session, 200, block(0, "said", "first")+"reply"))
	receives(t, s, "reply")
	require.Equal(t, "first", s.Metadata().Get("said"))
	require.NoError(t, s.CloseSend())
	p.gets(r, frame.FlagStream|frame.FlagFin, "")
	p.says(r, 0, rpc.CodeOK, "more")
	p.write(frame2(frame.FlagStream|frame.FlagFin|frame.FlagMetadata, r.Session, 200, block(0, "said", "last")+"the end"))
	receives(t, s, "more")
	receives(t, s, "the end")
	_, err := s.Recv()
	require.Equal(t, io.EOF, err)
	var said []string
	for _, v := range s.Metadata().All() {
		said = append(said, v)
	}
	require.Equal(t, []string{"first", "last"}, said)
	freed(t, c)
}

// creditOf reads credit until there is as much.
func (p peer2) creditOf(of reply2, bytes int) {
	p.t.Helper()
	for got := 0; got < bytes; {
		r := p.receive()
		require.EqualValues(p.t, frame.FlagCredit, r.Flags)
		require.Equal(p.t, of.Session, r.Session)
		got += int(binary.LittleEndian.Uint32([]byte(r.payload)))
	}
}

// Credit goes back when the application asks for the next message, and not before.
func TestCreditGoesBackWhenMessagesAreUsedUp(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	s, r := opening(t, c, p, patient(t))
	message := strings.Repeat("x", 32<<10)
	count := int(hello.Credit) / len(message)
	for range count {
		p.says(r, 0, rpc.CodeOK, message)
	}
	p.write(frame2(frame.FlagControl, 0, frame.ControlPing, number(7)))
	done := make(chan error, 1)
	go func() { _, err := c.Ping(patient(t)); done <- err }() // drives the loop
	ponged, pinged := false, ""
	for !ponged || pinged == "" {
		f := p.receive()
		require.EqualValues(t, frame.FlagControl, f.Flags, "no credit comes back for what nobody has read")
		if f.Meta == frame.ControlPong {
			ponged = true
		} else {
			pinged = f.payload
		}
	}
	p.pongs(pinged)
	require.NoError(t, within(t, done, "a pong"))
	for range count {
		receives(t, s, message)
	}
	go func() { // the last one is used up when the next one is asked for
		_, err := s.Recv()
		done <- err
	}()
	p.creditOf(r, 3*int(hello.Credit)/4+1) // less than a quarter stays owed
	s.Close()
	p.resets(r, rpc.CodeCancelled)
	require.ErrorIs(t, within(t, done, "receiving ends"), context.Canceled)
	freed(t, c)
}

// The peer gives no credit: what is sent stays within it, whatever waits is dropped by a cancel.
func TestAStreamWithoutCredit(t *testing.T) {
	for _, way := range []rpc.Code{rpc.CodeCancelled, rpc.CodeDeadline} {
		t.Run(way.String(), func(t *testing.T) {
			c, p, _ := agreeing(t, rpc.ClientOptions{})
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			if way == rpc.CodeDeadline {
				var stop func()
				ctx, stop = context.WithTimeout(ctx, 300*time.Millisecond)
				defer stop()
			}
			s, r := opening(t, c, p, ctx)
			done := make(chan error, 1)
			go func() {
				for {
					if err := s.Send(make([]byte, 10_000)); err != nil {
						done <- err
						return
					}
				}
			}()
			got := 0
			for got+10_000 <= int(hello.Credit) {
				f := p.receive()
				require.EqualValues(t, frame.FlagStream, f.Flags)
				got += len(f.payload)
			}
			replies, _ := answering(c, patient(t), idEcho, "beside")
			f := p.receive()
			require.Zero(t, f.Flags&^frame.FlagMetadata, "nothing more without credit")
			p.replies(f, rpc.CodeOK, "beside")
			require.Equal(t, "beside", within(t, replies, "a call goes on"))
			if way == rpc.CodeCancelled {
				cancel(nil)
			}
			isCode(t, within(t, done, "sending ends"), way)
			p.resets(r, way)
			_, err := s.Recv()
			isCode(t, err, way)
			freed(t, c)
		})
	}
}

func TestAStreamsConnectionEnds(t *testing.T) {
	c, p, accept := agreeing(t, rpc.ClientOptions{})
	waiting, r := opening(t, c, p, patient(t))
	sending, _ := opening(t, c, p, patient(t))
	idle, _ := opening(t, c, p, patient(t))
	done := make(chan error, 2)
	go func() {
		m, err := waiting.Recv()
		if err == nil && string(m) == "before" {
			_, err = waiting.Recv()
		}
		done <- err
	}()
	go func() {
		for {
			if err := sending.Send(make([]byte, 10_000)); err != nil {
				done <- err
				return
			}
		}
	}()
	p.says(r, 0, rpc.CodeOK, "before")
	require.NoError(t, p.Close())
	for range 2 {
		e := isCode(t, within(t, done, "it ends"), rpc.CodeUnavailable)
		require.True(t, e.MayHaveRun)
		require.Contains(t, e.Message, "before the stream ended")
	}
	for _, s := range []*rpc.Stream{waiting, sending, idle} {
		_, err := s.Recv()
		require.True(t, isCode(t, err, rpc.CodeUnavailable).MayHaveRun)
		isCode(t, s.Send([]byte("x")), rpc.CodeUnavailable)
		s.Close()
	}
	p = accept().agrees()
	var again *rpc.Stream
	eventually(t, "it is connected again", func() (up bool) {
		var err error
		again, err = c.OpenStream(patient(t), idWork)
		return err == nil
	})
	r = p.receive()
	p.says(r, frame.FlagFin, rpc.CodeOK, "again")
	receives(t, again, "again")
	freed(t, c)
}

// Streams that are open go on to their end on the old connection, new ones are opened on another.
func TestStreamsAndAGoaway(t *testing.T) {
	c, old, accept := agreeing(t, rpc.ClientOptions{})
	early, r := opening(t, c, old, patient(t))
	old.sendsAway()
	w := accept()
	p := w.agrees()
	late, l := opening(t, c, p, patient(t))
	require.NoError(t, early.Send([]byte("still here")))
	old.gets(r, frame.FlagStream, "still here")
	old.says(r, 0, rpc.CodeOK, "and here")
	receives(t, early, "and here")
	p.says(l, 0, rpc.CodeOK, "elsewhere")
	receives(t, late, "elsewhere")
	require.NoError(t, early.CloseSend())
	old.gets(r, frame.FlagStream|frame.FlagFin, "")
	old.says(r, frame.FlagFin, rpc.CodeOK, "")
	_, err := early.Recv()
	require.Equal(t, io.EOF, err)
	old.ends()
	late.Close()
	p.resets(l, rpc.CodeCancelled)
	freed(t, c)
}

// A stream is no silence, and silence of a stream is.
func TestKeepAliveAndStreams(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{KeepAlive: 30 * time.Millisecond})
	s, r := opening(t, c, p, patient(t))
	pings := 0
	for range 20 {
		p.says(r, 0, rpc.CodeOK, "x")
		receives(t, s, "x")
	}
	for ; pings < 3; pings++ {
		p.pongs(p.pinged())
	}
	p.pinged() // and nothing comes
	_, err := s.Recv()
	e := isCode(t, err, rpc.CodeUnavailable)
	require.Contains(t, e.Message, "no sign of life")
	require.True(t, e.MayHaveRun)
}

// What a server may answer instead of a stream.
func TestWhatEndsAStream(t *testing.T) {
	c, p, _ := agreeing(t, rpc.ClientOptions{})
	refused, r := opening(t, c, p, patient(t))
	p.says(r, frame.FlagReset, rpc.CodeLimit, "")
	_, err := refused.Recv()
	require.False(t, isCode(t, err, rpc.CodeLimit).MayHaveRun, "no handler saw it")
	p.gets2(r) // the client ends its direction
	plain, r := opening(t, c, p, patient(t))
	p.replies(r, rpc.CodeNotFound, "")
	_, err = plain.Recv()
	isCode(t, err, rpc.CodeNotFound)
	p.gets2(r)
	compressed, r := opening(t, c, p, patient(t))
	h := frame.Header{Compression: frame.CompressionZstd, Flags: frame.FlagStream, Session: r.Session, Size: 1, Meta: 200}
	h.Checksum = h.ChecksumLevel2([]byte("x"))
	p.write(append(h.Append(nil), 'x'))
	_, err = compressed.Recv()
	isCode(t, err, rpc.CodeNotImplemented)
	p.resets(r, rpc.CodeCancelled)
	freed(t, c)
}

// gets2 expects the reset that ends the client's direction of a stream that is over.
func (p peer2) gets2(of reply2) {
	p.t.Helper()
	r := p.receive()
	require.Equal(p.t, of.Session, r.Session)
	require.NotZero(p.t, r.Flags&frame.FlagReset)
}

// Filters see a stream from its opening to its end, and neither its messages nor a second one.
func TestFiltersAroundStreams(t *testing.T) {
	var log []string
	done := make(chan string, 10)
	refuse := errors.New("refused by a filter")
	options := rpc.ClientOptions{Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if call.RequestMetadata().Get("refuse") != "" {
				return refuse
			}
			require.Empty(t, call.Payload())
			if err := call.RequestMetadata().Set("filter", "was here"); err != nil {
				return err
			}
			log = append(log, fmt.Sprint(call.Method().ID, call.Method().Streaming))
			err := next(ctx, call)
			if again := next(ctx, call); again != err { //nolint:errorlint // the very same
				err = errors.Join(err, again)
			}
			done <- fmt.Sprint(err)
			var e *rpc.Error
			if errors.As(err, &e) && e.Code == rpc.CodeConflict {
				return &rpc.Error{Code: rpc.CodePrecondition, Message: "rewritten", Cause: err}
			}
			return err
		},
	}}
	c, p, _ := agreeing(t, options)
	_, err := c.OpenStream(rpc.WithMetadata(patient(t), "refuse", "me"), idWork)
	require.ErrorIs(t, err, refuse)
	s, r := opening(t, c, p, patient(t))
	require.Equal(t, []string{"was here"}, r.values("filter"))
	p.says(r, 0, rpc.CodeOK, "message")
	receives(t, s, "message")
	require.Empty(t, done, "it has not returned yet")
	p.says(r, frame.FlagFin, rpc.CodeConflict, "")
	_, err = s.Recv()
	require.Equal(t, "rewritten", isCode(t, err, rpc.CodePrecondition).Message)
	require.Contains(t, within(t, done, "the filter sees the end"), "conflict")
	p.gets2(r)

	s, r = opening(t, c, p, patient(t))
	p.says(r, frame.FlagFin, rpc.CodeOK, "last")
	receives(t, s, "last")
	_, err = s.Recv()
	require.Equal(t, io.EOF, err)
	require.Equal(t, "<nil>", within(t, done, "the filter sees the end"))
	p.gets2(r)

	s, r = opening(t, c, p, patient(t))
	s.Close()
	p.resets(r, rpc.CodeCancelled)
	require.Contains(t, within(t, done, "the filter sees the end"), "closed by its caller")
	_, err = s.Recv()
	require.ErrorIs(t, err, context.Canceled)
	freed(t, c)
	require.Len(t, log, 3)
}

func TestFiltersThatPanicAroundStreams(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream))
	c := dialWith(t, address, rpc.ClientOptions{Filters: []rpc.Filter{
		func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			when := call.RequestMetadata().Get("panic")
			if when == "before" {
				panic("on purpose")
			}
			err := next(ctx, call)
			if when == "behind" {
				panic("on purpose")
			}
			return err
		},
	}})
	_, err := c.OpenStream(rpc.WithMetadata(patient(t), "panic", "before"), idWork)
	require.Contains(t, isCode(t, err, rpc.CodeInternal).Message, "on purpose")
	s := open(t, c, rpc.WithMetadata(patient(t), "panic", "behind"), idWork)
	require.NoError(t, s.CloseSend())
	_, err = s.Recv()
	require.Contains(t, isCode(t, err, rpc.CodeInternal).Message, "on purpose")
	s = open(t, c, patient(t), idWork)
	require.NoError(t, s.CloseSend())
	_, err = s.Recv()
	require.Equal(t, io.EOF, err)
	freed(t, c)
}
