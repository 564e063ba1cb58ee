package machine

import (
	"fmt"
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

// sysctl sets a kernel parameter, now and at every start.
func (m *Machine) sysctl(name, value string) []string {
	line := fmt.Sprintf("echo '%s = %s' | sudo tee -a %s && sudo sysctl -p %s", name, value, sysctlFile, sysctlFile)
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
		fmt.Sprintf("printf '* - %s %s\\nroot - %s %s\\n' | sudo tee -a %s   # then log in again", item, value,
			item, value, limitsFile),
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
	line := fmt.Sprintf("echo 'w %s - - - - %s' | sudo tee -a %s && sudo systemd-tmpfiles --create %s", path, value,
		tmpfilesFile, tmpfilesFile)
	if m.container() != "" {
		return []string{onTheHost, line}
	}
	return []string{line}
}
