package conformance

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"strconv"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/conformance"
)

// stream is one that a row has opened, whatever its kind.
type stream struct {
	send      func([]byte) error
	closeSend func() error
	recv      func() (*conformance.Answer, error)
	metadata  func() *rpc.Metadata
	cancel    func()
}

func kindOf(id uint32) rpc.Streaming {
	for _, m := range conformance.StreamsService.Methods {
		if m.ID == id {
			return m.Streaming
		}
	}
	return rpc.StreamingBidi // not one that is there
}

// open opens a stream. The context goes with it.
func (c *caller) open(ctx context.Context, s *step) (*stream, error) {
	for _, entry := range s.meta {
		ctx = rpc.WithMetadata(ctx, entry[0], entry[1])
	}
	stub, verify := rpc.NewStub(c.client), conformance.VerifyAnswer
	switch kindOf(s.id()) {
	case rpc.StreamingClient:
		raw, err := rpc.OpenClientStream[conformance.Question, conformance.Answer](ctx, &stub, s.id(), verify)
		if err != nil {
			return nil, err
		}
		var result rpc.Result[conformance.Answer]
		collected := false
		return &stream{send: raw.SendBytes, cancel: raw.Cancel,
			closeSend: func() error { return nil }, // CloseAndRecv does
			recv: func() (*conformance.Answer, error) {
				if collected {
					return nil, io.EOF
				}
				result, err = raw.CloseAndRecv()
				collected = err == nil
				if err != nil {
					return nil, err
				}
				return result.Table(), nil
			},
			metadata: func() *rpc.Metadata { return result.Metadata() }}, nil
	case rpc.StreamingServer:
		b := flatbuffers.NewBuilder(64)
		if b.Finish(s.question.Pack(b)); s.malformed {
			copy(b.FinishedBytes(), s.payload())
		}
		raw, err := rpc.OpenServerStream[conformance.Answer](ctx, &stub, s.id(), b, verify)
		if err != nil {
			return nil, err
		}
		return &stream{recv: raw.Recv, metadata: raw.Metadata, cancel: raw.Close}, nil
	default:
		raw, err := rpc.OpenBidiStream[conformance.Question, conformance.Answer](ctx, &stub, s.id(), verify)
		if err != nil {
			return nil, err
		}
		return &stream{send: raw.SendBytes, closeSend: raw.CloseSend, recv: raw.Recv, metadata: raw.Metadata, cancel: raw.Close}, nil
	}
}

// openStep opens a stream under its name.
func (c *caller) openStep(s *step) string {
	ctx, cancel := context.WithCancel(context.Background())
	if s.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
	}
	c.ends = append(c.ends, cancel)
	raw, err := c.open(ctx, s)
	if err != nil {
		return s.outcome(nil, err)
	}
	c.opened[s.on] = raw
	return "opened"
}

// streamStep runs a step of a stream.
func (c *caller) streamStep(s *step, raw *stream) string {
	switch s.method {
	case "send":
		for range max(s.repeat, 1) {
			if err := raw.send(s.payload()); err != nil {
				return s.outcome(nil, err)
			}
		}
		return "sent"
	case "close":
		if err := raw.closeSend(); err != nil {
			return s.outcome(nil, err)
		}
		return "closed"
	case "recv":
		return s.received(raw.recv())
	case "recvall":
		return s.receiveAll(raw)
	case "metadata":
		line := "metadata"
		for key, value := range raw.metadata().All() {
			line += " " + key + ":" + brief(value)
		}
		return line
	case "giveup":
		raw.cancel()
		return "done"
	}
	return "no such step: " + s.method
}

func (s *step) received(m *conformance.Answer, err error) string {
	if errors.Is(err, io.EOF) {
		return "end"
	}
	if err != nil {
		return s.outcome(nil, err)
	}
	line := "message"
	if text := string(m.Text()); text != "" {
		line += " text=" + brief(text)
	}
	if number := m.Number(); number != 0 {
		line += fmt.Sprintf(" number=%d", number)
	}
	return line
}

// receiveAll receives what there is. The hash is of the messages' texts and numbers in their order.
func (s *step) receiveAll(raw *stream) string {
	h, count := fnv.New32a(), 0
	for {
		m, err := raw.recv()
		if err != nil {
			return fmt.Sprintf("%d messages:%08x, %s", count, h.Sum32(), s.received(nil, err))
		}
		_, _ = h.Write(m.Text())
		_, _ = io.WriteString(h, strconv.FormatUint(m.Number(), 10)+";")
		count++
	}
}
