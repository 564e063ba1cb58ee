package traffic

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/rpc"
)

// attacked are the settings of a server that is attacked: limits that few peers meet.
var attacked = Settings{Address: "127.0.0.1:0", MemoryBytes: 256 << 20, InFlight: 64, Running: 1000, MessageBytes: 4 << 20}

const attackers = 4 // connections at a time

// What a server may keep when it has nothing to do, beyond what it had before: what it used for the first time.
const (
	memorySpare     = 1 << 20
	goroutinesSpare = 4
	filesSpare      = 2
)

// served are two ordinary peers of a server, one at each level.
type served struct {
	t     *testing.T
	peers []*Ordinary
	all   sync.WaitGroup
	stop  context.CancelFunc
	ctx   context.Context
}

func serveOrdinary(t *testing.T, address string, allowed ...rpc.Code) *served {
	s := &served{t: t}
	s.ctx, s.stop = context.WithCancel(t.Context())
	for level := range 2 {
		client, err := rpc.Dial(s.ctx, address, rpc.ClientOptions{Level: level})
		require.NoError(t, err)
		o := &Ordinary{Client: client, Allowed: allowed}
		s.peers = append(s.peers, o)
		require.NoError(t, o.echo(s.ctx, 100))
	}
	t.Cleanup(func() { s.leave() })
	return s
}

// begin lets them do what they do until end.
func (s *served) begin() {
	s.ctx, s.stop = context.WithCancel(s.t.Context())
	for _, o := range s.peers {
		for range 2 {
			s.all.Go(func() {
				for s.ctx.Err() == nil {
					if err := o.Act(context.Background(), false); err != nil {
						s.t.Errorf("an ordinary peer is not served: %v", err)
						return
					}
				}
			})
		}
	}
}

func (s *served) end() {
	s.stop()
	s.all.Wait()
}

func (s *served) leave() {
	s.end()
	for _, o := range s.peers {
		_ = o.Client.Close()
	}
	s.peers = nil
}

// run attacks for a while.
func run(t *testing.T, a *Attack, address string, length time.Duration) *Counts {
	counts := new(Counts)
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	if err := a.Run(ctx, address, attackers, counts); err != nil {
		t.Errorf("the server has broken a rule: %v", err)
	}
	require.Positive(t, counts.Connections.Load(), "there was no attack")
	require.Zero(t, counts.Refused.Load(), "connections were refused")
	if a.ending == mustEnd && !t.Failed() {
		require.Positive(t, counts.Ended.Load())
	}
	return counts
}

// idle waits until nothing but ordinary connections is left, and returns what the server uses then.
func idle(t *testing.T, p *process, connections uint64, atMost Stats, files int) Stats {
	t.Helper()
	var s Stats
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s = p.stats(t)
		freed := s.Connections == connections && s.InFlight == 0 && s.Running == 0 && s.Late == 0
		if freed && (atMost.Memory == 0 || s.Memory <= atMost.Memory && s.Goroutines <= atMost.Goroutines && p.files(t) <= files) {
			return s
		}
		require.True(t, time.Now().Before(end), "an attack has left something behind: %+v, %d files; before: %+v, %d files",
			s, p.files(t), atMost, files)
	}
}

// Whatever one peer does, others are served, right and in time; memory stays within its limit and a tenth,
// running handlers within theirs; attackers are answered, or their connections end, as docs/wire.md says; and
// when they have gone nothing is left of them.
func TestAttacks(t *testing.T) {
	length := 300 * time.Millisecond
	if testing.Short() {
		length = 100 * time.Millisecond
	}
	for _, language := range languages {
		for _, a := range Attacks() {
			t.Run(language+"/"+a.Name, func(t *testing.T) {
				t.Parallel() // each has a server of its own
				attackOne(t, language, &a, length)
			})
		}
	}
}

func attackOne(t *testing.T, language string, a *Attack, length time.Duration) {
	p := start(t, language, attacked)
	ordinary := serveOrdinary(t, p.address)
	ordinary.begin()
	time.Sleep(50 * time.Millisecond)
	ordinary.end()
	before, files := idle(t, p, 2, Stats{}, 0), p.files(t)
	before.Memory += memorySpare
	before.Goroutines += goroutinesSpare
	ordinary.begin()
	counts := run(t, a, p.address, length)
	ordinary.end()
	most := p.resident(t, "VmHWM")
	after := idle(t, p, 2, before, files+filesSpare)
	t.Logf("%d connections, %d ended by the server, %d frames; resident %d MiB, of the core's memory at most %d MiB, at most %d handlers",
		counts.Connections.Load(), counts.Ended.Load(), counts.Frames.Load(), most>>20, after.MemoryMax>>20, after.RunningMax)
	require.LessOrEqual(t, after.MemoryMax, uint64(attacked.MemoryBytes))
	residentIsBounded(t, most)
	require.LessOrEqual(t, after.RunningMax, int64(attacked.Running))
}

// residentIsBounded: by the limit, and a tenth.
func residentIsBounded(t *testing.T, most int64) {
	t.Helper()
	if !raceEnabled {
		require.LessOrEqual(t, most, attacked.MemoryBytes+attacked.MemoryBytes/10)
	}
}

// All of them at once.
func TestAllAttacksAtOnce(t *testing.T) {
	length := 4 * time.Second
	if testing.Short() {
		length = time.Second
	}
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			p := start(t, language, Settings{"127.0.0.1:0", attacked.MemoryBytes, attacked.InFlight, 100_000, attacked.MessageBytes})
			ordinary := serveOrdinary(t, p.address)
			ordinary.begin()
			ctx, stop := context.WithTimeout(t.Context(), length)
			defer stop()
			var all sync.WaitGroup
			for _, a := range Attacks() {
				all.Go(func() {
					a.short = true
					if a.ending == stays {
						a.ending = mayEnd // for want of memory
					}
					if err := a.Run(ctx, p.address, 1, new(Counts)); err != nil {
						t.Errorf("the server has broken a rule: %v", err)
					}
				})
			}
			all.Wait()
			ordinary.end()
			after := idle(t, p, 2, Stats{}, 0)
			require.LessOrEqual(t, after.MemoryMax, uint64(attacked.MemoryBytes))
			residentIsBounded(t, p.resident(t, "VmHWM"))
			t.Logf("%+v, resident %d MiB", after, p.resident(t, "VmHWM")>>20)
			ordinary.leave()
			idle(t, p, 0, Stats{}, 0)
		})
	}
}

// Handlers that take no notice of their end, called by peers that leave at once and come again: they count as
// long as they run, whoever called.
func TestHandlersOfThoseWhoHaveLeftCount(t *testing.T) {
	const running, inFlight = 60, 20
	for level := 1; level <= 2; level++ {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			p := start(t, "go", Settings{"127.0.0.1:0", attacked.MemoryBytes, inFlight, running, attacked.MessageBytes})
			ordinary := serveOrdinary(t, p.address, rpc.CodeLimit)
			ordinary.begin()
			a := Attack{Name: "calls that go on, and gone", raw: level == 1, life: func(p *peer) error {
				for session := range uint16(inFlight) {
					call := frame2(0, session+1, MethodDeaf, string(word(500)))
					if level == 1 {
						call = level1Frame(session+1, MethodDeaf, string(word(500)))
					}
					p.out = append(p.out, call...)
				}
				if err := p.flush(); err != nil {
					return err
				}
				return p.stay(10 * time.Millisecond)
			}}
			run(t, &a, p.address, time.Second)
			ordinary.end()
			after := idle(t, p, 2, Stats{}, 0)
			require.LessOrEqual(t, after.RunningMax, int64(running))
			require.Greater(t, after.RunningMax, int64(running/2), "there was no attack")
			t.Logf("at most %d handlers; an ordinary peer was refused %d of %d times", after.RunningMax,
				ordinary.peers[1].Failed.Load(), ordinary.peers[1].Done.Load())
			ordinary.peers[0].Allowed, ordinary.peers[1].Allowed = nil, nil
			ordinary.begin()
			time.Sleep(50 * time.Millisecond)
			ordinary.end()
		})
	}
}
