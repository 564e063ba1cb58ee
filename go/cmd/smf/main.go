// Command smf serves the demo service, calls services, loads servers with calls, and says what a machine
// offers.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

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
		Use:                "smf",
		Short:              "Serve, call and load smf services",
		SilenceUsage:       true,
		SilenceErrors:      true,
		DisableSuggestions: true, // they make an error two lines long
		CompletionOptions:  cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: there are serve, call, load, check and version (smf help)", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newServeCommand(), newCallCommand(), newLoadCommand(), newCheckCommand(), newVersionCommand())
	return command
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
