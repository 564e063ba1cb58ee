package filters_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/accesslog"
	"github.com/smf-go/smf/go/rpc/filters/bearer"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/lz4"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
	"github.com/smf-go/smf/go/rpc/filters/concurrency"
	"github.com/smf-go/smf/go/rpc/filters/deadline"
	"github.com/smf-go/smf/go/rpc/filters/internal/filtertest"
	"github.com/smf-go/smf/go/rpc/filters/ratelimit"
	"github.com/smf-go/smf/go/rpc/filters/recovery"
	"github.com/smf-go/smf/go/rpc/filters/retry"
	"github.com/smf-go/smf/go/rpc/filters/tracing"
	"github.com/smf-go/smf/schema/demo"
)

var small = make([]byte, 64)

// answer ends a call where the exchange with a server would begin: what is measured is what is around it.
func answer(_ context.Context, call *rpc.Call, _ rpc.Next) error {
	call.SetReply(small, rpc.CompressionNone)
	return nil
}

// token is in a request's metadata, as a server finds it.
func token(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	if err := call.RequestMetadata().Set("authorization", "Bearer secret"); err != nil {
		return err
	}
	return next(ctx, call)
}

// words are compressed to about a half.
func words(size int) []byte {
	text := make([]byte, 0, size+64)
	for n := uint32(1); len(text) < size; n = n*1664525 + 1013904223 {
		text = append(text, "a call of somebody "[:4+n>>28]...)
		text = append(text, byte('a'+n>>24%26), byte('a'+n>>16%26), byte('a'+n>>20%26), ' ')
	}
	return text[:size]
}

func compressing(b *testing.B, codec compress.Codec, err error) rpc.Filter {
	if err != nil {
		b.Fatal(err)
	}
	filter, err := compress.New(compress.Options{Send: codec})
	if err != nil {
		b.Fatal(err)
	}
	return filter
}

// BenchmarkShippedFilters is what each filter costs a call: the difference to "none", which is a call through one
// filter that answers it.
func BenchmarkShippedFilters(b *testing.B) {
	address := filtertest.Serve(b, &filtertest.Store{})
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	fast, zstdErr := zstd.New(zstd.LevelDefault)
	faster, lz4Err := lz4.New(lz4.LevelFast)
	large := words(16 << 10)
	for _, c := range []struct {
		name    string
		payload []byte
		filters []rpc.Filter
	}{
		{"none", small, nil},
		{"compress/small", small, []rpc.Filter{compressing(b, fast, zstdErr)}},
		{"compress/zstd-16KiB", large, []rpc.Filter{compressing(b, fast, zstdErr)}},
		{"compress/lz4-16KiB", large, []rpc.Filter{compressing(b, faster, lz4Err)}},
		{"deadline", small, []rpc.Filter{deadline.Within(time.Minute)}},
		{"concurrency", small, []rpc.Filter{concurrency.PerMethod(100)}},
		{"ratelimit", small, []rpc.Filter{ratelimit.PerMethod(1e12, 1<<30)}},
		{"retry", small, []rpc.Filter{retry.New(retry.Options{})}},
		{"recovery", small, []rpc.Filter{recovery.New(recovery.Options{})}},
		{"accesslog", small, []rpc.Filter{accesslog.New(accesslog.Options{Logger: quiet})}},
		{"accesslog/every", small, []rpc.Filter{accesslog.New(accesslog.Options{Logger: quiet, Every: 1})}},
		{"bearer/send", small, []rpc.Filter{bearer.Send(bearer.Static("secret"))}},
		{"bearer/metadata-alone", small, []rpc.Filter{token}},
		{"bearer/require", small, []rpc.Filter{token, bearer.Require(bearer.Tokens("secret", "another"))}},
		{"tracing", small, []rpc.Filter{tracing.New(tracing.Options{Provider: sdk.NewTracerProvider()})}},
		{"tracing/not-sampled", small, []rpc.Filter{tracing.New(tracing.Options{Provider: sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))})}},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := filtertest.Dial(b, address, append(c.filters, answer)...)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				m, err := client.Call(ctx, demo.SmfStoragePutMethodID, c.payload)
				if err != nil {
					b.Fatal(err)
				}
				m.Release()
			}
		})
	}
}
