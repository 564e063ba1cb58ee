package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// besideBytes is nearly 64 MiB: a header and a metadata block have to fit beside it at both levels.
const besideBytes = 64<<20 - 4096

// besideTimes is how much longer than other measurements one beside large messages takes: some of them have to
// go by.
const besideTimes = 4

// besideP99 is the bar, in microseconds.
const besideP99 = 2000

// besideLoad is what goes on while a caller has one short call after the other on the same connection.
type besideLoad struct {
	level     int
	direction string // of the large messages: request, reply; "": there are none
}

func (l besideLoad) name() string {
	if l.direction == "" {
		return fmt.Sprintf("level %d, quiet", l.level)
	}
	return fmt.Sprintf("level %d, large %s", l.level, l.direction)
}

var besideLoads = []besideLoad{{1, ""}, {2, ""}, {1, "request"}, {2, "request"}, {1, "reply"}, {2, "reply"}}

// callBeside measures short calls of our Go client beside large messages.
func (b *bench) callBeside(s *server, l besideLoad) (*measurement, error) {
	seconds := b.seconds * besideTimes
	patience := time.Duration((seconds + b.warmup + 15) * float64(time.Second))
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	args := []string{"--address", s.address, "--payload", strconv.Itoa(clientPayloadBytes), "--level", strconv.Itoa(l.level),
		"--seconds", fmt.Sprint(seconds), "--warmup", fmt.Sprint(b.warmup), "--json"}
	if l.direction != "" {
		args = append(args, "--beside", strconv.Itoa(besideBytes), "--direction", l.direction)
	}
	cpus, _ := b.loadCPUs(contenders[smfGoLarge])
	return runClient(exec.CommandContext(ctx, b.program(clientProgram), args...), cpus)
}

// besideRound measures every load once, each round beginning with another.
func (b *bench) besideRound(round int, cells []rounds) error {
	s, err := b.start(contenders[smfGoLarge], false)
	if err != nil {
		return err
	}
	defer s.stop()
	for i := range besideLoads {
		k := (i + round) % len(besideLoads)
		l := besideLoads[k]
		m, err := b.callBeside(s, l)
		if b.ctx.Err() != nil {
			return b.ctx.Err()
		}
		if err != nil {
			b.fail(l.name(), err)
		} else {
			fmt.Fprintf(b.log, "round %d of %d  %-22s p50 %s us  p99 %s us\n", round+1, b.rounds, l.name(), number(p50(m)),
				number(p99(m)))
		}
		cells[k] = append(cells[k], m)
	}
	return nil
}

func longest(m *measurement) float64 { return m.First.LatencyUS.Max }

// besideMiB is how many bytes of large messages went by, in MiB a second.
func (b *bench) besideMiB(m *measurement) float64 {
	return float64(m.Beside) * besideBytes / (1 << 20) / (b.seconds*besideTimes + b.warmup)
}

// measureBeside measures what a large message does to the short calls of its connection, at both levels.
func measureBeside(b *bench) (table, error) {
	cells := make([]rounds, len(besideLoads))
	for round := range b.rounds {
		if err := b.besideRound(round, cells); err != nil {
			return table{}, err
		}
	}
	t := table{
		Letter: "p", Title: "A short call beside messages of 64 MiB on its connection",
		Notes: []string{"One caller has one call of 60 bytes after the other, another one messages of 64 MiB, one after the " +
			"other, on the same connection: to the server (request), or from it (reply). Go server and Go client. At " +
			"level 1 a message is one frame, which a short call waits for; at level 2 it goes in slices. Medians, with " +
			"the least and the greatest round in brackets; the longest: in any round."},
		Columns: []string{"load", "short calls/s", "p50 µs", "p99 µs", "longest µs", "large MiB/s"},
	}
	for i, l := range besideLoads {
		large := ""
		if l.direction != "" {
			large = number(cells[i].stat(b.besideMiB).Median)
		}
		t.Rows = append(t.Rows, []string{l.name(), cells[i].stat(callsPerSecond).text(""), cells[i].stat(p50).text(""),
			cells[i].stat(p99).text(""), number(cells[i].stat(longest).Max), large})
		t.Cells = append(t.Cells, cell{Load: l.name(), Contender: smfGoLarge, Rounds: cells[i]})
		if l.level == 2 && l.direction != "" {
			t.Targets = append(t.Targets, target{Name: l.name() + ": p99", Bar: besideP99, Unit: " µs", Value: cells[i].stat(p99)})
		}
	}
	return t, nil
}
