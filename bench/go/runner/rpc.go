package main

import (
	"fmt"

	"github.com/smf-go/smf/bench/go/workload"
)

// grid measures every contender under every load, --rounds times. Contenders take turns in going
// first. The result has one map per load.
func (b *bench) grid(loads []load, names []string) ([]map[string]rounds, error) {
	cells := make([]map[string]rounds, len(loads))
	for i := range cells {
		cells[i] = map[string]rounds{}
	}
	present := b.present(names)
	for round := range b.rounds {
		for i, l := range loads {
			for k := range present {
				name := present[(k+round)%len(present)]
				m, err := b.measure(contenders[name], l)
				if b.ctx.Err() != nil {
					return nil, b.ctx.Err()
				}
				if err != nil {
					b.fail(fmt.Sprintf("%s, %s", l.name(), name), err)
				} else {
					fmt.Fprintf(b.log, "round %d of %d  %-14s %-15s %9s/s  p50 %s us\n", round+1, b.rounds,
						l.name(), name, number(m.CallsPerSecond), number(p50(m)))
				}
				cells[i][name] = append(cells[i][name], m)
			}
		}
	}
	return cells, nil
}

// present leaves out what the user does not want.
func (b *bench) present(names []string) []string {
	var present []string
	for _, name := range names {
		if !b.without[name] {
			present = append(present, name)
		}
	}
	return present
}

// name is "64×8 60 B": connections, calls in flight on each, payload; and what the handler does, if
// that is more than an echo.
func (l load) name() string {
	if l.method == workload.ComputeBriefly {
		return fmt.Sprintf("%d×%d computes 50 µs", l.conns, l.depth)
	}
	if l.payload >= 1<<10 && l.payload%(1<<10) == 0 {
		return fmt.Sprintf("%d×%d %d KiB", l.conns, l.depth, l.payload>>10)
	}
	return fmt.Sprintf("%d×%d %d B", l.conns, l.depth, l.payload)
}

func allCells(loads []load, names []string, cells []map[string]rounds) []cell {
	var all []cell
	for i, l := range loads {
		for _, name := range names {
			if measured, ok := cells[i][name]; ok {
				all = append(all, cell{Load: l.name(), Contender: name, Rounds: measured})
			}
		}
	}
	return all
}

const howToRead = "Connections × calls in flight on each, payload. Medians, with the least and the " +
	"greatest in brackets. Ratios are of calls per second, taken round by round, then their median; the " +
	"best C is the one with the greater median."

// rateRows makes a row for each cell: figures, and calls per second relative to others.
func rateRows(loads []load, names []string, cells []map[string]rounds, against ...[]string) [][]string {
	var rows [][]string
	for i, l := range loads {
		for _, name := range names {
			measured, ok := cells[i][name]
			if !ok {
				continue
			}
			row := []string{l.name(), contenders[name].label, measured.stat(callsPerSecond).text(""),
				measured.stat(p50).text(""), number(measured.stat(p99).Median)}
			for _, others := range against {
				other, found := best(cells[i], others, callsPerSecond, true)
				text := ""
				if found && other != name {
					text = number(pairwise(measured, cells[i][other], callsPerSecond).Median)
				}
				row = append(row, text)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// rateTarget is a bar for our calls per second relative to the best of others. It is left out when
// either was not measured.
func rateTarget(targets []target, cells map[string]rounds, l load, others []string, what string,
	bar float64) []target {
	other, found := best(cells, others, callsPerSecond, true)
	if !found || cells[smfGo].stat(callsPerSecond).Count == 0 {
		return targets
	}
	return append(targets, target{
		Name: fmt.Sprintf("%s: calls/s of %s", l.name(), what), Bar: bar, AtLeast: true, Unit: "×",
		Value: pairwise(cells[smfGo], cells[other], callsPerSecond),
	})
}

func measureBytes(b *bench) (table, error) {
	loads := []load{
		{conns: 1, depth: 1, payload: 60},
		{conns: 1, depth: 64, payload: 60},
		{conns: 64, depth: 1, payload: 60},
		{conns: 64, depth: 8, payload: 60},
		{conns: 1, depth: 16, payload: 4 << 10},
		{conns: 1, depth: 4, payload: 64 << 10},
	}
	names := []string{smfGo, smfC, bareC, plainGo}
	cells, err := b.grid(loads, names)
	if err != nil {
		return table{}, err
	}
	bestC, plain := []string{smfC, bareC}, []string{plainGo}
	var targets []target
	for i, l := range loads {
		if l.conns == 1 && l.depth == 1 {
			targets = latencyTarget(targets, cells[i], l, bestC, 1.1)
		} else {
			targets = rateTarget(targets, cells[i], l, bestC, "the best C", 0.9)
		}
		bar := 1.0
		if l.conns*l.depth >= 64 && l.depth > 1 {
			bar = 1.4
		}
		targets = rateTarget(targets, cells[i], l, plain, "plain Go", bar)
	}
	return table{
		Letter: "a", Title: "Echo of bytes",
		Notes: []string{howToRead, "Every server checks the request's checksum, copies the payload into " +
			"memory of the reply and computes its checksum. Servers and load client never sleep (plain " +
			"Go sleeps in its runtime's poller); our Go server runs with one P more than it has cores, plain Go with what Go " +
			"chooses, which is faster for it."},
		Columns: []string{"load", "server", "calls/s", "p50 µs", "p99 µs", "of best C", "of plain Go"},
		Rows:    rateRows(loads, names, cells, bestC, plain),
		Targets: targets,
		Cells:   allCells(loads, names, cells),
	}, nil
}

// latencyTarget is a bar for our p50 relative to the best of others.
func latencyTarget(targets []target, cells map[string]rounds, l load, others []string,
	bar float64) []target {
	other, found := best(cells, others, p50, false)
	if !found || cells[smfGo].stat(p50).Count == 0 {
		return targets
	}
	return append(targets, target{
		Name: fmt.Sprintf("%s: p50 of the best C", l.name()), Bar: bar, Unit: "×",
		Value: pairwise(cells[smfGo], cells[other], p50),
	})
}

func measureTyped(b *bench) (table, error) {
	loads := []load{
		{conns: 1, depth: 1, payload: 60, typed: true},
		{conns: 1, depth: 64, payload: 60, typed: true},
		{conns: 64, depth: 8, payload: 60, typed: true},
	}
	names := []string{smfGo, smfC, bareC, plainGo, grpcGo}
	cells, err := b.grid(loads, names)
	if err != nil {
		return table{}, err
	}
	bestC, plain, grpc := []string{smfC, bareC}, []string{plainGo}, []string{grpcGo}
	var targets []target
	for i, l := range loads {
		targets = rateTarget(targets, cells[i], l, bestC, "the best C", 0.85)
		if l.conns == 1 && l.depth == 64 {
			targets = rateTarget(targets, cells[i], l, grpc, "gRPC-Go", 20)
		}
	}
	return table{
		Letter: "b", Title: "Typed echo of a name",
		Notes: []string{howToRead, "Every server checks the checksum, checks the request's table, reads " +
			"the name, builds the response's table and computes its checksum. gRPC-Go: default options, " +
			"a StringValue of the same length, its own load client (as many callers as calls in flight)."},
		Columns: []string{"load", "server", "calls/s", "p50 µs", "p99 µs", "of best C", "of plain Go", "of gRPC-Go"},
		Rows:    rateRows(loads, names, cells, bestC, plain, grpc),
		Targets: targets,
		Cells:   allCells(loads, names, cells),
	}, nil
}
