package rpc_test

import (
	"context"
	"errors"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// What generated code consists of, for the method Get of the demo service.

var getterService = rpc.Service{
	Name:    "SmfStorage",
	Package: "smf_gen.demo",
	Source:  "smf_demo.fbs",
	Schema:  demo.SmfDemoSchema,
	Methods: []rpc.Method{
		{
			Name:   "Get",
			In:     "smf_gen.demo.Request",
			Out:    "smf_gen.demo.Response",
			ID:     demo.SmfStorageGetMethodID,
			Verify: demo.VerifyRequest,
		},
	},
}

type getterServer interface {
	Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error
}

func registerGetterServer(r rpc.Registrar, impl getterServer, options ...rpc.ServiceOption) error {
	if impl == nil {
		return errors.New("registerGetterServer: the implementation is nil")
	}
	return rpc.RegisterService(r, getterService, options,
		func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
			return impl.Get(ctx, rpc.View[demo.Request](req), reply)
		},
	)
}

// getter answers with the name that it was asked with.
type getter func(ctx context.Context, req *demo.Request, reply *rpc.Reply) error

func (g getter) Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	return g(ctx, req, reply)
}

func echoName(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}
