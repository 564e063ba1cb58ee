package rpc_test

import (
	"context"
	"io"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// A stream may begin where another one, or a large call, has just ended: it does not get that session before the
// core has forgotten the other one.
func TestSessionsOfWhatHasEndedRest(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // whoever is told of the end begins the next one in that turn
	_, address := start(t, rpc.ServerOptions{}, streamMethod(idWork, echoStream),
		streamMethod(idMore, func(_ context.Context, s *rpc.ServerStreamRaw) error { return s.Send([]byte("x")) }))
	large := string(make([]byte, 100<<10))
	for name, before := range map[string]func(*rpc.Client){
		"a stream": func(c *rpc.Client) {
			s := open(t, c, patient(t), idWork)
			require.NoError(t, s.CloseSend())
			_, err := s.Recv()
			require.Equal(t, io.EOF, err)
		},
		"a stream that is given up": func(c *rpc.Client) {
			s := open(t, c, patient(t), idWork)
			require.NoError(t, s.Send([]byte("x")))
			receives(t, s, "x")
			s.Close()
		},
		"a call in slices": func(c *rpc.Client) { require.Equal(t, large, answer(t, c, idEcho, large)) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, address)
			for range 300 {
				rpc.NextSession(c, 7)
				before(c)
				rpc.NextSession(c, 7)
				s := open(t, c, patient(t), idMore) // nothing follows its opening
				receives(t, s, "x")
				s.Close()
			}
			freed(t, c)
		})
	}
}

// Sessions that rest are given to those who wait for a place.
func TestSessionsThatRestAreUsedAgain(t *testing.T) {
	_, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: 4}}, streamMethod(idWork, echoStream))
	c := dial(t, address)
	ctx := patient(t)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 50 {
				if err := lockstep(ctx, c); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	freed(t, c)
}

// lockstep is a stream of one message and its echo.
func lockstep(ctx context.Context, c *rpc.Client) error {
	s, err := c.OpenStream(ctx, idWork)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send([]byte("x")); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for err == nil {
		_, err = s.Recv()
	}
	if err != io.EOF { //nolint:errorlint // it is never wrapped here
		return err
	}
	return nil
}
