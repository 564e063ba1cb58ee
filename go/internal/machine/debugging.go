package machine

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

const goCores = "; of a Go program only with GOTRACEBACK=crash"

// coreDumps says what would become of a core dump now.
func (m *Machine) coreDumps() Finding {
	const name = "core dumps"
	l := m.Calls.CoreBytes
	if l.Err != nil {
		return unknown(name, l.Err)
	}
	pattern, err := m.text("proc/sys/kernel/core_pattern")
	if err != nil {
		return unknown(name, err)
	}
	usesPID, _ := m.number("proc/sys/kernel/core_uses_pid")
	facts := func(f Finding) Finding {
		return f.fact("pattern", pattern).fact("soft", l.Soft).fact("hard", l.Hard).fact("uses_pid", usesPID)
	}
	if program, piped := strings.CutPrefix(pattern, "|"); piped {
		return facts(m.pipedCore(name, program))
	}
	if strings.HasPrefix(pattern, "@") {
		return facts(ok(name, "are sent to the socket %s%s", strings.TrimLeft(pattern, "@"), goCores))
	}
	if pattern == "" {
		return facts(better(name, "none: the pattern is empty").fix(m.corePattern()...))
	}
	if l.Soft == 0 {
		f := better(name, "none: their size is limited to 0 (ulimit -c)").fix("ulimit -c \"$(ulimit -Hc)\"   # this shell and what it starts")
		if l.Hard == 0 {
			f.Fix = nil
		}
		return facts(f.fix(m.limit("core", "unlimited", "LimitCORE=infinity")...))
	}
	f := m.coreFile(name, pattern, usesPID != 0)
	if l.Soft != NoLimit {
		f.Verdict = Better
		f.Text += fmt.Sprintf(", cut off after %s", bytesText(l.Soft))
		f = f.fix(m.limit("core", "unlimited", "LimitCORE=infinity")...)
	}
	return facts(f)
}

// pipedCore is a pattern that gives cores to a program, whatever the limit.
func (m *Machine) pipedCore(name, program string) Finding {
	command, _, _ := strings.Cut(strings.TrimSpace(program), " ")
	text := "are given to " + command
	switch base := path.Base(command); {
	case strings.Contains(base, "systemd-coredump"):
		text += ": coredumpctl list, coredumpctl gdb"
	case strings.Contains(base, "apport"):
		text += ": it keeps those of installed packages in /var/crash, and writes others into the working directory " +
			"if ulimit -c allows it"
	}
	f := ok(name, "%s%s", text, goCores)
	switch {
	case m.container() != "":
		f.Text += "; that program runs on the host, outside this container"
	case !m.has(strings.TrimPrefix(command, "/")):
		return better(name, "none: the pattern names %s, which is not there", command).fix(m.corePattern()...)
	}
	return f
}

// coreFile is a pattern that names a file.
func (m *Machine) coreFile(name, pattern string, usesPID bool) Finding {
	unique := strings.Contains(pattern, "%p") || strings.Contains(pattern, "%P") || usesPID
	file := pattern
	if usesPID && !strings.Contains(pattern, "%p") {
		file += ".PID"
	}
	where := "in the program's working directory"
	if folder := path.Dir(file); path.IsAbs(file) {
		where = "as the pattern says"
		if !strings.Contains(folder, "%") && !m.has(strings.TrimPrefix(folder, "/")) {
			return better(name, "none: the pattern names the folder %s, which is not there", folder).
				fix("sudo mkdir -p -m 1777 " + folder)
		}
	}
	f := ok(name, "%s, %s%s", file, where, goCores)
	if !unique {
		f.Verdict = Better
		f.Text += "; each overwrites the one before"
		return f.fix(m.corePattern()...)
	}
	return f
}

func (m *Machine) corePattern() []string {
	return append(m.sysctl("kernel.core_pattern", "/var/crash/core.%e.%p.%t"), "sudo mkdir -p -m 1777 /var/crash")
}

// paranoidMax is the highest setting with which everybody may profile programs of their own.
const paranoidMax = 2

func (m *Machine) profiling() Finding {
	const name = "perf"
	paranoid, err := m.number("proc/sys/kernel/perf_event_paranoid")
	switch {
	case m.lacks(err):
		return better(name, "not in this kernel").fix("# a kernel with CONFIG_PERF_EVENTS=y")
	case err != nil:
		return unknown(name, err)
	}
	f := ok(name, "may be used").fact("paranoid", paranoid).fact("counters", m.Calls.Counters == nil)
	switch counters := m.Calls.Counters; {
	case paranoid > paranoidMax && m.Calls.UserID != 0:
		return better(name, "only root may use it (kernel.perf_event_paranoid = %d)", paranoid).
			fix(m.sysctl("kernel.perf_event_paranoid", "1")...).fact("paranoid", paranoid)
	case errors.Is(counters, unix.EPERM) || errors.Is(counters, unix.EACCES) || errors.Is(counters, unix.ENOSYS):
		return better(name, "a system call filter forbids it (perf_event_open: %s)", counters).
			fix("docker run --cap-add PERFMON --security-opt seccomp=PROFILE.json IMAGE   # or perf on the host")
	case counters != nil:
		f.Text += ", without the processor's counters: perf record -e cpu-clock"
	}
	return f
}
