package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
)

const peersFile = "../../../schema/conformance/peers.txt"

// scripted is a server that does what a row of peers.txt says, byte by byte.
type scripted struct {
	t        *testing.T
	listener net.Listener
	conn     net.Conn
	level    int
	sessions []uint16 // that were met, in their order
	read     []uint16 // the session of each frame that was read
	seen     []string
	ended    bool
}

func (p *scripted) accept() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = p.listener.(*net.TCPListener).SetDeadline(time.Now().Add(rawPatience))
	conn, err := p.listener.Accept()
	if err != nil {
		p.seen = append(p.seen, "nobody connects")
		p.ended = true
		return
	}
	p.conn, p.level = conn, 1
}

func (p *scripted) frame(wait time.Duration) (frame.Header, []byte, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(wait))
	var b [frame.HeaderSize]byte
	if _, err := io.ReadFull(p.conn, b[:]); err != nil {
		return frame.Header{}, nil, err
	}
	h := frame.Decode(b[:])
	payload := make([]byte, h.Size)
	_, err := io.ReadFull(p.conn, payload)
	want, fault := frame.Checksum(payload), h.CheckLevel1()
	if p.level == 2 {
		want, fault = h.ChecksumLevel2(payload), h.CheckLevel2()
	}
	if err == nil && (fault != frame.Good || want != h.Checksum) {
		p.seen = append(p.seen, "illegal frame: "+fault.String())
	}
	return h, payload, err
}

// name is a session as rows call it: s1 is the first that was met.
func (p *scripted) name(session uint16) string {
	if session == 0 {
		return "0"
	}
	for i, known := range p.sessions {
		if known == session {
			return "s" + strconv.Itoa(i+1)
		}
	}
	p.sessions = append(p.sessions, session)
	return "s" + strconv.Itoa(len(p.sessions))
}

// note says what was read; credit is not told.
func (p *scripted) note(h frame.Header, payload []byte) {
	if h.Flags == frame.FlagCredit {
		return
	}
	what := strconv.Itoa(int(h.Meta))
	for _, m := range methods() {
		if m.ID == h.Meta {
			what = m.Name
		}
	}
	line := fmt.Sprintf("%02x %s %s", h.Flags, p.name(h.Session), what)
	packed, _ := plain(p.t, h.Compression, payload[blockSize(h, payload):])
	line += packed
	if h.Flags&frame.FlagControl != 0 {
		line += " " + hex.EncodeToString(payload)
	}
	p.seen = append(p.seen, line)
}

// blockSize is how many bytes of a payload are metadata.
func blockSize(h frame.Header, payload []byte) uint32 {
	if h.Flags&frame.FlagMetadata == 0 {
		return 0
	}
	return binary.LittleEndian.Uint32(payload)
}

// take reads the next frame that is not credit.
func (p *scripted) take() {
	for {
		h, payload, err := p.frame(rawPatience)
		if err != nil {
			p.seen = append(p.seen, "nothing more")
			p.ended = true
			return
		}
		if h.Flags != frame.FlagCredit {
			p.note(h, payload)
			p.read = append(p.read, h.Session)
			return
		}
	}
}

var sessionWord = regexp.MustCompile(`session=s(\d+)`)

// bytes are those of a word: of a frame, or of its first bytes: part(N,frame(…)).
func (p *scripted) bytes(word string) []byte {
	if len(p.read) > 0 {
		word = strings.ReplaceAll(word, "session=last", fmt.Sprintf("session=%d", p.read[len(p.read)-1]))
	}
	word = sessionWord.ReplaceAllStringFunc(word, func(text string) string {
		n, _ := strconv.Atoi(text[len("session=s"):])
		if n > len(p.sessions) {
			p.seen = append(p.seen, "no such session yet")
			return "session=1"
		}
		return fmt.Sprintf("session=%d", p.sessions[n-1])
	})
	if rest, is := strings.CutPrefix(word, "part("); is {
		count, made, _ := strings.Cut(strings.TrimSuffix(rest, ")"), ",")
		return madeFrame(p.t, p.level, made)[:mustNumber(count)]
	}
	if strings.HasPrefix(word, "frame(") {
		return madeFrame(p.t, p.level, word)
	}
	return bytesOf(p.t, word)
}

// hello answers it with what the golden tables of ours say: credit of 65536 bytes.
func (p *scripted) hello() {
	h, _, err := p.frame(rawPatience)
	if err != nil || h.Meta != frame.HelloMethodID {
		p.seen = append(p.seen, "no Hello")
	}
	_, _ = p.conn.Write(madeFrame(p.t, 1, fmt.Sprintf("frame(session=%d,meta=200,payload=golden2/table_hello_agreed)", h.Session)))
	p.level = 2
}

// sliced reads slices until nothing comes, and says how many bytes of them came.
func (p *scripted) sliced() {
	var size uint32
	var first frame.Header
	for {
		h, payload, err := p.frame(5 * silence)
		if err != nil {
			break
		}
		if size == 0 {
			first = h
			if h.Flags&frame.FlagMetadata != 0 {
				size -= binary.LittleEndian.Uint32(payload)
			}
		}
		size += h.Size
	}
	p.seen = append(p.seen, fmt.Sprintf("%02x %s %d bytes", first.Flags, p.name(first.Session), size))
	p.read = append(p.read, first.Session)
}

func (p *scripted) run(script string) {
	p.accept()
	for _, word := range strings.Fields(script) {
		if p.ended {
			break
		}
		switch word {
		case "hello":
			p.hello()
		case "read":
			p.take()
		case "slices":
			p.sliced()
		case "quiet":
			if _, _, err := p.frame(silence); !isTimeout(err) {
				p.seen = append(p.seen, "not quiet")
			}
		case "skip":
			_, _, _ = p.frame(rawPatience)
		case "half": // of what comes, whatever it is
			_ = p.conn.SetReadDeadline(time.Now().Add(rawPatience))
			_, _ = io.ReadFull(p.conn, make([]byte, 20))
		case "close":
			_ = p.conn.(*net.TCPConn).SetLinger(0)
			_ = p.conn.Close()
			p.ended = true
		case "next":
			p.seen = append(p.seen, "next")
			p.accept()
		case "silent":
			_ = p.conn.SetReadDeadline(time.Now().Add(rawPatience))
			_, _ = io.Copy(io.Discard, p.conn)
		case "level1":
			p.level = 1
		case "level2":
			p.level = 2
		default:
			_, _ = p.conn.Write(p.bytes(word))
		}
	}
	for !p.ended {
		h, payload, err := p.frame(rawPatience)
		if err != nil {
			break
		}
		p.note(h, payload)
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// turnAway ends connections that no row is for: clients in Go connect again.
func (p *scripted) turnAway() {
	_ = p.listener.(*net.TCPListener).SetDeadline(time.Time{})
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

// Clients of both languages, with servers that do what no server of ours would.
func TestPeers(t *testing.T) {
	lines := table(t, peersFile, 6)
	for _, language := range []string{"go", "c"} {
		t.Run(language+" calls", func(t *testing.T) {
			t.Parallel()
			client, ran, left := startClient(t, language), 0, []string{}
			for i, parts := range lines {
				name, level, script, steps, want, wantSeen := parts[0], parts[1], parts[2], tidySteps(parts[3]), parts[4], parts[5]
				for _, own := range strings.Split(parts[6], "/") {
					who, differs, _ := strings.Cut(strings.TrimSpace(own), ": ")
					if who == language {
						want, wantSeen, _ = strings.Cut(differs, " >> ")
						want, wantSeen = strings.TrimSpace(want), strings.TrimSpace(wantSeen)
					}
				}
				if want == "not run" || language == "c" && strings.Contains(level, "+") && !hasCompressionInC() {
					left = append(left, name)
					continue
				}
				ran++
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				p, done := &scripted{t: t, listener: listener}, make(chan bool)
				go func() {
					defer p.turnAway()
					defer close(done)
					p.run(script)
				}()
				began := time.Now()
				got := client.ask(t, level+" "+listener.Addr().String()+" "+strings.ReplaceAll(steps, "$", fmt.Sprint("peer-", i)))
				<-done
				_ = listener.Close()
				if took := time.Since(began); took > time.Second {
					t.Logf("%s took %s", name, took)
				}
				if got != want || strings.Join(p.seen, "; ") != wantSeen {
					t.Errorf("%s, client %s:\n  does %s\n  after %s\n  want %s >> %s\n  got  %s >> %s", name, level, steps, script, want, wantSeen, got, strings.Join(p.seen, "; "))
				}
			}
			t.Logf("%d rows ran, %d did not: %q", ran, len(left), left)
		})
	}
}
