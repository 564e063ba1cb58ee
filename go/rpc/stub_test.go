package rpc_test

import (
	"context"
	"errors"
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

// What generated code consists of, for the method Get of the demo service.

const _ = rpc.Generated2

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

type getterClient struct {
	stub rpc.Stub
}

func newGetterClient(c rpc.Caller, options ...rpc.ServiceOption) *getterClient {
	return &getterClient{rpc.NewServiceStub(c, getterService, options...)}
}

func (c *getterClient) Get(ctx context.Context, req *flatbuffers.Builder) (rpc.Result[demo.Response], error) {
	return rpc.CallTable[demo.Response](ctx, &c.stub, demo.SmfStorageGetMethodID, req, demo.VerifyResponse)
}

func (c *getterClient) GetInto(ctx context.Context, req *demo.RequestT, out *demo.ResponseT) error {
	if req == nil || out == nil {
		return errors.New("getterClient.GetInto: req or out is nil")
	}
	return rpc.CallInto(ctx, &c.stub, demo.SmfStorageGetMethodID, req.Pack,
		func(reply *demo.Response) { reply.UnPackTo(out) }, demo.VerifyResponse)
}

// getter answers with the name that it was asked with.
type getter func(ctx context.Context, req *demo.Request, reply *rpc.Reply) error

func (g getter) Get(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	return g(ctx, req, reply)
}

func echoName(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}

func TestStub(t *testing.T) {
	c := rpctest.NewPair(t, func(r rpc.Registrar) error { return registerGetterServer(r, getter(echoName)) })
	getter := newGetterClient(c)
	var out demo.ResponseT
	require.NoError(t, getter.GetInto(patient(t), &demo.RequestT{Name: "object"}, &out))
	require.Equal(t, "object", out.Name)

	b := rpc.GetBuilder()
	defer rpc.PutBuilder(b)
	b.Finish((&demo.RequestT{Name: "table"}).Pack(b))
	result, err := getter.Get(patient(t), b)
	require.NoError(t, err)
	require.Equal(t, "table", string(result.Table().Name()))
	result.Release()

	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = getter.Get(ended, b)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, getter.GetInto(ended, &demo.RequestT{}, &out), context.Canceled)

	_, err = getter.Get(patient(t), nil)
	require.EqualError(t, err, "rpc: the request is nil; give a finished builder")
}

// The objects that are called with stay where their owner has them, and nothing else is allocated: the one
// allocation of GetInto is the reply's name.
func TestAStubDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const calls = 20_000
	c := rpctest.NewPair(t, func(r rpc.Registrar) error { return registerGetterServer(r, getter(echoName)) })
	getter := newGetterClient(c)
	ctx := context.Background()
	b := rpc.GetBuilder()
	b.Finish((&demo.RequestT{Name: "Hello, smf-world!"}).Pack(b))
	var failure error
	tables := func() {
		for range calls {
			result, err := getter.Get(ctx, b)
			if err != nil {
				failure = err
				return
			}
			result.Release()
		}
	}
	objects := func() {
		for range calls {
			var out demo.ResponseT
			if err := getter.GetInto(ctx, &demo.RequestT{Name: "Hello, smf-world!"}, &out); err != nil {
				failure = err
				return
			}
		}
	}
	tables()
	objects()
	ofTables, ofObjects := allocations(tables), allocations(objects)
	require.NoError(t, failure)
	require.Less(t, ofTables/calls, allocationsMax)
	require.Less(t, ofObjects/calls, 1+allocationsMax)
}
