// Command smf serves the demo service, calls services, loads servers with calls, says what a machine
// offers, and works on write-ahead logs.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/smf-go/smf/go/rpc"
)

func main() {
	if err := newCommand().Execute(); err != nil {
		status := 1
		var exit *exitError
		if errors.As(err, &exit) {
			status = exit.status
		}
		if text := oneLine(err); text != "" {
			fmt.Fprintln(os.Stderr, "smf: "+text)
		}
		os.Exit(status)
	}
}

func newCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "smf",
		Short: "Serve, call and load smf services, and keep logs",
		Long: `Serve, call and load smf services, and keep logs.

Every command ends with status 0 when it did what was asked, with 1 when it could not, and with 2
when the command line is wrong.`,
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // they make an error two lines long
		CompletionOptions:  cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: there are serve, call, load, check, log and version (smf help)", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newServeCommand(), newCallCommand(), newLoadCommand(), newCheckCommand(), newLogCommand(), newVersionCommand())
	command.SetFlagErrorFunc(ofFlag)
	wrongArguments(command)
	return command
}

// wrongArguments makes arguments that a command, or one below it, does not take a mistake in the command line.
func wrongArguments(command *cobra.Command) {
	check := command.Args
	command.Args = func(c *cobra.Command, args []string) error { return wrongUsage(check(c, args)) }
	for _, c := range command.Commands() {
		wrongArguments(c)
	}
}

// ofAddress makes an address that is none a mistake in the command line.
func ofAddress(err error) error {
	if errors.Is(err, rpc.ErrAddress) {
		return wrongUsage(err)
	}
	return err
}

// ofFlag is an error in a flag. Who gave one that there is not is told where to look.
func ofFlag(command *cobra.Command, err error) error {
	var none *pflag.NotExistError
	if errors.As(err, &none) {
		err = fmt.Errorf("%w (%s --help lists the flags)", err, command.CommandPath())
	}
	return wrongUsage(err)
}

// oneLine is an error for people: without the package that it comes from, on one line.
func oneLine(err error) string {
	text := err.Error()
	var failure *rpc.Error
	if errors.As(err, &failure) && failure.Message != "" {
		text = strings.Replace(text, failure.Error(), failure.Message, 1)
	}
	return strings.Join(strings.Fields(strings.TrimPrefix(text, "rpc: ")), " ")
}
