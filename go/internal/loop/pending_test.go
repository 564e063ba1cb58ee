package loop

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/internal/frame"
)

// told notes what a canceller hears.
type told struct{ whys []uint32 }

func (t *told) Cancel(why uint32) { t.whys = append(t.whys, why) }

func conn(generation, index uint64) uint64 { return generation<<32 | index }

func TestACancelFindsItsCall(t *testing.T) {
	var p pendings
	require.False(t, p.cancel(conn(1, 0), 1, 499), "nothing is there")
	require.Zero(t, p.disconnected(conn(1, 9)))
	var one, other, level1 told
	a := p.add(conn(1, 3), 7, true, &one)
	b := p.add(conn(1, 3), 8, true, &other)
	c := p.add(conn(1, 3), 9, false, &level1)
	require.False(t, p.cancel(conn(1, 3), 6, 499), "another session")
	require.False(t, p.cancel(conn(2, 3), 7, 499), "another connection that has the place")
	require.False(t, p.cancel(conn(1, 3), 9, 499), "it has no cancel")
	require.True(t, p.cancel(conn(1, 3), 7, 499))
	require.False(t, p.cancel(conn(1, 3), 7, 408), "once")
	require.Equal(t, []uint32{499}, one.whys)
	require.Empty(t, other.whys)
	p.remove(b)
	require.False(t, p.cancel(conn(1, 3), 8, 499), "it was answered")
	require.Equal(t, 1, p.disconnected(conn(1, 3)), "the one that was not cancelled")
	require.Equal(t, []uint32{499}, one.whys, "at most once")
	require.Equal(t, []uint32{WhyDisconnected}, level1.whys)
	require.Equal(t, 2, p.left)
	p.remove(a)
	p.remove(c)
	require.Zero(t, p.left)
	require.Empty(t, p.bySession)
	require.Nil(t, p.byConn[3])
}

// A session is used again when its call was answered, and the old call's end does not touch the new one.
func TestASessionThatIsUsedAgain(t *testing.T) {
	var p pendings
	var old, new told
	a := p.add(conn(1, 0), 1, true, &old)
	b := p.add(conn(1, 0), 1, true, &new)
	p.remove(a)
	require.True(t, p.cancel(conn(1, 0), 1, 499))
	require.Empty(t, old.whys)
	require.Equal(t, []uint32{499}, new.whys)
	p.remove(b)

	// A connection that has gone, whose call goes on, and the next one at its place.
	a = p.add(conn(1, 0), 1, true, &old)
	p.disconnected(conn(1, 0))
	b = p.add(conn(2, 0), 1, true, &new)
	p.remove(a)
	require.Equal(t, 1, p.disconnected(conn(2, 0)))
	p.remove(b)
	require.Empty(t, p.bySession)
}

// The table does what lists would do that are looked through.
func TestPendingsAgainstAModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	type entry struct {
		p       *pending
		conn    uint64
		session uint16
		keyed   bool
		gone    bool // with its connection
		want    []uint32
		told    *told
	}
	var table pendings
	var model []*entry
	find := func(c uint64, session uint16) *entry {
		for _, e := range model {
			if e.conn == c && e.session == session && e.keyed && !e.gone {
				return e
			}
		}
		return nil
	}
	for range 100_000 {
		c, session := conn(1+random.Uint64N(2), random.Uint64N(4)), uint16(random.IntN(8))
		switch e := find(c, session); random.IntN(10) {
		case 0:
			count := 0
			for _, e := range model {
				if e.conn == c && !e.gone {
					if e.gone = true; len(e.want) == 0 {
						e.want = append(e.want, WhyDisconnected)
						count++
					}
				}
			}
			require.Equal(t, count, table.disconnected(c))
		case 1, 2:
			expected := e != nil && len(e.want) == 0
			if expected {
				e.want = append(e.want, 499)
			}
			require.Equal(t, expected, table.cancel(c, session, 499))
		case 3, 4, 5, 6:
			if len(model) > 0 {
				i := random.IntN(len(model))
				require.Equal(t, model[i].want, model[i].told.whys)
				table.remove(model[i].p)
				model[i] = model[len(model)-1]
				model = model[:len(model)-1]
			}
		default:
			if e != nil {
				continue // sessions in use are not used again
			}
			e := &entry{conn: c, session: session, keyed: random.IntN(4) > 0, told: new(told)}
			e.p = table.add(c, session, e.keyed, e.told)
			model = append(model, e)
		}
	}
	for _, e := range model {
		require.Equal(t, e.want, e.told.whys)
		table.remove(e.p)
	}
	require.Empty(t, table.bySession)
	for _, p := range table.byConn {
		require.Nil(t, p)
	}
	require.Zero(t, table.count)
	require.Zero(t, table.left)
}

func TestPendingsAllocateOnce(t *testing.T) {
	var table pendings
	var who told
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		a, b := table.add(conn(1, 5), 1, true, &who), table.add(conn(1, 5), 2, true, &who)
		table.remove(a)
		table.remove(b)
	}))
}

// runs counts the calls that a worker has served.
type runs struct{ count int }

func (r *runs) Serve(*Call)       { r.count++ }
func (r *runs) Failed(*Call, any) {}
func (r *runs) Cancel(uint32)     {}

// A goroutine that gets to run when nobody waits any more does not begin.
func TestACallThatIsOverBeforeItsTurn(t *testing.T) {
	for _, test := range []struct {
		deadline time.Time
		stopped  bool
		status   uint32
	}{
		{status: 0},
		{deadline: time.Now().Add(time.Hour), status: 0},
		{deadline: time.Now().Add(-time.Nanosecond), status: statusDeadline},
		{stopped: true, status: statusCancelled},
	} {
		l := &Loop{dead: true} // nobody takes the reply
		w := new(runs)
		task := &task{worker: w, call: Call{Loop: l, Method: new(Method), Deadline: test.deadline, Level: 2}}
		if test.stopped {
			task.Cancel(statusCancelled)
		}
		task.run()
		if test.status == 0 {
			require.Equal(t, 1, w.count)
			continue
		}
		require.Zero(t, w.count)
		require.Equal(t, test.status, task.call.Out.Status)
		require.EqualValues(t, frame.FlagReset, task.call.Out.Flags)
		e, err := frame.ReadError(task.call.Out.Payload)
		require.NoError(t, err)
		require.False(t, e.MayHaveRun)
		require.EqualValues(t, 1, l.Stats().Expired+l.Stats().Abandoned)
	}
}

// The core's clock is Go's, but for the number that it begins with.
func TestEpoch(t *testing.T) {
	e := newEpoch()
	before := time.Now()
	now := newEpoch()
	at := e.at(uint64(now.ns))
	require.WithinDuration(t, before, at, time.Minute)
	require.Equal(t, time.Minute, e.at(uint64(e.ns)+uint64(time.Minute)).Sub(e.time))
}
