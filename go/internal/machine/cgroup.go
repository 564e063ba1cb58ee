package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// cgroup is where one controller's files of this process are: in folder, and up to top its ancestors'.
type cgroup struct {
	folder, top string // without the leading slash
	unified     bool   // version 2
}

// errNoGroups says that a controller rules nothing here.
var errNoGroups = errors.New("no control group")

// group finds the process's group of a controller, in version 1 or 2 of the kernel's interface.
func (m *Machine) group(controller string) (cgroup, error) {
	groups, err := m.text("proc/self/cgroup")
	if m.lacks(err) {
		return cgroup{}, errNoGroups
	}
	if err != nil {
		return cgroup{}, err
	}
	mounts, err := m.text("proc/self/mountinfo")
	if err != nil {
		return cgroup{}, err
	}
	unified, unifiedFound := "", false
	for line := range strings.Lines(groups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[1] == "" {
			unified, unifiedFound = parts[2], true
			continue
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			if name == controller {
				if g, found := groupIn(mounts, "cgroup", controller, parts[2]); found {
					return g, nil
				}
			}
		}
	}
	if unifiedFound {
		if g, found := groupIn(mounts, "cgroup2", "", unified); found {
			return g, nil
		}
	}
	return cgroup{}, errNoGroups
}

// groupIn finds where a group's folder is mounted. A container sees its own group as the mount's root:
// whatever is above is not to be seen.
func groupIn(mounts, kind, controller, group string) (cgroup, bool) {
	for line := range strings.Lines(mounts) {
		before, after, found := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		const rootAt, pointAt = 3, 4
		if !found || len(left) <= pointAt || len(right) < 1 || right[0] != kind {
			continue
		}
		if controller != "" && !strings.Contains(","+right[len(right)-1]+",", ","+controller+",") {
			continue
		}
		root, point := left[rootAt], strings.TrimPrefix(path.Clean(left[pointAt]), "/")
		g := cgroup{folder: point, top: point, unified: kind == "cgroup2"}
		if below, inside := strings.CutPrefix(group, strings.TrimSuffix(root, "/")); inside && !strings.Contains(group, "..") {
			g.folder = path.Join(point, below)
		}
		return g, true
	}
	return cgroup{}, false
}

// eachFolder calls f with the group's folder and those above it, as long as they are visible.
func (g cgroup) eachFolder(f func(folder string)) {
	for folder := g.folder; ; folder = path.Dir(folder) {
		f(folder)
		if folder == g.top || len(folder) <= len(g.top) {
			return
		}
	}
}

// cpuQuota is how many processors' time the process may use; 0: no quota.
func (m *Machine) cpuQuota() (cpus float64, folder string, err error) {
	g, err := m.group("cpu")
	if errors.Is(err, errNoGroups) {
		return 0, "", nil
	}
	if err != nil {
		return 0, "", err
	}
	folder = g.folder
	g.eachFolder(func(at string) {
		quota, problem := m.quotaIn(at, g.unified)
		if problem != nil && !errors.Is(problem, fs.ErrNotExist) {
			err = problem
		}
		if quota > 0 && (cpus == 0 || quota < cpus) {
			cpus, folder = quota, at
		}
	})
	return cpus, folder, err
}

// quotaIn is one folder's quota; 0: none.
func (m *Machine) quotaIn(folder string, unified bool) (float64, error) {
	if !unified {
		quota, err := m.number(folder + "/cpu.cfs_quota_us")
		if err != nil || quota <= 0 {
			return 0, err
		}
		period, err := m.number(folder + "/cpu.cfs_period_us")
		if err != nil || period <= 0 {
			return 0, err
		}
		return float64(quota) / float64(period), nil
	}
	file := folder + "/cpu.max"
	text, err := m.text(file)
	if err != nil {
		return 0, err
	}
	words := strings.Fields(text)
	if len(words) != 2 {
		return 0, odd(file, text)
	}
	if words[0] == "max" {
		return 0, nil
	}
	quota, errQuota := strconv.ParseFloat(words[0], 64)
	period, errPeriod := strconv.ParseFloat(words[1], 64)
	if errQuota != nil || errPeriod != nil || quota <= 0 || period <= 0 {
		return 0, odd(file, text)
	}
	return quota / period, nil
}

// memoryLimit is how much memory the process's groups may use; NoLimit: no limit.
func (m *Machine) memoryLimit() (bytes uint64, err error) {
	bytes = NoLimit
	g, err := m.group("memory")
	if errors.Is(err, errNoGroups) {
		return bytes, nil
	}
	if err != nil {
		return bytes, err
	}
	name := "/memory.limit_in_bytes"
	if g.unified {
		name = "/memory.max"
	}
	g.eachFolder(func(folder string) {
		text, problem := m.text(folder + name)
		if problem != nil || text == "max" {
			if problem != nil && !errors.Is(problem, fs.ErrNotExist) {
				err = problem
			}
			return
		}
		n, problem := strconv.ParseUint(text, 10, 64)
		if problem != nil {
			err = odd(folder+name, text)
			return
		}
		const nearlyAll = 1 << 62 // what version 1 says when there is none
		if n < nearlyAll {
			bytes = min(bytes, n)
		}
	})
	return bytes, err
}

// throttled is how often a quota has stopped its group.
func (m *Machine) throttled(folder string) (periods int64, known bool) {
	text, err := m.text(folder + "/cpu.stat")
	if err != nil {
		return 0, false
	}
	return field(text, "nr_throttled")
}

func cpusText(cpus float64) string {
	return fmt.Sprintf("%s CPUs", strconv.FormatFloat(cpus, 'g', 3, 64))
}
