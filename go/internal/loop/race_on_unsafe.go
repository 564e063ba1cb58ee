//go:build race

package loop

import (
	"runtime"
	"unsafe"
)

// raceToken tells the race detector how the loop goes from one goroutine to another: the baton's words
// live in C memory, which the detector does not see.
type raceToken struct{ word uint64 }

func (t *raceToken) release() { runtime.RaceReleaseMerge(unsafe.Pointer(&t.word)) }
func (t *raceToken) acquire() { runtime.RaceAcquire(unsafe.Pointer(&t.word)) }
