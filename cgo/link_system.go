//go:build cgo && smf_system

package native

// #cgo pkg-config: libsmf
import "C"
