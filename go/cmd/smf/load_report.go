package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/smf-go/smf/go/load"
)

// loadFiles are where a result is written besides the table.
type loadFiles struct {
	json, hgrm, csv string
	open            map[string]*os.File
}

func (f *loadFiles) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.json, "json", "", "write the result to a file, as JSON; - is standard output, behind the table")
	flags.StringVar(&f.hgrm, "hgrm", "", "write the latencies by percentile to a file, as HdrHistogram's plotter reads them")
	flags.StringVar(&f.csv, "csv", "", "write what was measured in each second to a file, as CSV")
}

// create creates the files, so that one that can't be written is known before the run.
func (f *loadFiles) create() error {
	f.open = map[string]*os.File{}
	for _, path := range []string{f.json, f.hgrm, f.csv} {
		if path == "" || path == "-" {
			continue
		}
		if f.open[path] != nil {
			return fmt.Errorf("%s is to be written twice", path)
		}
		file, err := os.Create(path)
		if err != nil {
			f.close()
			return err
		}
		f.open[path] = file
	}
	return nil
}

func (f *loadFiles) close() {
	for _, file := range f.open {
		_ = file.Close() // write has closed those that count
	}
}

func (f *loadFiles) write(r *load.Result) error {
	write := func(path string, what func(io.Writer) error) error {
		if path == "" {
			return nil
		}
		if path == "-" {
			return what(os.Stdout)
		}
		file := f.open[path]
		delete(f.open, path)
		if err := what(file); err != nil {
			return err
		}
		return file.Close()
	}
	if err := write(f.json, func(w io.Writer) error {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}); err != nil {
		return err
	}
	if err := write(f.csv, r.WriteCSV); err != nil {
		return err
	}
	return write(f.hgrm, func(w io.Writer) error {
		h, err := r.Latencies()
		if err != nil {
			return err
		}
		return load.WriteHGRM(w, h)
	})
}

// columns are those of the table of latencies.
var columns = []struct {
	name string
	of   func(load.Times) float64
}{
	{"p50", func(t load.Times) float64 { return t.P50 }},
	{"p90", func(t load.Times) float64 { return t.P90 }},
	{"p99", func(t load.Times) float64 { return t.P99 }},
	{"p99.9", func(t load.Times) float64 { return t.P999 }},
	{"max", func(t load.Times) float64 { return t.Max }},
}

// printResult prints the table. silence: what to think because nothing came back at all; or "".
func printResult(w io.Writer, r *load.Result, silence string) {
	errors := "no errors"
	if r.Errors > 0 {
		errors = grouped(r.Errors) + " failed"
	}
	intended := ""
	if r.Loop == "open" {
		intended = fmt.Sprintf(" of %s that were due", grouped(uint64(r.IntendedPerSecond)))
	}
	fmt.Fprintf(w, "%s calls in %.2f s: %s calls/s%s, %s\n", grouped(r.Calls), r.Seconds, grouped(uint64(r.CallsPerSecond)), intended, errors)
	if r.Calls > 0 {
		printLatencies(w, r)
	}
	if r.Errors > 0 {
		fmt.Fprintf(w, "\n%12s  %s\n", "failed", "status")
		for _, s := range r.Statuses {
			text := s.Status
			if s.Example != "" {
				text += ": " + s.Example
			}
			fmt.Fprintf(w, "%12s  %s\n", grouped(s.Calls), text)
		}
	}
	if silence != "" {
		fmt.Fprintf(w, "\n%s\n", silence)
	} else {
		fmt.Fprintf(w, "\n%s\n", r.Verdict.Text)
	}
}

func printLatencies(w io.Writer, r *load.Result) {
	width := len("latency")
	if len(r.Methods) > 1 {
		for _, m := range r.Methods {
			width = max(width, len(m.Name))
		}
	}
	fmt.Fprintf(w, "\n%-*s", width, "latency")
	for _, c := range columns {
		fmt.Fprintf(w, "  %10s", c.name)
	}
	fmt.Fprintln(w)
	row := func(title string, t load.Times) {
		fmt.Fprint(w, strings.Repeat(" ", max(width-len([]rune(title)), 0))+title)
		for _, c := range columns {
			if t == (load.Times{}) {
				fmt.Fprintf(w, "  %10s", "-")
				continue
			}
			fmt.Fprintf(w, "  %10.1f", c.of(t))
		}
		fmt.Fprintln(w)
	}
	row("µs", r.LatencyUS)
	if len(r.Methods) > 1 {
		for _, m := range r.Methods {
			row(m.Name, m.LatencyUS)
		}
	}
}

// grouped writes a number with commas: 1,234,567.
func grouped(n uint64) string {
	text := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// counted writes a number of things: 1 call, 2 calls.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(uint64(n)) + " " + thing
}
