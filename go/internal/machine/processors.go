package machine

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

const cpuFolder = "sys/devices/system/cpu"

// available are the processors of the machine that run.
func (m *Machine) available() ([]int, error) { return m.cpuList(cpuFolder + "/online") }

func (m *Machine) cpus() Finding {
	const name = "CPUs"
	online, errOnline := m.available()
	mine := m.Calls.Affinity
	switch {
	case m.Calls.AffinityErr != nil:
		return unknown(name, fmt.Errorf("sched_getaffinity: %w", m.Calls.AffinityErr))
	case errOnline != nil:
		online = mine
	}
	f := ok(name, "%d (%s)", len(mine), formatCPUs(mine)).fact("usable", mine).fact("online", online)
	if len(mine) < len(online) {
		f.Text = fmt.Sprintf("%d of the machine's %d (%s), by %s", len(mine), len(online), formatCPUs(mine), m.whoChose(mine))
	}
	if len(mine) == 1 {
		f.Verdict = Better
		f.Text += "; a loop and the handlers that block share it"
		f = f.fix("# two CPUs or more: one for the loop, one for what blocks")
	}
	return f
}

// whoChose says what keeps the process from the other processors.
func (m *Machine) whoChose(mine []int) string {
	g, err := m.group("cpuset")
	if err != nil {
		return "its affinity"
	}
	for _, file := range []string{"cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"} {
		if set, err := m.cpuList(g.folder + "/" + file); err == nil && len(set) > 0 {
			if slices.Equal(set, mine) {
				return "the CPU set of its control group"
			}
			break
		}
	}
	return "its affinity"
}

func (m *Machine) quota() Finding {
	const name = "CPU quota"
	cpus, folder, err := m.cpuQuota()
	if err != nil {
		return unknown(name, err)
	}
	if cpus == 0 {
		return ok(name, "none")
	}
	f := better(name, "%s: who has used up its share stands still for the rest of the period, up to 100 ms", cpusText(cpus)).
		fact("cpus", cpus)
	if periods, known := m.throttled(folder); known {
		f.Text += fmt.Sprintf("; this has happened %s", times(periods))
		f = f.fact("throttled", periods)
	}
	if cpus >= float64(len(m.Calls.Affinity)) && len(m.Calls.Affinity) > 0 {
		f.Verdict = OK
		f.Text = fmt.Sprintf("%s: as many as there are, so it never bites", cpusText(cpus))
		return f
	}
	whole := max(2, int(cpus+0.999))
	if m.container() != "" {
		return f.fix(fmt.Sprintf("docker run --cpuset-cpus 0-%d IMAGE   # instead of --cpus; Kubernetes: the static CPU manager, "+
			"requests = limits = %d", whole-1, whole))
	}
	return f.fix(fmt.Sprintf("sudo systemctl set-property SERVICE CPUQuota= AllowedCPUs=0-%d", whole-1))
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func (m *Machine) goMaxProcs() Finding {
	const name = "GOMAXPROCS"
	procs := m.Calls.GoMaxProcs
	from := ""
	if m.Calls.GoMaxProcSet {
		from = ", as the environment says"
	}
	if procs < 2 {
		return better(name, "%d%s: a loop leaves nothing for handlers that block", procs, from).
			fix("GOMAXPROCS=2 PROGRAM").fact("procs", procs)
	}
	return ok(name, "%d%s: a Go server has %s unless it is told otherwise, the rest is for handlers that block", procs,
		from, plural(m.loops(), "loop")).fact("procs", procs)
}

// loops are how many a Go server has by itself.
func (m *Machine) loops() int { return max(1, m.Calls.GoMaxProcs-1) }

// isolationWorthwhile is from how many processors on taking some away from everybody else makes sense.
const isolationWorthwhile = 4

func (m *Machine) isolation() Finding {
	const name = "isolated CPUs"
	isolated, err := m.cpuList(cpuFolder + "/isolated")
	if err != nil {
		return unknown(name, err)
	}
	tickless, _ := m.cpuList(cpuFolder + "/nohz_full")
	mine := m.Calls.Affinity
	facts := func(f Finding) Finding { return f.fact("isolated", isolated).fact("nohz_full", tickless) }
	if len(isolated) == 0 {
		f := ok(name, "none")
		if len(mine) >= isolationWorthwhile {
			kept := mine[len(mine)/2:]
			list := formatCPUs(kept)
			f = better(name, "none: other programs and the kernel's ticks share every CPU; matters to the slowest calls in a "+
				"thousand, with --pin").fix(m.kernelArgument("isolcpus=" + list + " nohz_full=" + list + " rcu_nocbs=" + list)...).
				fix("taskset -c " + list + " PROGRAM")
		}
		return facts(f)
	}
	inside := slices.ContainsFunc(mine, func(cpu int) bool { return slices.Contains(isolated, cpu) })
	if !inside {
		return facts(better(name, "%s, but this process may not run there", formatCPUs(isolated)).
			fix("taskset -c " + formatCPUs(isolated) + " PROGRAM   # with --pin"))
	}
	f := ok(name, "%s", formatCPUs(isolated))
	if len(tickless) == 0 {
		f.Text += ", with the kernel's ticks"
	}
	return facts(f)
}

func (m *Machine) nodes() Finding {
	const name = "memory nodes"
	list, err := m.cpuList("sys/devices/system/node/online")
	if m.lacks(err) {
		return ok(name, "1 (a kernel without NUMA)").fact("nodes", 1)
	}
	if err != nil {
		return unknown(name, err)
	}
	if len(list) <= 1 {
		return ok(name, "1").fact("nodes", 1)
	}
	balancing, _ := m.number("proc/sys/kernel/numa_balancing")
	f := ok(name, "%d: a server that stays on one is faster (numactl --cpunodebind=0 --membind=0 PROGRAM)", len(list)).
		fact("nodes", len(list)).fact("balancing", balancing)
	if balancing == 0 {
		return f
	}
	f.Verdict = Better
	f.Text = fmt.Sprintf("%d, and the kernel moves memory between them, which stops threads", len(list))
	return f.fix(m.sysctl("kernel.numa_balancing", "0")...).fix("numactl --cpunodebind=0 --membind=0 PROGRAM")
}

// siblings are the hardware threads that share a processor core.
func (m *Machine) siblings() Finding {
	const name = "hyper-threads"
	active, err := m.number(cpuFolder + "/smt/active")
	if m.lacks(err) {
		return ok(name, "none")
	}
	if err != nil {
		return unknown(name, err)
	}
	if active == 0 {
		return ok(name, "none, or off").fact("active", false)
	}
	firsts := m.firstThreads()
	return ok(name, "on: two loops on one core slow each other down; one CPU of each core: taskset -c %s", formatCPUs(firsts)).
		fact("active", true).fact("first_threads", firsts)
}

// firstThreads is one usable CPU of each processor core.
func (m *Machine) firstThreads() []int {
	var firsts []int
	taken := map[int]bool{}
	for _, cpu := range m.Calls.Affinity {
		if taken[cpu] {
			continue
		}
		firsts = append(firsts, cpu)
		threads, err := m.cpuList(fmt.Sprintf("%s/cpu%d/topology/thread_siblings_list", cpuFolder, cpu))
		if err != nil {
			continue
		}
		for _, other := range threads {
			taken[other] = true
		}
	}
	return firsts
}

func (m *Machine) governor() Finding {
	const name = "frequency"
	files, err := fs.Glob(m.Files, cpuFolder+"/cpu*/cpufreq/scaling_governor")
	if err != nil {
		return unknown(name, err)
	}
	if len(files) == 0 {
		if !m.has(cpuFolder) {
			return unknown(name, absent{cpuFolder})
		}
		return ok(name, "not set by this system (a virtual machine, or fixed)")
	}
	var governors []string
	for _, file := range files {
		governor, err := m.text(file)
		if err != nil {
			return unknown(name, err)
		}
		if !slices.Contains(governors, governor) {
			governors = append(governors, governor)
		}
	}
	slices.Sort(governors)
	list := strings.Join(governors, ", ")
	if list == "performance" {
		return ok(name, "performance").fact("governors", governors)
	}
	return better(name, "%s: a CPU that was idle is slow for some milliseconds", list).
		fix(m.atStart("/"+cpuFolder+"/cpu*/cpufreq/scaling_governor", "performance")...).fact("governors", governors)
}

// idleMicrosMax is how long a processor may take to wake up without anybody caring.
const idleMicrosMax = 20

func (m *Machine) idleStates() Finding {
	const name = "idle states"
	files, err := fs.Glob(m.Files, cpuFolder+"/cpu0/cpuidle/state*/latency")
	if err != nil {
		return unknown(name, err)
	}
	deepest, deepestName := int64(0), ""
	for _, file := range files {
		folder := path.Dir(file)
		if off, err := m.number(folder + "/disable"); err == nil && off != 0 {
			continue
		}
		latency, err := m.number(file)
		if err != nil {
			return unknown(name, err)
		}
		if latency > deepest {
			deepest = latency
			deepestName, _ = m.text(folder + "/name")
		}
	}
	f := ok(name, "waking up takes at most %d µs", deepest).fact("wake_us", deepest)
	switch {
	case len(files) == 0 && !m.has(cpuFolder):
		return unknown(name, absent{cpuFolder})
	case len(files) == 0:
		return ok(name, "none that this system manages")
	case deepest > idleMicrosMax:
		f.Verdict = Better
		f.Text = fmt.Sprintf("a CPU in its deepest one (%s) takes %d µs to wake up, and the first call with it", deepestName, deepest)
		return f.fix(m.kernelArgument("processor.max_cstate=1 intel_idle.max_cstate=1")...).
			fix("# or, for one server: --poll keeps its CPUs awake")
	}
	return f
}

// clockNsMax is what one look at the clock costs where it is no system call.
const clockNsMax = 150

// fastClocks are read without a system call.
var fastClocks = []string{"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "riscv_clocksource"}

func (m *Machine) clock() Finding {
	const name = "clock"
	const folder = "sys/devices/system/clocksource/clocksource0"
	source, err := m.text(folder + "/current_clocksource")
	if err != nil {
		return unknown(name, err)
	}
	others, _ := m.text(folder + "/available_clocksource")
	f := ok(name, "%s, %.0f ns a look", source, m.Calls.ClockNs).fact("source", source).fact("available", strings.Fields(others)).
		fact("ns", m.Calls.ClockNs)
	if slices.Contains(fastClocks, source) && m.Calls.ClockNs <= clockNsMax {
		return f
	}
	f.Verdict = Better
	f.Text += fmt.Sprintf(": a fast one takes less than %d", clockNsMax)
	switch {
	case source != "tsc" && slices.Contains(strings.Fields(others), "tsc"):
		return f.fix("echo tsc | sudo tee /" + folder + "/current_clocksource").
			fix(m.kernelArgument("clocksource=tsc tsc=reliable")...)
	case slices.Contains(fastClocks, source):
		return f.fix("# the machine is busy, or its hypervisor intercepts the clock: run this again when it is quiet")
	}
	return f.fix("dmesg | grep -i tsc   # why the kernel does not trust the processor's own clock")
}
