package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/smf-go/smf/go/internal/frame"
)

// Handler serves one method. It runs on the core's poll loop as long as it is quick; it may block, and
// then the loop goes on without it. Several handlers run at once.
//
// req and reply, and what they lend, are valid until it returns; so is ctx, unless its Done method was
// called. The error decides the reply's status: an *Error its code, everything else 500.
type Handler func(ctx context.Context, req *Request, reply *Reply) error

// Interceptor runs around every handler of a server. It may look at the request, stop the call by
// returning an error, and see the handler's error. The first of ServerOptions.Interceptors is the
// outermost.
type Interceptor func(ctx context.Context, req *Request, reply *Reply, next Handler) error

// Method describes one method of a Service.
type Method struct {
	Name       string                     // "Get"
	In, Out    string                     // full type names: "smf_gen.demo.Request"
	ID         uint32                     // as in docs/wire.md; 0: computed
	Slow       bool                       // computes for long: starts as a goroutine, never on the loop
	Idempotent bool                       // may be tried again although it may have run
	Timeout    time.Duration              // the handler's context has this deadline; 0: none
	Verify     func(payload []byte) error // nil: not verified. An error answers 400
	Handle     Handler
}

// Service is a named set of methods. Package is the schema's namespace; it is not part of the ids.
type Service struct {
	Name, Package string
	Methods       []Method
}

// Registrar is what generated code registers services with: a *Server.
type Registrar interface {
	Register(Service) error
}

// check fills in ids and says what is wrong with a service.
func (s *Service) check() error {
	if s.Name == "" || len(s.Methods) == 0 {
		return fmt.Errorf("rpc: a service needs a name and methods (have %q with %d)", s.Name, len(s.Methods))
	}
	for i := range s.Methods {
		m := &s.Methods[i]
		if m.Handle == nil {
			return fmt.Errorf("rpc: %s.%s has no handler", s.Name, m.Name)
		}
		if m.ID == 0 {
			m.ID = frame.MethodID(s.Name, m.Name, m.In, m.Out)
		}
		if m.ID == 0 {
			return fmt.Errorf("rpc: %s.%s has method id 0, which the wire format does not allow: rename it", s.Name, m.Name)
		}
	}
	return nil
}

// chain puts the interceptors around a handler, once.
func chain(interceptors []Interceptor, h Handler) Handler {
	for i := len(interceptors) - 1; i >= 0; i-- {
		around, next := interceptors[i], h
		h = func(ctx context.Context, req *Request, reply *Reply) error {
			return around(ctx, req, reply, next)
		}
	}
	return h
}
