package tracing_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/go/rpc/filters/tracing"
	"github.com/smf-go/smf/schema/demo"
)

// traced is a filter, and the spans that it has ended.
func traced() (rpc.Filter, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	return tracing.New(tracing.Options{Provider: sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))}), recorder
}

// ended waits for so many spans: a reply may reach its caller before the server's ends.
func ended(t *testing.T, r *tracetest.SpanRecorder, count int) []sdk.ReadOnlySpan {
	t.Helper()
	require.Eventually(t, func() bool { return len(r.Ended()) >= count }, filtertest.Patience, time.Millisecond)
	return r.Ended()
}

func status(span sdk.ReadOnlySpan) int64 {
	for _, a := range span.Attributes() {
		if a.Key == attribute.Key("rpc.smf.status") {
			return a.Value.AsInt64()
		}
	}
	return 0
}

// Every call has its span, whichever way it ends: also by a promise and by a panic.
func TestEveryCallHasItsSpan(t *testing.T) {
	store := &filtertest.Store{OnGet: func(ctx context.Context, req *demo.Request, reply *rpc.Reply) error {
		if !trace.SpanFromContext(ctx).IsRecording() {
			return rpc.Errorf(rpc.CodePrecondition, "the handler's context has no span")
		}
		switch string(req.Name()) {
		case "conflict":
			return rpc.Errorf(rpc.CodeConflict, "no")
		case "panic":
			panic("as it was asked to")
		case "later":
			d := reply.Defer()
			time.AfterFunc(20*time.Millisecond, func() { d.Object(&demo.ResponseT{}) })
			return nil
		}
		return demo.ReplyResponse(reply, req.Name())
	}}
	serverFilter, server := traced()
	clientFilter, client := traced()
	c := filtertest.Dial(t, filtertest.Serve(t, store, serverFilter), clientFilter)
	for i, want := range []struct {
		name           string
		code           rpc.Code
		server, client codes.Code
	}{
		{"x", rpc.CodeOK, codes.Unset, codes.Unset},
		{"conflict", rpc.CodeConflict, codes.Unset, codes.Error},
		{"panic", rpc.CodeInternal, codes.Error, codes.Error},
		{"later", rpc.CodeOK, codes.Unset, codes.Unset},
	} {
		_, err := filtertest.Get(t, c, want.name)
		require.Equal(t, want.code, rpc.CodeOf(err), "%v", err)
		inServer, inClient := ended(t, server, i+1)[i], ended(t, client, i+1)[i]
		for _, span := range []sdk.ReadOnlySpan{inServer, inClient} {
			require.Equal(t, "SmfStorage.Get", span.Name())
			require.EqualValues(t, want.code, status(span))
		}
		require.Equal(t, trace.SpanKindServer, inServer.SpanKind())
		require.Equal(t, trace.SpanKindClient, inClient.SpanKind())
		require.Equal(t, want.server, inServer.Status().Code, want.name)
		require.Equal(t, want.client, inClient.Status().Code, want.name)
		if want.name == "later" {
			require.GreaterOrEqual(t, inServer.EndTime().Sub(inServer.StartTime()), 20*time.Millisecond)
		}
	}
}

// The metadata that a client would send names its span, and whoever gets it has that span as parent.
func TestTheParentIsMetadata(t *testing.T) {
	clientFilter, client := traced()
	sent := ""
	note := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		sent = call.RequestMetadata().Get("traceparent")
		return next(ctx, call)
	}
	address := filtertest.Serve(t, &filtertest.Store{})
	_, err := filtertest.Put(t, filtertest.Dial(t, address, clientFilter, note), "x")
	require.NoError(t, err)
	span := ended(t, client, 1)[0].SpanContext()
	require.Equal(t, fmt.Sprintf("00-%s-%s-01", span.TraceID(), span.SpanID()), sent)

	serverFilter, server := traced()
	arrived := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if err := call.RequestMetadata().Set("traceparent", sent); err != nil {
			return err
		}
		return next(ctx, call)
	}
	_, err = filtertest.Put(t, filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, arrived, serverFilter)), "x")
	require.NoError(t, err)
	child := ended(t, server, 1)[0]
	require.Equal(t, span.SpanID(), child.Parent().SpanID())
	require.Equal(t, span.TraceID(), child.SpanContext().TraceID())
}

// Without metadata that travels, or with nonsense in it, the call is served, and the server's span begins a trace.
func TestWithoutAParent(t *testing.T) {
	for _, parent := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		serverFilter, server := traced()
		arrived := func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
			if parent != "" {
				_ = call.RequestMetadata().Set("traceparent", parent)
			}
			return next(ctx, call)
		}
		_, err := filtertest.Put(t, filtertest.Dial(t, filtertest.Serve(t, &filtertest.Store{}, arrived, serverFilter)), "x")
		require.NoError(t, err)
		span := ended(t, server, 1)[0]
		require.False(t, span.Parent().IsValid())
		require.True(t, span.SpanContext().IsValid())
	}
}
