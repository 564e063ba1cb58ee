package rpc

import (
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/internal/loop"
)

// reservedService is the service of the protocol's own methods.
const reservedService = "smf"

// Register adds a service, before Serve: all of its methods or, with an error, none. Generated code does
// it in RegisterXServer.
//
// Errors: one line that names what is wrong and where it was registered; where two services or methods
// are in each other's way, both, with both places.
func (s *Server) Register(service Service) error {
	if service.at == "" {
		service.at = callerOf(1)
	}
	service.Methods = slices.Clone(service.Methods)
	if err := service.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case serverServing:
		return fmt.Errorf("rpc: %s: the server serves already; register services before Serve", service.label())
	case serverClosed:
		return fmt.Errorf("%w: %s: %s", ErrClosed, service.label(), servesOnce)
	}
	methods, err := s.with(&service)
	if err != nil {
		return err
	}
	s.methods = methods
	s.services = append(s.services, service)
	return nil
}

// with is the server's methods and those of one service more. s.mu is held.
func (s *Server) with(service *Service) (map[uint32]*loop.Method, error) {
	for i := range s.services {
		if other := &s.services[i]; other.Name == service.Name {
			return nil, twoOfOneName(other, service)
		}
	}
	methods := maps.Clone(s.methods)
	for i := range service.Methods {
		m := &service.Methods[i]
		if _, taken := methods[m.ID]; taken {
			return nil, s.twoOfOneID(service, m)
		}
		filters := slices.Concat(s.options.Filters, service.Filters, m.Filters)
		owner := &served{Method: *m, service: service.Name}
		streams := m.Streaming != StreamingNone
		switch {
		case streams:
			owner.run = around(filters, handleStream)
		case len(filters) > 0:
			owner.run = around(filters, handle)
		}
		methods[m.ID] = &loop.Method{ID: m.ID, Index: len(methods), Slow: m.Slow, Streams: streams,
			Compressed: owner.run != nil && !streams, Owner: owner}
	}
	return methods, nil
}

func twoOfOneName(a, b *Service) error {
	if a.Package == b.Package && a.Source == b.Source {
		return fmt.Errorf("rpc: service %s is registered twice%s: at %s and at %s; leave one out",
			a.fullName(), bracketed(a.Source), a.at, b.at)
	}
	return fmt.Errorf("rpc: two services are named %s: %s and %s; ids are made without the namespace, so rename one, or serve it from a server of its own",
		a.Name, a.label(), b.label())
}

// twoOfOneID is the error for a method whose id is taken, by another service's method or by one of its own.
func (s *Server) twoOfOneID(service *Service, m *Method) error {
	for i := range s.services {
		other := &s.services[i]
		for k := range other.Methods {
			if o := &other.Methods[k]; o.ID == m.ID {
				return fmt.Errorf("rpc: methods %s of %s and %s of %s have the same id %d; rename one of them",
					o.Name, other.label(), m.Name, service.label(), m.ID)
			}
		}
	}
	own := slices.IndexFunc(service.Methods, func(o Method) bool { return o.ID == m.ID })
	return fmt.Errorf("rpc: %s: methods %s and %s have the same id %d; rename one of them", service.label(),
		service.Methods[own].Name, m.Name, m.ID)
}

// check fills in ids and says what is wrong with a service.
func (s *Service) check() error {
	switch {
	case s.Name == "":
		return fmt.Errorf("rpc: a service has no name (registered at %s)", s.at)
	case s.Name == reservedService:
		return fmt.Errorf("rpc: %s: the name is reserved for the protocol itself; rename the service", s.label())
	case len(s.Methods) == 0:
		return fmt.Errorf("rpc: %s: there are no methods", s.label())
	}
	for i := range s.Methods {
		if wrong := s.checkMethod(i); wrong != "" {
			return fmt.Errorf("rpc: %s: %s", s.label(), wrong)
		}
	}
	return nil
}

// checkMethod fills in a method's id and says what is wrong with it.
func (s *Service) checkMethod(i int) (wrong string) {
	m := &s.Methods[i]
	if m.Name == "" {
		return fmt.Sprintf("method %d of %d has no name", i+1, len(s.Methods))
	}
	if slices.ContainsFunc(s.Methods[:i], func(o Method) bool { return o.Name == m.Name }) {
		return "two methods are named " + m.Name + "; rename one of them"
	}
	if wrong := s.checkHandler(m); wrong != "" {
		return wrong
	}
	if m.ID == 0 {
		m.ID = frame.MethodID(s.Name, m.Name, m.In, m.Out)
	}
	if m.ID == 0 {
		return fmt.Sprintf("method %s has the id 0, which the wire format does not allow; rename it", m.Name)
	}
	return ""
}

// checkHandler says what is wrong with a method's handlers.
func (s *Service) checkHandler(m *Method) (wrong string) {
	streams := m.Streaming != StreamingNone
	switch {
	case m.Streaming > StreamingBidi:
		return fmt.Sprintf("method %s has the Streaming %d, which there is not", m.Name, m.Streaming)
	case m.Handle == nil && m.HandleStream == nil:
		return fmt.Sprintf("method %s has no handler; the generated Register%sServer gives every method one", m.Name, s.Name)
	case streams && (m.HandleStream == nil || m.Handle != nil):
		return fmt.Sprintf("method %s streams (%s): its handler is HandleStream, and Handle is nil", m.Name, m.Streaming)
	case !streams && m.HandleStream != nil:
		return fmt.Sprintf("method %s does not stream: its handler is Handle, and HandleStream is nil", m.Name)
	}
	return ""
}

// label names a service and its places, for messages.
func (s *Service) label() string {
	source := ""
	if s.Source != "" {
		source = s.Source + ", "
	}
	return fmt.Sprintf("service %s (%sregistered at %s)", s.fullName(), source, s.at)
}

func (s *Service) fullName() string {
	if s.Package == "" {
		return s.Name
	}
	return s.Package + "." + s.Name
}

func bracketed(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// callerOf names a line of the code that called: 0 is where callerOf itself is called.
func callerOf(skip int) string {
	_, file, line, ok := runtime.Caller(skip + 1)
	if !ok {
		return "an unknown place"
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// Services describes what is registered, in the order of registration: a copy, without handlers and filters, and
// without verifiers where nothing is verified. It may be called at any time, also when the server is
// closed.
func (s *Server) Services() []Service {
	s.mu.RLock()
	defer s.mu.RUnlock()
	services := slices.Clone(s.services)
	for i := range services {
		services[i].at, services[i].Filters = "", nil
		services[i].Methods = slices.Clone(services[i].Methods)
		for k := range services[i].Methods {
			services[i].Methods[k].Handle, services[i].Methods[k].HandleStream, services[i].Methods[k].Filters = nil, nil, nil
		}
	}
	return services
}
