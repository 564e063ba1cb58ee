package flatverify_test

import (
	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/smf-go/smf/go/flatverify/internal/sample"
)

// build returns a finished payload of a node.
func build(node *sample.NodeT) []byte {
	builder := flatbuffers.NewBuilder(0)
	builder.Finish(node.Pack(builder))
	return builder.FinishedBytes()
}

// fullNode has something in every field.
func fullNode() *sample.NodeT {
	maybe, maybeNot := int32(7), true
	mark := &sample.MarkT{Id: 1, Weight: 2.5, At: &sample.PointT{X: 1}, Color: sample.ColorGreen}
	leaf := &sample.LeafT{Id: 9, Data: []byte("bytes"), Signed: []int8{-1}, Switches: []bool{true}}
	return &sample.NodeT{
		Name:         "root",
		Color:        sample.ColorGreen,
		Rights:       sample.RightsRead | sample.RightsOwn,
		At:           &sample.PointT{X: 1, Y: 2, Z: 3},
		Mark:         mark,
		Leaf:         leaf,
		Children:     []*sample.NodeT{{Name: "first"}, {Name: "second", Leaf: leaf}},
		Names:        []string{"", "one", "two"},
		Colors:       []sample.Color{sample.ColorRed, sample.ColorBlue},
		Numbers:      []int64{1, -2, 3},
		Ratios:       []float64{0.5},
		Points:       []*sample.PointT{{X: 1}, {Y: 2}},
		Marks:        []*sample.MarkT{mark, mark},
		Maybe:        &maybe,
		MaybeNot:     &maybeNot,
		Leaves:       []*sample.LeafT{leaf, {}},
		SomeLongName: 5,
		Ratio:        -1,
		On:           false,
		Granted:      []sample.Rights{sample.RightsWrite},
	}
}

// walkNode reads every field of a node and of everything below it, and returns how many bytes and
// values it saw, so that nothing is optimised away.
func walkNode(n *sample.Node) int {
	seen := len(n.Name()) + int(n.Color()) + int(n.Rights()) + int(n.SomeLongName()) + int(n.Ratio())
	if n.On() {
		seen++
	}
	if v := n.Maybe(); v != nil {
		seen += int(*v)
	}
	if v := n.MaybeNot(); v != nil && *v {
		seen++
	}
	if at := n.At(nil); at != nil {
		seen += walkPoint(at)
	}
	if mark := n.Mark(nil); mark != nil {
		seen += walkMark(mark)
	}
	if leaf := n.Leaf(nil); leaf != nil {
		seen += walkLeaf(leaf)
	}
	var child sample.Node
	for i := range n.ChildrenLength() {
		n.Children(&child, i)
		seen += walkNode(&child)
	}
	var leaf sample.Leaf
	for i := range n.LeavesLength() {
		n.Leaves(&leaf, i)
		seen += walkLeaf(&leaf)
	}
	return seen + walkVectors(n)
}

func walkVectors(n *sample.Node) int {
	seen := len(n.ColorsBytes())
	for i := range n.NamesLength() {
		seen += len(n.Names(i))
	}
	for i := range n.ColorsLength() {
		seen += int(n.Colors(i))
	}
	for i := range n.NumbersLength() {
		seen += int(n.Numbers(i))
	}
	for i := range n.RatiosLength() {
		seen += int(n.Ratios(i))
	}
	for i := range n.GrantedLength() {
		seen += int(n.Granted(i))
	}
	var point sample.Point
	for i := range n.PointsLength() {
		n.Points(&point, i)
		seen += walkPoint(&point)
	}
	var mark sample.Mark
	for i := range n.MarksLength() {
		n.Marks(&mark, i)
		seen += walkMark(&mark)
	}
	return seen
}

func walkPoint(p *sample.Point) int { return int(p.X() + p.Y() + p.Z()) }

func walkMark(m *sample.Mark) int {
	return int(m.Id()) + int(m.Weight()) + int(m.Color()) + walkPoint(m.At(nil))
}

func walkLeaf(l *sample.Leaf) int {
	seen := int(l.Id()) + len(l.DataBytes())
	for i := range l.DataLength() {
		seen += int(l.Data(i))
	}
	for i := range l.SignedLength() {
		seen += int(l.Signed(i))
	}
	for i := range l.SwitchesLength() {
		if l.Switches(i) {
			seen++
		}
	}
	return seen
}
