package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/rpc"
)

// version is the project's, as in CMakeLists.txt.
const version = "0.1.0"

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of smf and of what it was built with",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("version takes no arguments, and there is %q", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error {
			library, abi := rpc.NativeVersion()
			_, err := fmt.Fprintf(command.OutOrStdout(), "smf %s\ncommit %s\ngo %s %s/%s\nlibsmf %s (ABI %d)\n",
				version, commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH, library, abi)
			return err
		},
	}
}

// commit is what the go command knew of the repository when it built this program.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return commitOf(info.Settings)
}

func commitOf(settings []debug.BuildSetting) string {
	revision, modified := "unknown", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " with changes"
		}
	}
	return revision + modified
}
