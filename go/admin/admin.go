// Package admin serves what operators look at over HTTP: health, counters, profiles.
//
// There is no authentication: whoever reaches the address sees everything. Listen on 127.0.0.1, or
// behind something that asks who is there.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/smf-go/smf/go/rpc"
)

// Bounds of a request. Profiles and traces are written while they are taken, so a reply may last long.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 2 * time.Minute
	idleTimeout    = time.Minute
	headerBytesMax = 16 << 10
)

const index = `smf admin

/healthz       200 while calls are served, 503 while the server drains
/stats         counters of every core, as JSON
/debug/pprof/  profiles of the process
`

// Source is what is looked at: a *rpc.Server.
type Source interface {
	Engine() string
	Stats() rpc.Stats
}

// Stats is what /stats answers.
type Stats struct {
	Version       string
	Engine        string // which engine serves, and why that one
	UptimeSeconds float64
	Draining      bool
	Cores         []rpc.CoreStats
}

// Server is the admin server of one rpc.Server. Its methods may be called from any goroutine.
type Server struct {
	source   Source
	version  string
	start    time.Time
	draining atomic.Bool
	http     http.Server
}

// New makes an admin server for source; version is told to whoever asks. Nothing listens yet.
func New(source Source, version string) *Server {
	s := &Server{source: source, version: version, start: time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /stats", s.stats)
	// By name, not by the side effect of importing net/http/pprof: that is for http.DefaultServeMux.
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol) // addresses in the body
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
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

// Drain makes /healthz answer 503 from now on, so that load balancers look elsewhere.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown ends Serve: requests that are being answered have until ctx ends, then they are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, index) }

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		text(w, http.StatusServiceUnavailable, "draining\n")
		return
	}
	text(w, http.StatusOK, "ok\n")
}

func (s *Server) stats(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// An error means that the peer has gone: nobody is left to be told.
	_ = encoder.Encode(Stats{
		Version:       s.version,
		Engine:        s.source.Engine(),
		UptimeSeconds: time.Since(s.start).Seconds(),
		Draining:      s.draining.Load(),
		Cores:         s.source.Stats().Cores,
	})
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}
