package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What smf's own settings ask for.
const (
	connectionsMax = 65536 // of one loop
	backlogMax     = 4096  // of one listener
	filesWanted    = 1 << 20
)

// How large TCP's buffers should be allowed to grow: a frame may be larger, a round trip's worth is not.
const bufferBytes = 4 << 20

// handshakesMin is how many connections may be half open.
const handshakesMin = 1024

func (m *Machine) openFiles() Finding {
	const name = "open files"
	l := m.Calls.OpenFiles
	if l.Err != nil {
		return unknown(name, l.Err)
	}
	f := ok(name, "%s", limitText(l.Hard)).fact("soft", l.Soft).fact("hard", l.Hard)
	if l.Soft < l.Hard {
		f.Text = fmt.Sprintf("%s; a Go program takes all of it, a C program %s unless it raises its limit", limitText(l.Hard),
			limitText(l.Soft))
	}
	if l.Hard >= connectionsMax {
		return f
	}
	f.Verdict = Better
	f.Text += fmt.Sprintf("; every connection is one, and a loop would take %d", connectionsMax)
	wanted := int64(filesWanted)
	if most, err := m.number("proc/sys/fs/nr_open"); err == nil {
		wanted = min(wanted, most)
	}
	text := strconv.FormatInt(wanted, 10)
	return f.fix(m.limit("nofile", text, "LimitNOFILE="+text)...)
}

// allFiles are the limits above everybody's limits.
func (m *Machine) allFiles() Finding {
	const name = "file limits"
	all, err := m.number("proc/sys/fs/file-max")
	if err != nil {
		return unknown(name, err)
	}
	most, err := m.number("proc/sys/fs/nr_open")
	if err != nil {
		return unknown(name, err)
	}
	f := ok(name, "%s for the machine, %d at most for one process", manyText(all), most).fact("file-max", all).fact("nr_open", most)
	if all < filesWanted {
		f.Verdict = Better
		f = f.fix(m.sysctl("fs.file-max", strconv.Itoa(4*filesWanted))...)
	}
	if most < connectionsMax {
		f.Verdict = Better
		f = f.fix(m.sysctl("fs.nr_open", strconv.Itoa(filesWanted))...)
	}
	return f
}

// manyText is a number that may be as good as no limit.
func manyText(n int64) string {
	if n >= 1<<40 {
		return "unlimited"
	}
	return strconv.FormatInt(n, 10)
}

func (m *Machine) listenQueue() Finding {
	const name = "listen queue"
	n, err := m.number("proc/sys/net/core/somaxconn")
	if err != nil {
		return unknown(name, err)
	}
	f := ok(name, "%d (somaxconn)", n).fact("somaxconn", n)
	if n >= backlogMax {
		return f
	}
	f.Verdict = Better
	f.Text += fmt.Sprintf("; smf asks for %d, and connections that come while it is full wait a second or more", backlogMax)
	return f.fix(m.sysctl("net.core.somaxconn", strconv.Itoa(backlogMax))...)
}

func (m *Machine) handshakeQueue() Finding {
	const name = "handshakes"
	n, err := m.number("proc/sys/net/ipv4/tcp_max_syn_backlog")
	if err != nil {
		return unknown(name, err)
	}
	f := ok(name, "%d (tcp_max_syn_backlog)", n).fact("tcp_max_syn_backlog", n)
	if n >= handshakesMin {
		return f
	}
	f.Verdict = Better
	f.Text += "; when many clients connect at once, as after a restart, some have to try again"
	return f.fix(m.sysctl("net.ipv4.tcp_max_syn_backlog", strconv.Itoa(backlogMax))...)
}

func (m *Machine) congestion() Finding {
	const name = "congestion control"
	now, err := m.text("proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return unknown(name, err)
	}
	text, _ := m.text("proc/sys/net/ipv4/tcp_available_congestion_control")
	others := strings.Fields(text)
	f := ok(name, "%s", now).fact("current", now).fact("available", others)
	switch {
	case now == "cubic":
		f.Text += ": right inside a data centre; across the internet, where packets get lost, bbr is better"
		if !slices.Contains(others, "bbr") {
			f.Text += " (modprobe tcp_bbr)"
		}
	case now == "bbr":
		f.Text += ": right across the internet; inside a data centre cubic shares links more fairly"
	case now == "reno":
		f.Verdict = Better
		f.Text += ": slow to use a fast link again after a loss"
		f = f.fix(m.sysctl("net.ipv4.tcp_congestion_control", "cubic")...)
	}
	return f
}

func (m *Machine) socketBuffers() Finding {
	const name = "socket buffers"
	f := Finding{Name: name}
	var parts []string
	for _, way := range []struct{ file, word string }{{"tcp_rmem", "receive"}, {"tcp_wmem", "send"}} {
		path := "proc/sys/net/ipv4/" + way.file
		text, err := m.text(path)
		if err != nil {
			return unknown(name, err)
		}
		words := strings.Fields(text)
		if len(words) != 3 {
			return unknown(name, odd(path, text))
		}
		most, err := strconv.ParseUint(words[2], 10, 63)
		if err != nil {
			return unknown(name, odd(path, text))
		}
		parts = append(parts, fmt.Sprintf("%s up to %s", way.word, bytesText(most)))
		f = f.fact(way.file, words)
		if most < bufferBytes {
			f.Verdict = Better
			f = f.fix(m.sysctl("net.ipv4."+way.file, fmt.Sprintf("%s %s %d", words[0], words[1], bufferBytes))...)
		}
	}
	f.Text = strings.Join(parts, ", ")
	if f.Verdict == Better {
		f.Text += "; large payloads over long links need more"
	}
	return f
}

func (m *Machine) slowStart() Finding {
	const name = "idle connections"
	on, err := m.number("proc/sys/net/ipv4/tcp_slow_start_after_idle")
	if m.lacks(err) {
		return ok(name, "nothing to set here")
	}
	if err != nil {
		return unknown(name, err)
	}
	if on == 0 {
		return ok(name, "go on at the speed that they had")
	}
	return better(name, "start slowly again after a pause, so a large reply takes more round trips (tcp_slow_start_after_idle)").
		fix(m.sysctl("net.ipv4.tcp_slow_start_after_idle", "0")...)
}
