package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"time"

	"github.com/smf-go/smf/bench/go/workload"
)

const (
	sharePercent   = 5
	sleepers       = 1000
	sleeperThreads = 32
)

// mix is a load on one contender, by the name that its row has.
type mix struct {
	load      string
	contender string
	what      string // of the slow method
	calls     load
}

// measureBlocking is what handlers that block do to the others.
func measureBlocking(b *bench) (table, error) {
	mixes := blockingMixes()
	measured := map[mix]rounds{}
	for round := range b.rounds {
		for _, m := range mixes {
			if b.without[m.contender] {
				continue
			}
			result, err := b.measure(contenders[m.contender], m.calls)
			if b.ctx.Err() != nil {
				return table{}, b.ctx.Err()
			}
			if err != nil {
				b.fail(fmt.Sprintf("%s, %s, %s", m.load, m.contender, m.what), err)
			} else {
				fmt.Fprintf(b.log, "round %d of %d  %s  %s, %s: %s/s  p99 %s us\n", round+1, b.rounds, m.load,
					m.contender, m.what, number(result.CallsPerSecond), number(p99(result)))
			}
			measured[m] = append(measured[m], result)
		}
	}
	t := table{
		Letter: "c", Title: "Handlers that block",
		Notes: []string{"Of all calls, 5 % go to a method that sleeps or computes a millisecond; latencies " +
			"are those of the others, which echo 60 bytes. Open loop: 20,000 calls a second over 64 " +
			"connections, latency counted from when a call was due. Closed loop: 8 connections × 8 calls " +
			"in flight. Servers with their default options (they spin for a short time, then sleep). " +
			"Marked: the method is declared slow; plain Go always knows."},
		Columns: []string{"load", "server", "slow method", "calls/s", "p50 µs", "p99 µs", "p99.9 µs", "slow p50 µs"},
	}
	for _, m := range mixes {
		r := measured[m]
		if len(r) == 0 {
			continue
		}
		t.Rows = append(t.Rows, []string{m.load, contenders[m.contender].label, m.what,
			r.stat(callsPerSecond).text(""), number(r.stat(p50).Median), r.stat(p99).text(""),
			number(r.stat(p999).Median), number(r.stat(secondP50).Median)})
		t.Cells = append(t.Cells, cell{Load: m.load + ", " + m.what, Contender: m.contender, Rounds: r})
	}
	t.Targets = blockingTargets(mixes, measured)
	return t, b.addSleepers(&t)
}

const (
	openLoop   = "open 20 k/s"
	closedLoop = "closed 8×8"
)

func blockingMixes() []mix {
	open := load{conns: 64, payload: 60, rate: 20_000}
	closed := load{conns: 8, depth: 8, payload: 60}
	with := func(l load, method uint32) load {
		l.method2, l.share2 = method, sharePercent
		return l
	}
	return []mix{
		{openLoop, smfGoEco, "none", open},
		{openLoop, smfGoEco, "sleeps", with(open, workload.SleepMillisecond)},
		{openLoop, plainGo, "none", open},
		{openLoop, plainGo, "sleeps", with(open, workload.SleepMillisecond)},
		{closedLoop, smfGoEco, "sleeps", with(closed, workload.SleepMillisecond)},
		{closedLoop, smfGoEco, "sleeps, marked", with(closed, workload.MarkedSleepMillisecond)},
		{closedLoop, plainGo, "sleeps", with(closed, workload.SleepMillisecond)},
		{closedLoop, smfGoEco, "computes", with(closed, workload.ComputeMillisecond)},
		{closedLoop, smfGoEco, "computes, marked", with(closed, workload.MarkedComputeMillisecond)},
		{closedLoop, plainGo, "computes", with(closed, workload.ComputeMillisecond)},
	}
}

func blockingTargets(mixes []mix, measured map[mix]rounds) []target {
	find := func(load, contender, what string) rounds {
		for _, m := range mixes {
			if m.load == load && m.contender == contender && m.what == what {
				return measured[m]
			}
		}
		return nil
	}
	unmarked := find(closedLoop, smfGoEco, "sleeps")
	computing := find(closedLoop, smfGoEco, "computes")
	all := []target{
		{
			Name: "open loop: p99 of the others above its value without sleepers", Bar: 300, Unit: " µs",
			Value: above(find(openLoop, smfGoEco, "sleeps"), find(openLoop, smfGoEco, "none"), p99),
		},
		{
			Name: "closed loop, sleeps: calls/s of the marked one", Bar: 0.9, AtLeast: true, Unit: "×",
			Value: pairwise(unmarked, find(closedLoop, smfGoEco, "sleeps, marked"), callsPerSecond),
		},
		{
			Name: "closed loop, computes: calls/s of plain Go", Bar: 1, AtLeast: true, Unit: "×",
			Value: pairwise(computing, find(closedLoop, plainGo, "computes"), callsPerSecond),
		},
	}
	var made []target
	for _, t := range all {
		if t.Value.Count > 0 {
			made = append(made, t)
		}
	}
	return made
}

// addSleepers measures a thousand handlers that sleep a second at once: how many threads the server
// has meanwhile, and how other calls are served. Once: a fresh server is the hard case.
func (b *bench) addSleepers(t *table) error {
	if b.without[smfGoEco] {
		return nil
	}
	m, err := b.sleepersAtOnce()
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if err != nil {
		b.fail("a thousand sleepers", err)
		return nil
	}
	const loadName, what = "open 2 k/s", "1000 sleep 1 s"
	t.Rows = append(t.Rows, []string{loadName, contenders[smfGoEco].label, what, number(m.CallsPerSecond),
		number(p50(m)), number(p99(m)), number(p999(m)), ""})
	t.Cells = append(t.Cells, cell{Load: loadName + ", " + what, Contender: smfGoEco, Rounds: rounds{m}})
	t.Targets = append(t.Targets, target{
		Name: "a thousand handlers that sleep a second at once: threads", Bar: sleeperThreads,
		Value: summarize([]float64{float64(m.ServerThreads)}),
	})
	return nil
}

// sleepersAtOnce keeps a thousand calls of the sleeping method in flight with a load client that
// sleeps itself, and measures other calls with a second one.
func (b *bench) sleepersAtOnce() (*measurement, error) {
	server, err := b.start(contenders[smfGoEco], false)
	if err != nil {
		return nil, err
	}
	defer server.stop()
	ctx, cancel := context.WithTimeout(b.ctx, 15*time.Second)
	defer cancel()
	const conns = 10
	crowd := exec.CommandContext(ctx, b.program("smf-bench-load"), "--address", server.address,
		"--conns", strconv.Itoa(conns), "--depth", strconv.Itoa(sleepers/conns),
		"--method", fmt.Sprint(workload.SleepSecond), "--warmup", "0", "--seconds", "3.5", "--sleep", "--json")
	cpus, _ := b.loadCPUs(contenders[smfGoEco])
	if err := startOn(cpus, crowd); err != nil {
		return nil, err
	}
	most := make(chan int, 1)
	watching, stopWatching := context.WithCancel(ctx)
	go func() {
		threads := 0
		for watching.Err() == nil {
			threads = max(threads, server.threads())
			time.Sleep(5 * time.Millisecond)
		}
		most <- threads
	}()
	others := exec.CommandContext(ctx, b.program("smf-bench-load"), "--address", server.address,
		"--conns", "8", "--rate", "2000", "--warmup", "0", "--seconds", "2.5", "--json")
	m, err := runClient(others, cpus)
	stopWatching()
	threads := <-most
	if crowdErr := crowd.Wait(); crowdErr != nil {
		err = errors.Join(err, fmt.Errorf("the client of the sleeping method: %w", crowdErr))
	}
	if err != nil {
		return nil, err
	}
	m.ServerThreads = threads
	return m, nil
}
