// Command smfc generates code from FlatBuffers schemas: types, servers, clients, verifiers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/codegen"
)

// Why --check fails; the files have been printed already.
var (
	errStale    = errors.New("generated files are not up to date; run smfc again without --check")
	errLeftOver = errors.New("generated files are left over; remove them")
	errBoth     = errors.New("generated files are not up to date, and others are left over; run smfc again without" +
		" --check, and remove what is left over")
)

// version is the project's, as in CMakeLists.txt.
const version = "0.1.0"

// How smfc ends.
const (
	exitFailed = 1 // a schema is wrong, or --check found a difference
	exitUsage  = 2 // the command line is wrong
)

// usageError is a wrong command line.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	command := newCommand()
	command.SetArgs(twoDashes(os.Args[1:]))
	if err := command.ExecuteContext(ctx); err != nil {
		os.Exit(report(os.Stderr, err))
	}
}

// report prints an error and returns the exit status for it. What is wrong with a schema begins with the
// schema's name, as other compilers' messages do, so that editors find the place.
func report(to io.Writer, err error) int {
	var problems codegen.Problems
	located := errors.As(err, &problems)
	if !located {
		problems = codegen.Problems{err}
	}
	var usage *usageError
	var option *codegen.OptionError
	var argument *codegen.ArgumentError
	for _, problem := range problems {
		if !located || errors.As(problem, &option) {
			fmt.Fprint(to, "smfc: ")
		}
		fmt.Fprintln(to, problem)
	}
	if errors.As(err, &usage) || errors.As(err, &option) || errors.As(err, &argument) {
		return exitUsage
	}
	return exitFailed
}

const help = `smfc writes code for FlatBuffers schemas, next to each schema or into the folder --out:
  <schema>.fb.go    types with accessors, and plain structs that pack and unpack
  <schema>.smf.go   a server interface and a client for every rpc_service, a verifier for every table
  <schema>.bfbs.go  the binary schema as a constant, <Schema>Schema, for package schema
The schemas of one folder make one Go package, or one for each namespace, in folders below: of
a.shop and a.units, in shop and units. What one package imports of another is found by go.mod.

With --lang c, or --lang go,c for both:
  <schema>.smf.h    readers, builders and verifiers of tables, method ids, handlers and call stubs
  <schema>.smf.c    what has to exist once: compile it with the program, as C or C++

It needs flatc, version 2.0.8 or newer.

Methods may have these attributes, declared in the schema as in: attribute "slow";
  (slow)             computes for long: the server runs it beside its loop
  (idempotent)       may be called again when it is not known whether it ran
  (timeout: "250ms") the longest time that a handler gets

From Go: //go:generate smfc --out . ../schemas/shop.fbs

It ends with 0 when all is well, 1 when a schema is wrong or --check finds a difference, and 2
when the command line is wrong or a schema that it names is not there. docs/smfc.md says more.

The flags of the original smf's generator work as well, and one dash is enough for them:
  --filename shop.fbs --include_dirs a,b --language go --output_path DIR (default: .)`

func newCommand() *cobra.Command {
	var options codegen.Options
	var former formerFlags
	var check bool
	command := &cobra.Command{
		Use:     "smfc [flags] schema.fbs...",
		Short:   "Generate code for smf from FlatBuffers schemas",
		Long:    help,
		Version: version,
		Example: `  smfc shop.fbs
  smfc --out gen -I common shop.fbs units.fbs`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && former.filename == "" {
				return &usageError{errors.New("no schema is given; give one, as in: smfc shop.fbs; smfc --help says more")}
			}
			return nil
		},
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, schemas []string) error {
			if slices.Equal(schemas, []string{"help"}) {
				return command.Help()
			}
			if err := refuseEmpty(command.Flags()); err != nil {
				return err
			}
			options.Schemas = schemas
			if err := former.apply(command.Flags(), &options); err != nil {
				return err
			}
			return run(command.Context(), options, check, command.ErrOrStderr())
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return wrongFlag(flags, err) })
	flags.StringSliceVar(&options.Languages, "lang", []string{"go"}, "languages to generate, with commas between them")
	flags.StringVar(&options.Out, "out", "", "folder for the generated files (default: next to each schema)")
	flags.StringVar(&options.Package, "package", "", "name of the Go package (default: the namespace's last part)")
	flags.StringVar(&options.GoImport, "go-import", "", "import path of the folder for Go files (default: as go.mod says)")
	flags.StringArrayVarP(&options.Includes, "include", "I", nil, "folder in which included schemas are looked for; may be repeated")
	flags.StringVar(&options.Flatc, "flatc", "flatc", "the flatc to run")
	flags.BoolVar(&check, "check", false, "write nothing; end with 1 if the files on disk differ, are missing or left over")
	former.add(flags)
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
	left, err := result.LeftOver()
	if err != nil {
		return err
	}
	for _, path := range left {
		fmt.Fprintln(log, path+": warning: is left over from an earlier run: its schema does not make it any more; remove it")
	}
	orphans, err := result.Orphans()
	if err != nil {
		return err
	}
	for _, o := range orphans {
		fmt.Fprintf(log, "%s: warning: is generated from %s, which is not found any more; remove the file if the schema"+
			" is gone or has another name\n", o.Path, o.Schema)
	}
	if !check {
		return result.Write()
	}
	stale, err := result.Stale()
	if err != nil {
		return err
	}
	for _, path := range stale {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(log, "smfc: %s is missing\n", path)
		} else {
			fmt.Fprintf(log, "smfc: %s differs from what its schema generates\n", path)
		}
	}
	switch {
	case len(stale) > 0 && len(left) > 0:
		return errBoth
	case len(stale) > 0:
		return errStale
	case len(left) > 0:
		return errLeftOver
	}
	return nil
}
