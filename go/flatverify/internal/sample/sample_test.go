package sample_test

import (
	"testing"

	flatbuffers "github.com/google/flatbuffers/go"
	"github.com/stretchr/testify/require"

	"github.com/smf-go/smf/go/flatverify/internal/sample"
)

// What the object API hands out must outlive the payload, byte vectors too.
func TestUnPackSharesNoMemory(t *testing.T) {
	leaf := &sample.LeafT{Data: []byte("data"), Signed: []int8{1}, Switches: []bool{true}}
	builder := flatbuffers.NewBuilder(0)
	builder.Finish((&sample.NodeT{Name: "name", Names: []string{"a"}, Leaf: leaf}).Pack(builder))
	payload := builder.FinishedBytes()
	node := sample.GetRootAsNode(payload, 0).UnPack()
	clear(payload)
	require.Equal(t, "name", node.Name)
	require.Equal(t, []string{"a"}, node.Names)
	require.Equal(t, leaf, node.Leaf)
}
