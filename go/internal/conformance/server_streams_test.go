package conformance

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/conformance"
)

const collectedMax = 1000 // bytes of texts that Collect answers with

// streams are the methods of streams.fbs.
type streams struct {
	conformance.UnimplementedStreamsServer
	*service
}

// next is the next message, or the failure that it asks for.
func next(in *rpc.Receiver[conformance.Question]) (*conformance.Question, error) {
	q, err := in.Recv()
	if err == nil && q.Code() != 0 {
		return nil, failureOf(q)
	}
	return q, err
}

func (s streams) Collect(_ context.Context, in *rpc.Receiver[conformance.Question], reply *rpc.Reply) error {
	var texts []string
	size := 0
	for {
		q, err := next(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		size += len(q.Text())
		if size <= collectedMax {
			texts = append(texts, string(q.Text()))
		}
	}
	if size > collectedMax {
		return answer(reply, "", uint64(size))
	}
	return answer(reply, strings.Join(texts, ","), uint64(len(texts)))
}

// say sends an answer with a question's text, or one of the size that it asks for.
func say(out *rpc.Sender[conformance.Answer], q *conformance.Question, number uint64) error {
	text := string(q.Text())
	if size := q.SizeBytes(); size != 0 {
		text = pattern(int(size))
	}
	return out.SendObject(&conformance.AnswerT{Text: text, Number: number})
}

func (s streams) List(_ context.Context, q *conformance.Question, out *rpc.Sender[conformance.Answer]) error {
	for i := range q.Count() {
		if err := say(out, q, uint64(i)+1); err != nil {
			return err
		}
	}
	if q.Code() != 0 {
		return failureOf(q)
	}
	return nil
}

func (s streams) Talk(_ context.Context, in *rpc.Receiver[conformance.Question], out *rpc.Sender[conformance.Answer]) error {
	for key, value := range in.Metadata().All() {
		if err := out.Metadata().Add(key, value); err != nil {
			return err
		}
	}
	for number := uint64(1); ; number++ {
		q, err := next(in)
		switch {
		case errors.Is(err, io.EOF):
			return out.SendObject(&conformance.AnswerT{Text: "end", Number: number - 1})
		case err != nil:
			return err
		case string(q.Text()) == "bye":
			return nil
		}
		if err = say(out, q, number); err != nil {
			return err
		}
	}
}

func (s streams) Hold(ctx context.Context, in *rpc.Receiver[conformance.Question], out *rpc.Sender[conformance.Answer]) error {
	q, err := next(in)
	if err != nil {
		return err
	}
	name, size := string(q.Text()), uint64(0)
	s.told(name, "waits")
	select {
	case <-ctx.Done():
		s.told(name, strconv.Itoa(int(codeOfEnd(ctx))))
		return ctx.Err()
	case <-s.released(name):
	}
	for {
		q, err = next(in)
		if errors.Is(err, io.EOF) {
			return out.SendObject(&conformance.AnswerT{Number: size})
		}
		if err != nil {
			s.told(name, strconv.Itoa(int(rpc.CodeOf(err))))
			return err
		}
		size += uint64(len(q.Text()))
	}
}

// released is closed when Release was called for a Hold.
func (s *service) released(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holds[name] == nil {
		s.holds[name] = make(chan struct{})
	}
	return s.holds[name]
}

func (s *service) Release(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	close(s.released(string(req.Text())))
	return answer(reply, "", 0)
}
