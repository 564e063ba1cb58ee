package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	native "github.com/smf-go/smf/cgo"
	"github.com/smf-go/smf/go/internal/loop"
)

// closeWait is how long Close waits for sockets to be closed by loops that are busy.
const closeWait = time.Second

type serverState int

const (
	serverNew serverState = iota
	serverServing
	serverClosed
)

// Server serves calls. Register services, Listen, Serve; then Drain or Close. Its methods may be called
// from any goroutine. Several servers may live in one process.
type Server struct {
	options ServerOptions
	engine  *native.Engine
	loops   []*loop.Loop
	logs    *limitedLogs
	base    context.Context // ends with the server
	cancel  context.CancelCauseFunc
	done    chan struct{} // closed by Close

	payloadMax int // of a reply at level 1,
	messageMax int // and at level 2

	mu       sync.RWMutex
	state    serverState
	freed    bool
	methods  map[uint32]*loop.Method // not written any more once served
	services []Service               // in the order of registration

	addresses []string // where it listens
	draining  atomic.Bool
}

// NewServer opens a server's engine. Nothing listens yet.
//
// Errors: settings out of range, no memory; each says what to do. Cost: maps MemoryBytes of address
// space a core and starts two native threads a core, which sleep.
func NewServer(options ServerOptions) (*Server, error) {
	offers, err := offered("ServerOptions.Compressions", options.Compressions)
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	config := options.native()
	config.Compressions = offers
	engine, err := native.Open(config)
	if err != nil {
		return nil, fmt.Errorf("rpc: %w", err)
	}
	s := &Server{options: options, engine: engine, done: make(chan struct{}), methods: map[uint32]*loop.Method{}}
	s.payloadMax, s.messageMax = options.payloadMax(), options.messageMax()
	s.logs = &limitedLogs{log: s.log(), kinds: map[string]*logKind{}}
	s.base, s.cancel = context.WithCancelCause(context.Background())
	running := engine.Settings().RunningMax
	for _, core := range engine.Cores() {
		l := loop.New(core, work{s}, running)
		if offers != 0 {
			l.TellAccepts()
		}
		s.loops = append(s.loops, l)
	}
	return s, nil
}

func (s *Server) log() *slog.Logger {
	if s.options.Logger != nil {
		return s.options.Logger
	}
	return slog.Default()
}

// Listen binds an address, before Serve: "127.0.0.1:11225", "[::1]:0", ":11225" (every address, IPv4
// and IPv6), "unix:/path", "unix:@name". It returns the address with its real port. Connections that
// come before Serve wait. May be called several times.
//
// Errors: one line that says what to do when the port is in use, the address is not this machine's, or
// permission is missing; errors.Is finds the system's error number, and ErrAddress where it is no address.
func (s *Server) Listen(address string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case serverServing:
		return "", errors.New("rpc: listen before Serve")
	case serverClosed:
		return "", ErrClosed
	}
	bound, err := s.engine.Listen(address)
	if err != nil {
		return "", listenError(err)
	}
	s.addresses = append(s.addresses, bound)
	return bound, nil
}

func listenError(err error) error {
	var problem *native.Error
	if errors.As(err, &problem) && problem.NoAddress() {
		return &addressError{fmt.Errorf("listen on %w", err)}
	}
	return fmt.Errorf("listen on %w", err)
}

// addressError is an error that is ErrAddress, too.
type addressError struct{ error }

func (e *addressError) Is(target error) bool { return target == ErrAddress }

func (e *addressError) Unwrap() error { return e.error }

// Engine says in one line which engine serves, and why that one.
func (s *Server) Engine() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.freed {
		return "closed"
	}
	return s.engine.Describe()
}

// Ready is nil while the server serves, and else says why not: ErrNotServing before Serve, ErrDraining
// while Drain runs, ErrClosed after Close and when Drain has returned, also when its time was over. It
// is for load balancers, which should send their calls elsewhere then.
func (s *Server) Ready() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.state == serverNew:
		return ErrNotServing
	case s.state == serverClosed:
		return ErrClosed
	case s.draining.Load():
		return ErrDraining
	}
	return nil
}

const servesOnce = "a server that was drained or closed does not serve again; make a new one"

// Serve serves until Drain or Close, and returns nil after either.
//
// Errors: it serves already; ErrDraining and ErrClosed: it was drained or closed, which is for good; no
// memory for the counters of its methods: the server is closed then.
func (s *Server) Serve() error {
	s.mu.Lock()
	switch s.state {
	case serverServing:
		s.mu.Unlock()
		if s.draining.Load() {
			return fmt.Errorf("%w: %s", ErrDraining, servesOnce)
		}
		return errors.New("rpc: already serving")
	case serverClosed:
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrClosed, servesOnce)
	}
	for _, l := range s.loops {
		if s.options.NoMethodStats || len(s.methods) == 0 {
			break
		}
		if err := l.Count(len(s.methods)); err != nil {
			s.mu.Unlock()
			_ = s.Close() // loops that count already would refuse to begin again
			return fmt.Errorf("rpc: counting calls by method: %w; the server is closed", err)
		}
	}
	s.state = serverServing
	for _, l := range s.loops {
		l.Start()
	}
	s.mu.Unlock()
	if procs := runtime.GOMAXPROCS(0); procs <= len(s.loops) {
		s.log().Warn("GOMAXPROCS should exceed the number of cores: handlers that block need a P",
			slog.Int("gomaxprocs", procs), slog.Int("cores", len(s.loops)))
	}
	if cpus := runtime.NumCPU(); cpus < len(s.loops) {
		s.log().Warn("there are more cores than CPUs: they take turns, and those that spin hold the others up",
			slog.Int("cpus", cpus), slog.Int("cores", len(s.loops)))
	}
	<-s.done
	return nil
}

// Drain stops listening, lets the calls in flight finish, answers 503 to what still comes, closes each
// connection when nothing of it is in flight, and then closes the server. It always returns by ctx's
// deadline: then with ctx's error, and everything is closed right behind it.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.RLock()
	serving := s.state == serverServing
	s.mu.RUnlock()
	if !serving {
		return s.Close()
	}
	s.draining.Store(true)
	for _, l := range s.loops {
		l.Drain()
	}
	for _, l := range s.loops {
		select {
		case <-l.Drained():
		case <-ctx.Done():
			go s.closeFrom(s.end()) // closing may take a moment that ctx does not have
			return ctx.Err()
		case <-s.done:
			return nil
		}
	}
	return s.Close()
}

// Close closes listeners and connections at once, cancels the handlers' contexts and makes Serve
// return. It does not wait for handlers; memory that they use is freed when they have returned.
func (s *Server) Close() error {
	s.closeFrom(s.end())
	return nil
}

// end makes the server closed for those who ask. It returns what it was before, for closeFrom.
func (s *Server) end() (before serverState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, s.state = s.state, serverClosed
	return before
}

func (s *Server) closeFrom(before serverState) {
	if before == serverClosed {
		return
	}
	s.cancel(ErrClosed)
	if before == serverServing {
		s.closeSockets()
		for _, l := range s.loops {
			l.Stop()
		}
		go func() {
			for _, l := range s.loops {
				<-l.Gone()
			}
			s.free()
		}()
	} else {
		s.free()
	}
	close(s.done)
}

func (s *Server) closeSockets() {
	var closed sync.WaitGroup
	for _, l := range s.loops {
		closed.Add(1)
		l.DisconnectAll(closed.Done)
	}
	all := make(chan struct{})
	go func() {
		closed.Wait()
		close(all)
	}()
	select {
	case <-all:
	case <-time.After(closeWait):
	}
}

func (s *Server) free() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freed = true
	s.engine.Close()
}

// work is the server as its loops see it.
type work struct{ *Server }

// NewWorker makes what runs handlers.
func (w work) NewWorker(call *loop.Call) loop.Worker {
	return newWorker(w.Server, call)
}

// Find looks a method up.
func (w work) Find(id uint32) *loop.Method { return w.methods[id] }

// Note logs connections that ended for a reason that somebody should know.
func (w work) Note(_ *loop.Loop, e *native.Event) {
	if reason := native.CloseReason(e.Meta); e.Kind == native.EventClosed && !reason.Ordinary() {
		w.logs.closed(string(e.Payload()), native.CloseReason(e.Meta))
	}
}

// NativeVersion is the version of the native library that is linked, and its binary interface.
func NativeVersion() (version string, abi uint32) { return native.Version(), native.ABI() }
