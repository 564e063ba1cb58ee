//go:build !cgo

package native

// Without cgo nothing of this package exists. This line makes the compiler say so.
const _ int = "smf needs cgo: set CGO_ENABLED=1 and install gcc"
