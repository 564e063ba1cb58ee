package rpc_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/rpctest"
	"github.com/smf-go/smf/schema/demo"
)

// passes is the least that a filter does.
func passes(ctx context.Context, call *rpc.Call, next rpc.Next) error { return next(ctx, call) }

func ends(_ *rpc.Call, err error) error { return err }

// works does what a filter may do to every call, on either side.
func works(ctx context.Context, call *rpc.Call, next rpc.Next) error {
	call.OnDone(ends)
	payload := call.Buffer(len(call.Payload()))
	copy(payload, call.Payload())
	call.SetPayload(payload, rpc.CompressionNone)
	if err := call.RequestMetadata().Set("filter", "works"); err != nil {
		return err
	}
	if err := next(ctx, call); err != nil {
		return err
	}
	reply := call.Buffer(len(call.ReplyPayload()))
	copy(reply, call.ReplyPayload())
	call.SetReply(reply, rpc.CompressionNone)
	return nil
}

func repeated(filter rpc.Filter, count int) (filters []rpc.Filter) {
	for range count {
		filters = append(filters, filter)
	}
	return filters
}

func filteredServer(t testing.TB, filters []rpc.Filter) *batchLoad {
	_, address := startDemo(t, rpc.ServerOptions{Filters: filters})
	load := newBatchLoad(t, address, demo.SmfStorageGetMethodID, string(demoRequest("Hello, smf-world!")))
	require.NoError(t, load.run(10_000))
	return load
}

func TestFiltersDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, test := range []struct {
		name    string
		filters []rpc.Filter
	}{{"none", nil}, {"one", repeated(passes, 1)}, {"four", repeated(passes, 4)}, {"four that work", repeated(works, 4)}} {
		t.Run("server "+test.name, func(t *testing.T) {
			const calls = 50_000
			load := filteredServer(t, test.filters)
			var err error
			count := allocations(func() { err = load.run(calls) })
			require.NoError(t, err)
			require.Less(t, count/calls, allocationsMax, "%v allocations in %d calls", count, calls)
		})
		t.Run("client "+test.name, func(t *testing.T) {
			const calls = 20_000
			server := rpctest.NewPair(t, func(r rpc.Registrar) error { return registerGetterServer(r, getter(echoName)) })
			plain := newGetterClient(server, rpc.MethodFilters("Get", test.filters...))
			_, address := startDemo(t, rpc.ServerOptions{})
			filtered := newGetterClient(dialWith(t, address, rpc.ClientOptions{Filters: test.filters}))
			b := rpc.GetBuilder()
			b.Finish((&demo.RequestT{Name: "Hello, smf-world!"}).Pack(b))
			for what, getter := range map[string]*getterClient{"method": plain, "client": filtered} {
				var failure error
				run := func() {
					for range calls {
						result, err := getter.Get(context.Background(), b)
						if err != nil {
							failure = err
							return
						}
						if len(result.Table().Name()) != 17 {
							failure = rpc.ErrNotFound
						}
						result.Release()
					}
				}
				run()
				count := allocations(run)
				require.NoError(t, failure)
				require.Less(t, count/calls, allocationsMax, "%s: %v allocations in %d calls", what, count, calls)
			}
		})
	}
}

// Batches of 64 calls on one connection; an operation is one call.
func benchmarkServer(b *testing.B, filters int) {
	load := filteredServer(b, repeated(passes, filters))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run(b.N))
}

func BenchmarkServerFilterNone(b *testing.B) { benchmarkServer(b, 0) }
func BenchmarkServerFilterOne(b *testing.B)  { benchmarkServer(b, 1) }
func BenchmarkServerFilterFour(b *testing.B) { benchmarkServer(b, 4) }

// 1000 goroutines on one client; an operation is one call.
func benchmarkClient(b *testing.B, filters int) {
	_, address := startDemo(b, rpc.ServerOptions{})
	c := dialWith(b, address, rpc.ClientOptions{Filters: repeated(passes, filters)})
	load := newCallerLoad(b, c, 1000, b.N/1000+1)
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, load.run())
}

func BenchmarkClientFilterNone(b *testing.B) { benchmarkClient(b, 0) }
func BenchmarkClientFilterOne(b *testing.B)  { benchmarkClient(b, 1) }
func BenchmarkClientFilterFour(b *testing.B) { benchmarkClient(b, 4) }

// The same without a server: what is called through answers at once. Only filters and the stub are left.
type answersAtOnce struct{ reply *rpc.Message }

func (a answersAtOnce) Call(context.Context, uint32, []byte) (*rpc.Message, error) {
	return a.reply, nil
}

func benchmarkFilter(b *testing.B, filter rpc.Filter, filters int) {
	_, address := startDemo(b, rpc.ServerOptions{})
	reply, err := dial(b, address).Call(patient(b), demo.SmfStorageGetMethodID, demoRequest("Hello, smf-world!"))
	require.NoError(b, err)
	getter := newGetterClient(answersAtOnce{reply}, rpc.Filters(repeated(filter, filters)...))
	request := rpc.GetBuilder()
	request.Finish((&demo.RequestT{Name: "Hello, smf-world!"}).Pack(request))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := getter.Get(ctx, request); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFilterNone(b *testing.B) { benchmarkFilter(b, passes, 0) }
func BenchmarkFilterOne(b *testing.B)  { benchmarkFilter(b, passes, 1) }
func BenchmarkFilterFour(b *testing.B) { benchmarkFilter(b, passes, 4) }
func BenchmarkFilterOnDone(b *testing.B) {
	benchmarkFilter(b, func(ctx context.Context, call *rpc.Call, next rpc.Next) error {
		call.OnDone(ends)
		return next(ctx, call)
	}, 1)
}
