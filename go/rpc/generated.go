package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// What follows is for the code that smfc generates.

// Generated1 is named by generated code with services. Where the compiler says that it is undefined, or
// not constant, or that rpc.Generated4 is undefined, smfc and this package are of different versions:
// run smfc again, by "go run github.com/smf-go/smf/go/cmd/smfc" or "go tool smfc", which take the
// version that go.mod names; or change that version, by "go get".
//
// When generated code calls something new here, it names a constant more, with the next number. When
// what older generated code calls goes away, or means something else, its constant becomes a variable of
// the type RunSmfcAgain, so that the compiler's message says it.
const Generated1 = 1

// Generated2 is Generated1's next: generated clients say which service they call (NewServiceStub).
const Generated2 = 2

// Generated3 is Generated2's next: services with methods that stream (RegisterStreamingService and what
// OpenBidiStream stands by).
const Generated3 = 3

// RegisterService registers a service that a schema describes, with a handler for each of its methods,
// in their order. For generated code: messages name the place that has called RegisterService's caller.
func RegisterService(r Registrar, service Service, options []ServiceOption, handlers ...Handler) error {
	service.at = callerOf(2)
	all := make([]MethodHandler, len(handlers))
	for i := range handlers {
		all[i].Handle = handlers[i]
	}
	return registerService(r, service, options, all)
}

// RegisterStreamingService is RegisterService for a service with methods that stream.
func RegisterStreamingService(r Registrar, service Service, options []ServiceOption, handlers ...MethodHandler) error {
	service.at = callerOf(2)
	return registerService(r, service, options, handlers)
}

func registerService(r Registrar, service Service, options []ServiceOption, handlers []MethodHandler) error {
	if len(handlers) != len(service.Methods) {
		return errors.New("rpc: " + service.label() + ": it was changed after smfc wrote it; leave it as it was generated")
	}
	service.Methods = slices.Clone(service.Methods)
	unverified := anyUnverified(options)
	ofAll, ofMethod := filtersOf(options)
	if err := knownMethods(ofMethod, service.Methods); err != nil {
		return fmt.Errorf("%w (%s)", err, service.label())
	}
	service.Filters = slices.Concat(service.Filters, ofAll)
	for i := range service.Methods {
		m := &service.Methods[i]
		m.Handle, m.HandleStream = handlers[i].Handle, handlers[i].HandleStream
		m.Filters = slices.Concat(m.Filters, ofMethod[m.Name])
		if unverified {
			m.Verify = nil
		}
	}
	return r.Register(service)
}

// Stub is what a generated client calls through. Make it with NewServiceStub.
type Stub struct {
	caller     Caller
	unverified bool
	filters    *stubFilters // nil: there are none
}

// NewServiceStub makes a stub for a service that calls through c. Filters are put together here, once.
func NewServiceStub(c Caller, service Service, options ...ServiceOption) Stub {
	return newStub(c, service.Name, service.Methods, options)
}

// NewStub is NewServiceStub for a service that is not described: filters see ids only. Code that was
// generated before Generated2 calls it.
func NewStub(c Caller, options ...ServiceOption) Stub { return newStub(c, "", nil, options) }

// CallTable calls a method with a finished builder, and looks at the reply as a table. A reply that
// verify refuses is an error with code 400, unless the stub is Unverified. A nil builder is an error.
//
// Cost: none beyond Caller.Call's and verify's; it allocates for errors only.
func CallTable[T any](ctx context.Context, s *Stub, methodID uint32, req *flatbuffers.Builder, verify func([]byte) error) (Result[T], error) {
	if req == nil {
		return Result[T]{}, errors.New("rpc: the request is nil; give a finished builder")
	}
	m, err := s.call(ctx, methodID, req.FinishedBytes())
	if err != nil {
		return Result[T]{}, err
	}
	if !s.unverified {
		if err := verify(m.payload); err != nil {
			return Result[T]{}, m.malformed(err)
		}
	}
	return Result[T]{message: m, view: View[T](m)}, nil
}

// CallInto calls a method with what pack builds, and gives the reply to unpack, which must not keep it.
// These are functions so that the objects of whoever calls can stay on the stack.
//
// Cost: as CallTable, and what pack and unpack allocate.
func CallInto[T any](ctx context.Context, s *Stub, methodID uint32, pack func(*flatbuffers.Builder) flatbuffers.UOffsetT,
	unpack func(*T), verify func([]byte) error) error {
	b := GetBuilder()
	b.Finish(pack(b))
	result, err := CallTable[T](ctx, s, methodID, b, verify)
	PutBuilder(b)
	if err != nil {
		return err
	}
	unpack(result.view)
	result.message.Release()
	return nil
}
