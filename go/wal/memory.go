package wal

import (
	"slices"
	"sync"
)

// Memory of what is staged. The budget counts it, by capacity, from staging to the hand-over.

// Bodies' memory is kept for others, as far as it is within the budget together with what is in use. It is not
// Go's: its collector would come only when as much again was thrown away, which nobody has budgeted.

// Capacities of bodies. A partition's next body begins with what its last one needed.
const (
	bodySmall  = 16 << 10
	bodyMedium = 64 << 10
	bodyLarge  = 256 << 10
	bodyStep   = 256 << 10 // of what is larger than stageBytes
)

// bodyCapacity is the capacity of a body with so many bytes. There are few of them, so that memory is used
// again.
func bodyCapacity(size int) int {
	switch {
	case size <= bodySmall:
		return bodySmall
	case size <= bodyMedium:
		return bodyMedium
	case size <= bodyLarge:
		return bodyLarge
	case size <= stageBytes:
		return stageBytes
	}
	return (size + bodyStep - 1) / bodyStep * bodyStep
}

// stages keeps what lists of members have grown to.
var stages = sync.Pool{New: func() any { return new(stage) }}

// newStage is an empty stage without memory.
func newStage() *stage {
	st := stages.Get().(*stage)
	*st = stage{members: st.members[:0]}
	return st
}

// short is how much of the budget a stage needs for this capacity. One append may take the whole budget,
// and then be larger than it.
func (l *coreLog) short(st *stage, capacity int) int64 {
	return min(int64(capacity), l.options.stagedBytes()) - st.reserved
}

// grow gives a stage memory of this capacity, which the budget has counted.
func (l *coreLog) grow(st *stage, capacity int) {
	old := st.body.Body()
	st.body.Move(l.takeBody(capacity))
	l.keepBody(old)
}

// takeBody is memory of this capacity, the last that was given back if there is one. If there is none,
// others that were given back make room for it.
func (l *coreLog) takeBody(capacity int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodyBytes += int64(capacity)
	for i, memory := range slices.Backward(l.spare) {
		if cap(memory) == capacity {
			l.spare = slices.Delete(l.spare, i, i+1)
			l.spareBytes -= int64(capacity)
			return memory
		}
	}
	for len(l.spare) > 0 && l.bodyBytes+l.spareBytes > l.options.stagedBytes() {
		l.dropSpare()
	}
	return mapMemory(capacity)
}

// dropSpare gives up what was kept the longest. l.mu is held.
func (l *coreLog) dropSpare() {
	l.spareBytes -= int64(cap(l.spare[0]))
	unmapMemory(l.spare[0])
	l.spare = slices.Delete(l.spare, 0, 1)
}

// keepBody keeps memory for others.
func (l *coreLog) keepBody(memory []byte) {
	if cap(memory) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bodyBytes -= int64(cap(memory))
	if l.bodyBytes+l.spareBytes+int64(cap(memory)) > l.options.stagedBytes() {
		unmapMemory(memory)
		return
	}
	l.spare = append(l.spare, memory[:0])
	l.spareBytes += int64(cap(memory))
}

// dropSpares gives up all that was kept: nothing is staged any more.
func (l *coreLog) dropSpares() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.spare) > 0 {
		l.dropSpare()
	}
}

// freeBody gives a stage's memory back.
func (l *coreLog) freeBody(st *stage) {
	if st.reserved > 0 {
		l.budget.Release(st.reserved)
		st.reserved = 0
	}
	memory := st.body.Body()
	st.body.Reset(nil)
	l.keepBody(memory)
}

// freeStage gives back a stage that nobody waits for.
func (l *coreLog) freeStage(st *stage) {
	l.freeBody(st)
	stages.Put(st)
}
