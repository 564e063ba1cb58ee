package machine

import (
	"fmt"
	"strings"
)

// coreBytes is what one loop may use unless it is told otherwise.
const coreBytes = 1 << 30

// meminfo is a line of /proc/meminfo, in bytes.
func (m *Machine) meminfo(name string) (uint64, error) {
	const file = "proc/meminfo"
	text, err := m.text(file)
	if err != nil {
		return 0, err
	}
	kib, found := field(text, name)
	if !found || kib < 0 {
		return 0, fmt.Errorf("/%s does not tell %s", file, name)
	}
	return uint64(kib) << 10, nil
}

func (m *Machine) memory() Finding {
	const name = "memory"
	total, err := m.meminfo("MemTotal")
	if err != nil {
		return unknown(name, err)
	}
	limit, err := m.memoryLimit()
	if err != nil {
		return unknown(name, err)
	}
	f := ok(name, "%s", bytesText(total)).fact("bytes", total)
	usable := total
	if limit < total {
		usable = limit
		f.Text = fmt.Sprintf("%s of the machine's %s (the limit of a control group)", bytesText(limit), bytesText(total))
		f = f.fact("limit", limit)
	}
	loops := uint64(m.loops())
	if loops*coreBytes <= usable {
		return f
	}
	budget := uint64(coreBytes)
	for budget > 8<<20 && loops*budget > usable/2 {
		budget /= 2
	}
	f.Verdict = Better
	f.Text += fmt.Sprintf("; %s may use 1 GiB each, so peers can make the kernel end the process", plural(int(loops), "loop"))
	return f.fix(fmt.Sprintf("smf serve --demo --memory %dMiB   # in Go: ServerOptions.MemoryBytes", budget>>20))
}

func (m *Machine) addressSpace() Finding {
	const name = "address space"
	l := m.Calls.AddressSpace
	need := uint64(m.loops()+1) * coreBytes // the clients' loop of a Go program, too
	switch {
	case l.Err != nil:
		return unknown(name, l.Err)
	case l.Soft == NoLimit:
		return ok(name, "unlimited")
	case l.Soft < need:
		return better(name, "%s (ulimit -v); loops reserve 1 GiB each, of which they touch what they use", bytesText(l.Soft)).
			fix(m.limit("as", "unlimited", "LimitAS=infinity")...)
	}
	return ok(name, "%s", bytesText(l.Soft))
}

// lockedEnough is what kernels allow since 5.16.
const lockedEnough = 8 << 20

func (m *Machine) memoryLocked() Finding {
	const name = "locked memory"
	l := m.Calls.MemoryLocked
	if l.Err != nil {
		return unknown(name, l.Err)
	}
	f := ok(name, "%s; nothing in smf locks memory yet", bytesText(l.Soft)).fact("soft", l.Soft).fact("hard", l.Hard)
	if l.Soft < lockedEnough {
		f.Verdict = Better
		f.Text = fmt.Sprintf("%s (ulimit -l), too little for buffers that the kernel keeps, as io_uring wants them", bytesText(l.Soft))
		return f.fix(m.limit("memlock", "unlimited", "LimitMEMLOCK=infinity")...)
	}
	return f
}

func (m *Machine) hugePages() Finding {
	const name = "huge pages"
	f := Finding{Name: name}
	var parts []string
	for _, size := range []struct{ text, folder string }{{"2 MiB", "hugepages-2048kB"}, {"1 GiB", "hugepages-1048576kB"}} {
		folder := "sys/kernel/mm/hugepages/" + size.folder
		total, err := m.number(folder + "/nr_hugepages")
		if m.lacks(err) {
			parts = append(parts, size.text+": not offered")
			continue
		}
		if err != nil {
			return unknown(name, err)
		}
		free, err := m.number(folder + "/free_hugepages")
		if err != nil {
			return unknown(name, err)
		}
		parts = append(parts, fmt.Sprintf("%s: %d, %d free", size.text, total, free))
		f = f.fact(size.text, map[string]int64{"total": total, "free": free})
	}
	mounted := m.mountOf("hugetlbfs")
	if mounted != "" {
		parts = append(parts, "mounted at "+mounted)
	} else {
		parts = append(parts, "not mounted")
	}
	f.Text = strings.Join(parts, "; ") + "; nothing in smf uses them yet"
	return f.fact("mounted", mounted)
}

// mountOf is where the first file system of a kind is mounted, or "".
func (m *Machine) mountOf(kind string) string {
	mounts, _ := m.text("proc/self/mounts")
	for line := range strings.Lines(mounts) {
		words := strings.Fields(line)
		if len(words) > 2 && words[2] == kind {
			return words[1]
		}
	}
	return ""
}

func (m *Machine) transparentPages() Finding {
	const name = "transparent huge pages"
	const folder = "sys/kernel/mm/transparent_hugepage"
	text, err := m.text(folder + "/enabled")
	if m.lacks(err) {
		return ok(name, "not in this kernel")
	}
	if err != nil {
		return unknown(name, err)
	}
	enabled := chosen(text)
	if enabled == "" {
		return unknown(name, odd(folder+"/enabled", text))
	}
	text, _ = m.text(folder + "/defrag")
	defrag := chosen(text)
	f := ok(name, "%s, defrag %s", enabled, defrag).fact("enabled", enabled).fact("defrag", defrag)
	if defrag == "" {
		f.Text = enabled
	}
	if enabled == "always" && defrag == "always" {
		f.Verdict = Better
		f.Text += ": a thread that touches new memory may have to wait until the kernel has tidied up"
		return f.fix(m.atStart("/"+folder+"/defrag", "madvise")...)
	}
	return f
}

// swappinessMax keeps a process in memory as long as there is any.
const swappinessMax = 10

func (m *Machine) swap() Finding {
	const name = "swap"
	total, err := m.meminfo("SwapTotal")
	if err != nil {
		return unknown(name, err)
	}
	if total == 0 {
		return ok(name, "none").fact("bytes", total)
	}
	swappiness, err := m.number("proc/sys/vm/swappiness")
	if err != nil {
		return unknown(name, err)
	}
	f := ok(name, "%s, swappiness %d", bytesText(total), swappiness).fact("bytes", total).fact("swappiness", swappiness)
	if swappiness > swappinessMax {
		f.Verdict = Better
		f.Text += ": memory that rests is swapped out, and a call that needs it waits for the disk"
		return f.fix(m.sysctl("vm.swappiness", "1")...)
	}
	return f
}

func (m *Machine) overcommit() Finding {
	const name = "overcommit"
	const strict = 2
	mode, err := m.number("proc/sys/vm/overcommit_memory")
	if err != nil {
		return unknown(name, err)
	}
	if mode == strict {
		return better(name, "strict: a loop's whole budget counts as used from the start, 1 GiB each").
			fix(m.sysctl("vm.overcommit_memory", "0")...).fix("# or smaller budgets: --memory, ServerOptions.MemoryBytes").
			fact("mode", mode)
	}
	return ok(name, "allowed: a loop's budget costs memory only as it is used").fact("mode", mode)
}

func (m *Machine) samePages() Finding {
	const name = "page merging"
	const file = "sys/kernel/mm/ksm/run"
	run, err := m.number(file)
	if m.lacks(err) {
		return ok(name, "not in this kernel")
	}
	if err != nil {
		return unknown(name, err)
	}
	if run == 1 {
		return better(name, "on (ksm): it takes processor time, and writing to a merged page copies it").
			fix(m.atStart("/"+file, "0")...)
	}
	return ok(name, "off")
}
