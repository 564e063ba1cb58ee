package frame

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files of schema/golden-level2 anew")

const goldenLevel2Dir = "../../../schema/golden-level2"

// level2Golden is a file of schema/golden-level2 as the generator makes it.
type level2Golden struct {
	name, comment string
	bytes         []byte
	fields        []string // "name: value"
}

func (g level2Golden) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", g.comment)
	for _, f := range g.fields {
		fmt.Fprintln(&b, f)
	}
	for row := range slices.Chunk(g.bytes, 32) {
		fmt.Fprintln(&b, hex.EncodeToString(row))
	}
	return b.String()
}

func headerFields(h Header) []string {
	return []string{
		fmt.Sprint("compression: ", h.Compression), fmt.Sprint("flags: ", h.Flags), fmt.Sprint("session: ", h.Session),
		fmt.Sprint("size: ", h.Size), fmt.Sprint("checksum: ", h.Checksum), fmt.Sprint("meta: ", h.Meta),
	}
}

// wholeFrame is a golden of a whole frame, whose size and checksum are made here.
func wholeFrame(name, comment string, h Header, payload []byte, more ...string) level2Golden {
	h.Size = uint32(len(payload))
	h.Checksum = h.ChecksumLevel2(payload)
	if fault := h.CheckLevel2(); fault != Good {
		panic(name + ": " + fault.String())
	}
	return level2Golden{"frame_" + name, comment, append(h.Append(nil), payload...), append(headerFields(h), more...)}
}

// level1Frame is wholeFrame for the two frames with which a connection becomes one of level 2.
func level1Frame(name, comment string, session uint16, meta uint32, payload []byte) level2Golden {
	h := Header{Session: session, Size: uint32(len(payload)), Checksum: Checksum(payload), Meta: meta}
	return level2Golden{"hello_" + name, comment, append(h.Append(nil), payload...), headerFields(h)}
}

const (
	goldenGet = 1792279101 // SmfStorage.Get
	parent    = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

var (
	goldenRequest = append([]byte("\x0c\x00\x00\x00\x00\x00\x06\x00\x08\x00\x04\x00\x06\x00\x00\x00\x04\x00\x00\x00\x11\x00\x00\x00"),
		"Hello, smf-world!\x00\x00\x00"...)
	goldenOffer = Hello{Level: 2, Features: 0x8000000000000005, Compressions: 0x0c, FrameSizeMax: 16 << 20, CallsMax: 4096,
		Credit: 256 << 10, MessageSizeMax: 64 << 20}
	goldenOurs = Hello{Level: 3, Features: 0x4, Compressions: 0x04, FrameSizeMax: 1 << 20, CallsMax: 65535,
		Credit: 64 << 10, MessageSizeMax: 1 << 40}
)

func entries(deadlineUS uint64, pairs ...string) []byte {
	w := BeginMetadata(nil, deadlineUS)
	for pair := range slices.Chunk(pairs, 2) {
		w.Add(pair[0], pair[1])
	}
	block, err := w.End()
	if err != nil {
		panic(err)
	}
	return block
}

func errorBytes(e Error) []byte { return e.Append(nil) }

func le32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

func goldenFrames() []level2Golden {
	const (
		get     = goldenGet
		content = FlagStream | FlagMore
	)
	refused := Error{Message: "over 4096 calls in flight", RetryAfterMS: 50}
	return []level2Golden{
		wholeFrame("call", "A call that uses nothing of level 2: only its checksum differs from level 1.", Header{Session: 7, Meta: get}, goldenRequest),
		wholeFrame("call_compressed", "Bytes that are called zstd; the checksum is of what is sent.", Header{Compression: 2, Session: 7, Meta: get}, []byte("as sent")),
		wholeFrame("call_deadline", "A deadline of 250 ms, and a trace.", Header{Flags: FlagMetadata, Session: 7, Meta: get},
			append(entries(250000, "traceparent", parent), goldenRequest...), "metadata_size: 80"),
		wholeFrame("call_metadata_only", "A block, and an empty message behind it.", Header{Flags: FlagMetadata, Session: 65535, Meta: get},
			entries(0, "a", "1", "a", "2"), "metadata_size: 24"),
		wholeFrame("call_empty", "An empty message, which level 1 does not allow.", Header{Session: 1, Meta: get}, nil),
		wholeFrame("reply", "A reply: status 200.", Header{Session: 7, Meta: 200}, goldenRequest),
		wholeFrame("reply_metadata", "A reply with metadata.", Header{Flags: FlagMetadata, Session: 7, Meta: 200},
			append(entries(0, "served-by", "core.3"), goldenRequest...), "metadata_size: 32"),
		wholeFrame("reply_error", "A reply with an error: 409 and an Error table.", Header{Session: 7, Meta: 409},
			errorBytes(Error{Message: "offset 5 is not 7", Details: []byte{5, 0, 7, 0xff}, DetailsType: "shop.Conflict", RetryAfterMS: 1500, MayHaveRun: true})),
		wholeFrame("one_way", "A message that nobody answers.", Header{Flags: FlagOneWay, Meta: get}, goldenRequest),
		wholeFrame("one_way_metadata", "Likewise, with a trace.", Header{Flags: FlagOneWay | FlagMetadata, Meta: get},
			append(entries(0, "traceparent", parent), goldenRequest...), "metadata_size: 80"),
		wholeFrame("stream_open", "The opening frame of a stream, without a first message.", Header{Flags: FlagStream, Session: 9, Meta: get}, nil),
		wholeFrame("stream_open_metadata", "Likewise, with a deadline and the first message.", Header{Flags: FlagStream | FlagMetadata, Session: 9, Meta: get},
			append(entries(1), "first"...), "metadata_size: 8"),
		wholeFrame("stream_message", "A further message: the client repeats the method's id.", Header{Flags: FlagStream, Session: 9, Meta: get}, []byte("second")),
		wholeFrame("stream_fin", "The client sends nothing more.", Header{Flags: FlagStream | FlagFin, Session: 9, Meta: get}, nil),
		wholeFrame("stream_reply", "A message of the server.", Header{Flags: FlagStream, Session: 9, Meta: 200}, []byte("answer")),
		wholeFrame("stream_last", "The server's last frame: the status.", Header{Flags: FlagStream | FlagFin, Session: 9, Meta: 200}, nil),
		wholeFrame("stream_last_error", "Likewise, of a stream that failed.", Header{Flags: FlagStream | FlagFin, Session: 9, Meta: 500},
			errorBytes(Error{Message: "the handler failed", MayHaveRun: true})),
		wholeFrame("slice_first", "The first slice of a message of 10 bytes: its size, and 4 of them.", Header{Flags: FlagMore, Session: 3, Meta: get},
			append(le32(10), "0123"...), "message_size: 10"),
		wholeFrame("slice_middle", "A slice in between.", Header{Flags: FlagMore, Session: 3, Meta: get}, []byte("45")),
		wholeFrame("slice_last", "The last slice.", Header{Session: 3, Meta: get}, []byte("6789")),
		wholeFrame("slice_first_metadata", "A first slice with metadata: block, size, bytes.", Header{Flags: FlagMore | FlagMetadata, Session: 4, Meta: get},
			slices.Concat(entries(77, "k", ""), le32(5), []byte("ab")), "metadata_size: 16", "message_size: 5"),
		wholeFrame("slice_stream", "A slice of a stream's message.", Header{Flags: content, Session: 9, Meta: 200}, append(le32(70000), "x"...), "message_size: 70000"),
		wholeFrame("slice_stream_last", "A stream's last slice, and its end.", Header{Flags: FlagStream | FlagFin, Session: 9, Meta: 200}, []byte("y")),
		wholeFrame("cancel", "The client gives a call up: 499.", Header{Flags: FlagReset, Session: 7, Meta: 499}, nil),
		wholeFrame("cancel_deadline", "Likewise a stream, since its deadline has passed.", Header{Flags: FlagReset | FlagStream, Session: 9, Meta: 408}, nil),
		wholeFrame("refused", "The server refuses: no handler saw the call.", Header{Flags: FlagReset, Session: 7, Meta: 429}, errorBytes(refused)),
		wholeFrame("refused_metadata", "Likewise a stream, with metadata.", Header{Flags: FlagReset | FlagStream | FlagMetadata, Session: 7, Meta: 503},
			append(entries(0, "served-by", "core.3"), errorBytes(Error{})...), "metadata_size: 32"),
		wholeFrame("credit", "65536 bytes more may be sent.", Header{Flags: FlagCredit, Session: 9, Meta: get}, le32(65536), "credit: 65536"),
		wholeFrame("ping", "A ping.", Header{Flags: FlagControl, Meta: ControlPing}, []byte("\x01\x02\x03\x04\x05\x06\x07\x08"), "token: 578437695752307201"),
		wholeFrame("pong", "Its pong.", Header{Flags: FlagControl, Meta: ControlPong}, []byte("\x01\x02\x03\x04\x05\x06\x07\x08"), "token: 578437695752307201"),
		wholeFrame("goaway", "Nothing behind session 9 will be answered: the server ends.", Header{Flags: FlagControl, Meta: ControlGoaway},
			Goaway{503, 9}.Append(nil), "why: 503", "last: 9"),
		wholeFrame("goaway_any", "What was sent will be answered; nothing more is to be sent.", Header{Flags: FlagControl, Meta: ControlGoaway},
			Goaway{200, SessionAnyLast}.Append(nil), "why: 200", "last: 4294967295"),
		wholeFrame("checksum_zero", "A checksum that happens to be 0, which is as good as any other.", Header{Session: 1, Meta: get},
			binary.LittleEndian.AppendUint64(nil, checksumZero)),
	}
}

// checksumZero is a payload of session 1, SmfStorage.Get, whose checksum is 0: found by search.
const checksumZero = 1391459067

func goldenFaults() []level2Golden {
	var list []level2Golden
	add := func(name, comment string, h Header) {
		h.Checksum = h.ChecksumLevel2(make([]byte, h.Size%1024))
		list = append(list, level2Golden{"header_" + name, comment, h.Append(nil),
			append(headerFields(h), "fault: "+strings.ReplaceAll(h.CheckLevel2().String(), " ", "_"))})
	}
	const m = goldenGet
	add("bad_compression", "Compression 4 does not exist.", Header{Compression: 4, Session: 1, Size: 1, Meta: m})
	add("bad_compression_credit", "Credit is never compressed.", Header{Compression: 2, Flags: FlagCredit, Session: 1, Size: 4, Meta: m})
	add("bad_compression_control", "Nor is a ping, not even by \"disabled\".", Header{Compression: 1, Flags: FlagControl, Size: 8, Meta: 1})
	add("bad_flags_fin", "Fin without stream.", Header{Flags: FlagFin, Session: 1, Size: 1, Meta: m})
	add("bad_flags_fin_more", "The end, and more.", Header{Flags: FlagStream | FlagFin | FlagMore, Session: 1, Size: 1, Meta: m})
	add("bad_flags_reset_fin", "A reset is an end itself.", Header{Flags: FlagReset | FlagStream | FlagFin, Session: 1, Meta: 499})
	add("bad_flags_reset_more", "A reset in slices.", Header{Flags: FlagReset | FlagMore, Session: 1, Size: 1, Meta: 499})
	add("bad_flags_credit_stream", "Credit stands alone.", Header{Flags: FlagCredit | FlagStream, Session: 1, Size: 4, Meta: m})
	add("bad_flags_one_way_stream", "A stream that nobody answers.", Header{Flags: FlagOneWay | FlagStream, Meta: m})
	add("bad_flags_one_way_more", "A one-way message fits into one frame.", Header{Flags: FlagOneWay | FlagMore, Size: 1, Meta: m})
	add("bad_flags_control_metadata", "A ping with metadata.", Header{Flags: FlagControl | FlagMetadata, Size: 8, Meta: 1})
	add("bad_flags_all", "All of them.", Header{Flags: 0xff, Session: 1, Size: 8, Meta: 1})
	add("bad_session_call", "A call with session 0.", Header{Size: 1, Meta: m})
	add("bad_session_credit", "Credit for no session.", Header{Flags: FlagCredit, Size: 4, Meta: m})
	add("bad_session_one_way", "A one-way message with a session.", Header{Flags: FlagOneWay, Session: 1, Size: 1, Meta: m})
	add("bad_session_control", "A ping with a session.", Header{Flags: FlagControl, Session: 1, Size: 8, Meta: 1})
	add("bad_size_credit", "Credit of 8 bytes.", Header{Flags: FlagCredit, Session: 1, Size: 8, Meta: m})
	add("bad_size_control", "A goaway of 4 bytes.", Header{Flags: FlagControl, Size: 4, Meta: 3})
	add("bad_size_metadata", "No room for a block.", Header{Flags: FlagMetadata, Session: 1, Size: 7, Meta: m})
	add("bad_size_slice", "A slice of nothing.", Header{Flags: FlagMore, Session: 1, Meta: m})
	add("bad_size_first_slice", "A block and a size, and nothing of the message.", Header{Flags: FlagMore | FlagMetadata, Session: 1, Size: 12, Meta: m})
	add("meta_zero", "Neither a method nor a status.", Header{Session: 1, Size: 1})
	add("meta_zero_control", "Control frame 0.", Header{Flags: FlagControl, Size: 8})
	add("bad_control", "Control frame 4.", Header{Flags: FlagControl, Size: 8, Meta: 4})
	add("good_distinct", "Every byte of session, size, checksum and meta differs: byte order and offsets.",
		Header{Flags: FlagStream, Session: 0x0201, Size: 0x06050403, Meta: 0x0e0d0c0b})
	add("good_smallest", "Nothing in it but a session and a method.", Header{Session: 1, Meta: 1})
	add("good_largest", "The largest of each.", Header{Compression: 3, Flags: FlagMore | FlagStream | FlagMetadata, Session: 65535, Size: 1<<32 - 1, Meta: 1<<32 - 1})
	for _, g := range list {
		if !strings.HasPrefix(g.name, "header_"+strings.TrimPrefix(g.fields[len(g.fields)-1], "fault: ")) {
			panic(g.name + " has " + g.fields[len(g.fields)-1])
		}
	}
	return list
}

func goldenBlocks() []level2Golden {
	var list []level2Golden
	add := func(name, comment string, block []byte) {
		m, fault := ReadMetadata(block)
		fields := []string{"fault: " + strings.ReplaceAll(fault.String(), " ", "_")}
		if fault == MetadataGood {
			fields = append(fields, fmt.Sprint("metadata_size: ", m.Size()), fmt.Sprint("deadline_us: ", m.DeadlineUS()))
			for key, value := range m.All() {
				fields = append(fields, fmt.Sprintf("entry: %s=%x", key, value))
			}
		}
		list = append(list, level2Golden{"metadata_" + name, comment, block, fields})
	}
	raw := func(size uint32, rest string) []byte { return append(le32(size, 0), rest...) }
	add("none", "A block without anything.", entries(0))
	add("deadline", "A deadline alone, the longest.", entries(1<<32-1))
	add("one", "An entry that fills the block up: no padding.", entries(0, "abc", "d"))
	add("padding_4", "Four zeros behind the last entry: too few for another.", entries(0, "abc", "defgh\x00\xff\n\x7f"))
	add("padding_7", "Seven, the most: they begin like an entry with an empty key.", entries(0, "a", "bcde"))
	add("again", "A key several times, and a value that is empty.", entries(1000000, "a", "1", "b", "", "a", "2"))
	add("keys", "Every character that a key may have.", entries(0, "abcdefghijklmnopqrstuvwxyz0123456789-_.", "x", ".", "\x00\xff"))
	add("key_longest", "A key of 255 bytes.", entries(0, strings.Repeat("k", 255), "v"))
	add("message_behind", "A block, and the message behind it.", append(entries(5, "a", "b"), "message"...))
	add("truncated", "The payload ends before the block does.", entries(0, "abc", "d")[:12])
	add("truncated_size", "It ends inside of the block's size and deadline.", entries(0)[:7])
	add("bad_size_zero", "A block of no bytes.", raw(0, ""))
	add("bad_size_multiple", "Not a multiple of 8.", raw(12, "\x00\x00\x00\x00\x00\x00\x00\x00"))
	add("bad_size_limit", "Over 16 KiB.", raw(MetadataSizeMax+8, ""))
	add("bad_entry", "A value that runs past the end.", raw(16, "\x01\x00\x04\x00abcd"))
	add("bad_entry_key", "A key that does.", raw(16, "\x05\x00\x00\x00abcd"))
	add("bad_key_empty", "A value without a key.", raw(16, "\x00\x00\x03\x00abcd"))
	add("bad_key_upper", "An upper-case letter.", raw(16, "\x02\x00\x02\x00aBcd"))
	add("bad_key_long", "A key of 256 bytes.", raw(272, "\x00\x01\x00\x00"+strings.Repeat("k", 260)))
	add("bad_padding", "Padding that is not zeros.", raw(16, "\x01\x00\x00\x00a\x00\x00\x01"))
	add("bad_padding_4", "The sizes of an entry, and no room for a key.", raw(24, "\x01\x00\x07\x00kabcdefg\x01\x00\x00\x00"))
	add("bad_padding_long", "More of it than fills the block up.", raw(16, "\x00\x00\x00\x00\x00\x00\x00\x00"))
	return list
}

func goldenTables() []level2Golden {
	hello := func(name, comment string, payload []byte) level2Golden {
		h, err := ReadHello(payload)
		if err != nil {
			return level2Golden{"table_" + name, comment, payload, []string{"problem: " + err.Error()}}
		}
		return level2Golden{"table_" + name, comment, payload, []string{
			fmt.Sprint("level: ", h.Level), fmt.Sprint("features: ", h.Features), fmt.Sprint("compressions: ", h.Compressions),
			fmt.Sprint("frame_size_bytes_max: ", h.FrameSizeMax), fmt.Sprint("calls_max: ", h.CallsMax),
			fmt.Sprint("credit_bytes: ", h.Credit), fmt.Sprint("message_size_bytes_max: ", h.MessageSizeMax)}}
	}
	change := func(f func(*Hello)) []byte {
		h := goldenOffer
		f(&h)
		return h.Append(nil)
	}
	failure := func(name, comment string, payload []byte) level2Golden {
		e, err := ReadError(payload)
		if err != nil {
			panic(err)
		}
		return level2Golden{"table_" + name, comment, payload, []string{
			fmt.Sprintf("message: %x", e.Message), fmt.Sprintf("details: %x", e.Details), fmt.Sprintf("details_type: %x", e.DetailsType),
			fmt.Sprint("retry_after_ms: ", e.RetryAfterMS), fmt.Sprint("may_have_run: ", map[bool]int{true: 1}[e.MayHaveRun])}}
	}
	return []level2Golden{
		level1Frame("request", "The first frame of a client that wants level 2: a call of smf.Hello at level 1.", 1, HelloMethodID, goldenOffer.Append(nil)),
		level1Frame("reply", "The answer of a server that offers table_hello_ours: the last frame at level 1.", 1, 200, goldenOffer.Agree(goldenOurs).Append(nil)),
		hello("hello_offer", "What the client offers.", goldenOffer.Append(nil)),
		hello("hello_ours", "What the server offers.", goldenOurs.Append(nil)),
		hello("hello_agreed", "What they agree on.", goldenOffer.Agree(goldenOurs).Append(nil)),
		hello("hello_least", "The least that level 2 needs.", Hello{Level: 2, FrameSizeMax: HelloFrameSizeMin, CallsMax: 1, Credit: HelloCreditMin, MessageSizeMax: 1}.Append(nil)),
		hello("hello_level_1", "Level 1 needs nothing.", Hello{Level: 1}.Append(nil)),
		hello("hello_bad_level", "No level.", change(func(h *Hello) { h.Level = 0 })),
		hello("hello_bad_frame", "A frame that can't hold a slice and what is in front of it.", change(func(h *Hello) { h.FrameSizeMax = HelloFrameSizeMin - 1 })),
		hello("hello_bad_calls", "No calls.", change(func(h *Hello) { h.CallsMax = 0 })),
		hello("hello_bad_credit", "Too little credit.", change(func(h *Hello) { h.Credit = HelloCreditMin - 1 })),
		hello("hello_bad_message", "No messages.", change(func(h *Hello) { h.MessageSizeMax = 0 })),
		failure("error", "An error with everything.", errorBytes(Error{Message: "offset 5 is not 7", Details: []byte{5, 0, 7, 0xff}, DetailsType: "shop.Conflict", RetryAfterMS: 1500})),
		failure("error_empty", "An error that says nothing: it may have run.", errorBytes(Error{MayHaveRun: true})),
		failure("error_not_run", "It did not run.", errorBytes(Error{Message: "draining"})),
		failure("error_no_payload", "An empty payload says nothing either.", nil),
	}
}

// The files are what this code makes. The C tests read them, too: neither side can change alone.
func TestGoldenLevel2Files(t *testing.T) {
	all := slices.Concat(goldenFrames(), goldenFaults(), goldenBlocks(), goldenTables())
	slices.SortFunc(all, func(a, b level2Golden) int { return cmp.Compare(a.name, b.name) })
	names := map[string]bool{}
	for _, g := range all {
		require.False(t, names[g.name], g.name)
		path := filepath.Join(goldenLevel2Dir, g.name+".hex")
		names[g.name] = true
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(g.text()), 0o644))
			continue
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err, "go test ./go/internal/frame -update writes the files")
		require.Equal(t, string(text), g.text(), g.name)
	}
	found, err := filepath.Glob(filepath.Join(goldenLevel2Dir, "*.hex"))
	require.NoError(t, err)
	require.Len(t, found, len(all), "a file that nothing makes")
}
