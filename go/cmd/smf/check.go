package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/smf-go/smf/go/internal/machine"
)

type checkOptions struct {
	folders []string
	json    bool
}

func newCheckCommand() *cobra.Command {
	var o checkOptions
	command := &cobra.Command{
		Use:   "check",
		Short: "Say what this machine offers, and what could be better",
		Long: `smf check looks at the kernel, the processors, memory, disk, network and what debugging needs, and
says of each thing whether it is ok, could be better, is missing, or can't be told. Where something
can be done about it, the commands stand below: they are not run. Nothing is changed, and nothing is
left behind.

It ends with status 1 when something is missing that smf does not run without, and with 2 when
the command line is wrong.`,
		Example: "  smf check --dir /var/lib/smf",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("check takes no arguments, and there is %q: folders go to --dir", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return check(o, command.OutOrStdout()) },
	}
	flags := command.Flags()
	flags.StringArrayVar(&o.folders, "dir", []string{"."}, "folder to try direct I/O in; may be repeated")
	flags.BoolVar(&o.json, "json", false, "print JSON, as docs/check.md describes it")
	return command
}

// checkResult is what --json prints.
type checkResult struct {
	Version string   `json:"version"`
	Missing []string `json:"missing"`
	machine.Report
}

func check(o checkOptions, stdout io.Writer) error {
	for _, folder := range o.folders {
		if info, err := os.Stat(folder); err != nil {
			var problem *os.PathError
			if errors.As(err, &problem) {
				err = problem.Err
			}
			return wrongUsage(fmt.Errorf("--dir %s: %w", folder, err))
		} else if !info.IsDir() {
			return wrongUsage(fmt.Errorf("--dir %s: not a folder", folder))
		}
	}
	report := machine.Here(o.folders).Check()
	return o.tell(&report, stdout)
}

// tell prints a report, and fails when something necessary is missing.
func (o *checkOptions) tell(report *machine.Report, stdout io.Writer) error {
	names := report.Missing()
	if o.json {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(checkResult{version, append([]string{}, names...), *report}); err != nil {
			return err
		}
	} else {
		file, isFile := stdout.(*os.File)
		printReport(stdout, report, isFile && isTerminal(file) && os.Getenv("NO_COLOR") == "")
	}
	if len(names) > 0 {
		return fmt.Errorf("smf does not run here without: %s", strings.Join(names, ", "))
	}
	return nil
}

// The report's columns. Lines are broken between words at reportWidth, commands never.
const (
	reportWidth  = 110
	reportIndent = "  "
)

// reportColours are terminals' codes for verdicts; what is fine needs none.
var reportColours = map[machine.Verdict]string{
	machine.Better: "\x1b[33m", machine.Missing: "\x1b[31m", machine.Unknown: "\x1b[36m",
}

func printReport(w io.Writer, report *machine.Report, coloured bool) {
	verdictWidth, nameWidth := 0, 0
	for _, f := range report.Findings {
		verdictWidth = max(verdictWidth, len(f.Verdict.String()))
		nameWidth = max(nameWidth, utf8.RuneCountInString(f.Name))
	}
	section := ""
	for _, f := range report.Findings {
		if f.Section != section {
			if section != "" {
				fmt.Fprintln(w)
			}
			section = f.Section
			fmt.Fprintln(w, section)
		}
		verdict := padded(f.Verdict.String(), verdictWidth)
		if colour := reportColours[f.Verdict]; coloured && colour != "" {
			verdict = colour + verdict + "\x1b[0m"
		}
		fmt.Fprintf(w, "%s%s  %s", reportIndent, verdict, padded(f.Name, nameWidth))
		margin := len(reportIndent) + verdictWidth + nameWidth + 4
		for i, line := range wrap(f.Text, reportWidth-margin) {
			if i > 0 {
				fmt.Fprint(w, strings.Repeat(" ", margin-2))
			}
			fmt.Fprintf(w, "  %s\n", line)
		}
		for _, line := range f.Fix {
			fmt.Fprintf(w, "%s    %s\n", reportIndent+strings.Repeat(" ", verdictWidth), line)
		}
	}
	fmt.Fprintf(w, "\n%s\n", summary(report))
}

// summary is the report's last line.
func summary(report *machine.Report) string {
	text := "Nothing that smf needs is missing."
	if names := report.Missing(); len(names) > 0 {
		text = "Missing: " + strings.Join(names, ", ") + "."
	}
	if n := report.Count(machine.Better); n > 0 {
		them := "them"
		if n == 1 {
			them = "it"
		}
		text += fmt.Sprintf(" %s could be better: the commands stand below %s.", counted(n, "thing"), them)
	}
	if n := report.Count(machine.Unknown); n > 0 {
		text += fmt.Sprintf(" %s can't be told.", counted(n, "thing"))
	}
	return text
}

func padded(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// wrap breaks a text between words. There is at least one line.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case utf8.RuneCountInString(*last)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}
