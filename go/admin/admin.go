// Package admin serves what operators look at over HTTP: health, metrics, counters; settings and
// profiles when asked to.
//
// There is no authentication: whoever reaches the address sees everything. Listen keeps to this machine
// unless it is told otherwise; whatever is in between has to ask who is there.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/smf-go/smf/go/rpc"
)

// Bounds of a request. Profiles and traces are written while they are taken, so a reply may last long.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 2 * time.Minute
	idleTimeout    = time.Minute
	headerBytesMax = 16 << 10
	scrapesMax     = 4 // at once; more are answered 503
)

const index = `smf admin

/healthz       200 while the process answers: restart it when it does not
/readyz        200 while calls are served; 503 before, while the server drains, and after
/metrics       for Prometheus; docs/metrics.md says what they mean
/stats         the same counters for people, as JSON
`

// What is listed only with its option.
const (
	indexConfig   = "/config        what the server runs with, defaults filled in, as JSON\n"
	indexProfiles = "/debug/pprof/  profiles of the process\n"
)

// Source is what is looked at: a *rpc.Server.
type Source interface {
	Engine() string
	Stats() rpc.Stats
	Settings() rpc.Settings
	Ready() error
}

// Options of an admin server. The zero value serves health and metrics.
type Options struct {
	Version  string // of the program, told to whoever asks
	Profiles bool   // serve /debug/pprof/: whoever reaches it can slow the process down
	Config   bool   // serve /config: addresses, limits, methods
}

// Server is the admin server of one rpc.Server. Its methods may be called from any goroutine.
type Server struct {
	source   Source
	options  Options
	start    time.Time
	draining atomic.Bool
	http     http.Server
}

// New makes an admin server for source. Nothing listens yet.
func New(source Source, options Options) *Server {
	s := &Server{source: source, options: options, start: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /stats", s.stats)
	mux.Handle("GET /metrics", s.metrics())
	if options.Config {
		mux.HandleFunc("GET /config", s.config)
	}
	if options.Profiles {
		// By name, not by the side effect of importing net/http/pprof: that is for http.DefaultServeMux.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // addresses in the body
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytesMax,
	}
	return s
}

// Serve answers requests on a listener until Shutdown, and returns nil then. The listener is closed.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain makes /readyz answer 503 from now on, so that load balancers look elsewhere before the server
// itself drains. /healthz stays: who drains is not to be killed.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown ends Serve: requests that are being answered have until ctx ends, then they are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	body := index
	if s.options.Config {
		body += indexConfig
	}
	if s.options.Profiles {
		body += indexProfiles
	}
	text(w, http.StatusOK, body)
}

// ready is nil while calls are served.
func (s *Server) ready() error {
	if s.draining.Load() {
		return rpc.ErrDraining
	}
	return s.source.Ready()
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	if err := s.ready(); err != nil {
		text(w, http.StatusServiceUnavailable, strings.TrimPrefix(err.Error(), "rpc: ")+"\n")
		return
	}
	text(w, http.StatusOK, "ready\n")
}

// metrics has a registry of its own: what other parts of the program register is theirs to serve.
func (s *Server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&collector{source: s.source, ready: s.ready, version: s.options.Version},
		NewClientCollector(),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapesMax})
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(value) // an error means that the peer has gone: nobody is left to be told
}
