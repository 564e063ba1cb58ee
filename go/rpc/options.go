package rpc

import (
	"fmt"
	"log/slog"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/frame"
)

// ServerOptions are a server's settings. The zero value is a good server.
type ServerOptions struct {
	// Cores is the number of poll loops. 0: one less than GOMAXPROCS, at least one; GOMAXPROCS respects
	// CPU sets and quotas, and one P has to be left for handlers that block. ChooseCores tells. More
	// than there are CPUs work, and take turns; Serve warns of it.
	Cores int
	// Net is the transport: "" or "auto", or "epoll".
	Net string
	// Spin is how long a loop looks again before it sleeps. 0: 50 µs; < 0: not at all. Rounded to
	// microseconds.
	Spin time.Duration
	// Poll: the loops never sleep. Lowest latency, one CPU per core busy for ever.
	Poll bool
	// Pin keeps loop i on the i-th CPU that the process may use; refused when there are not so many.
	Pin bool
	// MemoryBytes bounds the memory of one core. 0: 1 GiB (of address space; pages come when used).
	MemoryBytes int64
	// NoMethodStats leaves calls uncounted by method: Stats().Methods is empty. Counting costs a few
	// nanoseconds a call (docs/metrics.md), and 1 KiB for each method on each core.
	NoMethodStats bool
	// Level is the highest level of the wire format that is spoken (docs/wire.md). 0: 2, what there is; 1: a
	// caller that asks for level 2 is told that there is no such method, and goes on at level 1.
	Level int
	// Filters run around every call of every method, the first one outermost.
	Filters []Filter
	// Compressions are what Filters, and those of every service, decompress: peers of level 2 are told (Hello in
	// docs/wire.md), and send payloads compressed to nobody else. None: they are asked to send payloads as
	// they are. See Call.PeerAccepts; for package compress it is Options.Compressions.
	Compressions []Compression
	// Logger takes what is worth a line. nil: slog.Default().
	Logger *slog.Logger
	// Limits of connections and frames.
	Limits Limits
}

// Limits are enforced before memory is spent. Zero means the default.
type Limits struct {
	FrameBytes    int64         // of one payload; 16 MiB
	UnsentBytes   int64         // that a peer has not taken, of one connection; 64 MiB
	MessageBytes  int64         // of one payload that comes in slices, or goes in slices, at level 2; 64 MiB
	CreditBytes   int64         // of each direction of a call in slices at level 2, in memory; 256 KiB, at least 64 KiB
	InFlight      int           // calls of one connection; 4096. Beyond it level 1 is not read, and level 2 is answered 429
	Running       int           // calls in flight of one core, and handlers whose callers have gone; 65536. Likewise
	Connections   int           // of one core; 65536. Who arrives when all are full is turned away
	HeaderTimeout time.Duration // from the first to the last byte of a header; 10 s
	BodyTimeout   time.Duration // likewise of a payload; 60 s
	IdleTimeout   time.Duration // without a byte read and without a call in flight; none
	SendTimeout   time.Duration // for a peer that takes nothing; 30 s
}

func (o *ServerOptions) native() native.Config {
	l := &o.Limits
	return native.Config{
		Cores:           o.cores(),
		Level:           o.Level,
		CreditBytes:     l.CreditBytes,
		MessageBytesMax: l.MessageBytes,
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
	largest := o.Limits.FrameBytes
	if largest == 0 {
		largest = 16 << 20
	}
	return int(min(largest, poolBlock(o.MemoryBytes)-native.HeaderSize))
}

// messageMax is payloadMax at level 2, where a payload may go in slices; there is room for metadata in
// front of it.
func (o *ServerOptions) messageMax() int {
	message := o.Limits.MessageBytes
	if message == 0 {
		message = 64 << 20
	}
	return int(min(message, poolBlock(o.MemoryBytes)-native.HeaderSize-frame.MetadataSizeMax))
}

// poolBlock is the largest piece of a core's memory: the largest power of two within an eighth of it.
func poolBlock(memory int64) int64 {
	if memory == 0 {
		memory = 1 << 30
	}
	return int64(1) << (bits.Len64(uint64(memory/8)) - 1)
}

func (o *ServerOptions) cores() int {
	cores, _ := o.ChooseCores()
	return cores
}

// ChooseCores is how many poll loops a server with these options would have now, and what that comes
// from: "2 CPUs, one left for handlers that block".
func (o *ServerOptions) ChooseCores() (cores int, why string) {
	return chooseCores(o.Cores, runtime.GOMAXPROCS(0), runtime.NumCPU(), os.Getenv("GOMAXPROCS"))
}

func chooseCores(asked, procs, cpus int, variable string) (cores int, why string) {
	switch {
	case asked != 0:
		return asked, "asked for"
	case variable == strconv.Itoa(procs):
		why = "GOMAXPROCS=" + variable + " is set"
	case procs == cpus:
		why = count(cpus, "CPU")
	case procs < cpus:
		why = fmt.Sprintf("GOMAXPROCS is %d of %d CPUs, by a CPU quota or the program", procs, cpus)
	default:
		why = fmt.Sprintf("GOMAXPROCS is %d", procs)
	}
	if procs > 1 {
		why += ", one left for handlers that block"
	}
	return max(1, procs-1), why
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
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
