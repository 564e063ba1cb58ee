package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// cpuMax is the highest CPU number that is believed.
const cpuMax = 1 << 14

// text is what a file holds, without white space at its ends.
func (m *Machine) text(path string) (string, error) {
	bytes, err := fs.ReadFile(m.Files, path)
	if err != nil {
		var problem *fs.PathError
		if errors.As(err, &problem) {
			err = problem.Err
		}
		if errors.Is(err, fs.ErrNotExist) {
			return "", absent{path}
		}
		return "", fmt.Errorf("can't read /%s: %w", path, err)
	}
	return strings.TrimSpace(string(bytes)), nil
}

// absent is the error of a file that is not there.
type absent struct{ path string }

func (a absent) Error() string      { return "there is no /" + a.path }
func (absent) Is(target error) bool { return target == fs.ErrNotExist }

// lacks says that a file is not there because the kernel does not have what it would tell of: not
// because nothing of its kind is to be seen here, as in a container without /proc or /sys.
func (m *Machine) lacks(err error) bool {
	var a absent
	return errors.As(err, &a) && m.has(mountMarks[strings.Split(a.path, "/")[0]])
}

// mountMarks are folders that are there wherever a file system is mounted as it should be.
var mountMarks = map[string]string{"proc": "proc/self", "sys": "sys/devices/system"}

func (m *Machine) has(path string) bool {
	_, err := fs.Stat(m.Files, path)
	return err == nil
}

// number is what a file with one number holds.
func (m *Machine) number(path string) (int64, error) {
	text, err := m.text(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, odd(path, text)
	}
	return n, nil
}

// odd is the error of a file that holds something else than what it should.
func odd(path, text string) error {
	const shown = 40
	if len(text) > shown {
		text = text[:shown]
	}
	return fmt.Errorf("/%s holds %q, which says nothing", path, text)
}

// cpuList is what a file like "0-3,8" holds.
func (m *Machine) cpuList(path string) ([]int, error) {
	text, err := m.text(path)
	if err != nil {
		return nil, err
	}
	cpus, good := parseCPUs(text)
	if !good {
		return nil, odd(path, text)
	}
	return cpus, nil
}

func parseCPUs(text string) (cpus []int, good bool) {
	if text == "" || text == "(null)" { // the latter is what nohz_full says when it is off
		return nil, true
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		low, err := strconv.Atoi(first)
		if err != nil {
			return nil, false
		}
		high := low
		if isRange {
			if high, err = strconv.Atoi(last); err != nil {
				return nil, false
			}
		}
		if low < 0 || high < low || high > cpuMax {
			return nil, false
		}
		for cpu := low; cpu <= high; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, true
}

// formatCPUs writes ascending numbers as a list: 0-3,8.
func formatCPUs(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		part := strconv.Itoa(cpus[i])
		if j > i {
			part += "-" + strconv.Itoa(cpus[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// chosen is the word in brackets of a file like "always [madvise] never".
func chosen(text string) string {
	_, rest, found := strings.Cut(text, "[")
	word, _, closed := strings.Cut(rest, "]")
	if !found || !closed {
		return ""
	}
	return word
}

// field is the number behind a name in files like /proc/meminfo: "SwapTotal:  0 kB".
func field(text, name string) (int64, bool) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name); found {
			words := strings.Fields(strings.TrimPrefix(rest, ":"))
			if len(words) == 0 {
				return 0, false
			}
			n, err := strconv.ParseInt(words[0], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// bytesText writes a size in the unit that suits it: 64 KiB, 1.5 GiB.
func bytesText(n uint64) string {
	if n == NoLimit {
		return "unlimited"
	}
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return strconv.FormatFloat(value, 'f', decimals(value), 64) + " " + units[unit]
}

func decimals(value float64) int {
	if value >= 100 || value == float64(int64(value)) {
		return 0
	}
	return 1
}

func limitText(n uint64) string {
	if n == NoLimit {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// plural writes a number of things.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
