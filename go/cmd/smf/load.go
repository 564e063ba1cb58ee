package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/smf-go/smf/go/load"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
)

// Bounds of what may be asked for.
const (
	inFlightMax  = 10_000           // calls at once in a closed loop; each has a goroutine
	nameBytesMax = 16<<20 - 1<<10   // the name and its table fit into the largest frame
	dialPatience = 5 * time.Second  // for all connections together
	progressStep = time.Second / 10 // between two looks at a progress line
)

// outstandingDefault is that of a closed loop.
const outstandingDefault = 64

// errLoadFailed is why a load ends with status 1; the report has been printed already.
var errLoadFailed = errors.New("calls failed")

type loadOptions struct {
	address          string
	methods          []string // NAME or NAME=WEIGHT
	schema           callOptions
	conns            int
	outstanding      int
	rate, trace      string
	arrivals         string
	duration, warmup time.Duration
	count            uint64
	payload          string
	nameBytes        int
	seed             uint64
	compress         compressOptions
	files            loadFiles
	given            func(flag string) bool
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	command := &cobra.Command{
		Use:   "load ADDR SERVICE.METHOD[=WEIGHT] …",
		Short: "Measure a server: latencies, calls per second, failures",
		Long: `smf load calls methods and says how long the calls took. It knows the demo service; --schema names
the schema of another one, as with smf call.

With --rate it sends calls when they are due, whether or not earlier ones were answered (an open
loop), and a call's latency counts from when it was due: a server that stands still is seen by all
calls that were due then. Without it, M calls are kept in flight on each of C connections: whenever
one is answered, the next one is sent (a closed loop). That is for finding out what a server can do
at most; its latencies say little of what users see.

A rate is calls per second, and may change: 10k all the time, 100-50k/30s a ramp, 1k/5s,2k/5s,5k
steps, 10x(1k/9s,20k/1s) spikes. --trace replays a recording: a file with the seconds at which calls
are due, one a line.

Several methods are called in the proportions of their weights. A payload is JSON, @FILE with a JSON
document for each call (they are taken at random), or random: any that the schema allows.

` + namesOfMethods + `

It ends with status 1 when a call failed, or none succeeded, and with 2 when the command line is
wrong. SIGINT ends it early, with the table.`,
		Example: `  smf load 127.0.0.1:11225 SmfStorage.Get --conns 4 --outstanding 16 --duration 10s
  smf load 127.0.0.1:11225 SmfStorage.Get --rate 20k --arrivals poisson --json result.json
  smf load 127.0.0.1:11225 Shop.Find=9 Shop.Order=1 --schema shop.bfbs --payload random`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return errors.New("load wants an address and a method: smf load 127.0.0.1:11225 SmfStorage.Get")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			o.address, o.methods, o.given = args[0], args[1:], command.Flags().Changed
			return runLoad(command.Context(), o, command.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.schema.schema, "schema", "", "schema of the service, .bfbs or .fbs (default: that of the demo service)")
	flags.StringArrayVarP(&o.schema.includes, "include", "I", nil, "folder in which includes of a .fbs are looked for; may be repeated")
	flags.IntVar(&o.conns, "conns", 1, "connections")
	flags.IntVar(&o.outstanding, "outstanding", outstandingDefault,
		fmt.Sprintf("calls in flight on each connection; with --rate at most so many (and then %d together unless said)", load.OutstandingOpen))
	flags.StringVar(&o.rate, "rate", "", "calls per second, on all connections together")
	flags.StringVar(&o.trace, "trace", "", "file with the times at which calls are due, in place of a rate")
	flags.StringVar(&o.arrivals, "arrivals", "even", "with --rate: even, or poisson, as from many users who know nothing of each other")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "how long to measure")
	flags.Uint64Var(&o.count, "count", 0, "measure so many calls, in place of a time")
	flags.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "how long to call before that")
	flags.StringVar(&o.payload, "payload", "", "JSON, @FILE of such documents, or random (default: a name, see --name-bytes)")
	flags.IntVar(&o.nameBytes, "name-bytes", 60, "bytes of the name in every request of the demo service")
	flags.Uint64Var(&o.seed, "seed", 1, "of what is chosen at random: methods, payloads, arrivals")
	o.files.addTo(flags)
	o.compress.addTo(flags, "compress requests if the server takes it, or speaks level 1, and take replies that come compressed: zstd or lz4")
	return command
}

func (o *loadOptions) check() error {
	closed := o.rate == "" && o.trace == ""
	switch {
	case o.conns < 1:
		return fmt.Errorf("--conns %d: there must be at least one connection", o.conns)
	case o.outstanding < 1:
		return fmt.Errorf("--outstanding %d: there must be at least one call in flight", o.outstanding)
	case closed && (o.conns > inFlightMax || o.outstanding > inFlightMax || o.conns*o.outstanding > inFlightMax):
		return fmt.Errorf("--conns %d times --outstanding %d is more than %d calls in flight",
			o.conns, o.outstanding, inFlightMax)
	case o.duration <= 0:
		return fmt.Errorf("--duration %s: it must be longer than nothing", o.duration)
	case o.given("count") && o.count == 0:
		return errors.New("--count 0: there must be at least one call")
	case o.warmup < 0:
		return fmt.Errorf("--warmup %s is negative", o.warmup)
	case o.nameBytes < 0 || o.nameBytes > nameBytesMax:
		return fmt.Errorf("--name-bytes %d: it must be from 0 to %d", o.nameBytes, nameBytesMax)
	case o.given("name-bytes") && (o.payload != "" || o.schema.schema != ""):
		return errors.New("--name-bytes is for requests of the demo service; --payload says what they are here")
	case o.rate != "" && o.trace != "":
		return errors.New("--rate and --trace: there is one schedule")
	case o.arrivals != "even" && o.arrivals != "poisson":
		return fmt.Errorf("--arrivals %q: there are even and poisson", o.arrivals)
	case o.given("arrivals") && o.rate == "":
		return errors.New("--arrivals needs --rate")
	}
	return o.compress.check()
}

// options make a run of the command line.
func (o *loadOptions) options(ctx context.Context) (out load.Options, err error) {
	if err := o.check(); err != nil {
		return out, err
	}
	s, err := o.schema.readSchema(ctx)
	if err != nil {
		return out, err
	}
	source := payloadSource{options: o, random: o.payload == "random"}
	for _, text := range o.methods {
		m, err := o.method(s, &source, text)
		if err != nil {
			return out, err
		}
		out.Methods = append(out.Methods, m)
	}
	if out.Schedule, err = o.schedule(); err != nil {
		return out, err
	}
	filters, err := o.filters()
	if err != nil {
		return out, err
	}
	client := rpc.ClientOptions{Filters: filters}
	if len(filters) > 0 {
		client.Compressions = compressions
	}
	out.Target = load.Server(o.address, client)
	out.Conns, out.Outstanding, out.Seed = o.conns, o.outstanding, o.seed
	if out.Schedule != nil && !o.given("outstanding") {
		out.Outstanding = 0
	}
	out.Duration, out.Count, out.Warmup = o.duration, o.count, o.warmup
	if !o.given("duration") && (o.count > 0 || o.trace != "") {
		out.Duration = 0
	}
	return out, nil
}

func (o *loadOptions) method(s *schema.Schema, source *payloadSource, text string) (m load.Method, err error) {
	name, weight, weighted := strings.Cut(text, "=")
	m.Weight = 1
	if weighted {
		if m.Weight, err = strconv.ParseFloat(weight, 64); err != nil || m.Weight <= 0 {
			return m, fmt.Errorf("the weight of %s is %q: write a number above 0, like %s=2", name, weight, name)
		}
	}
	o.schema.method = name
	method, err := o.schema.findMethod(s)
	if err != nil {
		return m, err
	}
	m.Name, m.ID = method.ShortName(), method.ID
	m.Payloads, m.Check, err = source.of(method)
	return m, err
}

func (o *loadOptions) schedule() (load.Schedule, error) {
	switch {
	case o.trace != "":
		file, err := os.Open(o.trace)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		times, err := load.ReadTrace(file)
		return load.Replay(times), err
	case o.rate == "":
		return nil, nil
	}
	profile, err := load.ParseProfile(o.rate)
	if err != nil {
		return nil, err
	}
	if o.arrivals == "poisson" {
		return load.Poisson(profile, o.seed), nil
	}
	return load.Even(profile), nil
}

// filters are none where nobody has asked for one: what is measured is the call.
func (o *loadOptions) filters() ([]rpc.Filter, error) {
	if o.compress.with == "" {
		return nil, nil
	}
	filter, err := o.compress.filter()
	return []rpc.Filter{filter}, err
}

func runLoad(ctx context.Context, o loadOptions, stdout io.Writer) error {
	options, err := o.options(ctx)
	if err != nil {
		return wrongUsage(err)
	}
	if err := o.files.create(); err != nil {
		return wrongUsage(err)
	}
	defer o.files.close()
	raiseProcs(1) // the clients' poll loop and the callers
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, stopNow := stopSignals()
	go func() {
		<-stop
		cancel()
		<-stopNow
		os.Exit(1)
	}()
	target := &dialing{Target: options.Target, before: func() { o.announce(stdout, options) }, conns: o.conns}
	options.Target = target
	show := newProgress(stdout)
	if show != nil {
		options.Observe = show.observe
	}
	result, err := load.Run(ctx, options)
	show.end()
	if err != nil {
		return ofAddress(err)
	}
	printResult(stdout, result, target.silence)
	if err := o.files.write(result); err != nil {
		return err
	}
	if result.Calls == 0 || result.Errors > 0 {
		return errLoadFailed
	}
	return nil
}

// dialing gives all connections of a target a time together.
type dialing struct {
	load.Target
	before  func() // the first call
	conns   int
	until   time.Time
	silence string // at the end: what to think if nothing came back; "": something did
}

func (d *dialing) Dial(ctx context.Context) (load.Conn, error) {
	if d.until.IsZero() {
		d.until = time.Now().Add(dialPatience)
	}
	ctx, cancel := context.WithDeadline(ctx, d.until)
	defer cancel()
	conn, err := d.Target.Dial(ctx)
	if d.conns--; err == nil && d.conns == 0 {
		d.before()
	}
	return &dialed{conn, d}, err
}

// dialed is one of the connections. The counters go with the last of them.
type dialed struct {
	load.Conn
	of *dialing
}

func (d *dialed) Close() error {
	if d.of.conns == 0 {
		d.of.silence = silence()
	}
	d.of.conns--
	return d.Conn.Close()
}

// announce says what is about to be done.
func (o *loadOptions) announce(w io.Writer, options load.Options) {
	var names []string
	for _, m := range options.Methods {
		names = append(names, m.Name)
	}
	text := fmt.Sprintf("%s at %s: %s", strings.Join(names, ", "), o.address, counted(o.conns, "connection"))
	switch {
	case o.trace != "":
		text += ", calls when " + o.trace + " says"
	case o.rate != "":
		text += ", " + o.rate + " calls/s"
		if o.arrivals == "poisson" {
			text += " (Poisson)"
		}
	default:
		text += ", " + counted(o.outstanding, "call") + " in flight"
		if o.conns > 1 {
			text += " on each"
		}
	}
	if o.payload == "" && o.schema.schema == "" {
		text += ", names of " + counted(o.nameBytes, "byte")
	}
	fmt.Fprintln(w, text)
}

// progress shows how far a run is, on one line that is written again and again.
type progress struct {
	w     io.Writer
	calls float64
}

// newProgress is nil where that is no use, because stdout is not a terminal.
func newProgress(stdout io.Writer) *progress {
	file, ok := stdout.(*os.File)
	if !ok || !isTerminal(file) {
		return nil
	}
	return &progress{w: stdout}
}

func (p *progress) observe(point load.Point) {
	p.calls += point.CallsPerSecond * point.Long
	fmt.Fprintf(p.w, "\r%5.1f s  %s calls  %s calls/s  p50 %.1f µs  p99 %.1f µs\x1b[K", point.Seconds, grouped(uint64(p.calls+0.5)),
		grouped(uint64(point.CallsPerSecond)), point.LatencyUS.P50, point.LatencyUS.P99)
}

// end makes room for the report.
func (p *progress) end() {
	if p != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
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
