package machine

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// version is a kernel's, as far as it matters.
type version struct{ major, minor int }

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

func (v version) less(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// kernelNeeded brought epoll_pwait2.
var kernelNeeded = version{5, 11}

// kernelGains are what newer kernels bring. Nothing in smf depends on them.
var kernelGains = []struct {
	since version
	what  string
}{
	{version{5, 19}, "io_uring that accepts and receives many times for one request"},
	{version{6, 1}, "the alignment of direct I/O without trying; io_uring that completes when its thread asks"},
	{version{6, 6}, "a scheduler that weighs latency (EEVDF), a switch for io_uring"},
	{version{6, 9}, "busy polling set for one epoll instead of for the machine"},
}

func parseVersion(release string) (v version, good bool) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return v, false
	}
	digits := func(r rune) bool { return r < '0' || r > '9' }
	minor, _, _ := strings.Cut(parts[1], "-")
	if i := strings.IndexFunc(minor, digits); i > 0 {
		minor = minor[:i]
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return v, false
	}
	n, err := strconv.Atoi(minor)
	return version{major, n}, err == nil
}

func (m *Machine) kernel() Finding {
	const name = "kernel"
	release := m.Calls.Release
	v, good := parseVersion(release)
	if !good {
		return unknown(name, fmt.Errorf("%q is no version that can be read", release))
	}
	if v.less(kernelNeeded) {
		return missing(name, "%s is too old: smf is made for %s or newer, which can wait for microseconds", release,
			kernelNeeded).fix(m.newerKernel()...).fact("release", release)
	}
	var gains []string
	for _, g := range kernelGains {
		if v.less(g.since) {
			gains = append(gains, g.since.String()+" "+g.what)
		}
	}
	text := release
	if len(gains) > 0 {
		text += "; not needed, but newer ones have: " + strings.Join(gains, "; ")
	}
	return ok(name, "%s", text).fact("release", release)
}

// newerKernel is how this distribution gets one.
func (m *Machine) newerKernel() []string {
	about, _ := m.text("etc/os-release")
	about = "\n" + about + "\n"
	value := func(key string) string {
		_, rest, _ := strings.Cut(about, "\n"+key+"=")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.Trim(line, `"`)
	}
	var lines []string
	if m.container() != "" {
		lines = append(lines, "# a container has its host's kernel; on the host:")
	}
	switch value("ID") {
	case "debian":
		return append(lines, fmt.Sprintf("sudo apt-get install -t %s-backports linux-image-%s   # then reboot",
			value("VERSION_CODENAME"), debianArch(m.Calls.Arch)))
	case "ubuntu":
		return append(lines, fmt.Sprintf("sudo apt-get install linux-generic-hwe-%s   # then reboot", value("VERSION_ID")))
	}
	return append(lines, "# install kernel "+kernelNeeded.String()+" or newer, then reboot")
}

func debianArch(arch string) string {
	switch arch {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	}
	return arch
}

func (m *Machine) architecture() Finding {
	const name = "architecture"
	arch := m.Calls.Arch
	switch arch {
	case "x86_64":
		return ok(name, "%s", arch).fact("arch", arch)
	case "aarch64", "riscv64", "loongarch64", "ppc64le":
		return ok(name, "%s: 64 bits, little endian, as needed; what is measured and tested most is x86_64", arch).
			fact("arch", arch)
	}
	return missing(name, "%s: smf needs 64 bits and little endian", arch).
		fix("# another machine: x86_64 or aarch64").fact("arch", arch)
}

// surroundings says what the process runs in: a container, a virtual machine.
func (m *Machine) surroundings() Finding {
	const name = "runs in"
	container, guest := m.container(), ""
	about, err := m.text("proc/cpuinfo")
	if err != nil {
		return unknown(name, err)
	}
	if hypervisor, err := m.text("sys/hypervisor/type"); err == nil {
		guest = "a virtual machine (" + hypervisor + ")"
	} else if strings.Contains(about, " hypervisor") {
		guest = m.vendor()
	}
	steal, stealKnown := m.steal()
	f := ok(name, "no container, no virtual machine")
	switch {
	case guest != "" && container != "":
		f = ok(name, "a container (%s) in %s", container, guest)
	case guest != "":
		f = ok(name, "%s", guest)
	case container != "":
		f = ok(name, "a container (%s)", container)
	}
	f = f.fact("container", container).fact("virtual", guest != "")
	if guest == "" || !stealKnown {
		return f
	}
	f = f.fact("steal", steal)
	if steal > stealMax {
		f.Verdict = Better
		f.Text += fmt.Sprintf("; its host gave %.1f %% of its processor time to others", 100*steal)
		f = f.fix("# a machine type with processors of its own (dedicated, pinned)")
	}
	return f
}

// stealMax is how much of a virtual machine's time others may have.
const stealMax = 0.01

// vendor is a virtual machine with the name that it gives itself, if it has one.
func (m *Machine) vendor() string {
	for _, file := range []string{"sys/class/dmi/id/product_name", "sys/class/dmi/id/sys_vendor"} {
		if text, err := m.text(file); err == nil && text != "" {
			return "a virtual machine (" + text + ")"
		}
	}
	return "a virtual machine"
}

// steal is the share of processor time that a virtual machine wanted and did not get, since it started.
func (m *Machine) steal() (share float64, known bool) {
	text, err := m.text("proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	const userAt, stealAt = 1, 8
	if len(words) <= stealAt || words[0] != "cpu" {
		return 0, false
	}
	var total, stolen float64
	for i := userAt; i <= stealAt; i++ {
		ticks, err := strconv.ParseFloat(words[i], 64)
		if err != nil {
			return 0, false
		}
		total += ticks
		if i == stealAt {
			stolen = ticks
		}
	}
	if total == 0 {
		return 0, false
	}
	return stolen / total, true
}

func (m *Machine) epoll() Finding {
	const name = "epoll"
	err := m.Calls.EpollPwait2
	switch {
	case err == nil:
		return ok(name, "waits in microseconds (epoll_pwait2)")
	case errors.Is(err, unix.EPERM):
		return better(name, "waits only in milliseconds: a system call filter forbids epoll_pwait2").
			fix("# update the container's runtime and libseccomp, or allow epoll_pwait2 in the seccomp profile")
	case errors.Is(err, unix.ENOSYS):
		f := better(name, "waits only in milliseconds: this kernel has no epoll_pwait2")
		if v, good := parseVersion(m.Calls.Release); good && !v.less(kernelNeeded) {
			f.Text = "waits only in milliseconds: something between smf and the kernel hides epoll_pwait2"
			return f.fix("# update the container's runtime and libseccomp")
		}
		return f.fix("# see kernel")
	}
	return unknown(name, fmt.Errorf("epoll_pwait2: %w", err))
}

// ringFeatures are io_uring's, by bit, with the kernel that brought them.
var ringFeatures = []string{"single-mmap", "nodrop", "submit-stable", "rw-cur-pos", "cur-personality", "fast-poll",
	"poll-32bits", "sqpoll-nonfixed", "ext-arg", "native-workers", "rsrc-tags", "cqe-skip", "linked-file",
	"reg-reg-ring", "recvsend-bundle", "min-timeout", "rw-attr", "no-iowait"}

func ringFeatureNames(bits uint32) []string {
	var names []string
	for i, name := range ringFeatures {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (m *Machine) ring() Finding {
	const name = "io_uring"
	const spare = "; smf's sockets are on epoll and do without"
	r := &m.Calls.Ring
	switch {
	case r.Err == nil:
		names := ringFeatureNames(r.Features)
		text := fmt.Sprintf("available, %s", plural(len(names), "feature"))
		if r.DeferErr == nil {
			text += ", completes when its thread asks (defer-taskrun)"
		}
		return ok(name, "%s; nothing in smf uses it yet", text).fact("features", names).fact("defer_taskrun", r.DeferErr == nil)
	case errors.Is(r.Err, unix.ENOSYS):
		if v, good := parseVersion(m.Calls.Release); good && v.less(version{5, 1}) {
			return better(name, "kernel %s is older than 5.1, which brought it%s", v, spare).fix("# see kernel")
		}
		return better(name, "this kernel was built without it, or a system call filter hides it%s", spare).
			fix("# a kernel with CONFIG_IO_URING=y; in a container: a seccomp profile that allows io_uring_setup")
	case errors.Is(r.Err, unix.EPERM):
		return m.ringForbidden(name, spare)
	case errors.Is(r.Err, unix.ENOMEM):
		return better(name, "not enough memory may be locked for it (%s)%s", bytesText(m.Calls.MemoryLocked.Soft), spare).
			fix(m.limit("memlock", "unlimited", "LimitMEMLOCK=infinity")...)
	}
	return unknown(name, fmt.Errorf("io_uring_setup: %w", r.Err))
}

// ringForbidden says who forbids it: the machine's switch, or a filter of this container.
func (m *Machine) ringForbidden(name, spare string) Finding {
	disabled, err := m.number("proc/sys/kernel/io_uring_disabled")
	switch {
	case err == nil && disabled >= 2:
		return better(name, "switched off for everybody (kernel.io_uring_disabled = %d)%s", disabled, spare).
			fix(m.sysctl("kernel.io_uring_disabled", "0")...).fact("disabled", disabled)
	case err == nil && disabled == 1:
		return better(name, "switched off but for root and one group (kernel.io_uring_disabled = 1)%s", spare).
			fix(m.sysctl("kernel.io_uring_disabled", "0")...).fact("disabled", disabled)
	}
	return better(name, "a system call filter (seccomp) forbids it, as container runtimes do%s", spare).
		fix("docker run --security-opt seccomp=PROFILE.json IMAGE   # a profile that allows io_uring_setup, _enter, _register")
}

func (m *Machine) idleThreads() Finding {
	const name = "idle priority"
	err := m.Calls.IdleThreads
	if err == nil {
		return ok(name, "allowed: a handler that sleeps loses the loop within some 20 µs")
	}
	return better(name, "a thread may not have it (SCHED_IDLE: %s): a handler that sleeps stops its loop for 2 to 7 ms", err).
		fix("# in a container: a seccomp profile that allows sched_setscheduler")
}

// membarrierNeeded are the commands that the watchers use: fence the threads of the process, and say
// beforehand that this will be done.
const membarrierNeeded = 1<<3 | 1<<4

func (m *Machine) membarrier() Finding {
	const name = "membarrier"
	b := &m.Calls.Membarrier
	if b.Err == nil && b.Commands&membarrierNeeded == membarrierNeeded {
		return ok(name, "available: a call does without a fence of some 5 ns (x86_64)")
	}
	why := "this kernel lacks the private expedited command"
	if b.Err != nil {
		why = b.Err.Error()
	}
	return better(name, "not available (%s): every call pays for a fence, some 5 ns", why).
		fix("# a kernel with CONFIG_MEMBARRIER=y; in a container: a seccomp profile that allows membarrier")
}
