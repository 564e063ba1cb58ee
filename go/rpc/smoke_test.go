package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

type store struct {
	demo.UnimplementedSmfStorageServer
}

func (store) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	b := reply.Builder()
	name := b.CreateByteString(req.Name())
	demo.ResponseStart(b)
	demo.ResponseAddName(b, name)
	return reply.Finish(demo.ResponseEnd(b))
}

func (store) Put(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
	time.Sleep(5 * time.Millisecond)
	return reply.Bytes(req.Table().Bytes)
}

func TestCallReachesHandler(t *testing.T) {
	c := rpctest.NewPair(t, func(r rpc.Registrar) error { return demo.RegisterSmfStorageServer(r, store{}) })
	storage := demo.NewSmfStorageClient(c)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for range 3 {
		var reply demo.ResponseT
		require.NoError(t, storage.GetInto(ctx, &demo.RequestT{Name: "x"}, &reply))
		require.Equal(t, "x", reply.Name)
	}
	for range 10 {
		var reply demo.ResponseT
		require.NoError(t, storage.PutInto(ctx, &demo.RequestT{Name: "slow"}, &reply))
	}
	var reply demo.ResponseT
	require.ErrorIs(t, storage.FireInto(ctx, &demo.RequestT{Name: "x"}, &reply), rpc.ErrNotImplemented)
}
