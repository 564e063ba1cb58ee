package native

// plainStores says that this processor keeps stores in order, and loads in order: what is left is a
// store that is overtaken by a later load, and against that the watchers fence.
const plainStores = true

// publish stores v behind what was stored before.
func publish(p *uint64, v uint64) { *p = v }
