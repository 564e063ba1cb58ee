// Package permethod keeps something for each method that a filter sees.
package permethod

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/smf-go/smf/go/rpc"
)

// Table has one T for each method. Any goroutine. It grows to as many entries as there are methods that
// were called: in a server those are registered ones only.
//
// Cost of a look-up: one of a map, no lock.
type Table[T any] struct {
	create func() *T

	mu      sync.Mutex // of those who add
	entries atomic.Pointer[map[uint32]*T]
}

// New makes a table whose entries are made by create, one when a method is called for the first time.
func New[T any](create func() *T) *Table[T] {
	t := &Table[T]{create: create}
	t.entries.Store(&map[uint32]*T{})
	return t
}

// Of is the entry of the method that is called.
func (t *Table[T]) Of(call *rpc.Call) *T {
	id := call.Method().ID
	if entry := (*t.entries.Load())[id]; entry != nil {
		return entry
	}
	return t.add(id)
}

func (t *Table[T]) add(id uint32) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := *t.entries.Load()
	if entry := entries[id]; entry != nil {
		return entry // somebody was faster
	}
	entries = maps.Clone(entries) // readers have the old one
	entries[id] = t.create()
	t.entries.Store(&entries)
	return entries[id]
}
