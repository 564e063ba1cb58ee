package walload

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	sampledEvery = 2 * time.Millisecond
	fullWithin   = time.Minute // memory, or the disk does not stand still
	mib          = 1 << 20
)

// stalled lets writers push records that they don't wait for into a log whose disk stands still, and looks
// how much memory that takes, from when the first append has to wait for it.
func stalled(j job, out io.Writer) (err error) {
	j.options.WriteDelay = j.options.FlushDelay
	debug.FreeOSMemory()
	before, err := resident()
	if err != nil {
		return err
	}
	log, err := j.contender.Open(j.folder, j.options)
	if err != nil {
		return err
	}
	defer func() {
		if !j.last { // else that would wait for the disk once more, partition by partition
			err = errors.Join(err, log.Close())
		}
	}()
	c := &crew{every: 1}
	s := sampler{stop: make(chan struct{})}
	s.done.Go(s.run)
	c.startAll(j, log, Appender.Write)
	bounded, ok := log.(Bounded)
	for until := time.Now().Add(fullWithin); ok && bounded.Waits() == 0 && !c.failed.Load() && time.Now().Before(until); {
		time.Sleep(sampledEvery)
	}
	m, err := c.watch(j)
	close(s.stop)
	s.done.Wait()
	if err := errors.Join(err, s.err); err != nil {
		return err
	}
	if m.First.LatencyUS, err = c.latencies(); err != nil {
		return err
	}
	taken := c.records() * int64(j.size)
	if !ok || bounded.Waits() == 0 {
		return fmt.Errorf("no append had to wait for memory when %d bytes had been taken: the disk is too fast to tell anything", taken)
	}
	m.Wal.BudgetMiB = float64(j.options.MemoryBytes) / mib
	m.Wal.ResidentBeforeMiB, m.Wal.ResidentMaxMiB = float64(before)/mib, float64(s.resident)/mib
	m.Wal.HeapMaxMiB, m.Wal.TakenMiB = float64(s.heap)/mib, float64(taken)/mib
	return printJSON(out, m)
}

// sampler notes the most memory that the process has.
type sampler struct {
	resident, heap int64
	err            error
	stop           chan struct{}
	done           sync.WaitGroup
}

func (s *sampler) run() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	for tick := time.NewTicker(sampledEvery); ; {
		now, err := resident()
		if err != nil {
			s.err = err
			return
		}
		metrics.Read(heap)
		s.resident = max(s.resident, now)
		s.heap = max(s.heap, int64(heap[0].Value.Uint64()+heap[1].Value.Uint64()))
		select {
		case <-s.stop:
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

// resident is this process's resident memory.
func resident() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(status) {
		if value, found := strings.CutPrefix(string(line), "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no VmRSS in /proc/self/status")
}
