package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/conformance"
	"github.com/smf-go/smf/schema/demo"
)

// Limits of the servers of both languages, low enough to be met.
const (
	inFlightMax     = 8
	messageBytesMax = 4 << 20
)

// service behaves as it is told.
type service struct {
	conformance.UnimplementedConformanceServer
	server *rpc.Server

	mu      sync.Mutex
	waits   map[string]string // by the text of a Wait: what Told says
	counted map[string]uint64
	holds   map[string]chan struct{} // closed by Release
}

// storage answers the calls of the golden frames.
type storage struct {
	demo.UnimplementedSmfStorageServer
}

func (storage) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}

func answer(reply *rpc.Reply, text string, number uint64) error {
	return reply.Object(&conformance.AnswerT{Text: text, Number: number})
}

func (s *service) Echo(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	return answer(reply, string(req.Text()), 0)
}

func (s *service) Fail(_ context.Context, req *conformance.Question, _ *rpc.Reply) error {
	return failureOf(req)
}

// failureOf is the error that a question asks for.
func failureOf(req *conformance.Question) error {
	return &rpc.Error{
		Code: rpc.Code(req.Code()), Message: string(req.Text()), Details: append([]byte(nil), req.DetailsBytes()...),
		DetailsType: string(req.DetailsType()), RetryAfter: time.Duration(req.RetryAfterMs()) * time.Millisecond,
	}
}

func (s *service) Wait(ctx context.Context, req *conformance.Question, _ *rpc.Reply) error {
	name := string(req.Text())
	s.told(name, "waits")
	<-ctx.Done()
	s.told(name, strconv.Itoa(int(codeOfEnd(ctx))))
	return ctx.Err()
}

// codeOfEnd is why nobody waits any more.
func codeOfEnd(ctx context.Context) rpc.Code {
	if errors.Is(context.Cause(ctx), rpc.ErrDisconnected) {
		return rpc.CodeCancelled
	}
	return rpc.CodeOf(context.Cause(ctx))
}

func (s *service) told(name, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits[name] = what
}

func (s *service) Told(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := s.waits[string(req.Text())]
	if what == "" {
		what = "unknown"
	}
	return answer(reply, what, 0)
}

func (s *service) Deadline(ctx context.Context, _ *conformance.Question, reply *rpc.Reply) error {
	deadline, has := ctx.Deadline()
	if !has {
		return answer(reply, "none", 0)
	}
	return answer(reply, "some", uint64(time.Until(deadline).Round(time.Second)/time.Second))
}

type entriesKey struct{}

// passOn is how the metadata of a request reaches a handler of generated code.
func passOn(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	return next(context.WithValue(ctx, entriesKey{}, call.RequestMetadata()), call)
}

func (s *service) Metadata(ctx context.Context, _ *conformance.Question, reply *rpc.Reply) error {
	entries := ctx.Value(entriesKey{}).(*rpc.Metadata)
	for key, value := range entries.All() {
		if err := reply.Metadata().Add(key, value); err != nil {
			return err
		}
	}
	return answer(reply, "", uint64(entries.Len()))
}

func (s *service) Count(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counted[string(req.Text())]++
	return answer(reply, "", 0)
}

func (s *service) Counted(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer(reply, "", s.counted[string(req.Text())])
}

func (s *service) Large(_ context.Context, req *conformance.Question, reply *rpc.Reply) error {
	return answer(reply, pattern(int(req.SizeBytes())), uint64(len(req.Text())))
}

func (s *service) Drain(_ context.Context, _ *conformance.Question, reply *rpc.Reply) error {
	go func() { _ = s.server.Drain(context.Background()) }()
	return answer(reply, "", 0)
}

// serveGo serves until its input ends; the first argument is the highest level, the second one how replies are
// compressed.
func serveGo() error {
	level, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return err
	}
	filters, err := filtersOf(strings.Join(os.Args[2:], ""))
	if err != nil {
		return err
	}
	server, err := rpc.NewServer(rpc.ServerOptions{
		Cores: 1, Spin: -1, Level: level, Logger: slog.New(slog.DiscardHandler), Filters: filters,
		Compressions: readBy(filters),
		Limits:       rpc.Limits{InFlight: inFlightMax, MessageBytes: messageBytesMax},
	})
	if err != nil {
		return err
	}
	s := &service{server: server, waits: make(map[string]string), counted: make(map[string]uint64),
		holds: make(map[string]chan struct{})}
	err = conformance.RegisterConformanceServer(server, s, rpc.MethodFilters("Metadata", passOn))
	if err != nil {
		return err
	}
	if err = conformance.RegisterStreamsServer(server, streams{service: s}); err != nil {
		return err
	}
	if err = demo.RegisterSmfStorageServer(server, storage{}); err != nil {
		return err
	}
	address, err := server.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(address)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	_ = server.Serve()
	select {} // a server that has drained is still asked to end
}
