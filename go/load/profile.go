package load

import (
	"fmt"
	"math"
	"time"
)

// Segment is a part of a Profile: the rate goes evenly from one value to another.
type Segment struct {
	Duration time.Duration // how long it is
	From, To float64       // calls per second, at its beginning and at its end; neither is negative
}

// Profile says how many calls per second are wanted over time. Behind its last segment it goes on at that one's
// last rate.
type Profile []Segment

// Constant is the same rate all the time, in calls per second.
func Constant(rate float64) Profile { return Profile{{0, rate, rate}} }

// Ramp goes evenly from one rate to another, and stays there.
func Ramp(from, to float64, over time.Duration) Profile { return Profile{{over, from, to}} }

// Steps has one rate after the other, each for the same time.
func Steps(each time.Duration, rates ...float64) Profile {
	p := make(Profile, 0, len(rates))
	for _, rate := range rates {
		p = append(p, Segment{each, rate, rate})
	}
	return p
}

// Spikes is a base rate that jumps to a peak at the end of every period, for as long as a spike is; periods is how
// many there are.
func Spikes(base, peak float64, every, long time.Duration, periods int) Profile {
	p := make(Profile, 0, 2*periods+1)
	for range periods {
		p = append(p, Segment{every - long, base, base}, Segment{long, peak, peak})
	}
	return append(p, Segment{0, base, base})
}

// Check tells what is wrong with a profile: an error names the segment.
func (p Profile) Check() error {
	if len(p) == 0 {
		return fmt.Errorf("a profile without a segment: give it a rate")
	}
	for i, s := range p {
		switch {
		case s.Duration < 0:
			return fmt.Errorf("segment %d of the profile lasts %s: it can't be less than nothing", i+1, s.Duration)
		case !rateOK(s.From) || !rateOK(s.To):
			return fmt.Errorf("segment %d of the profile goes from %v to %v calls per second: rates are from 0 to %.0e",
				i+1, s.From, s.To, rateMax)
		}
	}
	return nil
}

const rateMax = 1e9

func rateOK(rate float64) bool { return rate >= 0 && rate <= rateMax } // not: NaN

// Rate is how many calls per second are wanted at a time.
func (p Profile) Rate(at time.Duration) float64 {
	for _, s := range p {
		if at < s.Duration {
			return s.From + (s.To-s.From)*float64(at)/float64(s.Duration)
		}
		at -= s.Duration
	}
	return p[len(p)-1].To
}

// Duration is how long its segments are together; behind them the rate does not change.
func (p Profile) Duration() time.Duration {
	var sum time.Duration
	for _, s := range p {
		sum += s.Duration
	}
	return sum
}

// Calls is how many calls are wanted until a time: the area below the rate.
func (p Profile) Calls(until time.Duration) float64 {
	sum := 0.0
	for _, s := range p {
		if until < s.Duration {
			rate := s.From + (s.To-s.From)*float64(until)/float64(s.Duration)
			return sum + (s.From+rate)/2*until.Seconds()
		}
		sum += s.calls()
		until -= s.Duration
	}
	return sum + p[len(p)-1].To*until.Seconds()
}

// calls is the area below a segment.
func (s Segment) calls() float64 { return (s.From + s.To) / 2 * s.Duration.Seconds() }

// reach is when a segment's area reaches a number of calls, in seconds from its beginning; calls is at most its
// whole area.
func (s Segment) reach(calls float64) float64 {
	if calls <= 0 {
		return 0
	}
	long := s.Duration.Seconds()
	slope := (s.To - s.From) / long
	// From·t + slope/2·t² = calls, by the form that loses no digits where the slope is nearly nothing.
	root := math.Sqrt(max(s.From*s.From+2*slope*calls, 0))
	return min(2*calls/(s.From+root), long)
}

// walk goes along a profile, from one number of calls to greater ones: it keeps the place where it is.
type walk struct {
	profile Profile
	index   int
	began   float64 // seconds at the beginning of the segment
	before  float64 // calls until then
}

// at is when the area below the profile reaches a number of calls, which is not less than the one before; false:
// never, because the rate is 0 from somewhere on.
func (w *walk) at(calls float64) (time.Duration, bool) {
	for ; w.index < len(w.profile); w.index++ {
		s := w.profile[w.index]
		if area := s.calls(); calls > w.before+area || area == 0 {
			w.before += area
			w.began += s.Duration.Seconds()
			continue
		}
		return seconds(w.began + s.reach(calls-w.before))
	}
	last := w.profile[len(w.profile)-1].To
	if last == 0 {
		return 0, false
	}
	return seconds(w.began + (calls-w.before)/last)
}

// seconds is a time, and false where it is further away than a time can be.
func seconds(s float64) (time.Duration, bool) {
	if s >= float64(math.MaxInt64)/1e9 {
		return 0, false
	}
	return time.Duration(math.Round(s * 1e9)), true
}
