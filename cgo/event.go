package native

// EventKind says what happened; the values of enum smf_event_kind.
type EventKind uint8

// The kinds of events.
const (
	EventRequest   EventKind = 1
	EventReply     EventKind = 2
	EventConnected EventKind = 3
	EventClosed    EventKind = 4
	EventCancel    EventKind = 6  // these and those below: on connections of level 2 alone
	EventMessage   EventKind = 7  // of a stream
	EventWritable  EventKind = 8  // of a stream
	EventPong      EventKind = 9  // the payload is the token of Core.Ping
	EventGoaway    EventKind = 10 // the payload is why and the last session, 4 bytes each
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
	CloseHelloTimeout   CloseReason = 17 // ConnectHello alone
	CloseNotLevel2      CloseReason = 18 // ConnectHello alone
	CloseBadFrame       CloseReason = 19
	CloseBadStream      CloseReason = 20
	CloseFlood          CloseReason = 21
	CloseReasons                    = 22 // how many there are
)

// Ordinary reports whether connections end like that all the time, by peers that have done nothing wrong.
func (r CloseReason) Ordinary() bool { return r <= closeBroken }

// closeBroken is the last of those.
const closeBroken CloseReason = 3

// ConnectHello asks a peer for level 2 before anything else; a flag of Core.ConnectWith. Bits 1 << compression
// beside it are what Hello offers to decompress on this connection.
const ConnectHello uint32 = 1

// GoawayAll, as the last session of EventGoaway: all calls that were sent are answered.
const GoawayAll uint32 = 0xffffffff

// The flags of a frame at level 2; the values of enum smf_frame_flag that programs see or set.
const (
	FlagMetadata uint8 = 0x01
	FlagStream   uint8 = 0x02
	FlagFin      uint8 = 0x04
	FlagReset    uint8 = 0x08
	FlagOneWay   uint8 = 0x40
)

// Level is what both ends of a connection agreed on; see struct smf_level.
type Level struct {
	Level           int    // 1 or 2
	Compressions    uint32 // bits: 1 << compression
	Features        uint64
	FrameBytesMax   int64
	CallsMax        int
	CreditBytes     int64
	MessageBytesMax int64
}

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
	Level           int    // the highest that is spoken: 0 (default: 2), 1 or 2
	CreditBytes     int64  // of each direction of a stream
	MessageBytesMax int64  // of a message in slices
	Compressions    uint32 // bits that Hello offers: 1 << compression
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

	ConnectionsLevel2, Hellos, HellosRefused        uint64
	Pings, Cancels, CancelsIgnored, Goaways, OneWay uint64
	RefusedTooMany, RefusedDraining, FramesDropped  uint64
	RefusedRunning                                  uint64 // of RefusedTooMany
}
