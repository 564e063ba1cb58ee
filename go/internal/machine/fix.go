package machine

import (
	"fmt"
	"slices"
	"strings"
)

// What the commands write to, besides what they change at once.
const (
	sysctlFile   = "/etc/sysctl.d/90-smf.conf"
	tmpfilesFile = "/etc/tmpfiles.d/90-smf.conf"
	limitsFile   = "/etc/security/limits.d/90-smf.conf"
)

const onTheHost = "# a container can't change this; on the host:"

// container is what kind of container the process runs in, "" for none that can be told. Who sees the
// kernel's own threads is in none, whatever its files say: machines are made of images, too.
func (m *Machine) container() string {
	if second, err := m.text("proc/2/comm"); err == nil && second == "kthreadd" {
		return ""
	}
	if m.has(".dockerenv") {
		return "docker"
	}
	if m.has("run/.containerenv") {
		return "podman"
	}
	if kind, err := m.text("run/systemd/container"); err == nil && kind != "" {
		return kind
	}
	groups, _ := m.text("proc/self/cgroup")
	for _, kind := range []string{"kubepods", "docker", "containerd", "libpod", "lxc"} {
		if strings.Contains(groups, "/"+kind) {
			return kind
		}
	}
	return ""
}

// once adds a line to a file that does not have it: who runs the command again adds nothing.
func once(line, file string) string {
	return fmt.Sprintf("grep -qsxF '%s' %s || echo '%s' | sudo tee -a %s", line, file, line, file)
}

// asUser drops sudo where the process is root already. Root in a container is not root on its host.
func (m *Machine) asUser(lines []string) []string {
	if m.Calls.UserID != 0 || slices.Contains(lines, onTheHost) {
		return lines
	}
	plain := slices.Clone(lines)
	for i := range plain {
		plain[i] = strings.ReplaceAll(plain[i], "sudo ", "")
	}
	return plain
}

// sysctl sets a kernel parameter, now and at every start.
func (m *Machine) sysctl(name, value string) []string {
	line := once(fmt.Sprintf("%s = %s", name, value), sysctlFile) + " && sudo sysctl -p " + sysctlFile
	switch {
	case m.container() == "":
		return []string{line}
	case strings.HasPrefix(name, "net."):
		return []string{fmt.Sprintf("docker run --sysctl %s=%s IMAGE   # or podman; Kubernetes: securityContext.sysctls",
			name, strings.ReplaceAll(value, " ", "\\ "))}
	}
	return []string{onTheHost, line}
}

// limit raises a resource limit for everybody who logs in.
func (m *Machine) limit(item, value, service string) []string {
	if m.container() != "" {
		docker := value
		if value == "unlimited" {
			docker = "-1"
		}
		return []string{fmt.Sprintf("docker run --ulimit %s=%s IMAGE   # or podman", item, docker)}
	}
	return []string{
		fmt.Sprintf("grep -qsxF '* - %s %s' %s || printf '* - %s %s\\nroot - %s %s\\n' | sudo tee -a %s   # then log in again",
			item, value, limitsFile, item, value, item, value, limitsFile),
		fmt.Sprintf("# a systemd service instead: %s under [Service]", service),
	}
}

// kernelArgument adds to the kernel's command line.
func (m *Machine) kernelArgument(argument string) []string {
	line := fmt.Sprintf(`sudo sed -i 's|^GRUB_CMDLINE_LINUX="|&%s |' /etc/default/grub && sudo update-grub   # then reboot`,
		argument)
	if m.container() != "" {
		return []string{onTheHost, line}
	}
	return []string{line}
}

// atStart writes to a file of the kernel's, now and at every start.
func (m *Machine) atStart(path, value string) []string {
	line := once(fmt.Sprintf("w %s - - - - %s", path, value), tmpfilesFile) + " && sudo systemd-tmpfiles --create " + tmpfilesFile
	if m.container() != "" {
		return []string{onTheHost, line}
	}
	return []string{line}
}
