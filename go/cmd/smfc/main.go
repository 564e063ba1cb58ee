// Command smfc generates Go code from FlatBuffers schemas: tables, servers, clients, verifiers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/codegen"
)

// errStale is why --check fails; what differs has been printed already.
var errStale = errors.New("generated files are not up to date; run smfc again without --check")

// version is the project's, as in CMakeLists.txt.
const version = "0.1.0"

// usageError is a wrong command line: smfc ends with 2, and not with 1.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	command := newCommand()
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "smfc:", err)
		var usage *usageError
		if errors.As(err, &usage) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var options codegen.Options
	var check bool
	command := &cobra.Command{
		Use:   "smfc [flags] schema.fbs...",
		Short: "Generate Go code for smf from FlatBuffers schemas",
		Long: `smfc writes three Go files per schema: <schema>.fb.go has the tables, as flatc makes them;
<schema>.smf.go has a server interface and a client for every rpc_service, and a verifier for
every table; <schema>.bfbs.go has the binary schema as a constant, <Schema>Schema, for package
schema. It needs flatc, version 2.0.8 or newer.

Methods may have these attributes, declared in the schema as in: attribute "slow";
  (slow)             computes for long: the server runs it beside its loop
  (idempotent)       may be called again when it is not known whether it ran
  (timeout: "250ms") the longest time that a handler gets`,
		Version: version,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{errors.New("smfc wants a schema: smfc shop.fbs; smfc --help says more")}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, schemas []string) error {
			options.Schemas = schemas
			return run(command.Context(), options, check, command.ErrOrStderr())
		},
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	flags := command.Flags()
	flags.StringVar(&options.Out, "out", "", "folder for the generated files (default: next to each schema)")
	flags.StringVar(&options.Package, "package", "", "name of the Go package (default: the namespace's last part)")
	flags.StringArrayVarP(&options.Includes, "include", "I", nil, "folder in which included schemas are looked for; may be repeated")
	flags.StringVar(&options.Flatc, "flatc", "flatc", "the flatc to run")
	flags.BoolVar(&check, "check", false, "write nothing; exit with status 1 if the files on disk differ")
	return command
}

func run(ctx context.Context, options codegen.Options, check bool, log io.Writer) error {
	result, err := codegen.Generate(ctx, options)
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		fmt.Fprintln(log, warning)
	}
	if !check {
		return result.Write()
	}
	stale, err := result.Stale()
	if err != nil {
		return err
	}
	for _, path := range stale {
		fmt.Fprintln(log, path, "differs from what its schema generates")
	}
	if len(stale) > 0 {
		return errStale
	}
	return nil
}
