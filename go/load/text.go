package load

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// segmentsMax bounds what repetitions in a text make.
const segmentsMax = 100_000

// ParseProfile reads a profile of a text: segments with commas between them, each RATE/DURATION or, evenly from one
// rate to another, RATE-RATE/DURATION; the last one may have no duration. Rates are calls per second, with k or M for
// thousands and millions. N x(…) repeats segments.
//
//	10k                    all the time
//	100-50k/30s            a ramp
//	1k/5s,2k/5s,5k         steps
//	10x(1k/9s,20k/1s)      a spike every ten seconds
//
// Errors say which part is wrong, and what is expected there.
func ParseProfile(text string) (Profile, error) {
	p, err := parseSegments(strings.ReplaceAll(text, " ", ""), true)
	if err != nil {
		return nil, fmt.Errorf("rate %q: %w", text, err)
	}
	return p, p.Check()
}

func parseSegments(text string, outer bool) (Profile, error) {
	var p Profile
	for rest := text; rest != ""; {
		var part string
		part, rest = cutSegment(rest)
		count, inner, repeated := strings.Cut(part, "x(")
		var segments Profile
		var err error
		times := 1
		switch {
		case repeated && outer:
			if times, err = strconv.Atoi(count); err != nil || times < 1 {
				return nil, fmt.Errorf("%q is no number of repetitions", count)
			}
			if !strings.HasSuffix(inner, ")") {
				return nil, fmt.Errorf("the bracket of %q is not closed", part)
			}
			segments, err = parseSegments(strings.TrimSuffix(inner, ")"), false)
		default:
			var s Segment
			s, err = parseSegment(part, outer && rest == "")
			segments = Profile{s}
		}
		if err != nil {
			return nil, err
		}
		if times > segmentsMax || len(p)+times*len(segments) > segmentsMax {
			return nil, fmt.Errorf("more than %d segments", segmentsMax)
		}
		for range times {
			p = append(p, segments...)
		}
	}
	if len(p) == 0 {
		return nil, fmt.Errorf("there is no rate: write 10k, 100-50k/30s, 1k/5s,2k/5s or 10x(1k/9s,20k/1s)")
	}
	return p, nil
}

// cutSegment cuts at the first comma that is not in brackets.
func cutSegment(text string) (part, rest string) {
	depth := 0
	for i, c := range text {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				return text[:i], text[i+1:]
			}
		}
	}
	return text, ""
}

func parseSegment(text string, last bool) (s Segment, err error) {
	rates, long, timed := strings.Cut(text, "/")
	if timed {
		if s.Duration, err = time.ParseDuration(long); err != nil {
			return s, fmt.Errorf("%q is no duration: write 500ms, 10s or 2m", long)
		}
	} else if !last {
		return s, fmt.Errorf("%q has no duration: only the last part may do without; write %s/10s", text, text)
	}
	from, to, ramp := strings.Cut(rates, "-")
	if s.From, err = parseRate(from); err != nil {
		return s, err
	}
	s.To = s.From
	if ramp {
		if !timed {
			return s, fmt.Errorf("%q has no duration: write %s/30s", text, text)
		}
		s.To, err = parseRate(to)
	}
	return s, err
}

func parseRate(text string) (float64, error) {
	number, unit := text, 1.0
	for suffix, times := range map[string]float64{"k": 1e3, "K": 1e3, "M": 1e6} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = rest, times
		}
	}
	rate, err := strconv.ParseFloat(number, 64)
	if err != nil || !rateOK(rate*unit) {
		return 0, fmt.Errorf("%q is no rate: write calls per second, like 500, 2.5k or 1M", text)
	}
	return rate * unit, nil
}

// ReadTrace reads a recording for Replay: seconds since its beginning, one call a line, in order; empty lines and what
// follows a # are left out. Errors name the line.
func ReadTrace(r io.Reader) ([]time.Duration, error) {
	var times []time.Duration
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		s, err := strconv.ParseFloat(text, 64)
		if err != nil || !(s >= 0 && s < 1e9) {
			return nil, fmt.Errorf("line %d of the trace: %q is no time: write seconds since its beginning", n, text)
		}
		at := time.Duration(math.Round(s * 1e9))
		if len(times) > 0 && at < times[len(times)-1] {
			return nil, fmt.Errorf("line %d of the trace: %s comes after %s: the times must be in order", n, at, times[len(times)-1])
		}
		times = append(times, at)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("the trace: %w", err)
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("the trace is empty: write the seconds at which calls are due, one a line")
	}
	return times, nil
}

// WriteHGRM writes a histogram of nanoseconds as text, in microseconds, as the plotter of HdrHistogram reads it.
func WriteHGRM(w io.Writer, h *hdrhistogram.Histogram) error {
	_, err := h.PercentilesPrint(w, 5, 1000)
	return err
}

// WriteCSV writes the time series, a line for each interval, with a line of titles.
func (r *Result) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"seconds", "intended_per_second", "calls_per_second", "errors_per_second",
		"p50_us", "p90_us", "p99_us", "p999_us", "max_us"}}
	for _, p := range r.Series {
		t := p.LatencyUS
		var row []string
		for _, v := range []float64{p.Seconds, p.IntendedPerSecond, p.CallsPerSecond, p.ErrorsPerSecond, t.P50, t.P90, t.P99, t.P999, t.Max} {
			row = append(row, strconv.FormatFloat(v, 'f', -1, 64))
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}
