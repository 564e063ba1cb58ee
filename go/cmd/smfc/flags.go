package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/smf-go/smf/go/codegen"
)

// formerFlags are those of the original smf's generator.
type formerFlags struct {
	filename, outputPath   string
	includeDirs, languages []string
}

func (f *formerFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.filename, "filename", "", "the schema")
	flags.StringSliceVar(&f.includeDirs, "include_dirs", nil, "as --include, with commas between them")
	flags.StringSliceVar(&f.languages, "language", nil, "as --lang")
	flags.StringVar(&f.outputPath, "output_path", ".", "as --out")
	for _, name := range []string{"filename", "include_dirs", "language", "output_path"} {
		if err := flags.MarkHidden(name); err != nil {
			panic(err)
		}
	}
}

// apply adds what these flags say to the options.
func (f *formerFlags) apply(flags *pflag.FlagSet, options *codegen.Options) error {
	for former, ours := range map[string]string{"language": "lang", "output_path": "out"} {
		if flags.Changed(former) && flags.Changed(ours) {
			return &usageError{fmt.Errorf("--%s is another name of --%s: give one of them", former, ours)}
		}
	}
	if f.filename != "" {
		options.Schemas = append([]string{f.filename}, options.Schemas...)
	}
	if flags.Changed("output_path") || f.filename != "" && !flags.Changed("out") {
		options.Out = f.outputPath
	}
	if len(f.languages) > 0 {
		options.Languages = f.languages
	}
	for i, name := range options.Languages {
		options.Languages[i] = strings.TrimSpace(name)
	}
	for _, folder := range f.includeDirs {
		if folder = strings.TrimSpace(folder); folder != "" {
			options.Includes = append(options.Includes, folder)
		}
	}
	return nil
}

// refuseEmpty refuses flags without a value: of a variable that a script has not set, more often than not.
func refuseEmpty(flags *pflag.FlagSet) error {
	var err error
	flags.Visit(func(flag *pflag.Flag) {
		values := []string{flag.Value.String()}
		if list, several := flag.Value.(pflag.SliceValue); several {
			values = list.GetSlice()
		}
		// The original's include_dirs may be empty, as it is where nobody gives it.
		if flag.Name != "include_dirs" && (len(values) == 0 || slices.Contains(values, "")) && err == nil {
			err = &usageError{fmt.Errorf("--%s has an empty value: give one, or leave the flag out", flag.Name)}
		}
	})
	return err
}

var formerOneDash = regexp.MustCompile(`^-(filename|include_dirs|language|output_path)(=|$)`)

// twoDashes gives the original's flags a second dash, which it did not need.
func twoDashes(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if out[i] = arg; formerOneDash.MatchString(arg) {
			out[i] = "-" + arg
		}
	}
	return out
}

// elsewhere are flags of other generators, and what they are called here.
var elsewhere = map[string]string{
	"o": "out", "output": "out", "out_dir": "out", "go_out": "out", "go": "lang go", "c": "lang c",
	"go-namespace": "package", "languages": "lang", "includes": "include", "path": "include",
}

// wrongFlag says of a flag that there is none which one may be meant.
func wrongFlag(flags *pflag.FlagSet, err error) error {
	hint := "; smfc --help lists the flags"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if name := meant(flags, unknown.GetSpecifiedName()); name != "" {
			hint = "; is --" + name + " meant? smfc --help lists the flags"
		}
	}
	return &usageError{fmt.Errorf("%w%s", err, hint)}
}

// meant is the flag that a name is nearest to, if it is near.
func meant(flags *pflag.FlagSet, name string) string {
	if known, found := elsewhere[name]; found {
		return known
	}
	best, nearest := "", 3
	flags.VisitAll(func(flag *pflag.Flag) {
		if n := distance(name, flag.Name); n < nearest && n < len(flag.Name) && !flag.Hidden {
			best, nearest = flag.Name, n
		}
	})
	return best
}

// distance is how many letters have to be added, taken away or changed to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		before := row[0] // of the row above, to the left
		row[0] = i + 1
		for j := range b {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
