package main

// measureMetrics measures our server that counts calls by method against one that does not.
func measureMetrics(b *bench) (table, error) {
	loads := []load{
		{conns: 1, depth: 1, payload: 60},
		{conns: 1, depth: 64, payload: 60},
		{conns: 64, depth: 8, payload: 60},
	}
	names := []string{smfGo, smfGoUncounted}
	cells, err := b.grid(loads, names)
	if err != nil {
		return table{}, err
	}
	t := table{
		Letter: "f", Title: "What it costs to count calls by method",
		Notes: []string{howToRead, "The same server with ServerOptions.NoMethodStats and without. A call's cost is " +
			"the difference of the times that a call takes, 1 s divided by calls/s, round by round: server " +
			"and load client wait for each other in it, so it is noisy, and may be negative."},
		Columns: []string{"load", "server", "calls/s", "p50 µs", "p99 µs", "calls/s of uncounted"},
		Rows:    rateRows(loads, names, cells, []string{smfGoUncounted}),
		Cells:   allCells(loads, names, cells),
	}
	for i, l := range loads {
		if l.depth == 1 {
			continue // a microsecond of waiting hides what is looked for
		}
		if cost := costs(cells[i][smfGo], cells[i][smfGoUncounted]); cost.Count > 0 {
			t.Targets = append(t.Targets, target{Name: l.name() + ": cost of counting a call", Bar: 25, Unit: " ns",
				Value: cost})
		}
	}
	return t, nil
}

// costs is how many nanoseconds a call of one cell takes more than one of the other, round by round.
func costs(with, without rounds) stat {
	var values []float64
	for i := range min(len(with), len(without)) {
		if with[i] == nil || without[i] == nil || with[i].CallsPerSecond == 0 || without[i].CallsPerSecond == 0 {
			continue
		}
		values = append(values, 1e9/with[i].CallsPerSecond-1e9/without[i].CallsPerSecond)
	}
	return summarize(values)
}
