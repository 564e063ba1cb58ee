package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
	"github.com/smf-go/smf/go/rpc"
	"github.com/smf-go/smf/go/rpc/filters/compress"
	"github.com/smf-go/smf/go/rpc/filters/compress/zstd"
)

// minutesVariable is how long TestMixedTraffic goes on; ./build.sh soak mixed sets it.
const minutesVariable = "SMF_MIXED_MINUTES"

const (
	mixedShort      = 4 * time.Second
	pauseMax        = 4 * time.Millisecond // between two things that one goroutine does
	restartsEvery   = 10 * time.Second
	warmUp          = time.Minute // of a long run: nothing is compared before
	comparedAtLeast = 20          // samples; fewer are not compared
)

// figure is something that must not grow: by more than a tenth and so much.
type figure struct {
	name  string
	spare int64
}

var figures = []figure{{"resident", 6 << 20}, {"heap", 3 << 20}, {"memory", 2 << 20}, {"goroutines", 20}, {"files", 8}}

// mix is a run of mixed traffic.
type mix struct {
	t       *testing.T
	long    bool // its figures are compared
	ctx     context.Context
	all     sync.WaitGroup
	peers   []*Ordinary
	names   []string
	left    atomic.Int64 // connections that were left in the middle
	fresh   atomic.Int64 // clients that came and went
	restart atomic.Int64
	samples map[string]map[string][]int64 // by who and figure
}

// work lets an ordinary peer do what there is to do.
func (m *mix) work(name string, o *Ordinary) {
	m.peers, m.names = append(m.peers, o), append(m.names, name)
	for range 2 {
		m.all.Go(func() {
			for m.ctx.Err() == nil {
				if err := o.Act(context.Background(), true); err != nil {
					m.t.Errorf("%s: %v", name, err)
					return
				}
				time.Sleep(rand.N(pauseMax))
			}
		})
	}
}

func (m *mix) dial(name, address string, options rpc.ClientOptions, allowed ...rpc.Code) {
	options.BackoffMax = 100 * time.Millisecond
	client, err := rpc.Dial(m.ctx, address, options)
	require.NoError(m.t, err)
	o := &Ordinary{Client: client, Allowed: allowed}
	if m.long && len(allowed) == 0 {
		m.useSessions(o)
	}
	m.work(name, o)
}

// useSessions makes as many calls as a connection has sessions. A client finds its calls in a table that has a
// place for each session that was ever used, 512 KiB in the end; by itself that takes minutes, in which it looks
// like something that is not given back.
func (m *mix) useSessions(o *Ordinary) {
	const sessions, together = 1 << 16, 16
	var all sync.WaitGroup
	for range together {
		all.Go(func() {
			for range sessions / together {
				if err := o.echo(m.ctx, 1); err != nil {
					m.t.Errorf("before the traffic: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

// comeAndGo connects anew, time after time, in the ordinary way and otherwise.
func (m *mix) comeAndGo(address string) {
	gone := new(Counts)
	leaver := Attack{Name: "gone in the middle", life: func(p *peer) error {
		for session := range uint16(10) {
			p.put(0, session+1, MethodHold, string(word(uint32(rand.N(50)))))
			p.put(frame.FlagStream, session+20, MethodSync, block64[:1+rand.N(5000)])
			p.put(frame.FlagMore, session+40, MethodEcho, string(word(200<<10))+block64[:1000])
		}
		if err := p.flush(); err != nil {
			return err
		}
		return p.stay(rand.N(30 * time.Millisecond))
	}}
	m.all.Go(func() {
		for m.ctx.Err() == nil {
			if err := leaver.once(m.ctx, address, gone); err != nil && m.ctx.Err() == nil {
				m.t.Errorf("%v", err)
			}
			m.left.Add(1)
			time.Sleep(rand.N(50 * time.Millisecond))
		}
	})
	m.all.Go(func() {
		for m.ctx.Err() == nil {
			client, err := rpc.Dial(context.Background(), address, rpc.ClientOptions{Level: rand.N(2)})
			if err != nil {
				m.t.Errorf("a client that comes and goes: %v", err)
				return
			}
			o := &Ordinary{Client: client}
			for range 1 + rand.N(5) {
				if err := o.Act(context.Background(), false); err != nil {
					m.t.Errorf("a client that comes and goes: %v", err)
				}
			}
			_ = client.Close()
			m.fresh.Add(1)
			time.Sleep(rand.N(50 * time.Millisecond))
		}
	})
}

// restarts serves at an address that is drained and served again now and then.
func (m *mix) restarts(language string, every time.Duration) {
	s := mixedSettings
	s.Address = fmt.Sprintf("unix:@smf-mixed-%s-%d", language, os.Getpid())
	p := launch(m.t, language, s) // each is forgotten when it has ended
	m.t.Cleanup(func() { p.stop(m.t) })
	for level := range 2 {
		// Who was in the middle of something hears that the server has gone.
		m.dial(fmt.Sprintf("%s server that restarts, level %d", language, 2-level), s.Address, rpc.ClientOptions{Level: level},
			rpc.CodeUnavailable, rpc.CodeCancelled)
	}
	m.all.Go(func() {
		for {
			select {
			case <-m.ctx.Done():
				return
			case <-time.After(every):
			}
			p.tell(m.t, "drain")
			p.wait(m.t)
			p = launch(m.t, language, s)
			m.restart.Add(1)
		}
	})
}

func (m *mix) sample(who string, values map[string]int64) {
	if m.samples[who] == nil {
		m.samples[who] = map[string][]int64{}
	}
	for name, value := range values {
		m.samples[who][name] = append(m.samples[who][name], value)
	}
}

// look samples the servers that do not restart, and this process.
func (m *mix) look(servers map[string]*process) {
	for language, p := range servers {
		s := p.stats(m.t)
		m.sample("server in "+language, map[string]int64{"resident": p.resident(m.t, "VmRSS"), "memory": int64(s.Memory),
			"goroutines": int64(s.Goroutines), "heap": int64(s.Heap), "files": int64(p.files(m.t))})
	}
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	m.sample("clients", map[string]int64{"heap": int64(memory.HeapAlloc), "goroutines": int64(runtime.NumGoroutine()),
		"files": int64(filesOf(m.t, "self")), "resident": residentOf(m.t, os.Getpid(), "VmRSS")})
}

// median of the values; it sorts a copy.
func median(values []int64) int64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// compare holds the last fifth of the samples against the first one.
func (m *mix) compare() {
	for who, all := range m.samples {
		for _, f := range figures {
			values := all[f.name]
			if len(values) == 0 {
				continue
			}
			fifth := max(1, len(values)/5)
			begin, end := median(values[:fifth]), median(values[len(values)-fifth:])
			var medians []int64 // of each fifth: something that settles looks different from something that grows
			for part := range slices.Chunk(values, fifth) {
				medians = append(medians, median(part))
			}
			m.t.Logf("%-14s %-10s %11d in the first fifth, %11d in the last, at most %11d; on the way %v", who, f.name, begin, end, slices.Max(values), medians)
			if len(values) >= comparedAtLeast && end > begin+begin/10+f.spare {
				m.t.Errorf("%s: %s grows: the median of the first fifth of the run is %d, that of the last fifth %d", who, f.name, begin, end)
			}
		}
	}
}

// mixedSettings are those of servers that nobody attacks.
var mixedSettings = Settings{Address: "127.0.0.1:0", MemoryBytes: 256 << 20, InFlight: 4096, Running: 65536, MessageBytes: 64 << 20}

// Everything that ordinary peers do, at once and for long, with servers in both languages: calls of all sizes,
// streams of every kind, one-way messages, metadata, deadlines that pass, cancels, pings, compression, both
// levels, peers that come and go, and that leave in the middle; servers that are drained and come again. Every
// outcome is the right one, and neither memory nor descriptors nor goroutines grow.
func TestMixedTraffic(t *testing.T) {
	length, every := mixedShort, mixedShort/3
	if text := os.Getenv(minutesVariable); text != "" {
		minutes, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err, minutesVariable)
		length, every = time.Duration(minutes*float64(time.Minute)), restartsEvery
	}
	m := &mix{t: t, long: length > mixedShort, samples: map[string]map[string][]int64{}}
	var stop context.CancelFunc
	m.ctx, stop = context.WithCancel(t.Context())
	defer stop()
	servers := map[string]*process{}
	for _, language := range languages {
		p := start(t, language, mixedSettings)
		servers[language] = p
		for level := range 2 {
			m.dial(fmt.Sprintf("%s server, level %d", language, 2-level), p.address, rpc.ClientOptions{Level: level})
		}
		m.comeAndGo(p.address)
		m.restarts(language, every)
	}
	m.dial("go server, compressed", servers["go"].address, rpc.ClientOptions{
		Filters: []rpc.Filter{packing(t)}, Compressions: []rpc.Compression{rpc.CompressionZstd}})
	began := time.Now()
	for end := began.Add(length); time.Now().Before(end) && !t.Failed(); time.Sleep(min(time.Second, length/10)) {
		if time.Since(began) > min(warmUp, length/6) {
			m.look(servers)
		}
	}
	stop()
	m.all.Wait()
	m.compare()
	for i, o := range m.peers {
		t.Logf("%-36s %8d done, %6d of them failed as they may", m.names[i], o.Done.Load(), o.Failed.Load())
		require.Greater(t, o.Done.Load(), o.Failed.Load(), "%s: nothing has ever worked", m.names[i])
		_ = o.Client.Close()
	}
	t.Logf("%d clients came and went, %d connections were left in the middle, %d restarts", m.fresh.Load(), m.left.Load(), m.restart.Load())
	require.Positive(t, m.restart.Load())
	for _, p := range servers {
		s := idle(t, p, 0, Stats{}, 0)
		require.LessOrEqual(t, s.Memory, uint64(2<<20), "memory is not given back")
	}
}

// packing compresses what is sent.
func packing(t *testing.T) rpc.Filter {
	codec, err := zstd.New(zstd.LevelDefault)
	require.NoError(t, err)
	filter, err := compress.New(compress.Options{Send: codec})
	require.NoError(t, err)
	return filter
}
