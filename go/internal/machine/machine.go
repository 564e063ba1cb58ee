// Package machine says what a machine offers to smf: what is fine, what could be better, what is
// missing, and which command changes it.
//
// What was read of a machine is a value (Machine), and what to think of it a pure function (Check), so
// that every verdict can be tried with machines that nobody has. Here reads the machine that the
// program runs on.
package machine

import (
	"encoding/json"
	"fmt"
	"io/fs"
)

// Verdict is what to think of one thing that a machine offers.
type Verdict int

// Verdicts. Missing is kept for what smf does not run without.
const (
	OK Verdict = iota
	Better
	Missing
	Unknown
)

var verdictTexts = [...]string{OK: "ok", Better: "could be better", Missing: "missing", Unknown: "unknown"}

// String is the verdict in words.
func (v Verdict) String() string {
	if v < 0 || int(v) >= len(verdictTexts) {
		return fmt.Sprintf("verdict %d", int(v))
	}
	return verdictTexts[v]
}

// MarshalJSON writes the words.
func (v Verdict) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

// Finding is one line of a report.
type Finding struct {
	Section string  `json:"section"`
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	Text    string  `json:"text"`
	// Fix is what to do about it: lines for a shell. Those that begin with # are words.
	Fix []string `json:"fix,omitempty"`
	// Facts are what the verdict was made of.
	Facts map[string]any `json:"facts,omitempty"`
}

// Report is everything that was found, in the order in which it is worth reading.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Count is how many findings have a verdict.
func (r *Report) Count(v Verdict) int {
	count := 0
	for _, f := range r.Findings {
		if f.Verdict == v {
			count++
		}
	}
	return count
}

// Missing names what is necessary and not there.
func (r *Report) Missing() []string {
	var names []string
	for _, f := range r.Findings {
		if f.Verdict == Missing {
			names = append(names, f.Name)
		}
	}
	return names
}

// Machine is what was read of a machine.
type Machine struct {
	Files fs.FS // its file system, from / on
	Calls Calls // what its kernel answered
}

// Calls is what system calls answered.
type Calls struct {
	Release      string // of the kernel, as uname says it
	Arch         string
	UserID       int
	Affinity     []int // CPUs that the process may use
	AffinityErr  error
	GoMaxProcs   int  // of the Go runtime
	GoMaxProcSet bool // by the environment
	MemoryLocked Limit
	OpenFiles    Limit // Soft: of the parent process, because Go raises its own to Hard
	CoreBytes    Limit
	AddressSpace Limit
	EpollPwait2  error // nil: it works
	Ring         Ring
	IdleThreads  error // nil: a thread may have the idle scheduling class
	Membarrier   Membarrier
	ClockNs      float64 // for one look at the clock
	Counters     error   // nil: the processor's counters can be read (perf_event_open)
	Folders      []Folder
}

// Limit is a resource limit. NoLimit means none.
type Limit struct {
	Soft, Hard uint64
	Err        error
}

// NoLimit is RLIM_INFINITY.
const NoLimit = ^uint64(0)

// Ring is what io_uring_setup answered.
type Ring struct {
	Err      error
	Features uint32
	// DeferErr is the answer to a ring of one thread that completes when it is asked to.
	DeferErr error
}

// Membarrier is what membarrier(2) offers: a bit for each command.
type Membarrier struct {
	Commands int
	Err      error
}

// Folder is what direct I/O in a folder came to.
type Folder struct {
	Path       string
	FileSystem string
	Err        error // no file could be made there
	DirectErr  error // the file system refuses O_DIRECT
	// OffsetAlign and MemoryAlign are what writes have to be multiples of; 0: not known.
	OffsetAlign, MemoryAlign int
	Probed                   bool // by writing, because the kernel does not tell
}

// section is a part of a report.
type section struct {
	name   string
	checks []func(*Machine) Finding
}

var sections = []section{
	{"system", []func(*Machine) Finding{
		(*Machine).kernel, (*Machine).architecture, (*Machine).surroundings, (*Machine).epoll,
		(*Machine).ring, (*Machine).idleThreads, (*Machine).membarrier}},
	{"processors", []func(*Machine) Finding{
		(*Machine).cpus, (*Machine).quota, (*Machine).goMaxProcs, (*Machine).isolation, (*Machine).nodes,
		(*Machine).siblings, (*Machine).governor, (*Machine).idleStates, (*Machine).clock}},
	{"memory", []func(*Machine) Finding{
		(*Machine).memory, (*Machine).addressSpace, (*Machine).memoryLocked, (*Machine).hugePages, (*Machine).transparentPages,
		(*Machine).swap, (*Machine).overcommit, (*Machine).samePages}},
	{"network", []func(*Machine) Finding{
		(*Machine).openFiles, (*Machine).allFiles, (*Machine).listenQueue, (*Machine).handshakeQueue,
		(*Machine).congestion, (*Machine).socketBuffers, (*Machine).slowStart}},
	{"debugging", []func(*Machine) Finding{
		(*Machine).coreDumps, (*Machine).profiling}},
}

// Check looks at everything that m tells. It reads nothing else, changes nothing and never fails: what
// can't be read is Unknown.
func (m *Machine) Check() Report {
	var r Report
	add := func(section string, f Finding) {
		f.Section = section
		f.Fix = m.asUser(f.Fix)
		r.Findings = append(r.Findings, f)
	}
	for _, s := range sections {
		for _, check := range s.checks {
			add(s.name, check(m))
		}
		if s.name == "memory" {
			for i := range m.Calls.Folders {
				add("disk", m.directIO(&m.Calls.Folders[i]))
			}
		}
	}
	return r
}

func finding(v Verdict, name, format string, args ...any) Finding {
	return Finding{Name: name, Verdict: v, Text: fmt.Sprintf(format, args...)}
}

func ok(name, format string, args ...any) Finding { return finding(OK, name, format, args...) }

func better(name, format string, args ...any) Finding { return finding(Better, name, format, args...) }

func missing(name, format string, args ...any) Finding {
	return finding(Missing, name, format, args...)
}

func unknown(name string, err error) Finding { return finding(Unknown, name, "%s", err) }

func (f Finding) fix(lines ...string) Finding {
	f.Fix = append(f.Fix, lines...)
	return f
}

func (f Finding) fact(name string, value any) Finding {
	if f.Facts == nil {
		f.Facts = map[string]any{}
	}
	f.Facts[name] = value
	return f
}
