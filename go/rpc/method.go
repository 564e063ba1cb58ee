package rpc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Handler serves one method. It runs on the core's poll loop as long as it is quick; it may block, and
// then the loop goes on without it. Several handlers run at once.
//
// req and reply, and what they lend, are valid until it returns; so is ctx, unless its Done method was
// called. The error decides the reply's status: an *Error its code, everything else 500.
type Handler func(ctx context.Context, req *Request, reply *Reply) error

// Method describes one method of a Service.
type Method struct {
	Name       string                     // "Get"
	In, Out    string                     // full type names: "smf_gen.demo.Request"
	ID         uint32                     // as in docs/wire.md; 0: computed
	Slow       bool                       // computes for long: starts as a goroutine, never on the loop
	Idempotent bool                       // may be tried again although it may have run
	Timeout    time.Duration              // the handler's context has this deadline; 0: none
	Streaming  Streaming                  // which side sends many messages
	Verify     func(payload []byte) error // nil: not verified. An error answers 400. Of each message of a stream
	Handle     Handler                    // where Streaming is StreamingNone
	// HandleStream is the handler of a method with any other Streaming.
	HandleStream StreamHandler
	Filters      []Filter // around Verify and the handler, the first one outermost
}

// Service is a named set of methods: what generated code says of a service in a schema. Package is the
// schema's namespace; it is not part of the ids.
type Service struct {
	Name, Package string
	Source        string // the schema's file, "smf_demo.fbs", for messages and for people; empty: none
	Schema        string // the binary schema, which schema.Read (go/schema) reads; empty: not told
	Methods       []Method
	Filters       []Filter // around those of every method, the first one outermost

	at string // where it was registered: "/home/you/shop/main.go:42"
}

// Streaming says which side of a call sends many messages instead of one.
type Streaming uint8

// What a schema says by (streaming: "…"); StreamingNone is what it says by nothing.
const (
	StreamingNone Streaming = iota
	StreamingClient
	StreamingServer
	StreamingBidi
)

// String is the word that schemas use.
func (s Streaming) String() string {
	switch s {
	case StreamingNone:
		return "none"
	case StreamingClient:
		return "client"
	case StreamingServer:
		return "server"
	case StreamingBidi:
		return "bidi"
	}
	return "unknown"
}

// Registrar is what generated code registers services with: a *Server.
type Registrar interface {
	Register(Service) error
}

// ServiceOption changes how one service is served by RegisterXServer, or called by NewXClient. The zero
// value changes nothing.
type ServiceOption struct {
	unverified bool
	method     string // whose filters these are; empty: every method's
	filters    []Filter
}

// Unverified leaves the payloads of one service unchecked, for peers that are trusted to send nothing
// but what smfc's or flatc's code has built: a server's requests, or a client's replies. What is read
// from a payload that is not well-formed may then be wrong (but never is what lies outside of it), or end
// in a panic: of whoever called, in a client; in a server it is a 500 for the call and a line in the log.
//
// It saves the check, which grows with what a payload holds. When in doubt, leave it out.
func Unverified() ServiceOption { return ServiceOption{unverified: true} }

// Filters puts filters around every method of one service, the first one outermost. Given more than once,
// the later ones are inside.
func Filters(filters ...Filter) ServiceOption { return ServiceOption{filters: filters} }

// MethodFilters puts filters around one method of a service, by the name that the schema gives it: "Get".
// The first one is the outermost. A name that is none of the service's is an error: of RegisterXServer, or
// of every call of the client.
func MethodFilters(method string, filters ...Filter) ServiceOption {
	return ServiceOption{method: method, filters: filters}
}

// anyUnverified says whether one of the options is Unverified.
func anyUnverified(options []ServiceOption) bool {
	for _, o := range options {
		if o.unverified {
			return true
		}
	}
	return false
}

// filtersOf are the filters of the options: those of every method, and those of some by the method's name.
func filtersOf(options []ServiceOption) (ofAll []Filter, ofMethod map[string][]Filter) {
	ofMethod = map[string][]Filter{}
	for _, o := range options {
		if o.method == "" {
			ofAll = append(ofAll, o.filters...)
		} else {
			ofMethod[o.method] = append(ofMethod[o.method], o.filters...)
		}
	}
	return ofAll, ofMethod
}

// knownMethods is an error when filters are given to a method that is not there.
func knownMethods(filters map[string][]Filter, methods []Method) error {
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		if slices.ContainsFunc(methods, func(m Method) bool { return m.Name == name }) {
			continue
		}
		if len(methods) == 0 {
			return fmt.Errorf("rpc: MethodFilters(%q): the generated client does not tell its methods; run smfc again", name)
		}
		var names []string
		for i := range methods {
			names = append(names, methods[i].Name)
		}
		return fmt.Errorf("rpc: MethodFilters(%q): there is no such method; there are %s", name, strings.Join(names, ", "))
	}
	return nil
}
