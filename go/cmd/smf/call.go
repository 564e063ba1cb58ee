package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/codegen"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/schema"
	"github.com/smf-go/smf/schema/demo"
)

// usageStatus is how smf ends when nothing was done because the command line is wrong.
const usageStatus = 2

// requestMax is what a client sends that was told nothing else.
const requestMax = 16 << 20

const callTimeout = 10 * time.Second

// namesOfMethods is the help of whoever takes one.
const namesOfMethods = `The end of a method's name will do where no other method ends so: smf_gen.demo.SmfStorage.Get is
SmfStorage.Get, too, and Get.`

type callOptions struct {
	address, method string
	document        string // "-": those on standard input
	schema          string // path; "": the demo service's
	includes        []string
	timeout         time.Duration
	pretty          bool
	defaults        bool
	list            bool
	compress        compressOptions
}

func newCallCommand() *cobra.Command {
	var o callOptions
	command := &cobra.Command{
		Use:   "call ADDR SERVICE.METHOD [JSON | -]",
		Short: "Call a method with JSON, and print its reply as JSON",
		Long: `smf call makes a request of JSON by a binary schema, calls, and prints the reply as JSON on one
line. Without JSON the request is empty: {}. It knows the demo service; --schema names the schema
of another one: a binary schema (flatc --binary --schema --bfbs-builtins FILE.fbs), or a .fbs file,
which takes flatc.

` + namesOfMethods + `

With - it reads documents from standard input, on one connection: each is called with in turn and
its reply printed before the next one is read. A call that fails is reported with the line that its
document began on, and the next one is made; what is not JSON ends the input.

It ends with status 0 when all calls succeeded, with 1 when one failed (also: could not connect, or
a document does not fit the request), and with 2 when the command line is wrong.`,
		Example: `  smf call 127.0.0.1:11225 SmfStorage.Get '{"name":"x"}'
  smf call 127.0.0.1:11225 SmfStorage.Get - <requests.json >replies.json
  smf call --list --schema shop.bfbs`,
		Args: func(_ *cobra.Command, args []string) error { return o.take(args) },
		RunE: func(command *cobra.Command, _ []string) error {
			return call(command.Context(), o, command.InOrStdin(), command.OutOrStdout(), command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.schema, "schema", "", "schema of the service, .bfbs or .fbs (default: that of the demo service)")
	flags.StringArrayVarP(&o.includes, "include", "I", nil, "folder in which includes of a .fbs are looked for; may be repeated")
	flags.DurationVar(&o.timeout, "timeout", callTimeout, "for connecting, and for each call")
	flags.BoolVar(&o.pretty, "pretty", false, "print replies on several lines, indented")
	flags.BoolVar(&o.defaults, "defaults", false, "print fields that have their default value, too")
	flags.BoolVar(&o.list, "list", false, "call nothing: list the methods of the schema")
	o.compress.addTo(flags, "compress requests if the server takes it, or speaks level 1: zstd or lz4 (replies are taken either way)")
	return command
}

// exitError ends the program with a status. Without err, what is wrong has been printed already.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func wrongUsage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{usageStatus, err}
}

// take takes the arguments.
func (o *callOptions) take(args []string) error {
	if err := o.compress.check(); err != nil {
		return err
	}
	switch {
	case o.timeout <= 0:
		return fmt.Errorf("--timeout %s: it must be longer than nothing", o.timeout)
	case o.list && len(args) > 0:
		return fmt.Errorf("--list takes no arguments, and there is %q", args[0])
	case o.list:
		return nil
	case len(args) < 2:
		return errors.New(`call wants an address and a method: smf call 127.0.0.1:11225 SmfStorage.Get '{"name":"x"}'; ` +
			"smf call --list lists the methods")
	case len(args) > 3:
		return fmt.Errorf("call takes one JSON document, and %q follows it: quote the document for the shell", args[3])
	}
	o.address, o.method, o.document = args[0], args[1], "{}"
	if len(args) == 3 {
		o.document = args[2]
	}
	return nil
}

// readSchema reads the schema that was named.
func (o *callOptions) readSchema(ctx context.Context) (*schema.Schema, error) {
	var binary []byte
	var err error
	switch {
	case o.schema == "":
		binary = []byte(demo.SmfDemoSchema)
	case strings.HasSuffix(o.schema, ".fbs"):
		binary, err = codegen.BinarySchema(ctx, o.schema, o.includes...)
	default:
		binary, err = os.ReadFile(o.schema)
	}
	if err != nil {
		return nil, err
	}
	s, err := schema.Read(binary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.schema, err)
	}
	return s, nil
}

func (o *callOptions) findMethod(s *schema.Schema) (*schema.Method, error) {
	method, err := s.Method(o.method)
	switch {
	case err != nil && o.schema == "":
		return nil, fmt.Errorf("%w; --schema names the schema of another service", err)
	case err == nil && method.Streaming != "":
		return nil, fmt.Errorf("method %s streams (%q): smf call makes one request and gets one reply", method.FullName(), method.Streaming)
	}
	return method, err
}

func call(ctx context.Context, o callOptions, stdin io.Reader, stdout, stderr io.Writer) error {
	s, err := o.readSchema(ctx)
	if err != nil {
		return wrongUsage(err)
	}
	if o.list {
		for _, m := range s.Methods() {
			fmt.Fprintf(stdout, "%s(%s): %s\n", m.FullName(), m.In.Name(), m.Out.Name())
		}
		return nil
	}
	method, err := o.findMethod(s)
	if err != nil {
		return wrongUsage(err)
	}
	c := &caller{options: &o, method: method, stdout: stdout}
	if o.document != "-" {
		request, err := method.In.FromJSON([]byte(o.document))
		if err != nil {
			return err
		}
		return c.connected(ctx, func() error { return c.call(ctx, request) })
	}
	return c.connected(ctx, func() error { return c.callAll(ctx, stdin, stderr) })
}

// caller makes calls one after the other.
type caller struct {
	options *callOptions
	method  *schema.Method
	client  *rpc.Client
	stdout  io.Writer
}

// connected does something while there is a connection.
func (c *caller) connected(ctx context.Context, do func() error) error {
	raiseProcs(1) // the client's poll loop
	filter, err := c.options.compress.filter()
	if err != nil {
		return err
	}
	dialing, cancel := context.WithTimeout(ctx, c.options.timeout)
	defer cancel()
	client, err := rpc.Dial(dialing, c.options.address, rpc.ClientOptions{Filters: []rpc.Filter{filter}, Compressions: compressions})
	if err != nil {
		return ofAddress(err)
	}
	defer client.Close()
	c.client = client
	return do()
}

// call makes one call and prints its reply.
func (c *caller) call(ctx context.Context, request []byte) error {
	if len(request) > requestMax {
		return fmt.Errorf("the request has %d bytes as a FlatBuffer: a call carries at most 16 MiB (%d)", len(request), requestMax)
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.timeout)
	defer cancel()
	message, err := c.client.Call(ctx, c.method.ID, request)
	if err != nil {
		return c.failed(err)
	}
	defer message.Release()
	options := schema.JSONOptions{Defaults: c.options.defaults}
	if c.options.pretty {
		options.Indent = "  "
	}
	reply, err := c.method.Out.ToJSON(message.Payload(), options)
	if err != nil {
		return fmt.Errorf("the reply is not what the schema says: %w", err)
	}
	_, err = c.stdout.Write(append(reply, '\n'))
	return err
}

// failed says how a call failed, and what it may come from when there has never been a reply.
func (c *caller) failed(err error) error {
	hint := silence()
	if hint != "" {
		hint = "; " + hint
	}
	var failure *rpc.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no reply within %s: the server may have run the call, or run it still%s", c.options.timeout, hint)
	case errors.As(err, &failure) && failure.Code == rpc.CodeUnavailable && failure.MayHaveRun:
		return fmt.Errorf("%w%s", err, hint)
	}
	return err
}

// silence is what to think when nothing has come back on any connection of this program; "": something
// has.
func silence() string {
	if rpc.ClientStats().BytesReceived > 0 {
		return ""
	}
	return "nothing came back at all: does an smf server listen there? (its admin address speaks HTTP)"
}

// callAll calls with every document of the input.
func (c *caller) callAll(ctx context.Context, stdin io.Reader, stderr io.Writer) error {
	failed := false
	input := newDocuments(stdin)
	for {
		document, line, err := input.next()
		if errors.Is(err, io.EOF) {
			break
		}
		more := err == nil
		var request []byte
		if err == nil {
			request, err = c.method.In.FromJSON(document)
		}
		if err == nil {
			err = c.call(ctx, request)
		}
		if err != nil {
			failed = true
			fmt.Fprintf(stderr, "smf: line %d: %s\n", line, oneLine(err))
		}
		if !more {
			break
		}
	}
	if failed {
		return &exitError{status: 1}
	}
	return nil
}
