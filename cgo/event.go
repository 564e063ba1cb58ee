package native

// EventKind says what happened; the values of enum smf_event_kind.
type EventKind uint8

// The kinds of events.
const (
	EventRequest   EventKind = 1
	EventReply     EventKind = 2
	EventConnected EventKind = 3
	EventClosed    EventKind = 4
)

// CloseReason says why a connection ended; the values of enum smf_close_reason.
type CloseReason uint32

// The reasons that Go code tells apart; String names all of them.
const (
	CloseByPeer         CloseReason = 0
	CloseByUs           CloseReason = 1
	CloseConnectFailed  CloseReason = 2
	CloseBadCompression CloseReason = 4 // from here on
	CloseMetaZero       CloseReason = 8 // to here: what came is no header
	CloseFrameTooLarge  CloseReason = 10
	CloseHeaderTimeout  CloseReason = 11
	CloseBodyTimeout    CloseReason = 12
	CloseIdleTimeout    CloseReason = 13
	CloseTooMany        CloseReason = 16
	CloseReasons                    = 17 // how many there are
)

// BatchSizes is how many sizes of batches are told apart: none, 1, 2 to 3, 4 to 7, …
const BatchSizes = 12

// MayPad, in a frame's flags, allows zero bytes at the end of its payload (a FlatBuffer).
const MayPad uint8 = 0x80

// HeaderSize is the size of a frame's header in bytes.
const HeaderSize = 16

// Waits for Core.Poll.
const (
	WaitNone    int64 = 0
	WaitForever int64 = -1
)

// Config is smf_engine_config; zero means the default.
type Config struct {
	Cores           int
	Net             string // "", "auto" or "epoll"
	SpinMicros      int    // 0: default; -1: never; -2: never sleep
	Baton           bool
	Pin             bool
	MemoryBytes     int64 // per core
	FrameBytesMax   int64
	UnsentBytesMax  int64
	InFlightMax     int
	RunningMax      int
	ConnectionsMax  int
	HeaderTimeoutMs int
	BodyTimeoutMs   int
	IdleTimeoutMs   int
	SendTimeoutMs   int
}

// Stats are a core's counters; see smf_core_stats.
type Stats struct {
	Turns, Waits, Wakes                                              uint64
	Polls, Recvs, Sends                                              uint64
	Requests, RepliesSent, RequestsSent, Replies                     uint64
	BytesReceived, BytesSent                                         uint64
	Accepted, Connected                                              uint64
	FramesAssembled, ReadsPaused, StaleReplies                       uint64
	MemoryBudgetBytes, MemoryUsedBytes, MemoryUsedMax, MemoryRefused uint64
	Closed                                                           [CloseReasons]uint64
	DeposedSleeping, DeposedComputing, HandedOver, Kicks             uint64

	Events, Spins                                              uint64
	Batches                                                    [BatchSizes]uint64
	BusyNs, SpinningNs, AsleepNs                               uint64
	PausedInFlight, PausedRunning, PausedMemory, PausedUnsent  uint64
	Starved, UnsentExceeded, SendTimeouts                      uint64
	InFlight, ConnectionsUnsent                                uint64
	ConnectionsOpen, ConnectionsHandedIn, ConnectionsHandedOut uint64
}
