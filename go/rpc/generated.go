package rpc

import (
	"errors"
	"slices"
)

// What follows is for the code that smfc generates.

// RegisterService registers a service that a schema describes, with a handler for each of its methods,
// in their order. For generated code: messages name the place that has called RegisterService's caller.
func RegisterService(r Registrar, service Service, options []ServiceOption, handlers ...Handler) error {
	service.at = callerOf(2)
	if len(handlers) != len(service.Methods) {
		return errors.New("rpc: " + service.label() + ": it was changed after smfc wrote it; leave it as it was generated")
	}
	service.Methods = slices.Clone(service.Methods)
	unverified := anyUnverified(options)
	for i := range service.Methods {
		m := &service.Methods[i]
		m.Handle = handlers[i]
		if unverified {
			m.Verify = nil
		}
	}
	return r.Register(service)
}
