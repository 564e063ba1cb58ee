//go:build !amd64

package native

// plainStores: other processors reorder more than the watchers can fence.
const plainStores = false
