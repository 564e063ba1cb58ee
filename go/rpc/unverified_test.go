package rpc_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

const malformed = "this is not a FlatBuffer"

// A malformed request reaches a handler only where its service is not verified.
func TestUnverifiedServer(t *testing.T) {
	for _, unverified := range []bool{false, true} {
		var options []rpc.ServiceOption
		if unverified {
			options = append(options, rpc.ServiceOption{}, rpc.Unverified())
		}
		var seen atomic.Pointer[string]
		c, server := rpctest.NewPairWith(t, rpc.ServerOptions{Cores: 1}, func(r rpc.Registrar) error {
			return registerGetterServer(r, getter(func(_ context.Context, req *demo.Request, reply *rpc.Reply) error {
				payload := string(req.Table().Bytes)
				seen.Store(&payload)
				return demo.ReplyResponse(reply, "served")
			}), options...)
		})
		m, err := c.Call(patient(t), demo.SmfStorageGetMethodID, []byte(malformed))
		settings := server.Settings()
		require.Equal(t, []rpc.ServiceSettings{{Name: "SmfStorage", Package: "smf_gen.demo", Source: "smf_demo.fbs", Verified: !unverified}},
			settings.Services)
		require.Equal(t, !unverified, settings.Methods[0].Verified)
		require.Equal(t, unverified, server.Services()[0].Methods[0].Verify == nil)
		require.NotNil(t, getterService.Methods[0].Verify, "the description stays as it is")
		if !unverified {
			require.EqualError(t, err, "rpc: 400 malformed request: the request is malformed: Request: root offset is out of range (at byte 0)")
			require.Nil(t, seen.Load(), "the handler has run")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, malformed, *seen.Load())
		m.Release()
	}
}

// What is wrong with a request is in the server's log, however often it comes.
func TestMalformedRequestsAreLogged(t *testing.T) {
	var log logText
	refuse := method(idWork, echo)
	refuse.Verify = demo.VerifyRequest
	_, address := start(t, rpc.ServerOptions{Logger: log.logger()}, refuse)
	c := dial(t, address)
	for range 50 {
		require.Equal(t, rpc.CodeBadRequest, fails(t, c, idWork, malformed).Code)
	}
	require.Eventually(t, func() bool { return len(log.lines("request refused: malformed")) > 0 },
		10*time.Second, time.Millisecond)
	lines := log.lines("request refused: malformed")
	require.Contains(t, lines[0], "Request: root offset is out of range")
	require.Less(t, len(lines), 10)
}

// One service's option is not another's.
func TestUnverifiedIsOfOneService(t *testing.T) {
	other := rpc.Service{Name: "Other", Methods: []rpc.Method{{Name: "Get", ID: idWork, Verify: demo.VerifyRequest}}}
	c, server := rpctest.NewPairWith(t, rpc.ServerOptions{Cores: 1}, func(r rpc.Registrar) error {
		if err := registerGetterServer(r, getter(echoName), rpc.Unverified()); err != nil {
			return err
		}
		return rpc.RegisterService(r, other, nil, echo)
	})
	require.Equal(t, rpc.CodeBadRequest, fails(t, c, idWork, malformed).Code)
	require.Equal(t, []rpc.ServiceSettings{{Name: "Other", Verified: true},
		{Name: "SmfStorage", Package: "smf_gen.demo", Source: "smf_demo.fbs"}}, server.Settings().Services)
}

// A malformed reply reaches whoever called only where the client is not verified.
func TestUnverifiedClient(t *testing.T) {
	c := rpctest.NewPair(t, func(r rpc.Registrar) error {
		return r.Register(rpc.Service{Name: "SmfStorage", Methods: []rpc.Method{{Name: "Get", ID: demo.SmfStorageGetMethodID,
			Handle: func(_ context.Context, _ *rpc.Request, reply *rpc.Reply) error { return reply.Bytes([]byte(malformed)) }}}})
	})
	b := rpc.GetBuilder()
	defer rpc.PutBuilder(b)
	b.Finish((&demo.RequestT{Name: "x"}).Pack(b))

	_, err := newGetterClient(c).Get(patient(t), b)
	require.EqualError(t, err, "rpc: 400 malformed request: the reply is malformed: Response: root offset is out of range (at byte 0)")
	err = newGetterClient(c, rpc.ServiceOption{}).GetInto(patient(t), &demo.RequestT{}, &demo.ResponseT{})
	require.EqualError(t, err, "rpc: 400 malformed request: the reply is malformed: Response: root offset is out of range (at byte 0)")

	unverified := newGetterClient(c, rpc.Unverified())
	result, err := unverified.Get(patient(t), b)
	require.NoError(t, err)
	table := result.Table().Table()
	require.Equal(t, malformed, string(table.Bytes))
	result.Release()
	require.Panics(t, func() { _ = unverified.GetInto(patient(t), &demo.RequestT{}, &demo.ResponseT{}) })
	result, err = unverified.Get(patient(t), b)
	require.NoError(t, err, "the client goes on")
	result.Release()
}

// A length that was not verified does not reach what the memory held before: another caller's request.
func TestUnverifiedDoesNotSeeOthersRequests(t *testing.T) {
	service := getterService
	service.Methods = append([]rpc.Method(nil), service.Methods...)
	service.Methods[0].Slow = true // runs as a goroutine, with a copy of the request in memory that is used again
	c, _ := rpctest.NewPairWith(t, rpc.ServerOptions{Cores: 1, Logger: slog.New(slog.DiscardHandler)}, func(r rpc.Registrar) error {
		return rpc.RegisterService(r, service, []rpc.ServiceOption{rpc.Unverified()},
			func(ctx context.Context, req *rpc.Request, reply *rpc.Reply) error {
				return echoName(ctx, rpc.View[demo.Request](req), reply)
			})
	})
	getter := newGetterClient(c)
	secret := strings.Repeat("secret", 1000)
	payload := demo.RequestBytes(nil, "x")
	binary.LittleEndian.PutUint32(payload[20:], 1000) // the name's length
	for range 20 {
		var out demo.ResponseT
		require.NoError(t, getter.GetInto(patient(t), &demo.RequestT{Name: secret}, &out))
		require.Equal(t, rpc.CodeInternal, fails(t, c, demo.SmfStorageGetMethodID, string(payload)).Code)
	}
}
