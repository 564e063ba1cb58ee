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

// builtFrom is the commit that build.sh saw, set by the linker: the go command notes none when it is told
// not to (-buildvcs=false).
var builtFrom string

// commit is what is known of the repository when this program was built.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return commitOf(info, builtFrom)
}

func commitOf(info *debug.BuildInfo, builtFrom string) string {
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " with changes"
		}
	}
	switch {
	case revision != "":
		return revision + modified
	case builtFrom != "":
		return builtFrom
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return "of module version " + info.Main.Version
	}
	return "unknown (built outside of a git repository, or with -buildvcs=false)"
}
