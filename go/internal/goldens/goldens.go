// Package goldens lists the code that smfc generates from the golden schemas, so that tests can go through
// all of it. The list itself is generated: go test ./go/codegen -update.
package goldens

import (
	"context"

	"github.com/smf-go/smf/go/rpc"
)

// Table is what is generated for a table.
type Table struct {
	Name   string // "smf_test.unions.Circle"
	Schema string // the binary schema that it is declared in
	Verify func(payload []byte) error
	Root   func(payload []byte) any        // the table that a payload holds: a *unions.Circle
	UnPack func(payload []byte) rpc.Packer // the same as a plain struct: a *unions.CircleT
	Empty  func() rpc.Packer               // an empty plain struct
}

// Service is what is generated for a service.
type Service struct {
	Descriptor rpc.Service
	Schema     string // the binary schema that it is declared in
	// Register lets answer answer all methods.
	Register func(r rpc.Registrar, answer Answer) error
	// Call calls a method with a request and returns the reply, through the generated client.
	Call func(ctx context.Context, c rpc.Caller, method string, request rpc.Packer) (rpc.Packer, error)
}

// Answer makes the reply of a method.
type Answer func(method string, request rpc.Packer) (rpc.Packer, error)

func (a Answer) to(method string, request rpc.Packer, reply *rpc.Reply) error {
	out, err := a(method, request)
	if err != nil {
		return err
	}
	return reply.Object(out)
}
