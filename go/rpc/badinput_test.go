package rpc_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
)

// Every fault of a header ends the connection: after the replies that are due, with a reason that is
// counted, and with one line in the log however often it happens.
func TestFaultyHeaders(t *testing.T) {
	good := frame.Header{Session: 9, Size: 4, Checksum: frame.Checksum([]byte("data")), Meta: idEcho}
	for _, test := range []struct {
		reason string
		spoil  func(h *frame.Header)
	}{
		{"bad compression", func(h *frame.Header) { h.Compression = 4 }},
		{"bad compression", func(h *frame.Header) { h.Compression = 255 }},
		{"bad flags", func(h *frame.Header) { h.Flags = 1 }},
		{"bad flags", func(h *frame.Header) { h.Flags = 128 }},
		{"size zero", func(h *frame.Header) { h.Size = 0 }},
		{"checksum zero", func(h *frame.Header) { h.Checksum = 0 }},
		{"meta zero", func(h *frame.Header) { h.Meta = 0 }},
		{"checksum mismatch", func(h *frame.Header) { h.Checksum++ }},
		{"frame too large", func(h *frame.Header) { h.Size = 16<<20 + 1 }},
		{"frame too large", func(h *frame.Header) { h.Size = 1<<32 - 1 }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var log logText
			server, address := start(t, rpc.ServerOptions{Logger: log.logger()})
			var first string
			const connections = 3
			for i := range connections {
				w := dialWire(t, address)
				bad := good
				test.spoil(&bad)
				batch := request(1, idEcho, "one")
				batch = append(batch, request(2, idEcho, "two")...)
				batch = append(bad.Append(batch), "data and what comes behind it"...)
				if i == 0 {
					first = w.LocalAddr().String()
				}
				for _, part := range split(batch, i) {
					_, err := w.Write(part)
					require.NoError(t, err)
				}
				seen := map[string]bool{}
				for range 2 {
					_, payload := w.receive()
					seen[payload] = true
				}
				require.Equal(t, map[string]bool{"one": true, "two": true}, seen)
				w.ends()
				require.NoError(t, w.Close())
			}
			eventually(t, "all are counted", func() bool { return core(server).Closed[test.reason] == connections })
			eventually(t, "it is logged", func() bool { return len(log.lines("connection closed")) > 0 })
			lines := log.lines("connection closed")
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], fmt.Sprintf("%q", test.reason))
			require.Contains(t, lines[0], first)
			require.Equal(t, "x", answer(t, dial(t, address), idEcho, "x"))
		})
	}
}

// Who breaks the rules and sends on at full speed has to wait until he is closed; what he sends is not
// read.
func TestGarbageAtFullSpeed(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	w := dialWire(t, address)
	garbage := []byte(strings.Repeat("garbage ", 8<<10))
	for written := 0; written < 1<<30; written += len(garbage) {
		if _, err := w.Write(garbage); err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			break
		}
	}
	require.Equal(t, map[string]uint64{"bad compression": 1}, core(server).Closed)
	require.Less(t, core(server).Reads, uint64(200), "of at most 16 KiB each")

	// Who leaves is seen to leave meanwhile.
	leaver := dialWire(t, address)
	require.NoError(t, leaver.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	for err := error(nil); err == nil; {
		_, err = leaver.Write(garbage)
	}
	require.NoError(t, leaver.Close())
	eventually(t, "both are gone", func() bool { return core(server).ConnectionsOpen == 0 })
	require.Less(t, core(server).Reads, uint64(400))
	require.Equal(t, "x", answer(t, dial(t, address), idEcho, "x"))
}

// split cuts a batch into one, two or many pieces.
func split(batch []byte, way int) [][]byte {
	switch way {
	case 0:
		return [][]byte{batch}
	case 1:
		return [][]byte{batch[:20], batch[20:]}
	}
	var pieces [][]byte
	for _, b := range batch {
		pieces = append(pieces, []byte{b})
	}
	return pieces
}

// A header or a payload that does not go on ends its connection, and no other.
func TestHalfAFrame(t *testing.T) {
	whole := request(1, idEcho, strings.Repeat("x", 1000))
	for _, test := range []struct {
		reason string
		bytes  int
	}{
		{"header timeout", 1}, {"header timeout", 15}, {"body timeout", 16}, {"body timeout", 1015},
	} {
		t.Run(fmt.Sprint(test.bytes, " bytes"), func(t *testing.T) {
			var log logText
			server, address := start(t, rpc.ServerOptions{Logger: log.logger(),
				Limits: rpc.Limits{HeaderTimeout: 50 * time.Millisecond, BodyTimeout: 50 * time.Millisecond}})
			c := dial(t, address)
			idle := idleMemory(t, server, c)
			w := dialWire(t, address)
			_, err := w.Write(whole[:test.bytes])
			require.NoError(t, err)
			w.ends()
			require.NoError(t, w.Close())
			require.EqualValues(t, 1, core(server).Closed[test.reason])
			eventually(t, "it is logged", func() bool { return len(log.lines(test.reason)) == 1 })
			comesBack(t, server, c, idle)
		})
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{IdleTimeout: 30 * time.Millisecond}})
	w := dialWire(t, address)
	w.send(1, idEcho, "x")
	w.receive()
	w.ends()
	require.EqualValues(t, 1, core(server).Closed["idle timeout"])
}

// A client that sends and never reads: what waits for it is bounded, and so is its time.
func TestAClientThatNeverReads(t *testing.T) {
	const unsentMax = 4 << 20
	server, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{UnsentBytes: unsentMax, SendTimeout: time.Second}})
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	w := dialWire(t, address)
	chunk := request(1, idEcho, strings.Repeat("x", 64<<10))
	written := make(chan error, 1)
	go func() {
		for {
			if _, err := w.Write(chunk); err != nil {
				written <- err
				return
			}
		}
	}()
	peak := uint64(0)
	eventually(t, "it is closed", func() bool {
		answer(t, c, idEcho, "x")
		peak = max(peak, core(server).MemoryBytes)
		return core(server).Closed["slow reader"] == 1
	})
	require.Error(t, within(t, written, "the client notices"))
	require.NoError(t, w.Close())
	require.NotZero(t, core(server).ReadsPaused)
	require.Less(t, peak, idle+2*unsentMax)
	comesBack(t, server, c, idle)
}

func TestConnectionLimit(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{Limits: rpc.Limits{Connections: 3}})
	var open []wire
	for range 3 {
		w := dialWire(t, address)
		w.send(1, idEcho, "x")
		w.receive()
		open = append(open, w)
	}
	fourth := dialWire(t, address)
	_, _, err := fourth.next()
	require.Error(t, err)
	require.EqualValues(t, 1, core(server).Closed["too many connections"])
	require.NoError(t, open[0].Close())
	eventually(t, "another one is let in", func() bool {
		w := dialWire(t, address)
		defer w.Close()
		_, _ = w.Write(request(1, idEcho, "x"))
		_, payload, err := w.next()
		return err == nil && payload == "x"
	})
}

// With more calls in flight than allowed the connection waits, and goes on.
func TestCallsInFlightAreBounded(t *testing.T) {
	const limit, calls = 10, 200
	server, address, gate, entered := gated(t, rpc.ServerOptions{Limits: rpc.Limits{InFlight: limit}})
	open := opened(gate)
	defer open()
	w := dialWire(t, address)
	var batch []byte
	for i := range calls {
		batch = append(batch, request(uint16(i), idGate, "x")...)
	}
	_, err := w.Write(batch)
	require.NoError(t, err)
	eventually(t, "as many run as may", func() bool { return entered.Load() == limit })
	require.Equal(t, "x", answer(t, dial(t, address), idEcho, "x"), "other connections go on")
	require.EqualValues(t, limit, entered.Load())
	require.NotZero(t, core(server).ReadsPaused)
	open()
	seen := map[uint16]bool{}
	for range calls {
		h, _ := w.receive()
		require.False(t, seen[h.Session])
		seen[h.Session] = true
	}
}

// Noise of any length on many connections.
func TestNoise(t *testing.T) {
	server, address := start(t, rpc.ServerOptions{})
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	for i := range 300 {
		w := dialWire(t, address)
		noise := []byte(randomText(i, rand.IntN(3000)))
		if i%2 == 0 { // a header that is nearly good: the noise is deeper
			copy(noise, request(1, idEcho, "x")[:min(len(noise), 16)])
		}
		_, _ = w.Write(noise)
		require.NoError(t, w.Close())
	}
	comesBack(t, server, c, idle)
}

// Five hundred connections at a time, many times over, half of them gone with calls in flight. Nothing
// is left behind.
func TestConnectionsByTheThousand(t *testing.T) {
	const connections, sleeps = 512, 3
	rounds := 200
	if testing.Short() || raceEnabled {
		rounds = 40
	}
	files := entries(t, "/proc/self/fd")
	server, address := startAt(t, fmt.Sprintf("unix:@smf-thousand-%d", os.Getpid()), rpc.ServerOptions{},
		method(idWork, echo))
	c := dial(t, address)
	idle := idleMemory(t, server, c)
	filesServing := entries(t, "/proc/self/fd")
	batch := request(1, idEcho, "first")
	batch = append(batch, request(2, idWork, "second")...)
	path := strings.TrimPrefix(address, "unix:")
	for range rounds {
		var running sync.WaitGroup
		for part := range 4 {
			running.Go(func() {
				var open [connections / 4]net.Conn
				for i := range open {
					conn, err := net.Dial("unix", path)
					if err != nil {
						t.Error(err)
						return
					}
					open[i] = conn
				}
				for i, conn := range open {
					if _, err := conn.Write(batch); err != nil {
						t.Error(err)
					}
					if (i+part)%2 == 0 {
						_ = conn.Close()
					}
				}
				for i, conn := range open {
					if (i+part)%2 == 0 {
						continue
					}
					w := wire{t, conn}
					_ = conn.SetDeadline(time.Now().Add(patience))
					for range 2 {
						if _, _, err := w.next(); err != nil {
							t.Errorf("no reply: %v", err)
						}
					}
					_ = conn.Close()
				}
			})
		}
		running.Wait()
		if t.Failed() {
			return
		}
	}
	comesBack(t, server, c, idle)
	eventually(t, "every file is closed", func() bool { return entries(t, "/proc/self/fd") <= filesServing })
	require.NoError(t, c.Close())
	require.NoError(t, server.Close())
	eventually(t, "and the server's", func() bool { return entries(t, "/proc/self/fd") <= files })
}
