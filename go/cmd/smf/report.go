package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/smf-go/smf/go/rpc"
)

// report is what a run found out.
type report struct {
	latencies  *hdrhistogram.Histogram // of the measured calls that succeeded, in nanoseconds
	elapsed    time.Duration           // from the first of them to the last reply; without any, all of it
	wentAway   bool                    // the server answered, and was unavailable
	failures   map[rpc.Code]uint64     // of all calls, those before the measured phase too
	examples   map[rpc.Code]string     // one message of each, where there is one
	unanswered uint64                  // in flight when the time was over, and for long after
	silence    string                  // what to think, because nothing came back; or ""
}

func (r *report) calls() uint64 { return uint64(r.latencies.TotalCount()) }

func (r *report) failed() uint64 {
	sum := r.unanswered
	for _, count := range r.failures {
		sum += count
	}
	return sum
}

// quantiles are the columns of the table, in percent.
var quantiles = []struct {
	name    string
	percent float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"max", 100}}

func (r *report) print(w io.Writer) {
	errors := "no errors"
	if n := r.failed(); n > 0 {
		errors = grouped(n) + " failed"
	}
	fmt.Fprintf(w, "%s calls in %.2f s: %s calls/s, %s\n", grouped(r.calls()), r.elapsed.Seconds(),
		grouped(perSecond(r.calls(), r.elapsed)), errors)
	if r.calls() > 0 {
		head, row := "latency", "     µs"
		for _, q := range quantiles {
			micros := float64(r.latencies.ValueAtQuantile(q.percent)) / 1000
			head += fmt.Sprintf("  %10s", q.name)
			row += fmt.Sprintf("  %10.1f", micros)
		}
		fmt.Fprintf(w, "\n%s\n%s\n", head, row)
	}
	if r.failed() == 0 {
		return
	}
	fmt.Fprintf(w, "\n%12s  %s\n", "failed", "status")
	for _, code := range slices.Sorted(maps.Keys(r.failures)) {
		line := fmt.Sprintf("%d %s", uint32(code), code)
		if example := r.examples[code]; example != "" {
			line += ": " + example
		}
		fmt.Fprintf(w, "%12s  %s\n", grouped(r.failures[code]), line)
	}
	if r.unanswered > 0 {
		fmt.Fprintf(w, "%12s  no reply within %s after the end\n", grouped(r.unanswered), replyPatience)
	}
	if r.wentAway {
		fmt.Fprintf(w, "\nthe server was unavailable for a part of the time: the last reply came after %.2f s\n", r.elapsed.Seconds())
	}
	if r.silence != "" {
		fmt.Fprintf(w, "\n%s\n", r.silence)
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
