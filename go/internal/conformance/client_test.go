package conformance

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/conformance"
)

const (
	stepTimeout = 10 * time.Second // of a step that has none of its own
	pollEvery   = time.Millisecond
)

// pattern is a long text in which every part is known by its place.
func pattern(size int) string {
	b := make([]byte, size)
	for i := range b {
		b[i] = 'a' + byte(i%251%26)
	}
	return string(b)
}

// brief is a text as a line shows it.
func brief(text string) string {
	if len(text) <= 64 {
		return strconv.Quote(text)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return fmt.Sprintf("%d:%08x", len(text), h.Sum32())
}

// step is one thing that a client does.
type step struct {
	method   string
	question conformance.QuestionT
	meta     [][2]string
	timeout  time.Duration
	until    string // Told: asks again until it says so
	show     string // "": all; "run": code and may_have_run; "code": the code
	// What happens to the call.
	oneWay, background bool
	malformed, insist  bool
	// Of a stream.
	stream string // the method that is opened
	on     string // its name
	repeat int    // how many times a message is sent
}

func parseStep(text string) (step, error) {
	words := strings.Fields(text)
	s := step{method: words[0], timeout: stepTimeout}
	if words = words[1:]; s.method == "open" {
		s.stream, words = words[0], words[1:]
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		number, numberErr := strconv.Atoi(strings.TrimPrefix(value, "*"))
		switch key {
		case "text":
			s.question.Text = value
			if strings.HasPrefix(value, "*") {
				s.question.Text = pattern(number)
			}
			numberErr = nil
		case "code":
			s.question.Code = uint32(number)
		case "retry":
			s.question.RetryAfterMs = uint32(number)
		case "size":
			s.question.SizeBytes = uint32(number)
		case "count":
			s.question.Count = uint32(number)
		case "repeat":
			s.repeat = number
		case "on":
			s.on, numberErr = value, nil
		case "timeout":
			s.timeout = time.Duration(number) * time.Millisecond
		case "details":
			s.question.Details, numberErr = hex.DecodeString(value)
		case "type":
			s.question.DetailsType, numberErr = value, nil
		case "meta":
			k, v, _ := strings.Cut(value, ":")
			if strings.HasPrefix(v, "*") {
				v = pattern(mustNumber(v[1:]))
			}
			s.meta, numberErr = append(s.meta, [2]string{k, v}), nil
		case "until":
			s.until, numberErr = value, nil
		case "show":
			s.show, numberErr = value, nil
		case "oneway":
			s.oneWay, numberErr = true, nil
		case "background":
			s.background, numberErr = true, nil
		case "insist":
			s.insist, numberErr = true, nil
		case "malformed":
			s.malformed, numberErr = true, nil
		default:
			return s, fmt.Errorf("step %q: no such word: %s", text, key)
		}
		if numberErr != nil {
			return s, fmt.Errorf("step %q: %s: %w", text, word, numberErr)
		}
	}
	return s, nil
}

func mustNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}

func methods() []rpc.Method {
	return slices.Concat(conformance.ConformanceService.Methods, conformance.StreamsService.Methods)
}

func (s *step) id() uint32 {
	for _, m := range methods() {
		if m.Name == s.method || m.Name == s.stream {
			return m.ID
		}
	}
	return 1 // nobody's
}

func (s *step) payload() []byte {
	if s.malformed {
		return []byte("this is no FlatBuffer at all")
	}
	b := flatbuffers.NewBuilder(64)
	b.Finish(s.question.Pack(b))
	return b.FinishedBytes()
}

// caller runs the steps of one row.
type caller struct {
	client *rpc.Client
	cancel []context.CancelFunc // of the calls in the background
	ended  []chan string
	opened map[string]*stream
	ends   []context.CancelFunc // of streams
}

func (c *caller) run(s *step) string {
	switch s.method {
	case "open":
		return c.openStep(s)
	case "send", "close", "recv", "recvall", "metadata", "giveup":
		raw := c.opened[s.on]
		if raw == nil {
			return "no stream"
		}
		if !s.background {
			return c.streamStep(s, raw)
		}
		ended := make(chan string, 1)
		c.ended = append(c.ended, ended)
		go func() { ended <- c.streamStep(s, raw) }()
		return "begun"
	case "ping":
		ctx, end := context.WithTimeout(context.Background(), s.timeout)
		defer end()
		_, err := c.client.Ping(ctx)
		return s.outcome(nil, err)
	case "level":
		return strconv.Itoa(c.client.Level())
	case "pause": // so that what was begun before has been sent
		time.Sleep(100 * time.Millisecond)
		return "done"
	case "cancel":
		for _, cancel := range c.cancel {
			cancel()
		}
		return "done"
	case "all":
		var all []string
		for _, ended := range c.ended {
			all = append(all, <-ended)
		}
		return strings.Join(all, ", ")
	}
	ctx, cancel := context.WithCancel(context.Background())
	if s.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
	}
	if !s.background {
		defer cancel()
		return c.ask(ctx, s)
	}
	ended := make(chan string, 1)
	c.cancel, c.ended = append(c.cancel, cancel), append(c.ended, ended)
	go func() { ended <- c.ask(ctx, s) }()
	return "begun"
}

// ask makes a call, again and again where a row waits for something to happen.
func (c *caller) ask(ctx context.Context, s *step) string {
	for _, entry := range s.meta {
		ctx = rpc.WithMetadata(ctx, entry[0], entry[1])
	}
	for end := time.Now().Add(stepTimeout); ; time.Sleep(pollEvery) {
		if s.oneWay {
			return s.outcome(nil, c.client.OneWay(ctx, s.id(), s.payload()))
		}
		message, err := c.client.Call(ctx, s.id(), s.payload())
		if err != nil && s.insist && time.Now().Before(end) {
			continue
		}
		if err != nil {
			return s.outcome(nil, err)
		}
		result, err := rpc.NewResult[conformance.Answer](message, conformance.VerifyAnswer)
		if err != nil {
			return s.outcome(nil, err)
		}
		got := s.outcome(&result, nil)
		said := string(result.Table().Text())
		if said == "" {
			said = strconv.FormatUint(result.Table().Number(), 10)
		}
		result.Release()
		if s.until == "" || s.until == said || time.Now().After(end) {
			return got
		}
	}
}

func (s *step) outcome(result *rpc.Result[conformance.Answer], err error) string {
	var e *rpc.Error
	switch {
	case err == nil && result == nil:
		return "200"
	case err != nil && !errors.As(err, &e):
		return "error " + err.Error()
	case err != nil:
		return s.failure(e)
	}
	line := "200"
	if text := string(result.Table().Text()); text != "" {
		line += " text=" + brief(text)
	}
	if number := result.Table().Number(); number != 0 {
		line += fmt.Sprintf(" number=%d", number)
	}
	for key, value := range result.Metadata().All() {
		line += " " + key + ":" + brief(value)
	}
	return line
}

func (s *step) failure(e *rpc.Error) string {
	line := strconv.Itoa(int(e.Code))
	if s.show == "code" {
		return line
	}
	if s.show == "" {
		if e.Message != "" {
			line += " message=" + brief(e.Message)
		}
		if len(e.Details) > 0 {
			line += " details=" + hex.EncodeToString(e.Details)
		}
		if e.DetailsType != "" {
			line += " type=" + brief(e.DetailsType)
		}
		if e.RetryAfter != 0 {
			line += fmt.Sprintf(" retry=%d", e.RetryAfter.Milliseconds())
		}
	}
	if e.MayHaveRun {
		return line + " may_have_run"
	}
	return line + " has_not_run"
}

// callGo runs a row for each line of its input: level, address, steps; and prints a line for each.
func callGo() error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.SplitN(in.Text(), " ", 3)
		line, err := runRow(words[0], words[1], words[2])
		if err != nil {
			return err
		}
		fmt.Println(line)
	}
	return in.Err()
}

func runRow(level, address, steps string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	level, compression, _ := strings.Cut(level, "+")
	filters, err := filtersOf(compression)
	if err != nil {
		return "", err
	}
	wants := map[string]int{"1": 1, "2": rpc.RequireLevel2, "any": 0}[level]
	client, err := rpc.Dial(ctx, address, rpc.ClientOptions{Level: wants, Filters: filters, Compressions: readBy(filters)})
	var failure *rpc.Error
	if errors.As(err, &failure) {
		return fmt.Sprintf("no connection %d", failure.Code), nil
	}
	if err != nil {
		return "", err
	}
	c := &caller{client: client, opened: make(map[string]*stream)}
	var got []string
	for _, text := range strings.Split(steps, ";") {
		s, err := parseStep(text)
		if err != nil {
			return "", err
		}
		got = append(got, c.run(&s))
	}
	for _, cancel := range append(c.cancel, c.ends...) {
		cancel()
	}
	return strings.Join(got, "; "), client.Close()
}
