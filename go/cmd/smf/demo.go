package main

import (
	"context"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// demoStore is the demo service: Get answers with the name that it was asked with, the rest with 501.
type demoStore struct {
	demo.UnimplementedSmfStorageServer
}

// Get builds its reply where it will be sent from.
func (demoStore) Get(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
	return demo.ReplyResponse(reply, req.Name())
}
