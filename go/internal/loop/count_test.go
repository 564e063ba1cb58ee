package loop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// instant is a worker whose handlers do nothing.
type instant struct{}

func (instant) Serve(*Call)       {}
func (instant) Failed(*Call, any) {}
func (instant) Cancel(uint32)     {}

// A goroutine's handler begins when it runs, however long it waited for a processor before.
func TestWaitingForAProcessorIsNotHandling(t *testing.T) {
	l := &Loop{dead: true} // nobody takes the reply
	m := &Method{Slow: true}
	w := &task{worker: instant{}, call: Call{Loop: l, Method: m}}
	w.timing.choose(l)
	time.Sleep(time.Millisecond)
	runs := time.Now()
	w.run()
	require.False(t, w.timing.began.Before(runs))
	require.False(t, w.timing.on)
	var timed uint64
	for _, n := range m.Handlers().Buckets {
		timed += n
	}
	require.EqualValues(t, 1, timed)
	require.Positive(t, l.untimed, "another call is chosen later")
}
