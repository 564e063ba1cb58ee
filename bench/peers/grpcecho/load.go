package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// A latency that is longer is recorded as this.
const latencyMax = 60 * time.Second

type loadOptions struct {
	address     string
	conns       int
	outstanding int
	payload     int
	seconds     float64
	warmup      float64
	json        bool
}

func load(args []string) error {
	var o loadOptions
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	flags.StringVar(&o.address, "address", "", "`HOST:PORT` to call")
	flags.IntVar(&o.conns, "conns", 1, "connections")
	flags.IntVar(&o.outstanding, "outstanding", 1, "callers on each connection")
	flags.IntVar(&o.payload, "payload", 60, "length of the string")
	flags.Float64Var(&o.seconds, "seconds", 1, "how long to measure")
	flags.Float64Var(&o.warmup, "warmup", 0.3, "how long to call before that")
	flags.BoolVar(&o.json, "json", false, "print JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.address == "" || o.conns < 1 || o.outstanding < 1 || o.payload < 1 || o.seconds <= 0 {
		return errors.New("load needs --address, and --conns, --outstanding, --payload, --seconds above 0")
	}
	result, err := callAll(o)
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	l := result.First.LatencyUS
	fmt.Printf("%.0f calls/s  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f us, client CPU %.0f %%\n",
		result.First.CallsPerSecond, l["p50"], l["p90"], l["p99"], l["p999"], l["max"], result.ClientCPU)
	return nil
}

// result is printed in the format of the C load client.
type result struct {
	Calls          int64   `json:"calls"`
	Seconds        float64 `json:"seconds"`
	CallsPerSecond float64 `json:"calls_per_second"`
	First          method  `json:"first"`
	Errors         int64   `json:"errors"`
	ClientCPU      float64 `json:"client_cpu_percent"`
	ServerCPU      float64 `json:"server_cpu_percent"`
}

type method struct {
	Calls          int64              `json:"calls"`
	CallsPerSecond float64            `json:"calls_per_second"`
	LatencyUS      map[string]float64 `json:"latency_us"`
}

// connection is what the callers of one connection share.
type connection struct {
	client  *grpc.ClientConn
	lock    sync.Mutex
	latency *hdrhistogram.Histogram // nanoseconds
}

type run struct {
	text     string
	from, to time.Time // replies between the two count
	failures atomic.Int64
	failure  atomic.Value // an error, the last one
}

func callAll(o loadOptions) (result, error) {
	conns := make([]*connection, o.conns)
	for i := range conns {
		client, err := grpc.NewClient(o.address,
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return result{}, err
		}
		defer client.Close()
		conns[i] = &connection{client: client, latency: hdrhistogram.New(1, int64(latencyMax), 3)}
	}
	r := &run{text: strings.Repeat("x", o.payload)}
	r.from = time.Now().Add(seconds(o.warmup))
	r.to = r.from.Add(seconds(o.seconds))
	ctx, cancel := context.WithDeadline(context.Background(), r.to.Add(5*time.Second))
	defer cancel()
	var callers sync.WaitGroup
	for _, c := range conns {
		for range o.outstanding {
			callers.Go(func() { r.call(ctx, c) })
		}
	}
	time.Sleep(time.Until(r.from))
	before := cpuTime()
	time.Sleep(time.Until(r.to))
	used := cpuTime() - before
	callers.Wait()
	if n := r.failures.Load(); n > 0 {
		return result{}, fmt.Errorf("%d calls failed, the last one: %w", n, r.failure.Load().(error))
	}
	return summary(o, conns, used), nil
}

// call calls one after the other until the time is over or a call fails.
func (r *run) call(ctx context.Context, c *connection) {
	for {
		in, out := wrapperspb.String(r.text), new(wrapperspb.StringValue)
		start := time.Now()
		err := c.client.Invoke(ctx, echoMethod, in, out)
		end := time.Now()
		if err == nil && out.GetValue() != r.text {
			err = errors.New("the reply is not the echo of the request")
		}
		if err != nil {
			r.failures.Add(1)
			r.failure.Store(fmt.Errorf("%w", err))
			return
		}
		if !end.Before(r.to) {
			return
		}
		if !end.Before(r.from) {
			c.lock.Lock()
			_ = c.latency.RecordValue(int64(min(end.Sub(start), latencyMax)))
			c.lock.Unlock()
		}
	}
}

func summary(o loadOptions, conns []*connection, used time.Duration) result {
	all := hdrhistogram.New(1, int64(latencyMax), 3)
	for _, c := range conns {
		all.Merge(c.latency)
	}
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	calls := all.TotalCount()
	perSecond := float64(calls) / o.seconds
	return result{
		Calls: calls, Seconds: o.seconds, CallsPerSecond: perSecond,
		First: method{Calls: calls, CallsPerSecond: perSecond, LatencyUS: map[string]float64{
			"p50":  us(all.ValueAtPercentile(50)),
			"p90":  us(all.ValueAtPercentile(90)),
			"p99":  us(all.ValueAtPercentile(99)),
			"p999": us(all.ValueAtPercentile(99.9)),
			"max":  us(all.Max()),
		}},
		ClientCPU: 100 * used.Seconds() / o.seconds,
		ServerCPU: -1,
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
