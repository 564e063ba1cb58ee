package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/schema/demo"
)

var update = flag.Bool("update", false, "write the answers in raw.txt anew, as the server in C gives them; read them")

const (
	probeSession = 60000
	probeToken   = "\x01probe!\x02"
	silence      = 80 * time.Millisecond // after which nothing more is expected of a server that waits
	rawPatience  = 5 * time.Second
)

// golden is the bytes of a file of schema/golden ("golden1/NAME") or golden-level2 ("golden2/NAME").
func golden(t *testing.T, name string) []byte {
	folder, file, _ := strings.Cut(name, "/")
	folder = map[string]string{"golden1": "golden", "golden2": "golden-level2", "golden3": "golden-compression"}[folder]
	require.NotEmpty(t, folder, name)
	text, err := os.ReadFile(filepath.Join("../../../schema", folder, file+".hex"))
	require.NoError(t, err)
	var all []byte
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") || strings.Contains(line, ":") {
			continue
		}
		b, err := hex.DecodeString(line)
		require.NoError(t, err, name)
		all = append(all, b...)
	}
	return all
}

// bytesOf reads pieces joined by +: a golden's bytes, request, u32:N, zeros:N, name:N, bytes in hex.
func bytesOf(t *testing.T, text string) []byte {
	var all []byte
	for _, piece := range strings.Split(text, "+") {
		kind, value, _ := strings.Cut(piece, ":")
		number, _ := strconv.ParseUint(value, 10, 32)
		switch {
		case strings.HasPrefix(piece, "golden"):
			all = append(all, golden(t, piece)...)
		case piece == "request":
			all = append(all, golden(t, "golden1/frame_request")[frame.HeaderSize:]...)
		case piece == "answer": // whose text is "a"
			all = append(all, bytesOf(t, "0c000000000006000800040006000000040000000100000061000000")...)
		case kind == "name": // a request with a name of so many bytes
			b := flatbuffers.NewBuilder(64)
			b.Finish((&demo.RequestT{Name: pattern(int(number))}).Pack(b))
			all = append(all, b.FinishedBytes()...)
		case kind == "u32":
			all = binary.LittleEndian.AppendUint32(all, uint32(number))
		case kind == "zeros":
			all = append(all, make([]byte, number)...)
		default:
			b, err := hex.DecodeString(piece)
			require.NoError(t, err, piece)
			all = append(all, b...)
		}
	}
	return all
}

// madeFrame reads frame(field=value,...): a frame that is right but for what is said of it.
func madeFrame(t *testing.T, level int, text string) []byte {
	h := frame.Header{Session: 7, Meta: demo.SmfStorageGetMethodID}
	payload := bytesOf(t, "request")
	var size, checksum *uint32
	for _, field := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(text, "frame("), ")"), ",") {
		key, value, _ := strings.Cut(field, "=")
		if field == "" {
			continue
		}
		if key == "payload" {
			payload = bytesOf(t, value)
			continue
		}
		if key == "flags" {
			value = "0x" + value
		}
		number, err := strconv.ParseUint(value, 0, 32)
		require.NoError(t, err, text)
		n := uint32(number)
		switch key {
		case "flags":
			h.Flags = uint8(n)
		case "compression":
			h.Compression = uint8(n)
		case "session":
			h.Session = uint16(n)
		case "meta":
			h.Meta = n
		case "size":
			size = &n
		case "checksum":
			checksum = &n
		default:
			require.Fail(t, "no such field of a frame: "+key)
		}
	}
	h.Size = uint32(len(payload))
	if size != nil {
		h.Size = *size
	}
	h.Checksum = frame.Checksum(payload)
	if level == 2 {
		h.Checksum = h.ChecksumLevel2(payload)
	}
	if checksum != nil {
		h.Checksum = *checksum
	}
	return append(h.Append(nil), payload...)
}

// talk is a raw connection and what came on it.
type talk struct {
	t      *testing.T
	conn   net.Conn
	level  int
	hello  bool // replies are Hello's
	frames []string
	probed bool
}

func dialRaw(t *testing.T, address string, level int) *talk {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	c := &talk{t: t, conn: conn, level: 1, hello: true}
	if level == 2 {
		c.send(golden(t, "golden2/hello_request"))
		require.NoError(t, c.read(rawPatience))
		require.Contains(t, c.frames[0], "level=2")
		c.frames = nil
	}
	c.level = level
	return c
}

// send ignores errors: a server may have closed already.
func (c *talk) send(b []byte) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(rawPatience))
	_, _ = c.conn.Write(b)
}

// read takes the next frame in.
func (c *talk) read(wait time.Duration) error {
	_ = c.conn.SetReadDeadline(time.Now().Add(wait))
	var b [frame.HeaderSize]byte
	if _, err := io.ReadFull(c.conn, b[:]); err != nil {
		return err
	}
	h := frame.Decode(b[:])
	payload := make([]byte, h.Size)
	if _, err := io.ReadFull(c.conn, payload); err != nil {
		return err
	}
	want, fault := frame.Checksum(payload), h.CheckLevel1()
	if c.level == 2 {
		want, fault = h.ChecksumLevel2(payload), h.CheckLevel2()
	}
	if fault != frame.Good || want != h.Checksum {
		c.frames = append(c.frames, "?? 0 illegal frame: "+fault.String())
		return nil
	}
	if h.Flags == 0 && h.Session == probeSession ||
		h.Flags == frame.FlagControl && h.Meta == frame.ControlPong && string(payload) == probeToken {
		c.probed = true
		return nil
	}
	c.frames = append(c.frames, c.describe(h, payload))
	return nil
}

func (c *talk) describe(h frame.Header, payload []byte) string {
	line := fmt.Sprintf("%02x %d %d", h.Flags, h.Session, h.Meta)
	if h.Flags&frame.FlagMetadata != 0 {
		if block, fault := frame.ReadMetadata(payload); fault == frame.MetadataGood {
			payload = payload[block.Size():]
		}
	}
	packed, payload := plain(c.t, h.Compression, payload)
	line += packed
	switch {
	case h.Flags&(frame.FlagControl|frame.FlagCredit) != 0:
		return line + " " + hex.EncodeToString(payload)
	case c.hello && c.level == 1 && h.Meta == 200:
		said, err := frame.ReadHello(payload)
		if err == nil && said.Level > 0 {
			c.level = int(said.Level)
			return line + fmt.Sprintf(" level=%d features=%d compressions=%d frame=%d calls=%d credit=%d message=%d", said.Level, said.Features,
				said.Compressions, said.FrameSizeMax, said.CallsMax, said.Credit, said.MessageSizeMax)
		}
	case h.Flags&frame.FlagReset != 0 && len(payload) == 0: // that is what it says, with or without an Error
		return line + " has_not_run, and no word"
	case h.Flags&frame.FlagReset != 0:
		said, err := frame.ReadError(payload)
		if err != nil || said.MayHaveRun || said.Message == "" {
			return line + " an error that does not fit a reset"
		}
		return line + " has_not_run"
	case h.Meta != 200 && c.level == 2:
		said, err := frame.ReadError(payload)
		if err != nil {
			return line + " malformed"
		}
		if len(payload) == 0 {
			return line + " nothing"
		}
		if said.MayHaveRun {
			return line + " may_have_run"
		}
		return line + " has_not_run"
	}
	if demo.VerifyResponse(payload) == nil && h.Meta == 200 {
		return line + " name=" + brief(string(demo.GetRootAsResponse(payload, 0).Name()))
	}
	if len(payload) > 64 {
		return line + " " + brief(string(payload))
	}
	return line + " " + hex.EncodeToString(payload)
}

// probe asks for a sign of life, which is answered behind what was sent before it.
func (c *talk) probe() {
	if c.level == 2 {
		h := frame.Header{Flags: frame.FlagControl, Meta: frame.ControlPing, Size: uint32(len(probeToken))}
		h.Checksum = h.ChecksumLevel2([]byte(probeToken))
		c.send(append(h.Append(nil), probeToken...))
		return
	}
	c.send(madeFrame(c.t, 1, fmt.Sprintf("frame(session=%d)", probeSession)))
}

// run sends a row's bytes and says what came: frames, and what has become of the connection.
func (c *talk) run(send, want string) string {
	c.hello = strings.Contains(send, "hello") || strings.Contains(send, "meta=980267836")
	var gathered []byte
	for _, word := range strings.Fields(send) {
		switch {
		case word == "shut" || word == "then":
			c.send(gathered)
			gathered = nil
			if word == "shut" {
				_ = c.conn.(*net.TCPConn).CloseWrite()
			}
		case strings.HasPrefix(word, "frame("):
			gathered = append(gathered, madeFrame(c.t, c.level, word)...)
		default:
			gathered = append(gathered, bytesOf(c.t, word)...)
		}
	}
	c.send(gathered)
	count, end := strings.Count(want, ";"), want[strings.LastIndex(want, " ")+1:]
	wait := rawPatience
	if *update {
		count, wait = 1000, 2*silence
	}
	for len(c.frames) < count || end == "closed" {
		if err := c.read(wait); err != nil {
			if !isTimeout(err) {
				return c.line("closed")
			}
			break
		}
	}
	for end == "waits" && !*update {
		if err := c.read(silence); err != nil && isTimeout(err) {
			return c.line("waits")
		} else if err != nil {
			return c.line("closed")
		}
	}
	for c.probe(); !c.probed; {
		if err := c.read(wait); err != nil {
			return c.line("waits") // it took the probe for the rest of something
		}
	}
	return c.line("open")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// line is what a row says. Which session is answered first is not promised: the lowest is shown first.
func (c *talk) line(end string) string {
	session := func(line string) int {
		n, _ := strconv.Atoi(strings.Fields(line)[1])
		return n
	}
	slices.SortStableFunc(c.frames, func(a, b string) int { return session(a) - session(b) })
	return strings.Join(append(c.frames, end), "; ")
}

// What is sent byte by byte gets the same answer of both servers.
func TestRaw(t *testing.T) {
	lines := table(t, rawFile, 3)
	for _, language := range []string{"c", "go"} {
		t.Run("to "+language, func(t *testing.T) {
			all, differ, left := serversIn(language), 0, 0
			for _, parts := range lines {
				name, level, send, want := parts[0], parts[1], parts[2], parts[3]
				if own, differs := strings.CutPrefix(parts[4], language+": "); differs {
					require.NotEmpty(t, parts[5], "%s: why does the server in %s differ?", name, language)
					want = own
					differ++
				}
				level, packs, _ := strings.Cut(level, " ")
				if language == "c" && packs != "" && !hasCompressionInC() {
					left++
					continue
				}
				c := dialRaw(t, all.address(t, 2, packs), int(level[0]-'0'))
				got := c.run(send, want)
				_ = c.conn.Close()
				if *update && language == "c" {
					parts[3] = got
				} else if *update {
					parts[4] = ""
					if got != parts[3] {
						parts[4] = language + ": " + got
					}
				} else if got != want {
					t.Errorf("%s, level %s: after %s\n  want %s\n  got  %s", name, level, send, want, got)
				}
			}
			t.Logf("%d rows, of which %d have an answer of this server's own, and %d did not run: %s", len(lines), differ, left, noCompressionInC)
		})
		if *update {
			writeAnswers(t, lines)
		}
	}
}

func writeAnswers(t *testing.T, lines [][]string) {
	text, err := os.ReadFile(rawFile)
	require.NoError(t, err)
	out, next := []string{}, 0
	for _, line := range strings.Split(string(text), "\n") {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "@") {
			line = strings.Join(lines[next][:4], " | ")
			if lines[next][4] != "" {
				line += " | " + lines[next][4] + " | " + lines[next][5]
			}
			next++
		}
		out = append(out, line)
	}
	require.NoError(t, os.WriteFile(rawFile, []byte(strings.Join(out, "\n")), 0o666))
}

// Every golden frame, header, block and Hello is sent to the servers.
func TestEveryGoldenIsSent(t *testing.T) {
	sent := map[string]bool{}
	for _, parts := range table(t, rawFile, 3) {
		for _, word := range strings.FieldsFunc(parts[2], func(r rune) bool { return strings.ContainsRune(" +,=()", r) }) {
			sent[word] = true
		}
	}
	count := 0
	for folder, patterns := range map[string][]string{
		"golden": {"frame_*", "header_*"}, "golden-level2": {"frame_*", "header_*", "metadata_*", "table_hello_*", "hello_*"},
	} {
		for _, pattern := range patterns {
			files, err := filepath.Glob(filepath.Join("../../../schema", folder, pattern+".hex"))
			require.NoError(t, err)
			for _, file := range files {
				name := map[string]string{"golden": "golden1/", "golden-level2": "golden2/"}[folder] + strings.TrimSuffix(filepath.Base(file), ".hex")
				require.True(t, sent[name], "no row of raw.txt sends %s", name)
				count++
			}
		}
	}
	require.Greater(t, count, 90)
}
