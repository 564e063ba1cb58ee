package codegen

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Layers of packages that all import all of the next: two to the power of forty ways lead through them.
func TestFindCircleAmongManyWays(t *testing.T) {
	const layers = 40
	var packages [layers][2]goPackage
	var imports []*goImport
	for i := range layers - 1 {
		for from := range 2 {
			for to := range 2 {
				imports = append(imports, &goImport{from: &packages[i][from], to: &packages[i+1][to]})
			}
		}
	}
	require.Nil(t, findCircle(imports))
	back := &goImport{from: &packages[layers-1][1], to: &packages[layers-3][0]}
	circle := findCircle(append(imports, back))
	require.Len(t, circle, 3)
	for i, one := range circle {
		require.Same(t, one.to, circle[(i+1)%3].from)
	}
	require.Contains(t, circle, back)
}
