package wal

import (
	"slices"
	"sync"
)

// Memory of what is staged. The budget counts it from staging to the hand-over, in steps.

// Bodies whose memory is kept for others: so many of them, and together half of what may be staged.
const sparesMax = 16

// stages keeps what lists of members have grown to.
var stages = sync.Pool{New: func() any { return new(stage) }}

// newStage is an empty stage with room for so many bytes. Nothing of the budget was taken for it.
func (l *Log) newStage(size int) *stage {
	st := stages.Get().(*stage)
	*st = stage{members: st.members[:0]}
	st.body.Reset(l.takeSpare(size))
	return st
}

// takeSpare is memory for so many bytes, the last that was given back if it is large enough.
func (l *Log) takeSpare(size int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, memory := range slices.Backward(l.spare) {
		if cap(memory) >= size {
			l.spare = slices.Delete(l.spare, i, i+1)
			l.spareBytes -= int64(cap(memory))
			return memory
		}
	}
	return make([]byte, 0, max(size, stageBytes))
}

// short is how much of the budget a stage needs for so many bytes more. One append may take the whole
// budget, and then be larger than it.
func (l *Log) short(st *stage, size int) int64 {
	need := (int64(st.size()+size) + budgetStep - 1) / budgetStep * budgetStep
	return min(need, l.options.stagedBytes()) - st.reserved
}

// freeBody gives a stage's memory back.
func (l *Log) freeBody(st *stage) {
	if st.reserved > 0 {
		l.budget.Release(st.reserved)
		st.reserved = 0
	}
	memory := st.body.Body()
	st.body.Reset(nil)
	if cap(memory) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.spare) < sparesMax && l.spareBytes+int64(cap(memory)) <= l.options.stagedBytes()/2 {
		l.spare = append(l.spare, memory[:0])
		l.spareBytes += int64(cap(memory))
	}
}

// freeStage gives back a stage that nobody waits for.
func (l *Log) freeStage(st *stage) {
	l.freeBody(st)
	stages.Put(st)
}
