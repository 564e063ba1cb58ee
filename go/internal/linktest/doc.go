// Package linktest proves how the go command finds the native library: its tests work on a copy of
// the tree.
package linktest
