package main

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// table is one table of the report: rendered rows, every measurement behind them, and what was to be
// reached.
type table struct {
	Letter  string     `json:"letter"`
	Title   string     `json:"title"`
	Notes   []string   `json:"notes"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
	Targets []target   `json:"targets"`
	Cells   []cell     `json:"cells"`
}

// cell is what was measured of one contender under one load.
type cell struct {
	Load      string `json:"load"`
	Contender string `json:"contender"`
	Rounds    rounds `json:"rounds"`
}

// target is a bar and where we are.
type target struct {
	Name    string  `json:"name"`
	Value   stat    `json:"value"`
	Bar     float64 `json:"bar"`
	Aim     float64 `json:"aim,omitempty"` // beyond the bar; 0: none
	AtLeast bool    `json:"at_least"`      // else: at most
	Unit    string  `json:"unit"`
}

// met says whether the median is on the right side of the bar. Nothing measured is not met.
func (t target) met() bool {
	if t.Value.Count == 0 {
		return false
	}
	if t.AtLeast {
		return t.Value.Median >= t.Bar
	}
	return t.Value.Median <= t.Bar
}

// wanted is the bar, as text.
func (t target) wanted() string {
	side := "at most"
	if t.AtLeast {
		side = "at least"
	}
	return side + " " + number(t.Bar) + t.Unit
}

func (t target) verdict() string {
	if t.met() {
		return "met"
	}
	return "missed"
}

func (t target) row() []string {
	bar := t.wanted()
	if t.Aim != 0 {
		bar += ", aim " + number(t.Aim) + t.Unit
	}
	return []string{t.Name, bar, t.Value.text(t.Unit), t.verdict()}
}

// sentence says the same in words.
func (t target) sentence() string {
	text := fmt.Sprintf("%s: %s, wanted %s: %s", t.Name, t.Value.text(t.Unit), t.wanted(), t.verdict())
	if t.Aim == 0 {
		return text + "."
	}
	aim := target{Value: t.Value, Bar: t.Aim, AtLeast: t.AtLeast}
	if aim.met() {
		return text + ", and so is the aim of " + number(t.Aim) + t.Unit + "."
	}
	return text + "; the aim of " + number(t.Aim) + t.Unit + " is not."
}

// text is "median (min to max)".
func (s stat) text(unit string) string {
	if s.Count == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%s%s (%s to %s)", number(s.Median), unit, number(s.Min), number(s.Max))
}

// number keeps three or four digits: 2.31 M, 451 k, 12.3, 0.94.
func number(v float64) string {
	size := max(v, -v)
	switch {
	case size >= 999_500:
		return fmt.Sprintf("%.2f M", v/1e6)
	case size >= 9_995:
		return fmt.Sprintf("%.0f k", v/1e3)
	case size >= 999.5:
		return fmt.Sprintf("%.2f k", v/1e3)
	case size >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case size >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// markdown renders rows under columns, aligned for people who read it as text.
func markdown(columns []string, rows [][]string) string {
	widths := make([]int, len(columns))
	for _, row := range append([][]string{columns}, rows...) {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	var out strings.Builder
	line := func(row []string) {
		for i, text := range row {
			out.WriteString("| " + text + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+1))
		}
		out.WriteString("|\n")
	}
	line(columns)
	for _, width := range widths {
		out.WriteString("|" + strings.Repeat("-", width+2))
	}
	out.WriteString("|\n")
	for _, row := range rows {
		line(row)
	}
	return out.String()
}

func (t table) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "### (%s) %s\n\n", t.Letter, t.Title)
	for _, note := range t.Notes {
		fmt.Fprintf(&out, "%s\n\n", note)
	}
	out.WriteString(markdown(t.Columns, t.Rows))
	if len(t.Targets) > 0 {
		var rows [][]string
		for _, target := range t.Targets {
			rows = append(rows, target.row())
		}
		out.WriteString("\n" + markdown([]string{"target", "bar", "measured", ""}, rows))
	}
	return out.String()
}
