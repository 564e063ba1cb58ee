package rpc

import (
	"log/slog"
	"math/bits"
	"runtime"
	"time"

	native "github.com/smf-go/smf/cgo"
)

// ServerOptions are a server's settings. The zero value is a good server.
type ServerOptions struct {
	// Cores is the number of poll loops. 0: one less than GOMAXPROCS, at least one; GOMAXPROCS respects
	// CPU sets and quotas, and one P has to be left for handlers that block.
	Cores int
	// Net is the transport: "" or "auto", or "epoll".
	Net string
	// Spin is how long a loop looks again before it sleeps. 0: 50 µs; < 0: not at all. Rounded to
	// microseconds.
	Spin time.Duration
	// Poll: the loops never sleep. Lowest latency, one CPU per core busy for ever.
	Poll bool
	// Pin keeps loop i on the i-th CPU that the process may use.
	Pin bool
	// MemoryBytes bounds the memory of one core. 0: 1 GiB (of address space; pages come when used).
	MemoryBytes int64
	// NoMethodStats leaves calls uncounted by method: Stats().Methods is empty. Counting costs a few
	// nanoseconds a call (docs/metrics.md), and 1 KiB for each method on each core.
	NoMethodStats bool
	// Interceptors run around every handler, the first one outermost.
	Interceptors []Interceptor
	// Logger takes what is worth a line. nil: slog.Default().
	Logger *slog.Logger
	// Limits of connections and frames.
	Limits Limits
}

// Limits are enforced before memory is spent. Zero means the default.
type Limits struct {
	FrameBytes    int64         // of one payload; 16 MiB
	UnsentBytes   int64         // that a peer has not taken, of one connection; 64 MiB
	InFlight      int           // calls of one connection; 4096. Beyond it the connection is not read
	Running       int           // calls in flight of one core; 65536
	Connections   int           // of one core; 65536
	HeaderTimeout time.Duration // from the first to the last byte of a header; 10 s
	BodyTimeout   time.Duration // likewise of a payload; 60 s
	IdleTimeout   time.Duration // without a byte read and without a call in flight; none
	SendTimeout   time.Duration // for a peer that takes nothing; 30 s
}

func (o *ServerOptions) native() native.Config {
	l := &o.Limits
	return native.Config{
		Cores:           o.cores(),
		Net:             o.Net,
		SpinMicros:      spinMicros(o.Spin, o.Poll),
		Baton:           true,
		Pin:             o.Pin,
		MemoryBytes:     o.MemoryBytes,
		FrameBytesMax:   l.FrameBytes,
		UnsentBytesMax:  l.UnsentBytes,
		InFlightMax:     l.InFlight,
		RunningMax:      l.Running,
		ConnectionsMax:  l.Connections,
		HeaderTimeoutMs: millis(l.HeaderTimeout),
		BodyTimeoutMs:   millis(l.BodyTimeout),
		IdleTimeoutMs:   millis(l.IdleTimeout),
		SendTimeoutMs:   millis(l.SendTimeout),
	}
}

// payloadMax is the largest payload of a reply: more than a frame may hold, or than there will ever be
// memory for in one piece, is an error of its call.
func (o *ServerOptions) payloadMax() int {
	frame, memory := o.Limits.FrameBytes, o.MemoryBytes
	if frame == 0 {
		frame = 16 << 20
	}
	if memory == 0 {
		memory = 1 << 30
	}
	// The pool's largest block is the largest power of two within an eighth of the budget.
	block := int64(1) << (bits.Len64(uint64(memory/8)) - 1)
	return int(min(frame, block-native.HeaderSize))
}

func (o *ServerOptions) cores() int {
	if o.Cores != 0 {
		return o.Cores
	}
	return max(1, runtime.GOMAXPROCS(0)-1)
}

func spinMicros(spin time.Duration, poll bool) int {
	switch {
	case poll:
		return -2
	case spin < 0:
		return -1
	case spin == 0:
		return 0
	}
	return max(1, int(spin/time.Microsecond))
}

// millis rounds up, so that a short limit does not become "default".
func millis(d time.Duration) int {
	return int((d + time.Millisecond - 1) / time.Millisecond)
}
