package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/admin"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/schema/demo"
)

// adminPatience is how long requests to the admin server may take to end when the program ends.
const adminPatience = time.Second

type serveOptions struct {
	demo         bool
	listen       []string
	admin        string
	adminOptions admin.Options
	drainTimeout time.Duration
	memory       size
	server       rpc.ServerOptions
	compress     compressOptions
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	command := &cobra.Command{
		Use:   "serve --demo",
		Short: "Serve the demo service until SIGINT or SIGTERM",
		Long: `smf serve --demo serves SmfStorage: Get answers with the name that it was asked with, the other
methods with status 501. On SIGINT or SIGTERM it stops listening, lets the calls in flight finish
and ends with status 0; a second signal ends it at once with status 1. It ends with 2 when the
command line is wrong.

The admin address answers /healthz, /readyz, /metrics and /stats to whoever asks; /config and
/debug/pprof/ only with --admin-config and --admin-pprof. A port alone is one of 127.0.0.1.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("serve takes no arguments, and there is %q: addresses go to --listen", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return serve(o, command.OutOrStdout()) },
	}
	flags := command.Flags()
	flags.BoolVar(&o.demo, "demo", false, "serve the demo service, SmfStorage")
	flags.StringArrayVar(&o.listen, "listen", []string{"127.0.0.1:11225"},
		"address to listen on: 127.0.0.1:11225, [::1]:0, :11225, unix:/path, unix:@name; may be repeated")
	flags.StringVar(&o.admin, "admin", "127.0.0.1:33140", `address of the admin server: 33140, 0.0.0.0:33140; "off": none`)
	flags.BoolVar(&o.adminOptions.Config, "admin-config", false, "the admin server shows what the server runs with, too")
	flags.BoolVar(&o.adminOptions.Profiles, "admin-pprof", false, "the admin server takes profiles, too: whoever reaches it can slow the process down")
	flags.IntVar(&o.server.Cores, "cores", 0,
		"poll loops; 0: one less than CPUs (or what a CPU quota allows), at least one")
	flags.BoolVar(&o.server.Poll, "poll", false, "never sleep: lowest latency, one busy CPU a core")
	flags.BoolVar(&o.server.Pin, "pin", false, "keep every poll loop on a CPU of its own, of those this process may use")
	flags.StringVar(&o.server.Net, "net", "auto", "transport: auto or epoll")
	flags.DurationVar(&o.drainTimeout, "drain-timeout", 10*time.Second, "how long calls in flight may take to end")
	flags.Var(&o.memory, "memory", "bound of a core's memory, like 512MiB; 0: 1GiB")
	o.compress.addTo(flags, "compress replies to callers that take it, and to all of level 1: zstd or lz4 (requests are taken either way)")
	return command
}

// Bounds of the engine's own, which names no flags.
const (
	coresMax  = 256
	memoryMin = 8 << 20 // of a core
	memoryMax = 64 << 30
)

// check finds what is wrong with the flags, before anything is opened.
func (o *serveOptions) check() error {
	switch {
	case !o.demo:
		return errors.New("nothing to serve: smf serve --demo serves the demo service; " +
			"a service of your own is a Go program that uses go/rpc")
	case o.drainTimeout < 0:
		return fmt.Errorf("--drain-timeout %s is negative", o.drainTimeout)
	case o.server.Cores < 0 || o.server.Cores > coresMax:
		return fmt.Errorf("--cores %d: it must be from 1 to %d, or 0", o.server.Cores, coresMax)
	case o.server.Net != "auto" && o.server.Net != "epoll":
		return fmt.Errorf("--net %q: there are auto and epoll", o.server.Net)
	case o.memory != 0 && (o.memory < memoryMin || o.memory > memoryMax):
		return fmt.Errorf("--memory %s: it must be from 8MiB to 64GiB, or 0", &o.memory)
	}
	return o.compress.check()
}

// serve runs until a signal. stdout gets "listening on ADDR" per listener first: scripts wait for it.
func serve(o serveOptions, stdout io.Writer) error {
	if err := o.check(); err != nil {
		return wrongUsage(err)
	}
	cores, why := o.server.ChooseCores()
	raised := raiseProcs(o.server.Cores)
	o.server.MemoryBytes = int64(o.memory)
	filter, err := o.compress.filter()
	if err != nil {
		return err
	}
	o.server.Filters, o.server.Compressions = []rpc.Filter{filter}, compressions
	o.server.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	server, err := rpc.NewServer(o.server)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := demo.RegisterSmfStorageServer(server, demoStore{}); err != nil {
		return err
	}
	addresses, err := listen(server, o.listen)
	if err != nil {
		return err
	}
	adminListener, err := listenAdmin(o.admin)
	if err != nil {
		return err
	}
	stop, stopNow := stopSignals()
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	for _, address := range addresses {
		fmt.Fprintln(stdout, "listening on", address)
	}
	fmt.Fprintln(stdout, "engine:", server.Engine())
	fmt.Fprintf(stdout, "cores=%d (%s)\n", cores, why)
	var adminServer *admin.Server
	if adminListener != nil {
		o.adminOptions.Version = version
		adminServer = admin.New(server, o.adminOptions)
		defer startAdmin(adminServer, adminListener)()
		fmt.Fprintf(stdout, "admin on http://%s\n", adminListener.Addr())
	}
	if raised != "" {
		fmt.Fprintln(stdout, raised)
	}
	select {
	case err := <-served:
		return err
	case s := <-stop:
		if adminServer != nil {
			adminServer.Drain()
		}
		fmt.Fprintf(stdout, "%s: draining, for up to %s\n", s, o.drainTimeout)
	}
	if err := drain(server, o.drainTimeout, stopNow); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "drained")
	return nil
}

// raiseProcs leaves the Go scheduler a P for handlers that block, and says so when it had none.
func raiseProcs(cores int) string {
	have, want := runtime.GOMAXPROCS(0), max(cores, 1)+1
	if have >= want {
		return ""
	}
	runtime.GOMAXPROCS(want)
	return fmt.Sprintf("GOMAXPROCS raised from %d to %d: one more than cores, for handlers that block", have, want)
}

func listen(server *rpc.Server, addresses []string) ([]string, error) {
	bound := make([]string, 0, len(addresses))
	for _, address := range addresses {
		b, err := server.Listen(address)
		if err != nil {
			return nil, ofAddress(err)
		}
		bound = append(bound, b)
	}
	return bound, nil
}

// listenAdmin returns nil when no admin server is wanted.
func listenAdmin(address string) (net.Listener, error) {
	if address == "" || address == "off" {
		return nil, nil
	}
	listener, err := admin.Listen(address)
	if err == nil {
		return listener, nil
	}
	reason := err
	var problem *net.OpError
	if errors.As(err, &problem) {
		reason = problem.Err
	}
	var call *os.SyscallError
	if errors.As(reason, &call) {
		reason = call.Err
	}
	err = fmt.Errorf("admin address %q: %w; choose another with --admin, or --admin off", address, reason)
	if problem == nil {
		return nil, wrongUsage(err) // nothing was tried: it is no address
	}
	return nil, err
}

// startAdmin returns what ends the admin server.
func startAdmin(s *admin.Server, listener net.Listener) func() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(listener); err != nil {
			slog.Error("the admin server ended", slog.String("error", err.Error()))
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
		defer cancel()
		_ = s.Shutdown(ctx)
		<-done
	}
}

// drain ends the server. A second signal ends the program at once.
func drain(server *rpc.Server, timeout time.Duration, stopNow <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	drained := make(chan error, 1)
	go func() { drained <- server.Drain(ctx) }()
	select {
	case err := <-drained:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("calls were still in flight after %s; their connections were closed", timeout)
		}
		return err
	case <-stopNow:
		fmt.Fprintln(os.Stderr, "smf: a second signal: ended without waiting for the calls in flight")
		os.Exit(1)
		return nil
	}
}
