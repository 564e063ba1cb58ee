package differ

import (
	"github.com/smf-go/smf/go/flatverify/internal/sample"
	"github.com/smf-go/smf/go/internal/goldens"
)

// generated is what smfc generated for a table: verify has to say what flatverify says, but does not
// look at deprecated fields, and read reads every field of what was accepted. Nil: there is none.
type generated struct {
	verify func(buffer []byte) error
	read   func(buffer []byte)
}

// walkMax is how many values of a buffer are read through accessors.
const walkMax = 300

// generatedCode is by the full name of the table.
var generatedCode = func() map[string]generated {
	all := map[string]generated{
		"smf_gen.sample.Empty":   {sample.VerifyEmpty, func(p []byte) { sample.GetRootAsEmpty(p, 0).UnPack() }},
		"smf_gen.sample.Leaf":    {sample.VerifyLeaf, func(p []byte) { sample.GetRootAsLeaf(p, 0).UnPack() }},
		"smf_gen.sample.Loose":   {sample.VerifyLoose, func(p []byte) { sample.GetRootAsLoose(p, 0).UnPack() }},
		"smf_gen.sample.Names":   {sample.VerifyNames, func(p []byte) { sample.GetRootAsNames(p, 0).UnPack() }},
		"smf_gen.sample.Narrow":  {sample.VerifyNarrow, func(p []byte) { sample.GetRootAsNarrow(p, 0).UnPack() }},
		"smf_gen.sample.Node":    {sample.VerifyNode, func(p []byte) { sample.GetRootAsNode(p, 0).UnPack() }},
		"smf_gen.sample.Numbers": {sample.VerifyNumbers, func(p []byte) { sample.GetRootAsNumbers(p, 0).UnPack() }},
		"smf_gen.sample.Wide":    {sample.VerifyWide, func(p []byte) { sample.GetRootAsWide(p, 0).UnPack() }},
	}
	for _, t := range goldens.Tables {
		all[t.Name] = generated{t.Verify, func(p []byte) {
			t.UnPack(p)
			goldens.Walk(t.Root(p), walkMax)
		}}
	}
	return all
}()
