// Package tracing makes OpenTelemetry spans of calls, on both sides, and joins them: the client's span travels as
// metadata ("traceparent" and "tracestate", as W3C Trace Context has them), and is the parent of the server's.
//
// Metadata travels at level 2 of the wire format. At level 1 both sides have their spans, and the server's has no parent: it
// begins a trace of its own.
package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/smf-go/smf/go/rpc"
)

const scope = "github.com/smf-go/smf/go/rpc/filters/tracing"

// Options of New. The zero value is a good one.
type Options struct {
	// Provider makes the tracer. nil: otel.GetTracerProvider().
	Provider trace.TracerProvider
	// Propagator writes and reads the metadata. nil: propagation.TraceContext, whatever otel's global
	// one is.
	Propagator propagation.TextMapPropagator
}

type filter struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// New makes a filter for servers and for clients: outermost, so that the span covers the others. A
// promised reply ends its span when it is there.
//
// A span is named as the method, "SmfStorage.Get", and has rpc.system ("smf"), rpc.service, rpc.method and
// rpc.smf.status. Its status is an error for every call that failed, in a client; in a server for those that
// failed by its fault: 500 and above.
//
// Cost: what OpenTelemetry's spans cost, about a microsecond, and its allocations.
func New(options Options) rpc.Filter {
	provider := options.Provider
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	f := &filter{tracer: provider.Tracer(scope), propagator: options.Propagator}
	if f.propagator == nil {
		f.propagator = propagation.TraceContext{}
	}
	return func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		if call.Side() == rpc.SideClient {
			return f.client(ctx, call, next)
		}
		return f.server(ctx, call, next)
	}
}

func (f *filter) server(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	ctx = f.propagator.Extract(ctx, carrier{call.RequestMetadata()})
	ctx, span := f.start(ctx, call, trace.SpanKindServer)
	call.OnDone(func(_ *rpc.Call, err error) error { // also when a handler has panicked
		end(span, err, rpc.CodeOf(err) >= rpc.CodeInternal)
		return err
	})
	return next(ctx, call)
}

func (f *filter) client(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	ctx, span := f.start(ctx, call, trace.SpanKindClient)
	f.propagator.Inject(ctx, carrier{call.RequestMetadata()})
	call.OnDone(func(_ *rpc.Call, err error) error {
		end(span, err, err != nil)
		return err
	})
	return next(ctx, call)
}

func (f *filter) start(ctx context.Context, call *rpc.Call, kind trace.SpanKind) (context.Context, trace.Span) {
	method := call.Method()
	return f.tracer.Start(ctx, call.Name(), trace.WithSpanKind(kind), trace.WithAttributes(
		attribute.String("rpc.system", "smf"), attribute.String("rpc.service", call.Service()),
		attribute.String("rpc.method", method.Name), attribute.Int64("rpc.smf.method_id", int64(method.ID))))
}

func end(span trace.Span, err error, failed bool) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("rpc.smf.status", int(rpc.CodeOf(err))))
		if failed {
			span.SetStatus(codes.Error, text(err))
		}
	}
	span.End()
}

func text(err error) string {
	var failure *rpc.Error
	if errors.As(err, &failure) && failure.Message == "" {
		return failure.Code.String()
	}
	return err.Error()
}

// carrier is metadata for propagators, whose keys are lower case already. What metadata has no room for
// does not travel, which a call must not fail for.
type carrier struct{ metadata *rpc.Metadata }

// Get is the first value of a key.
func (c carrier) Get(key string) string { return c.metadata.Get(key) }

// Set replaces a key's values.
func (c carrier) Set(key, value string) { _ = c.metadata.Set(key, value) }

// Keys are those of all entries.
func (c carrier) Keys() []string {
	keys := make([]string, 0, c.metadata.Len())
	for key := range c.metadata.All() {
		keys = append(keys, key)
	}
	return keys
}
