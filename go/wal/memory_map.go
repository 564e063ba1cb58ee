//go:build !race

package wal

import "golang.org/x/sys/unix"

// mapMemory is empty memory of this capacity, that Go's collector knows nothing of; Go's, if the system has
// none of that kind.
func mapMemory(capacity int) []byte {
	memory, err := unix.Mmap(-1, 0, capacity, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return make([]byte, 0, capacity)
	}
	return memory[:0]
}

// unmapMemory gives memory back that came from mapMemory. Nobody may look at it any more.
func unmapMemory(memory []byte) {
	_ = unix.Munmap(memory[:cap(memory)]) // refused for Go's
}
