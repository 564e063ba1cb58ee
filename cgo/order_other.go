//go:build !amd64

package native

import "sync/atomic"

// plainStores: other processors reorder more than the watchers can fence.
const plainStores = false

// publish stores v behind what was stored before.
func publish(p *uint64, v uint64) { atomic.StoreUint64(p, v) }
