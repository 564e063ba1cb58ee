package admin

import (
	"math"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

// Stats is what /stats answers.
type Stats struct {
	Version       string
	Engine        string // which engine serves, and why that one
	UptimeSeconds float64
	Draining      bool
	Ready         bool
	Cores         []rpc.CoreStats
	Methods       []MethodStats
	Limits        []rpc.LimitStats
}

// MethodStats are a method's counters, for people.
type MethodStats struct {
	Service, Name            string
	Replies                  map[rpc.Code]uint64 // by status
	Latency, Handler         Summary
	Panics, Late, Goroutines uint64
	OffLoop                  bool
}

// Summary is a histogram in a few figures, in microseconds. Quantiles are up to a quarter too large.
type Summary struct {
	Count                               uint64
	MeanUs, P50Us, P90Us, P99Us, P999Us float64
}

func summary(h rpc.Histogram) Summary {
	micros := func(d time.Duration) float64 { return float64(d) / 1000 }
	return Summary{Count: h.Count, MeanUs: micros(h.Mean()), P50Us: micros(h.Quantile(0.5)), P90Us: micros(h.Quantile(0.9)),
		P99Us: micros(h.Quantile(0.99)), P999Us: micros(h.Quantile(0.999))}
}

func (s *Server) stats(w http.ResponseWriter, _ *http.Request) {
	counters := s.source.Stats()
	stats := Stats{
		Version:       s.options.Version,
		Engine:        s.source.Engine(),
		UptimeSeconds: time.Since(s.start).Seconds(),
		Draining:      s.draining.Load(),
		Ready:         s.ready() == nil,
		Cores:         counters.Cores,
		Limits:        counters.Limits,
	}
	for _, m := range counters.Methods {
		stats.Methods = append(stats.Methods, MethodStats{Service: m.Service, Name: m.Name, Replies: m.Replies,
			Latency: summary(m.Latency), Handler: summary(m.Handler), Panics: m.Panics, Late: m.Late,
			Goroutines: m.Goroutines, OffLoop: m.OffLoop})
	}
	writeJSON(w, stats)
}

// Config is what /config answers.
type Config struct {
	Version       string
	NativeVersion string
	Go            string
	GOMAXPROCS    int
	GoMemoryLimit any // bytes, or "none"
	Engine        string
	Addresses     []string
	Cores         int
	Net           string
	Spin          string
	Poll, Pin     bool
	MemoryBytes   int64 // of one core
	Limits        map[string]any
	Filters       int
	NoMethodStats bool
	Services      []rpc.ServiceSettings
	Methods       []MethodConfig
}

// MethodConfig is a registered method.
type MethodConfig struct {
	Service, Name              string
	In, Out                    string
	ID                         uint32
	Slow, Idempotent, Verified bool
	Timeout                    string
	Filters                    int
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	now := s.source.Settings()
	native, _ := rpc.NativeVersion()
	l := &now.Limits
	config := Config{
		Version: s.options.Version, NativeVersion: native, Go: runtime.Version(),
		GOMAXPROCS: runtime.GOMAXPROCS(0), GoMemoryLimit: memoryLimit(),
		Engine: now.Engine, Addresses: now.Addresses, Cores: now.Cores, Net: now.Net, Spin: now.Spin.String(),
		Poll: now.Poll, Pin: now.Pin, MemoryBytes: now.MemoryBytes,
		Limits: map[string]any{
			"FrameBytes": l.FrameBytes, "UnsentBytes": l.UnsentBytes, "InFlight": l.InFlight, "Running": l.Running,
			"Connections": l.Connections, "HeaderTimeout": l.HeaderTimeout.String(),
			"BodyTimeout": l.BodyTimeout.String(), "IdleTimeout": orNone(l.IdleTimeout),
			"SendTimeout": l.SendTimeout.String(),
		},
		Filters: now.Filters, NoMethodStats: now.NoMethodStats, Services: now.Services,
	}
	for _, m := range now.Methods {
		config.Methods = append(config.Methods, MethodConfig{Service: m.Service, Name: m.Name, In: m.In, Out: m.Out, ID: m.ID,
			Slow: m.Slow, Idempotent: m.Idempotent, Verified: m.Verified, Timeout: orNone(m.Timeout), Filters: m.Filters})
	}
	writeJSON(w, config)
}

// memoryLimit is the Go runtime's, where the greatest number there is stands for none.
func memoryLimit() any {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return "none"
}

func orNone(d time.Duration) string {
	if d == 0 {
		return "none"
	}
	return d.String()
}
