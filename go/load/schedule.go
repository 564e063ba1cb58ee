package load

import (
	"math/rand/v2"
	"time"
)

// Schedule says when calls are due. Each of its walks goes through the same times.
type Schedule interface {
	// Walk begins at the first call. The function returns when the next one is due, counted from the beginning of the
	// measured time and never before the one that it returned last; false: there are no more.
	Walk() func() (time.Duration, bool)
	// Rate is how many calls per second are wanted around a time, for reports and for the time of warming up.
	Rate(at time.Duration) float64
}

// Even spaces the calls of a profile evenly: at a constant rate r call i is due at i/r seconds.
func Even(p Profile) Schedule { return even{p} }

type even struct{ Profile }

func (e even) Walk() func() (time.Duration, bool) {
	w, next := walk{profile: e.Profile}, 0.0
	return func() (time.Duration, bool) {
		at, ok := w.at(next)
		next++
		return at, ok
	}
}

// Poisson has calls arrive as those of very many users do who know nothing of each other: the times between
// them are exponentially distributed, with the profile's rate as their mean. The seed makes it repeatable.
func Poisson(p Profile, seed uint64) Schedule { return poisson{p, seed} }

type poisson struct {
	Profile
	seed uint64
}

func (p poisson) Walk() func() (time.Duration, bool) {
	w, random, sum := walk{profile: p.Profile}, rand.New(rand.NewPCG(p.seed, 0)), 0.0
	return func() (time.Duration, bool) {
		sum += random.ExpFloat64()
		return w.at(sum)
	}
}

// Replay has calls due at recorded times, which must be in order. It ends with the last one.
func Replay(times []time.Duration) Schedule { return replay(times) }

type replay []time.Duration

func (r replay) Walk() func() (time.Duration, bool) {
	next := 0
	return func() (time.Duration, bool) {
		if next == len(r) {
			return 0, false
		}
		next++
		return r[next-1], true
	}
}

// Rate of a recording is that of all of it.
func (r replay) Rate(time.Duration) float64 {
	if len(r) == 0 || r[len(r)-1] <= 0 {
		return 0
	}
	return float64(len(r)) / r[len(r)-1].Seconds()
}

// divided is every n-th call of a schedule, from the first-th on: what one of several load machines sends.
type divided struct {
	Schedule
	n, first int
}

// Divide is the part of a schedule that one of n load machines sends, part 0 to n-1: together they send all of it.
func Divide(s Schedule, n, part int) Schedule { return divided{s, n, part} }

func (d divided) Walk() func() (time.Duration, bool) {
	next, skip := d.Schedule.Walk(), d.first
	return func() (time.Duration, bool) {
		for range skip {
			if _, ok := next(); !ok {
				return 0, false
			}
		}
		skip = d.n - 1
		return next()
	}
}

func (d divided) Rate(at time.Duration) float64 { return d.Schedule.Rate(at) / float64(d.n) }
