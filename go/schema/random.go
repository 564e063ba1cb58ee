package schema

import (
	"math/rand/v2"
	"slices"

	"github.com/smf-go/smf/go/internal/bfbs"
	"github.com/smf-go/smf/go/internal/flatmake"
)

// Random makes a FlatBuffer of this table with random contents: any that Verify takes, most of them small. The
// same random numbers make the same one.
//
// Threads: any, each with random numbers of its own. Ownership: the caller's. Cost: some microseconds, and
// allocations.
func (t *Table) Random(random *rand.Rand) []byte {
	source := t.schema.source
	i := slices.IndexFunc(source.Objects, func(o bfbs.Object) bool { return o.Name == t.object.name })
	return flatmake.Make(random, source, i, false)
}
