package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is one run's results.
type report struct {
	Name     string   `json:"name"`
	Machine  machine  `json:"machine"`
	Tables   []table  `json:"tables"`
	Failures []string `json:"failures"`
}

// machine is what a figure means nothing without.
type machine struct {
	Date     string `json:"date"`
	Commit   string `json:"commit"`
	CPU      string `json:"cpu"`
	CPUs     int    `json:"cpus"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Compiler string `json:"compiler"`
	Engine   string `json:"engine"`
	Settings string `json:"settings"`
	Load     string `json:"load"` // how busy the machine was with other things at the start
}

// describeMachine says what was measured where; whereRun is who runs on which CPU.
func describeMachine(ctx context.Context, b *bench, whereRun string) machine {
	output := func(name string, args ...string) string {
		command := exec.CommandContext(ctx, name, args...)
		command.Dir = b.root
		text, err := command.Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(text))
	}
	commit := output("git", "rev-parse", "--short=12", "HEAD")
	if commit == "" {
		commit = "none"
	}
	if output("git", "status", "--porcelain") != "" {
		commit += " with changes"
	}
	compiler, _, _ := strings.Cut(output("cc", "--version"), "\n")
	load, _ := os.ReadFile("/proc/loadavg")
	return machine{
		Date:     time.Now().UTC().Format("2006-01-02 15:04 MST"),
		Commit:   commit,
		CPU:      cpuModel(),
		CPUs:     runtime.NumCPU(),
		Kernel:   kernel(),
		Go:       runtime.Version(),
		Compiler: compiler,
		Settings: fmt.Sprintf("%d rounds of %g s after %g s of warm-up; %s", b.rounds, b.seconds, b.warmup, whereRun),
		Load:     strings.Join(strings.Fields(string(load))[:min(3, len(strings.Fields(string(load))))], " "),
	}
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
}

func (m machine) String() string {
	lines := [][2]string{
		{"date", m.Date}, {"commit", m.Commit}, {"CPU", fmt.Sprintf("%s, %d usable", m.CPU, m.CPUs)},
		{"kernel", m.Kernel}, {"Go", m.Go}, {"C", m.Compiler}, {"engine", m.Engine},
		{"settings", m.Settings}, {"load average at the start", m.Load},
	}
	var out strings.Builder
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(&out, "- %s: %s\n", line[0], line[1])
		}
	}
	return out.String()
}

// sentences are a line for every bar.
func (r report) sentences() string {
	var out strings.Builder
	for _, t := range r.Tables {
		for _, target := range t.Targets {
			fmt.Fprintf(&out, "- (%s) %s\n", t.Letter, target.sentence())
		}
	}
	if out.Len() == 0 {
		return ""
	}
	return "\n### The bars, one by one\n\n" + out.String()
}

// String is a section of docs/performance.md.
func (r report) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "## %s\n\n`./build.sh bench %s`\n\n%s", r.Name, r.Name, r.Machine)
	for _, t := range r.Tables {
		fmt.Fprintf(&out, "\n%s", t)
	}
	if r.Name == walName { // whose bars are many
		out.WriteString(r.sentences())
	}
	if len(r.Failures) > 0 {
		out.WriteString("\n### Measurements that failed\n\n")
		for _, failure := range r.Failures {
			fmt.Fprintf(&out, "- %s\n", strings.Join(strings.Fields(failure), " "))
		}
	}
	return out.String()
}

// write prints the report and leaves it in a folder as NAME.md and NAME.json.
func (r report) write(folder string) error {
	fmt.Print(r)
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	base := filepath.Join(folder, r.Name)
	if err := os.WriteFile(base+".json", append(data, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(base+".md", []byte(r.String()), 0o644)
}
