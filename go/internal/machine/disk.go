package machine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// alignMax is a page: what writes past the cache are padded to without regret.
const alignMax = 4096

// directIO says whether files in a folder can be written past the cache, as a log does.
func (m *Machine) directIO(d *Folder) Finding {
	const name = "direct I/O"
	what := fmt.Sprintf("%s (%s)", d.Path, d.FileSystem)
	if d.FileSystem == "" {
		what = d.Path
	}
	facts := func(f Finding) Finding {
		return f.fact("folder", d.Path).fact("file_system", d.FileSystem).fact("offset_align", d.OffsetAlign).
			fact("memory_align", d.MemoryAlign)
	}
	switch {
	case d.Err != nil:
		return facts(unknown(name, fmt.Errorf("%s: no file can be made here to try it: %w", what, d.Err)))
	case d.DirectErr != nil || d.inMemory():
		return facts(noDirectIO(name, what, d))
	case d.OffsetAlign == 0:
		return facts(unknown(name, fmt.Errorf("%s: allowed, but none of the writes that were tried succeeded", what)))
	}
	text := fmt.Sprintf("%s: offsets and lengths in multiples of %d", what, d.OffsetAlign)
	if d.MemoryAlign > 0 {
		text += fmt.Sprintf(", memory of %d", d.MemoryAlign)
	}
	if d.Probed {
		text += " (tried: the kernel does not tell)"
	}
	if d.OffsetAlign > alignMax {
		return facts(better(name, "%s: a small write costs as much", text).
			fix("# a folder on a disk with sectors of 512 or 4096 bytes: --dir DIR"))
	}
	return facts(ok(name, "%s", text))
}

// inMemory: newer kernels allow direct I/O there, to the same memory.
func (d *Folder) inMemory() bool { return d.FileSystem == "tmpfs" || d.FileSystem == "ramfs" }

func noDirectIO(name, what string, d *Folder) Finding {
	switch {
	case d.inMemory():
		return ok(name, "%s: files are in memory, and gone after a restart; nothing in smf uses direct I/O yet", what)
	case d.FileSystem == "overlay":
		return better(name, "%s refuses it: the container's own layer", what).
			fix("docker run -v /srv/smf:/data IMAGE   # a volume, then: smf check --dir /data")
	}
	why := d.DirectErr.Error()
	if errors.Is(d.DirectErr, unix.EINVAL) {
		why = "the file system refuses it"
	}
	return better(name, "%s: %s", what, why).fix("smf check --dir DIR   # with a folder on ext4 or xfs")
}
