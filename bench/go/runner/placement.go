package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/smf-go/smf/bench/go/workload"
)

// placementRounds is how often few connections are opened: a split that is left to chance shows.
const placementRounds = 50

// measurePlacement is what a server with two cores makes of four connections.
func measurePlacement(b *bench) (table, error) {
	loads := []load{
		{conns: 4, depth: 1, payload: 60},
		{conns: 4, depth: 16, payload: 60},
		{conns: 4, depth: 4, payload: 60, method: workload.ComputeBriefly},
	}
	names := []string{smfGoTwo, smfGoOne}
	cells, err := b.grid(loads, names)
	if err != nil {
		return table{}, err
	}
	t := table{
		Letter: "g", Title: "Four connections on two cores",
		Notes: []string{"Connections × calls in flight on each, payload. Medians, with the least and the greatest in " +
			"brackets. Ratios are taken round by round, then their median. Each round opens its connections to " +
			"a fresh server. \"All on one core\" is the worst that chance could do, a split of 4:0: the same " +
			"server with a single core, on the same CPUs. An echo costs the client about as much as the server; " +
			"the handlers that compute show what a second core is worth. Servers with their default options " +
			"(they spin for a short time, then sleep).", "Who runs where: " + b.whereRun(contenders[smfGoTwo]) + "."},
		Columns: []string{"load", "server", "connections by core", "calls/s", "p50 µs", "p99 µs", "of all on one"},
		Cells:   allCells(loads, names, cells),
	}
	for i, l := range loads {
		for _, name := range names {
			measured, ok := cells[i][name]
			if !ok {
				continue
			}
			of := ""
			if other, ok := cells[i][smfGoOne]; ok && name != smfGoOne {
				of = pairwise(measured, other, callsPerSecond).text("×")
			}
			t.Rows = append(t.Rows, []string{l.name(), contenders[name].label, splits(measured),
				measured.stat(callsPerSecond).text(""), measured.stat(p50).text(""), number(measured.stat(p99).Median), of})
		}
		if two := cells[i][smfGoTwo]; two.stat(callsPerSecond).Count > 0 {
			t.Targets = append(t.Targets, target{Name: l.name() + ": connections of the fuller core", Bar: 2,
				Value: two.worst(fullest)})
		}
	}
	return t, nil
}

// fullest is how many connections the core had that had the most.
func fullest(m *measurement) float64 {
	if len(m.Connections) == 0 {
		return 0
	}
	return float64(slices.Max(m.Connections))
}

// worst is a figure whose greatest value counts, not its median.
func (r rounds) worst(of figure) stat {
	s := r.stat(of)
	s.Median = s.Max
	return s
}

// splits counts how often connections were spread in which way: "2:2 50 times".
func splits(r rounds) string {
	times := map[string]int{}
	for _, m := range r {
		if m == nil {
			continue
		}
		var parts []string
		for _, n := range slices.Sorted(slices.Values(m.Connections)) {
			parts = append([]string{strconv.FormatUint(n, 10)}, parts...)
		}
		times[strings.Join(parts, ":")]++
	}
	var all []string
	for split, n := range times {
		all = append(all, fmt.Sprintf("%s %d times", split, n))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// whereRun says which CPUs a contender's server and its load client run on.
func (b *bench) whereRun(c contender) string {
	cpus, shared := b.loadCPUs(c)
	server := b.serverCPUs(c)
	if shared {
		return fmt.Sprintf("server and load client share the CPUs %s: what the client uses the server does not have, "+
			"and a second core gains less than it would", list(server))
	}
	return fmt.Sprintf("server on CPU %s, load client on CPU %s", list(server), list(cpus))
}

func list(cpus []int) string {
	var text []string
	for _, cpu := range cpus {
		text = append(text, strconv.Itoa(cpu))
	}
	return strings.Join(text, " and ")
}

// connections asks a server how many connections each of its cores was given since it started.
func (s *server) connections(ctx context.Context) ([]uint64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/stats", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var stats struct {
		Cores []struct{ Connections uint64 }
	}
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		return nil, fmt.Errorf("%s/stats: %w", s.admin, err)
	}
	var all []uint64
	for _, core := range stats.Cores {
		all = append(all, core.Connections)
	}
	return all, nil
}
