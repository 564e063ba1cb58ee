package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

// Bounds of what may be asked for.
const (
	inFlightMax  = 10_000           // calls at once; each has a goroutine and a histogram
	nameBytesMax = 16<<20 - 1<<10   // the name and its table fit into the largest frame
	dialPatience = 5 * time.Second  // for all connections together
	progressStep = time.Second / 10 // between two looks at the progress line
)

// errLoadFailed is why a load ends with status 1; the report has been printed already.
var errLoadFailed = errors.New("calls failed")

type loadOptions struct {
	address, method  string
	conns            int
	outstanding      int
	duration, warmup time.Duration
	nameBytes        int
	compress         compressOptions
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	command := &cobra.Command{
		Use:   "load ADDR SERVICE.METHOD",
		Short: "Call a method over and over, and print latencies and calls per second",
		Long: `smf load keeps M calls in flight on each of C connections: whenever one is answered, the next one
is sent (a closed loop). It knows the methods of the demo service, which smf call --list lists.

` + namesOfMethods + `

It ends with status 1 when a call failed, or none succeeded, and with 2 when the command line is
wrong. SIGINT ends it early, with the table.`,
		Example: "  smf load 127.0.0.1:11225 SmfStorage.Get --conns 4 --outstanding 16 --duration 10s",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("load wants an address and a method: smf load 127.0.0.1:11225 SmfStorage.Get")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			o.address, o.method = args[0], args[1]
			return load(o, command.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.IntVar(&o.conns, "conns", 1, "connections")
	flags.IntVar(&o.outstanding, "outstanding", 64, "calls in flight on each connection")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "how long to measure")
	flags.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "how long to call before that")
	flags.IntVar(&o.nameBytes, "name-bytes", 60, "bytes of the name in every request")
	o.compress.addTo(flags, "compress requests if the server takes it, or speaks level 1, and take replies that come compressed: zstd or lz4")
	return command
}

// findMethod finds a method of the demo service, the only one that this program can build requests for,
// by the names that smf call knows.
func findMethod(name string) (*schema.Method, error) {
	s, err := schema.Read([]byte(demo.SmfDemoSchema))
	if err != nil {
		return nil, err
	}
	return s.Method(name)
}

func (o *loadOptions) check() error {
	switch {
	case o.conns < 1:
		return fmt.Errorf("--conns %d: there must be at least one connection", o.conns)
	case o.outstanding < 1:
		return fmt.Errorf("--outstanding %d: there must be at least one call in flight", o.outstanding)
	case o.conns > inFlightMax || o.outstanding > inFlightMax || o.conns*o.outstanding > inFlightMax:
		return fmt.Errorf("--conns %d times --outstanding %d is more than %d calls in flight",
			o.conns, o.outstanding, inFlightMax)
	case o.duration <= 0:
		return fmt.Errorf("--duration %s: it must be longer than nothing", o.duration)
	case o.warmup < 0:
		return fmt.Errorf("--warmup %s is negative", o.warmup)
	case o.nameBytes < 0 || o.nameBytes > nameBytesMax:
		return fmt.Errorf("--name-bytes %d: it must be from 0 to %d", o.nameBytes, nameBytesMax)
	}
	return o.compress.check()
}

// requestOf is a request of the demo service.
func requestOf(name string) []byte {
	b := flatbuffers.NewBuilder(len(name) + 64)
	b.Finish((&demo.RequestT{Name: name}).Pack(b))
	return b.FinishedBytes()
}

func load(o loadOptions, stdout io.Writer) error {
	method, err := findMethod(o.method)
	if err != nil {
		return wrongUsage(err)
	}
	if err := o.check(); err != nil {
		return wrongUsage(err)
	}
	raiseProcs(1) // the clients' poll loop and the callers
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop, stopNow := stopSignals()
	go func() {
		<-stop
		cancel()
		<-stopNow
		os.Exit(1)
	}()
	clients, err := o.dial(ctx)
	if err != nil {
		return err
	}
	name := strings.Repeat("x", o.nameBytes)
	r := newRun(method, name, clients, o.outstanding)
	each := ""
	if o.conns > 1 {
		each = " on each"
	}
	fmt.Fprintf(stdout, "%s at %s: %s, %s in flight%s, names of %s\n", method.ShortName(), o.address,
		counted(o.conns, "connection"), counted(o.outstanding, "call"), each, counted(o.nameBytes, "byte"))
	r.start()
	wait(ctx, o.warmup, nil)
	r.measure()
	wait(ctx, o.duration, progress(r, stdout))
	r.finish()
	result := r.result()
	result.print(stdout)
	if result.calls() == 0 || result.failed() > 0 {
		return errLoadFailed
	}
	return nil
}

func (o *loadOptions) dial(ctx context.Context) ([]*rpc.Client, error) {
	filters, err := o.filters()
	if err != nil {
		return nil, err
	}
	options := rpc.ClientOptions{Filters: filters}
	if len(filters) > 0 {
		options.Compressions = compressions
	}
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	clients := make([]*rpc.Client, 0, o.conns)
	for range o.conns {
		client, err := rpc.Dial(ctx, o.address, options)
		if err != nil {
			for _, c := range clients {
				_ = c.Close()
			}
			return nil, ofAddress(err)
		}
		clients = append(clients, client)
	}
	return clients, nil
}

// filters are none where nobody has asked for one: what is measured is the call.
func (o *loadOptions) filters() ([]rpc.Filter, error) {
	if o.compress.with == "" {
		return nil, nil
	}
	filter, err := o.compress.filter()
	return []rpc.Filter{filter}, err
}

// wait waits for d, or for ctx; show is called now and then, and once at the end.
func wait(ctx context.Context, d time.Duration, show func(last bool)) {
	over := time.NewTimer(d)
	defer over.Stop()
	if show == nil {
		show = func(bool) {}
	}
	tick := time.NewTicker(progressStep)
	defer tick.Stop()
	for {
		select {
		case <-over.C:
			show(true)
			return
		case <-ctx.Done():
			show(true)
			return
		case <-tick.C:
			show(false)
		}
	}
}

// progress shows how far a run is, on one line that is written again and again; nil where that is no
// use, because stdout is not a terminal.
func progress(r *run, stdout io.Writer) func(last bool) {
	file, ok := stdout.(*os.File)
	if !ok || !isTerminal(file) {
		return nil
	}
	began := time.Now()
	return func(last bool) {
		if last {
			fmt.Fprint(stdout, "\r\x1b[K") // the report takes its place
			return
		}
		elapsed, calls := time.Since(began), r.calls()
		fmt.Fprintf(stdout, "\r%5.1f s  %s calls  %s calls/s\x1b[K", elapsed.Seconds(), grouped(calls),
			grouped(perSecond(calls, elapsed)))
	}
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

func perSecond(calls uint64, elapsed time.Duration) uint64 {
	if elapsed <= 0 {
		return 0
	}
	return uint64(float64(calls) / elapsed.Seconds())
}
