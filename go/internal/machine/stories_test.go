package machine

import (
	"golang.org/x/sys/unix"
)

var systemStories = []story{
	{"debian 11", func(m madeUp) {
		m.Calls.Release = "5.10.0-28-amd64"
		m.set("etc/os-release", "ID=debian\nVERSION_CODENAME=bullseye")
	}, "kernel", Missing, "5.10.0-28-amd64 is too old: smf is made for 5.11 or newer", "sudo apt-get install -t bullseye-backports linux-image-amd64"},
	{"ubuntu 20.04", func(m madeUp) {
		m.Calls.Release = "5.4.0-150-generic"
		m.set("etc/os-release", "NAME=\"Ubuntu\"\nID=ubuntu\nVERSION_ID=\"20.04\"")
	}, "kernel", Missing, "5.4.0-150-generic is too old", "sudo apt-get install linux-generic-hwe-20.04"},
	{"an old kernel under a container", func(m madeUp) {
		m.Calls.Release = "4.18.0-513.el8.x86_64"
		m.inContainer()
		m.set("etc/os-release", "ID=alpine")
	}, "kernel", Missing, "too old", "# a container has its host's kernel"},
	{"a kernel that will do", func(m madeUp) { m.Calls.Release = "5.11.0" }, "kernel", OK, "newer ones have: 5.19 ", ""},
	{"a kernel without a number", func(m madeUp) { m.Calls.Release = "bsd" }, "kernel", Unknown, `"bsd" is no version`, ""},
	{"32 bits", func(m madeUp) { m.Calls.Arch = "armv7l" }, "architecture", Missing, "64 bits", "x86_64 or aarch64"},
	{"arm", func(m madeUp) { m.Calls.Arch = "aarch64" }, "architecture", OK, "aarch64", ""},
	{"epoll_pwait2 forbidden", func(m madeUp) { m.Calls.EpollPwait2 = unix.EPERM }, "epoll", Better, "milliseconds: a system call filter", "seccomp"},
	{"epoll_pwait2 hidden", func(m madeUp) { m.Calls.EpollPwait2 = unix.ENOSYS }, "epoll", Better, "hides epoll_pwait2", "libseccomp"},
	{"a container without io_uring", func(m madeUp) {
		m.inContainer()
		m.Calls.Ring = Ring{Err: unix.EPERM}
	}, "io_uring", Better, "system call filter (seccomp) forbids it", "docker run --security-opt seccomp=PROFILE.json"},
	{"io_uring switched off", func(m madeUp) {
		m.set("proc/sys/kernel/io_uring_disabled", "2")
		m.Calls.Ring = Ring{Err: unix.EPERM}
	}, "io_uring", Better, "switched off for everybody (kernel.io_uring_disabled = 2)",
		"grep -qsxF 'kernel.io_uring_disabled = 0' /etc/sysctl.d/90-smf.conf || echo 'kernel.io_uring_disabled = 0' | sudo tee -a /etc/sysctl.d/90-smf.conf && sudo sysctl -p /etc/sysctl.d/90-smf.conf"},
	{"io_uring for one group", func(m madeUp) {
		m.set("proc/sys/kernel/io_uring_disabled", "1")
		m.Calls.Ring = Ring{Err: unix.EPERM}
	}, "io_uring", Better, "but for root and one group", "kernel.io_uring_disabled = 0"},
	{"io_uring not built in", func(m madeUp) { m.Calls.Ring = Ring{Err: unix.ENOSYS} }, "io_uring", Better, "built without it", "CONFIG_IO_URING=y"},
	{"io_uring before there was one", func(m madeUp) {
		m.Calls.Release, m.Calls.Ring = "4.19.0-26-amd64", Ring{Err: unix.ENOSYS}
	}, "io_uring", Better, "older than 5.1", "# see kernel"},
	{"io_uring and locked memory", func(m madeUp) {
		m.Calls.Ring, m.Calls.MemoryLocked = Ring{Err: unix.ENOMEM}, Limit{Soft: 64 << 10, Hard: 64 << 10}
	}, "io_uring", Better, "not enough memory may be locked for it (64 KiB)", "* - memlock unlimited"},
	{"io_uring fails oddly", func(m madeUp) { m.Calls.Ring = Ring{Err: unix.EFAULT} }, "io_uring", Unknown, "io_uring_setup: bad address", ""},
	{"an io_uring that completes by itself", func(m madeUp) { m.Calls.Ring.DeferErr = unix.EINVAL }, "io_uring", OK, "available, 16 features; nothing", ""},
	{"no idle priority", func(m madeUp) { m.Calls.IdleThreads = unix.EPERM }, "idle priority", Better,
		"SCHED_IDLE: operation not permitted): a handler that sleeps stops its loop for 2 to 7 ms", "sched_setscheduler"},
	{"membarrier forbidden", func(m madeUp) { m.Calls.Membarrier = Membarrier{Err: unix.EPERM} }, "membarrier", Better, "operation not permitted", "allows membarrier"},
	{"membarrier of an old kernel", func(m madeUp) { m.Calls.Membarrier.Commands = 1 }, "membarrier", Better, "lacks the private expedited command", "CONFIG_MEMBARRIER=y"},
	{"a container", func(m madeUp) { m.inContainer() }, "runs in", OK, "a container (docker)", ""},
	{"a machine made of an image", func(m madeUp) { m.set(".dockerenv", "") }, "runs in", OK, "no container, no virtual machine", ""},
	{"kubernetes", func(m madeUp) {
		m.remove("proc/2/comm")
		m.set("proc/self/cgroup", "0::/kubepods.slice/pod1/x")
	}, "runs in", OK, "a container (kubepods)", ""},
	{"a virtual machine", func(m madeUp) {
		m.set("proc/cpuinfo", "flags : fpu hypervisor lahf_lm")
		m.set("sys/class/dmi/id/product_name", "Standard PC (Q35 + ICH9, 2009)")
	}, "runs in", OK, "a virtual machine (Standard PC (Q35 + ICH9, 2009))", ""},
	{"a crowded host", func(m madeUp) {
		m.set("sys/hypervisor/type", "xen")
		m.set("proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0")
	}, "runs in", Better, "a virtual machine (xen); its host gave 10.0 % of its processor time to others", "dedicated"},
}

var processorStories = []story{
	{"one processor", func(m madeUp) { m.Calls.Affinity = []int{3} }, "CPUs", Better, "1 of the machine's 8 (3), by its affinity; a loop", "two CPUs"},
	{"a set of processors", func(m madeUp) {
		m.Calls.Affinity = []int{2, 3, 6}
		m.set("sys/fs/cgroup/user.slice/session-1.scope/cpuset.cpus.effective", "2-3,6")
	}, "CPUs", OK, "3 of the machine's 8 (2-3,6), by the CPU set of its control group", ""},
	{"a set of processors, version 1", func(m madeUp) {
		m.Calls.Affinity = []int{0, 1}
		m.set("proc/self/cgroup", "3:cpuset:/batch\n0::/\n")
		m.set("proc/self/mountinfo", "31 24 0:27 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset")
		m.set("sys/fs/cgroup/cpuset/batch/cpuset.cpus", "0-1")
	}, "CPUs", OK, "by the CPU set of its control group", ""},
	{"half a processor", func(m madeUp) {
		m.set("sys/fs/cgroup/user.slice/cpu.max", "50000 100000")
		m.set("sys/fs/cgroup/user.slice/cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 7\n")
	}, "CPU quota", Better, "0.5 CPUs: who has used up its share stands still for the rest of the period, up to 100 ms; this has happened 7 times",
		"sudo systemctl set-property SERVICE CPUQuota= AllowedCPUs=0-1"},
	{"half a processor, version 1, in a container", func(m madeUp) {
		m.inContainer()
		m.set("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n")
		m.set("proc/self/mountinfo", "31 24 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct")
		m.set("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000")
		m.set("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
	}, "CPU quota", Better, "0.5 CPUs", "docker run --cpuset-cpus 0-1 IMAGE"},
	{"the smallest quota counts", func(m madeUp) {
		m.set("sys/fs/cgroup/user.slice/cpu.max", "150000 100000")
		m.set("sys/fs/cgroup/user.slice/session-1.scope/cpu.max", "300000 100000")
	}, "CPU quota", Better, "1.5 CPUs", "AllowedCPUs=0-1"},
	{"no quota, version 1", func(m madeUp) {
		m.set("proc/self/cgroup", "4:cpu,cpuacct:/\n")
		m.set("proc/self/mountinfo", "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct")
		m.set("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
	}, "CPU quota", OK, "none", ""},
	{"a quota that never bites", func(m madeUp) { m.set("sys/fs/cgroup/user.slice/cpu.max", "800000 100000") }, "CPU quota", OK, "8 CPUs: as many as there are", ""},
	{"a namespace of control groups", func(m madeUp) {
		m.set("proc/self/cgroup", "0::/../../outside")
		m.set("sys/fs/cgroup/cpu.max", "200000 100000")
	}, "CPU quota", Better, "2 CPUs", "AllowedCPUs=0-1"},
	{"an odd quota", func(m madeUp) { m.set("sys/fs/cgroup/user.slice/cpu.max", "some") }, "CPU quota", Unknown, `holds "some"`, ""},
	{"GOMAXPROCS is 1", func(m madeUp) { m.Calls.GoMaxProcs, m.Calls.GoMaxProcSet = 1, true }, "GOMAXPROCS", Better,
		"1, as the environment says: a loop leaves nothing", "GOMAXPROCS=2 PROGRAM"},
	{"GOMAXPROCS is 2", func(m madeUp) { m.Calls.GoMaxProcs = 2 }, "GOMAXPROCS", OK, "2: a Go server has 1 loop unless", ""},
	{"nothing isolated", func(m madeUp) {
		m.set("sys/devices/system/cpu/isolated", "")
		m.set("sys/devices/system/cpu/nohz_full", "(null)")
	}, "isolated CPUs", Better, "none: other programs", `sudo sed -i 's|^GRUB_CMDLINE_LINUX="|&isolcpus=4-7 nohz_full=4-7 rcu_nocbs=4-7 |' /etc/default/grub && sudo update-grub`},
	{"nothing isolated on a small machine", func(m madeUp) {
		m.set("sys/devices/system/cpu/isolated", "")
		m.Calls.Affinity = []int{0, 1}
	}, "isolated CPUs", OK, "none", ""},
	{"isolated for others", func(m madeUp) { m.Calls.Affinity = []int{0, 1, 2, 3} }, "isolated CPUs", Better, "4-7, but this process may not run there", "taskset -c 4-7 PROGRAM"},
	{"isolated with ticks", func(m madeUp) { m.remove("sys/devices/system/cpu/nohz_full") }, "isolated CPUs", OK, "4-7, with the kernel's ticks", ""},
	{"two nodes", func(m madeUp) { m.set("sys/devices/system/node/online", "0-1") }, "memory nodes", Better, "2, and the kernel moves memory", "kernel.numa_balancing = 0"},
	{"two nodes at rest", func(m madeUp) {
		m.set("sys/devices/system/node/online", "0-1")
		m.set("proc/sys/kernel/numa_balancing", "0")
	}, "memory nodes", OK, "2: a server that stays on one is faster", ""},
	{"hyper-threads", func(m madeUp) {
		m.set("sys/devices/system/cpu/smt/active", "1")
		for cpu, list := range map[string]string{"0": "0,4", "1": "1,5", "2": "2,6", "3": "3,7"} {
			m.set("sys/devices/system/cpu/cpu"+cpu+"/topology/thread_siblings_list", list)
		}
	}, "hyper-threads", OK, "taskset -c 0-3", ""},
	{"slow when idle", func(m madeUp) { m.set("sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave") }, "frequency", Better,
		"performance, powersave: a CPU that was idle", "echo 'w /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor - - - - performance' | sudo tee -a /etc/tmpfiles.d/90-smf.conf"},
	{"fast asleep", func(m madeUp) { m.set("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "0") }, "idle states", Better,
		"a CPU in its deepest one (C6) takes 133 µs", "processor.max_cstate=1"},
	{"a slow clock", func(m madeUp) {
		m.set("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet")
		m.Calls.ClockNs = 1200
	}, "clock", Better, "hpet, 1200 ns a look: a fast one takes less than 150", "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"},
	{"a clock that is not trusted", func(m madeUp) {
		m.set("sys/devices/system/clocksource/clocksource0/current_clocksource", "acpi_pm")
		m.set("sys/devices/system/clocksource/clocksource0/available_clocksource", "acpi_pm")
	}, "clock", Better, "acpi_pm", "dmesg"},
	{"a clock that is intercepted", func(m madeUp) { m.Calls.ClockNs = 900 }, "clock", Better, "tsc, 900 ns", "hypervisor"},
}

var memoryStories = []story{
	{"a small container", func(m madeUp) {
		m.set("sys/fs/cgroup/user.slice/memory.max", "536870912")
		m.Calls.GoMaxProcs = 2
	}, "memory", Better, "512 MiB of the machine's 64 GiB (the limit of a control group); 1 loop may use 1 GiB each", "--memory 256MiB"},
	{"a limit, version 1", func(m madeUp) {
		m.set("proc/self/cgroup", "5:memory:/a/b\n")
		m.set("proc/self/mountinfo", "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory")
		m.set("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
		m.set("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "34359738368")
	}, "memory", OK, "32 GiB of the machine's 64 GiB", ""},
	{"little address space", func(m madeUp) { m.Calls.AddressSpace = Limit{Soft: 1 << 30, Hard: NoLimit} }, "address space", Better, "1 GiB (ulimit -v)", "LimitAS=infinity"},
	{"64 KiB may be locked", func(m madeUp) { m.Calls.MemoryLocked = Limit{Soft: 64 << 10, Hard: 64 << 10} }, "locked memory", Better, "64 KiB (ulimit -l)",
		`printf '* - memlock unlimited\nroot - memlock unlimited\n' | sudo tee -a /etc/security/limits.d/90-smf.conf`},
	{"64 KiB may be locked in a container", func(m madeUp) {
		m.inContainer()
		m.Calls.MemoryLocked = Limit{Soft: 64 << 10, Hard: 64 << 10}
	}, "locked memory", Better, "64 KiB", "docker run --ulimit memlock=-1 IMAGE"},
	{"no huge pages of 1 GiB", func(m madeUp) {
		m.remove("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages")
		m.set("proc/self/mounts", "/dev/vda1 / ext4 rw 0 0")
	}, "huge pages", OK, "1 GiB: not offered; not mounted", ""},
	{"memory is tidied up at a fault", func(m madeUp) {
		m.set("sys/kernel/mm/transparent_hugepage/defrag", "[always] defer madvise never")
	}, "transparent huge pages", Better, "always, defrag always: a thread", "transparent_hugepage/defrag - - - - madvise"},
	{"swap", func(m madeUp) { m.set("proc/meminfo", "MemTotal: 67108864 kB\nSwapTotal: 2097152 kB") }, "swap", Better, "2 GiB, swappiness 60", "vm.swappiness = 1"},
	{"swap that is not used", func(m madeUp) {
		m.set("proc/meminfo", "MemTotal: 67108864 kB\nSwapTotal: 2097152 kB")
		m.set("proc/sys/vm/swappiness", "1")
	}, "swap", OK, "2 GiB, swappiness 1", ""},
	{"strict overcommit", func(m madeUp) { m.set("proc/sys/vm/overcommit_memory", "2") }, "overcommit", Better, "strict", "vm.overcommit_memory = 0"},
	{"strict overcommit in a container", func(m madeUp) {
		m.inContainer()
		m.set("proc/sys/vm/overcommit_memory", "2")
	}, "overcommit", Better, "strict", "# a container can't change this; on the host:\ngrep -qsxF 'vm.overcommit_memory = 0'"},
	{"pages are merged", func(m madeUp) { m.set("sys/kernel/mm/ksm/run", "1") }, "page merging", Better, "on (ksm)", "/sys/kernel/mm/ksm/run - - - - 0"},
}

var networkStories = []story{
	{"few files", func(m madeUp) { m.Calls.OpenFiles = Limit{Soft: 1024, Hard: 4096} }, "open files", Better,
		"4096; a Go program takes all of it, a C program 1024 unless it raises its limit; every connection is one", "* - nofile 1048576"},
	{"few files, and a low ceiling", func(m madeUp) {
		m.Calls.OpenFiles = Limit{Soft: 1024, Hard: 4096}
		m.set("proc/sys/fs/nr_open", "100000")
	}, "open files", Better, "4096", "LimitNOFILE=100000"},
	{"few files for all", func(m madeUp) { m.set("proc/sys/fs/file-max", "50000") }, "file limits", Better, "50000 for the machine", "fs.file-max"},
	{"few files for one", func(m madeUp) { m.set("proc/sys/fs/nr_open", "4096") }, "file limits", Better, "4096 at most for one", "fs.nr_open = 1048576"},
	{"a short queue", func(m madeUp) { m.set("proc/sys/net/core/somaxconn", "128") }, "listen queue", Better, "128 (somaxconn); smf asks for 4096", "net.core.somaxconn = 4096"},
	{"a short queue in a container", func(m madeUp) {
		m.inContainer()
		m.set("proc/sys/net/core/somaxconn", "128")
	}, "listen queue", Better, "128", "docker run --sysctl net.core.somaxconn=4096 IMAGE"},
	{"few handshakes", func(m madeUp) { m.set("proc/sys/net/ipv4/tcp_max_syn_backlog", "256") }, "handshakes", Better, "256", "net.ipv4.tcp_max_syn_backlog = 4096"},
	{"bbr", func(m madeUp) { m.set("proc/sys/net/ipv4/tcp_congestion_control", "bbr") }, "congestion control", OK, "bbr: right across the internet", ""},
	{"reno", func(m madeUp) { m.set("proc/sys/net/ipv4/tcp_congestion_control", "reno") }, "congestion control", Better, "reno", "net.ipv4.tcp_congestion_control = cubic"},
	{"small buffers", func(m madeUp) { m.set("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t212992") }, "socket buffers", Better, "send up to 208 KiB", "net.ipv4.tcp_wmem = 4096 16384 4194304"},
	{"small buffers in a container", func(m madeUp) {
		m.inContainer()
		m.set("proc/sys/net/ipv4/tcp_rmem", "4096\t87380\t212992")
	}, "socket buffers", Better, "receive up to 208 KiB", `--sysctl net.ipv4.tcp_rmem=4096\ 87380\ 4194304 IMAGE`},
	{"slow after a pause", func(m madeUp) { m.set("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1") }, "idle connections", Better, "start slowly again", "net.ipv4.tcp_slow_start_after_idle = 0"},
}

var otherStories = []story{
	{"sectors of 4 KiB, tried", func(m madeUp) { m.Calls.Folders[0].OffsetAlign, m.Calls.Folders[0].Probed = 4096, true }, "direct I/O", OK,
		"/data (ext4): offsets and lengths in multiples of 4096, memory of 4 (tried: the kernel does not tell)", ""},
	{"enormous sectors", func(m madeUp) { m.Calls.Folders[0].OffsetAlign = 65536 }, "direct I/O", Better, "65536", "--dir DIR"},
	{"tmpfs of an old kernel", func(m madeUp) { m.Calls.Folders[0] = Folder{Path: "/t", FileSystem: "tmpfs", DirectErr: unix.EINVAL} }, "direct I/O", OK, "/t (tmpfs): files are in memory, and gone after a restart; nothing in smf uses direct I/O yet", ""},
	{"tmpfs of a new kernel", func(m madeUp) { m.Calls.Folders[0].FileSystem = "tmpfs" }, "direct I/O", OK, "files are in memory", ""},
	{"a container's layer", func(m madeUp) {
		m.Calls.Folders[0] = Folder{Path: "/app", FileSystem: "overlay", DirectErr: unix.EINVAL}
	}, "direct I/O", Better, "/app (overlay) refuses it: the container's own layer", "docker run -v"},
	{"a file system that refuses", func(m madeUp) {
		m.Calls.Folders[0] = Folder{Path: "/m", FileSystem: "fuse", DirectErr: unix.EINVAL}
	}, "direct I/O", Better, "/m (fuse): the file system refuses it", "ext4 or xfs"},
	{"a folder of somebody else", func(m madeUp) { m.Calls.Folders[0] = Folder{Path: "/root", FileSystem: "ext4", Err: unix.EACCES} }, "direct I/O", Unknown, "permission denied", ""},
	{"writes that all fail", func(m madeUp) { m.Calls.Folders[0].OffsetAlign = 0 }, "direct I/O", Unknown, "none of the writes that were tried", ""},

	{"no core dumps", func(m madeUp) { m.Calls.CoreBytes = Limit{Soft: 0, Hard: NoLimit} }, "core dumps", Better, "none: their size is limited to 0", `ulimit -c "$(ulimit -Hc)"`},
	{"no core dumps, and no way to have them", func(m madeUp) { m.Calls.CoreBytes = Limit{} }, "core dumps", Better, "none", "* - core unlimited"},
	{"core dumps that are cut off", func(m madeUp) { m.Calls.CoreBytes = Limit{Soft: 1 << 20, Hard: 1 << 20} }, "core dumps", Better, "cut off after 1 MiB", "LimitCORE=infinity"},
	{"systemd-coredump", func(m madeUp) {
		m.set("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h")
		m.set("usr/lib/systemd/systemd-coredump", "")
		m.Calls.CoreBytes = Limit{}
	}, "core dumps", OK, "are given to /usr/lib/systemd/systemd-coredump: coredumpctl list", ""},
	{"apport", func(m madeUp) {
		m.set("proc/sys/kernel/core_pattern", "|/usr/share/apport/apport -p%p -s%s -c%c -d%d -P%P -u%u -g%g -- %E")
		m.set("usr/share/apport/apport", "")
	}, "core dumps", OK, "keeps those of installed packages in /var/crash", ""},
	{"a pipe to nobody", func(m madeUp) { m.set("proc/sys/kernel/core_pattern", "|/bin/gone %p") }, "core dumps", Better, "names /bin/gone, which is not there",
		"kernel.core_pattern = /var/crash/core.%e.%p.%t"},
	{"a pipe out of a container", func(m madeUp) {
		m.inContainer()
		m.set("proc/sys/kernel/core_pattern", "|/usr/lib/systemd/systemd-coredump %P")
	}, "core dumps", OK, "runs on the host, outside this container", ""},
	{"a core in the working directory", func(m madeUp) {
		m.set("proc/sys/kernel/core_pattern", "core")
		m.set("proc/sys/kernel/core_uses_pid", "1")
	}, "core dumps", OK, "core.PID, in the program's working directory", ""},
	{"one core only", func(m madeUp) { m.set("proc/sys/kernel/core_pattern", "core") }, "core dumps", Better, "each overwrites the one before", "core.%e.%p.%t"},
	{"a folder that is not there", func(m madeUp) { m.set("proc/sys/kernel/core_pattern", "/cores/core.%p") }, "core dumps", Better, "the folder /cores, which is not there", "sudo mkdir -p -m 1777 /cores"},
	{"an empty pattern", func(m madeUp) { m.set("proc/sys/kernel/core_pattern", "") }, "core dumps", Better, "the pattern is empty", "sudo mkdir -p -m 1777 /var/crash"},
	{"a socket for cores", func(m madeUp) { m.set("proc/sys/kernel/core_pattern", "@/run/cores.socket") }, "core dumps", OK, "sent to the socket /run/cores.socket", ""},

	{"perf for root alone", func(m madeUp) { m.set("proc/sys/kernel/perf_event_paranoid", "3") }, "perf", Better, "only root may use it", "kernel.perf_event_paranoid = 1"},
	{"perf for root", func(m madeUp) {
		m.set("proc/sys/kernel/perf_event_paranoid", "3")
		m.Calls.UserID = 0
	}, "perf", OK, "may be used", ""},
	{"perf without counters", func(m madeUp) { m.Calls.Counters = unix.ENOENT }, "perf", OK, "perf record -e cpu-clock", ""},
	{"perf forbidden", func(m madeUp) { m.Calls.Counters = unix.EACCES }, "perf", Better, "system call filter", "PERFMON"},
	{"no perf", func(m madeUp) { m.remove("proc/sys/kernel/perf_event_paranoid") }, "perf", Better, "not in this kernel", "CONFIG_PERF_EVENTS=y"},
}
