package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTargetIsMetOnItsSideOfTheBar(t *testing.T) {
	value := stat{Median: 0.9, Min: 0.7, Max: 1, Count: 3}
	require.True(t, target{Value: value, Bar: 0.9, AtLeast: true}.met())
	require.False(t, target{Value: value, Bar: 0.91, AtLeast: true}.met())
	require.True(t, target{Value: value, Bar: 0.9}.met())
	require.False(t, target{Value: value, Bar: 0.89}.met())
	require.False(t, target{Bar: 1}.met(), "nothing was measured")
}

func TestTargetRow(t *testing.T) {
	row := target{Name: "n", Value: stat{Median: 1.5, Min: 1, Max: 2, Count: 5}, Bar: 1.4, AtLeast: true, Unit: "×"}.row()
	require.Equal(t, []string{"n", "at least 1.40×", "1.50× (1.00 to 2.00)", "met"}, row)
}

func TestTargetsInWords(t *testing.T) {
	one := target{Name: "n", Value: stat{Median: 1.5, Min: 1, Max: 2, Count: 5}, Bar: 1.4, AtLeast: true, Unit: "×"}
	require.Equal(t, "n: 1.50× (1.00 to 2.00), wanted at least 1.40×: met.", one.sentence())
	one.Aim = 1.6
	require.Equal(t, "n: 1.50× (1.00 to 2.00), wanted at least 1.40×: met; the aim of 1.60× is not.", one.sentence())
	require.Equal(t, "at least 1.40×, aim 1.60×", one.row()[1])
	one.Aim = 1.5
	require.Equal(t, "n: 1.50× (1.00 to 2.00), wanted at least 1.40×: met, and so is the aim of 1.50×.", one.sentence())
	one.Bar, one.Aim, one.AtLeast = 1, 0, false
	require.Equal(t, "n: 1.50× (1.00 to 2.00), wanted at most 1.00×: missed.", one.sentence())
	r := report{Name: walName, Tables: []table{{Letter: "h", Targets: []target{one}}}}
	require.Contains(t, r.String(), "### The bars, one by one\n\n- (h) n: 1.50×")
}

func TestNumber(t *testing.T) {
	for value, text := range map[float64]string{
		0: "0.00", 0.944: "0.94", 12.34: "12.3", 450.6: "451", 1234: "1.23 k", 45_100: "45 k",
		451_000: "451 k", 999_600: "1.00 M", 2_314_000: "2.31 M", -20: "-20.0",
	} {
		require.Equal(t, text, number(value))
	}
}

func TestMarkdownIsAligned(t *testing.T) {
	require.Equal(t, "| a  | µs |\n|----|----|\n| 1× | 2  |\n", markdown([]string{"a", "µs"}, [][]string{{"1×", "2"}}))
}

func TestTargetsOfWhatWasNotMeasuredAreLeftOut(t *testing.T) {
	l := load{conns: 1, depth: 64, payload: 60}
	cells := map[string]rounds{smfGo: rates(90), bareC: rates(100)}
	targets := rateTarget(nil, cells, l, []string{smfC, bareC}, "the best C", 0.9)
	require.Len(t, targets, 1)
	require.True(t, targets[0].met())
	require.Empty(t, rateTarget(nil, cells, l, []string{plainGo}, "plain Go", 1.4))
	require.Empty(t, rateTarget(nil, map[string]rounds{bareC: rates(1)}, l, []string{bareC}, "x", 1))
}

func TestLoadNamesAndArguments(t *testing.T) {
	require.Equal(t, "64×8 60 B", load{conns: 64, depth: 8, payload: 60}.name())
	require.Equal(t, "1×4 64 KiB", load{conns: 1, depth: 4, payload: 64 << 10}.name())
	require.Equal(t, []string{"--conns", "8", "--payload", "60", "--typed", "--method2", "2", "--share2", "5",
		"--rate", "20000"}, load{conns: 8, payload: 60, typed: true, method2: 2, share2: 5, rate: 20_000}.args())
}
