package native

/*
#include <smf/engine.h>
*/
import "C"

import (
	"fmt"
	"math"
	"strings"
	"syscall"
)

// Engine owns cores; see smf/engine.h.
type Engine struct {
	c     *C.struct_smf_engine
	cores []*Core
}

// Open opens an engine after it has checked that the linked library fits this code.
//
// Threads: any. Ownership: Close frees it; nothing of it may be used afterwards. Errors: *Error,
// *LayoutError. Cost: maps the cores' memory, touches little of it.
func Open(config Config) (*Engine, error) {
	if err := checkLayout(); err != nil {
		return nil, err
	}
	cc, err := config.toC()
	if err != nil {
		return nil, err
	}
	e := new(Engine)
	var cerr C.struct_smf_error
	if C.smf_engine_open(&e.c, &cc, &cerr) != C.SMF_OK {
		return nil, goError(&cerr)
	}
	for i := range int(C.smf_engine_core_count(e.c)) {
		e.cores = append(e.cores, newCore(C.smf_engine_core(e.c, C.uint32_t(i))))
	}
	return e, nil
}

func (c *Config) toC() (cc C.struct_smf_engine_config, err error) {
	switch c.Net {
	case "", "auto":
		cc.net = C.SMF_NET_AUTO
	case "epoll":
		cc.net = C.SMF_NET_EPOLL
	default:
		return cc, &Error{Status: StatusUnsupported,
			Text: fmt.Sprintf("net %q: this build knows auto and epoll", c.Net)}
	}
	for _, n := range []int{c.Cores, c.InFlightMax, c.RunningMax, c.ConnectionsMax, c.HeaderTimeoutMs,
		c.BodyTimeoutMs, c.IdleTimeoutMs, c.SendTimeoutMs, int(c.MemoryBytes), int(c.FrameBytesMax), int(c.UnsentBytesMax),
		c.Level, int(c.CreditBytes), int(c.MessageBytesMax)} {
		if n < 0 {
			return cc, &Error{Status: StatusInvalid, Text: "limits, times and sizes can't be negative; 0 means the default"}
		}
	}
	for _, n := range []int{c.Cores, c.InFlightMax, c.RunningMax, c.ConnectionsMax, c.HeaderTimeoutMs,
		c.BodyTimeoutMs, c.IdleTimeoutMs, c.SendTimeoutMs, c.Level, int(c.CreditBytes)} {
		if n > math.MaxUint32 {
			return cc, &Error{Status: StatusInvalid, Text: fmt.Sprintf("%d: counts, milliseconds and credit go up to %d", n, uint32(math.MaxUint32))}
		}
	}
	if c.SpinMicros > math.MaxInt32 || c.SpinMicros < math.MinInt32 {
		return cc, &Error{Status: StatusInvalid, Text: fmt.Sprintf("spinning for %d µs: at most %d", c.SpinMicros, math.MaxInt32)}
	}
	cc.size = C.sizeof_struct_smf_engine_config
	cc.cores = C.uint32_t(c.Cores)
	cc.spin_us = C.int32_t(c.SpinMicros)
	cc.baton = boolToC(c.Baton)
	cc.pin = boolToC(c.Pin)
	cc.memory_bytes = C.uint64_t(c.MemoryBytes)
	cc.frame_size_bytes_max = C.uint64_t(c.FrameBytesMax)
	cc.unsent_bytes_max = C.uint64_t(c.UnsentBytesMax)
	cc.in_flight_max = C.uint32_t(c.InFlightMax)
	cc.running_max = C.uint32_t(c.RunningMax)
	cc.connections_max = C.uint32_t(c.ConnectionsMax)
	cc.header_timeout_ms = C.uint32_t(c.HeaderTimeoutMs)
	cc.body_timeout_ms = C.uint32_t(c.BodyTimeoutMs)
	cc.idle_timeout_ms = C.uint32_t(c.IdleTimeoutMs)
	cc.send_timeout_ms = C.uint32_t(c.SendTimeoutMs)
	cc.level = C.uint32_t(c.Level)
	cc.credit_bytes = C.uint32_t(c.CreditBytes)
	cc.compressions = C.uint32_t(c.Compressions)
	cc.message_size_bytes_max = C.uint64_t(c.MessageBytesMax)
	return cc, nil
}

func boolToC(b bool) C.uint32_t {
	if b {
		return 1
	}
	return 0
}

func goError(e *C.struct_smf_error) *Error {
	return &Error{Status: Status(e.status), Errno: syscall.Errno(e.os_errno), Text: C.GoString(&e.text[0])}
}

// Close frees the engine. No core may have a driver or lent memory any more.
func (e *Engine) Close() {
	C.smf_engine_close(e.c)
	e.c = nil
}

// Cores lists the engine's cores.
func (e *Engine) Cores() []*Core { return e.cores }

// Describe says in one line which transport was chosen and why.
func (e *Engine) Describe() string { return C.GoString(C.smf_engine_describe(e.c)) }

// Listen makes every core listen; before they are driven. It returns the address with its real port.
func (e *Engine) Listen(address string) (string, error) {
	if err := checkAddress(address); err != nil {
		return "", err
	}
	ca := cText(address)
	var bound [256]C.char
	var cerr C.struct_smf_error
	if C.smf_engine_listen(e.c, &ca[0], &bound[0], C.uint32_t(len(bound)), &cerr) != C.SMF_OK {
		return "", goError(&cerr)
	}
	return C.GoString(&bound[0]), nil
}

// checkAddress refuses what C would take for the end of the text.
func checkAddress(address string) error {
	if strings.IndexByte(address, 0) < 0 {
		return nil
	}
	return &Error{Status: StatusAddress, Text: fmt.Sprintf("%q: an address has no zero bytes", address)}
}

// cText copies a string into Go memory that C may read during a call: terminated, and cut at the first
// zero byte as C would.
func cText(s string) []C.char {
	text := make([]C.char, len(s)+1)
	for i := range len(s) {
		text[i] = C.char(s[i])
	}
	return text
}

// ABI is the linked library's binary interface; Open refuses one that does not fit.
func ABI() uint32 { return uint32(C.smf_abi_version()) }

// Version is the linked library's version.
func Version() string { return C.GoString(C.smf_version()) }

// String names the reason, for example "checksum mismatch".
func (r CloseReason) String() string { return C.GoString(C.smf_close_reason_name(C.uint32_t(r))) }
